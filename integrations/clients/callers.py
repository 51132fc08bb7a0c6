"""Runs programs of Debian and PyPI that start downhaul under the name `aria2c`: uGet, libkiwix, pacman and
fetchcommandwrapper of Portage. Each of them downloads a file from a server on this machine. `.ci/daemon
callers` runs this script."""

import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys

from shared import Handler, check, is_there, processes, serve, waits_for

PROGRAM, HERE, KIWIX = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
TOP = HERE / "callers"
BIN, WWW, WORK, STATE = TOP / "bin", TOP / "www", TOP / "work", TOP / "state"
ENV = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}", HOME=str(WORK), XDG_STATE_HOME=str(STATE))
for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME"):
    ENV.pop(name, None)
# The command for downloads that the Arch wiki recommends.
XFER = (
    "aria2c --allow-overwrite=true --continue=true --file-allocation=none --log-level=error --max-tries=2"
    " --max-connection-per-server=2 --max-file-not-found=5 --min-split-size=5M --no-conf --remote-time=true"
    " --summary-interval=60 --timeout=5 --dir=/ --out %o %u"
)


def run(*command, **more):
    """Runs a program that can start downhaul under the name `aria2c`, and returns its output."""
    done = subprocess.run(
        [str(word) for word in command], cwd=WORK, env=ENV | more, capture_output=True, text=True, timeout=90
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{command}: {done.returncode}\n{said}"
    return said


def put(name, size):
    """Puts a file of random bytes on the server, and returns these bytes."""
    body = random.Random(name).randbytes(size)
    (WWW / name).write_bytes(body)
    return body


def kiwix(base):
    """libkiwix starts aria2c, pauses and resumes a download, and continues it after a restart."""
    body = put("wiki.zim", 6_000_000)
    data = WORK / "kiwix"
    said = run(KIWIX, f"{base}/wiki.zim", KIWIX_DATA_DIR=str(data))
    check("libkiwix: a file is paused, and continued after a restart", is_there(data / "wiki.zim", body))
    check("libkiwix: the path of the file", str(data / "wiki.zim") in said)
    check("libkiwix started downhaul as aria2c", (data / "kiwix.session.db").is_file())


def uget(base):
    """uGet starts aria2c in the background, adds a file to it, and ends it."""
    body, saved, settings = put("uget.bin", 6_000_000), WORK / "saved", WORK / ".config" / "uGet"
    saved.mkdir()
    settings.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    option = f"--rpc-listen-port={port}"
    # These are the settings of a new uGet, except that aria2 downloads all files (PluginOrder), and that
    # the port differs.
    launch = f"--enable-rpc=true -D --disable-ipv6 --check-certificate=false {option}"
    aria2 = {"launch": True, "shutdown": True, "path": "aria2c", "arguments": launch}
    aria2["uri"] = f"http://localhost:{port}/jsonrpc"
    (settings / "Setting.json").write_text(json.dumps({"PluginOrder": 1, "PluginAria2": aria2}))
    window = f"echo $$ >{TOP}/uget.pid; exec uget-gtk --quiet --folder={saved} --filename=saved.bin {base}/uget.bin"
    command = ["dbus-run-session", "--", "xvfb-run", "-a", "sh", "-c", window]
    with (TOP / "uget.log").open("w") as log:
        session = subprocess.Popen(command, cwd=WORK, env=ENV, stdout=log, stderr=log, start_new_session=True)
    try:
        check("uGet: a file is downloaded", waits_for(lambda: is_there(saved / "saved.bin", body)))
        check("uGet started downhaul as aria2c", len(processes(PROGRAM, option)) == 1)
        os.kill(int((TOP / "uget.pid").read_text()), signal.SIGTERM)
        session.wait(timeout=20)
        check("the aria2c that uGet started ends with uGet", waits_for(lambda: not processes(PROGRAM, option)))
        queue = (STATE / "downhaul").glob(f"aria2c-{port}.db*")
        check("uGet: the queue of downhaul has the download", any(b"/uget.bin" in file.read_bytes() for file in queue))
    finally:
        if session.poll() is None:
            os.killpg(session.pid, signal.SIGTERM)
        for process in processes(PROGRAM, option):
            os.kill(process, signal.SIGTERM)


def pacman(base):
    """pacman gets the list of a repository and installs a package of it."""
    root, package, folder = TOP / "root", TOP / "package", WWW / "repo"
    for path in (root / "db", root / "cache", root / "hooks", package / "usr", folder):
        path.mkdir(parents=True)
    body = random.Random(2).randbytes(5_000_000)
    (package / "usr" / "greeting").write_bytes(body)
    (package / ".PKGINFO").write_text(
        f"pkgname = greeting\npkgver = 1-1\npkgdesc = A greeting\narch = any\nsize = {len(body)}\n"
    )
    name = "greeting-1-1-any.pkg.tar.gz"
    run("tar", "-C", package, "-czf", folder / name, ".PKGINFO", "usr")
    run("repo-add", folder / "greetings.db.tar.gz", folder / name)
    settings = f"[options]\nArchitecture = any\nSigLevel = Never\nXferCommand = {BIN}/{XFER}\n"
    (TOP / "pacman.conf").write_text(f"{settings}[greetings]\nServer = {base}/repo\n")
    root_only = [] if os.getuid() == 0 else ["fakeroot"]
    places = ["--root", root, "--dbpath", root / "db", "--cachedir", root / "cache", "--hookdir", root / "hooks"]
    said = run(*root_only, "pacman", *places, "--config", TOP / "pacman.conf", "--logfile", root / "log",
               "--noconfirm", "--noscriptlet", "-Sy", "greeting")  # fmt: skip
    check("pacman: a package is installed", is_there(root / "usr" / "greeting", body))
    check("pacman: the list and the package were downloaded", said.count("(OK):download completed.") == 2)


def portage(base):
    """fetchcommandwrapper downloads a file, and continues an unfinished file. The test changes the path of
    aria2c and the list of mirrors in fetchcommandwrapper."""
    body, mirrors = put("source.tar", 5_000_000), [f"{base}/", "http://127.0.0.1:9/"]
    start = (
        "import fetchcommandwrapper.__main__ as wrapper\n"
        f"wrapper.ARIA2_COMMAND, wrapper.gentoo_mirrors = {str(BIN / 'aria2c')!r}, lambda: {mirrors!r}\nwrapper.main()"
    )
    tool = [HERE / "venv" / "bin" / "python", "-c", start]
    run(*tool, "--link-speed", "600000", f"{base}/source.tar", WORK, "new.tar")
    check("fetchcommandwrapper: a file with two mirrors, of which one does not answer", is_there(WORK / "new.tar", body))
    (WORK / "half.tar").write_bytes(body[:2_000_000])
    Handler.asked.clear()
    run(*tool, "--continue", f"{base}/source.tar", WORK, "half.tar", PORTAGE_VERBOSE="1")
    check("fetchcommandwrapper: an unfinished file is continued", is_there(WORK / "half.tar", body))
    begins = [int(ranged.removeprefix("bytes=").partition("-")[0] or 0) for _, ranged in Handler.asked]
    check("fetchcommandwrapper: the bytes on the disk are not fetched again", begins and min(begins) > 1_900_000)


def main():
    shutil.rmtree(TOP, ignore_errors=True)
    for folder in (BIN, WWW, WORK, STATE):
        folder.mkdir(parents=True)
    (BIN / "aria2c").symlink_to(PROGRAM)
    check("the program called aria2c is downhaul", "This is downhaul" in run("aria2c", "-v"))
    base = serve(WWW)
    for client in (kiwix, uget, pacman, portage):
        client(base)


main()
