"""Writes WARCs with `downhaul --to-warc`, and reads them with warcio. `.ci/warc` runs
this script."""

import http.server
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import types

from warcio.archiveiterator import ArchiveIterator
from warcio.checker import Checker

# Small and large files, files that gzip can and cannot make smaller, and an empty file.
FILES = {
    "/page.html": b"<!doctype html><p>Hello</p>" * 300,
    "/small.bin": bytes(range(256)) * 7,
    "/empty.txt": b"",
    "/large.txt": b"0123456789abcdef\n" * 300_000,
    "/chunked.txt": b"chunked " * 40_000,
    "/noise.bin": b"".join((n * 2654435761 % 2**32).to_bytes(4, "big") for n in range(500_000)),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/page.html")
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"there")
            return
        body = FILES[self.path]
        if self.path == "/chunked.txt":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), 10_000):
                some = body[at : at + 10_000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(some), some))
            self.wfile.write(b"0\r\n\r\n")
            return
        wanted = self.headers.get("Range")
        first, last = 0, len(body) - 1
        if wanted and body:
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end or last), last)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(body)}")
        else:
            self.send_response(200)
        self.send_header("ETag", f'"{len(body)}"')
        self.send_header("Set-Cookie", "id=1")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(body[first : last + 1])

    def log_message(self, *_):
        pass


def check(folder: pathlib.Path, base: str) -> None:
    warcs = sorted(folder.glob("*.warc.gz"))
    assert len(warcs) > 1, warcs
    found, requests, redirects = {}, 0, 0
    for warc in warcs:
        # This check is the same as that of the command `warcio check`: all digests must match.
        checker = Checker(types.SimpleNamespace(inputs=[str(warc)], verbose=False))
        assert checker.process_all() == 0, f"{warc}: a digest is wrong"
        with warc.open("rb") as stream:
            for record in ArchiveIterator(stream):
                kind = record.rec_type
                body = record.content_stream().read()
                url = record.rec_headers.get_header("WARC-Target-URI")
                if kind == "response" and record.http_headers.get_statuscode() == "302":
                    redirects += 1
                    assert body == b"there" and url == base + "/moved", (url, body)
                elif kind == "response":
                    assert record.http_headers.get_statuscode() == "200", record.http_headers
                    assert record.http_headers.get_header("Content-Range") is None
                    found.setdefault(url.removeprefix(base), []).append(body)
                elif kind == "request":
                    requests += 1
                    assert record.http_headers.get_header("Authorization") is None
                    assert record.http_headers.protocol in ("GET",), record.http_headers
                elif kind == "metadata":
                    assert json.loads(body)["sha256"], body
                else:
                    assert kind == "warcinfo", kind
    wanted = {path: [body] for path, body in FILES.items()}
    wanted["/page.html"].append(FILES["/page.html"])
    assert found == wanted, {path: [len(one) for one in all] for path, all in found.items()}
    assert (requests, redirects) == (len(FILES) + 2, 1), (requests, redirects)


def main() -> None:
    program = str(pathlib.Path(sys.argv[1]).resolve())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_address[1]}"
    with tempfile.TemporaryDirectory() as home:
        folder = pathlib.Path(home)
        lines = [{"url": base + path} for path in FILES] + [{"url": base + "/moved", "out": "moved.html"}]
        (folder / "list").write_text("\n".join(json.dumps(line) for line in lines))
        arguments = ["-i", "list", "--to-warc", "w-{number:03}.warc.gz", "--warc-size", "300k", "-x", "4"]
        arguments += ["--user", "name:word", "--auth", "basic", "--log", "none"]
        environment = {"HOME": home, "XDG_STATE_HOME": home}
        for _ in range(2):
            run = [program, *arguments]
            subprocess.run(run, cwd=folder, check=True, env=environment, timeout=120, capture_output=True)
            check(folder, base)
    server.shutdown()
    print("warcio reads the WARCs, and all digests match")


if __name__ == "__main__":
    main()
