"""Downloads with yt-dlp, which finds downhaul as `aria2c`, from a server on this machine.
`.ci/daemon` runs this."""

import functools
import http.server
import os
import pathlib
import random
import shutil
import subprocess
import sys
import threading

PROGRAM, HERE = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
BIN, WWW, WORK = HERE / "bin", HERE / "www", HERE / "work"


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files with ranges, as video sites do."""

    def log_message(self, *_):
        pass

    def send_head(self):
        ranged = self.headers.get("Range", "")
        path = pathlib.Path(self.translate_path(self.path))
        if not ranged.startswith("bytes=") or not path.is_file():
            return super().send_head()
        size = path.stat().st_size
        begin, _, end = ranged.removeprefix("bytes=").partition("-")
        begin, end = int(begin), min(int(end or size - 1), size - 1)
        self.send_response(206)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Range", f"bytes {begin}-{end}/{size}")
        self.send_header("Content-Length", str(end - begin + 1))
        self.send_header("Last-Modified", self.date_time_string(int(path.stat().st_mtime)))
        self.end_headers()
        self.wfile.write(path.read_bytes()[begin : end + 1])
        return None


class Server(http.server.ThreadingHTTPServer):
    """A client that has enough may close a connection in the middle."""

    def handle_error(self, *_):
        pass


def serve():
    handler = functools.partial(Handler, directory=str(WWW))
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def run(*command):
    """Runs a program that finds downhaul as `aria2c`."""
    env = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}", XDG_STATE_HOME=str(WORK / "state"))
    done = subprocess.run(command, cwd=WORK, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def check(what, ok):
    print(f"  {'ok' if ok else 'FAILED'}  {what}", flush=True)
    if not ok:
        sys.exit(1)


def yt_dlp(base):
    """A page with a video, and a stream in segments."""
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
    tool = [HERE / "venv" / "bin" / "yt-dlp", "--verbose", "--downloader", "aria2c", "--fixup", "never"]
    said = run(*tool, "-o", "page video.%(ext)s", f"{base}/page.html")
    check("yt-dlp: the video of a page", (WORK / "page video.mp4").read_bytes() == video and "Invoking aria2c" in said)
    run(*tool, "-o", "limited.%(ext)s", "-r", "2M", "--add-headers", "X-A:b", f"{base}/video.mp4")
    check("yt-dlp: a video with a limit and headers", (WORK / "limited.mp4").read_bytes() == video)
    run(*tool, "-o", "stream.%(ext)s", f"{base}/stream.m3u8")
    check("yt-dlp: a stream in segments", (WORK / "stream.mp4").read_bytes() == b"".join(segments))
    left = [path.name for path in WORK.iterdir() if "part" in path.name or "Frag" in path.name]
    check("yt-dlp: nothing is left", not left)


def main():
    for folder in (BIN, WWW, WORK):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    (BIN / "aria2c").symlink_to(PROGRAM)
    base = serve()
    yt_dlp(base)


main()
