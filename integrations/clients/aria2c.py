"""Downloads with yt-dlp of PyPI and with yt-dlp of Debian, from a server on this machine. Both start
downhaul under the name `aria2c`. `.ci/daemon aria2c` runs this script."""

import os
import pathlib
import random
import shutil
import subprocess
import sys

from shared import check, serve

PROGRAM, HERE, DEBIAN = (pathlib.Path(text) for text in sys.argv[1:4])
BIN, WWW, WORK = HERE / "bin", HERE / "www", HERE / "work"


def run(*command):
    """Runs a program that can start downhaul under the name `aria2c`."""
    env = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}", XDG_STATE_HOME=str(WORK / "state"))
    done = subprocess.run(command, cwd=WORK, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def yt_dlp(base, name, program):
    """Downloads the video of a page, and a stream in segments. `program` is the command of yt-dlp."""
    for folder in (WWW, WORK):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    video = random.Random(1).randbytes(6_000_000)
    (WWW / "video.mp4").write_bytes(video)
    page = '<html><head><title>Page</title></head><body><video src="video.mp4"></video></body></html>'
    (WWW / "page.html").write_text(page)
    segments = [random.Random(n).randbytes(200_000 + n) for n in range(12)]
    for number, segment in enumerate(segments):
        (WWW / f"s{number}.ts").write_bytes(segment)
    listed = "".join(f"#EXTINF:4.0,\ns{number}.ts\n" for number in range(len(segments)))
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:0\n"
    (WWW / "stream.m3u8").write_text(f"{head}{listed}#EXT-X-ENDLIST\n")
    tool = [*program, "--verbose", "--downloader", "aria2c", "--fixup", "never"]
    said = run(*tool, "-o", "page video.%(ext)s", f"{base}/page.html")
    check(f"{name}: the video of a page", (WORK / "page video.mp4").read_bytes() == video and "Invoking aria2c" in said)
    run(*tool, "-o", "limited.%(ext)s", "-r", "2M", "--add-headers", "X-A:b", f"{base}/video.mp4")
    check(f"{name}: a video with a limit and headers", (WORK / "limited.mp4").read_bytes() == video)
    run(*tool, "-o", "stream.%(ext)s", f"{base}/stream.m3u8")
    check(f"{name}: a stream in segments", (WORK / "stream.mp4").read_bytes() == b"".join(segments))
    left = [path.name for path in WORK.iterdir() if "part" in path.name or "Frag" in path.name]
    check(f"{name}: nothing is left", not left)


def main():
    shutil.rmtree(BIN, ignore_errors=True)
    for folder in (BIN, WWW):
        folder.mkdir(parents=True, exist_ok=True)
    (BIN / "aria2c").symlink_to(PROGRAM)
    base = serve(WWW)
    yt_dlp(base, "yt-dlp", [HERE / "venv" / "bin" / "python", "-m", "yt_dlp"])
    packages = DEBIAN / "usr" / "lib" / "python3" / "dist-packages"
    old = ["env", f"PYTHONPATH={packages}", "/usr/bin/python3", "-m", "yt_dlp"]
    yt_dlp(base, f"yt-dlp of Debian ({run(*old, '--version').strip()})", old)


main()
