"""The functions that the scripts with callers of aria2c share: a web server, and checks of results."""

import functools
import http.server
import pathlib
import sys
import threading
import time


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files with ranges, as video sites do, and records which ranges were requested with GET."""

    asked = []

    def log_message(self, *_):
        pass

    def send_head(self):
        ranged = self.headers.get("Range", "")
        if self.command == "GET":
            self.asked.append((self.path, ranged))
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
    """A server that ignores errors, because a client may close a connection before the end of a
    response."""

    def handle_error(self, *_):
        pass


def serve(folder):
    """Serves a folder on this machine, and returns its URL."""
    handler = functools.partial(Handler, directory=str(folder))
    server = Server(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def check(what, ok):
    print(f"  {'ok' if ok else 'FAILED'}  {what}", flush=True)
    if not ok:
        sys.exit(1)


def is_there(path, body):
    """Returns true if a file has these bytes."""
    return path.is_file() and path.read_bytes() == body


def waits_for(true, seconds=30):
    """Waits until the function `true` returns true, but at most this many seconds. Returns its last
    result."""
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.1)
    return true()


def processes(program, option):
    """Returns the processes of a program that were started with this option."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            same = (process / "exe").resolve() == program.resolve()
            if same and option.encode() in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            pass
    return found
