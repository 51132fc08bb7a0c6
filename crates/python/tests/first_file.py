"""Downloads a first file as the README says, with nothing installed but the wheel."""

import functools
import http.server
import tempfile
import threading
from pathlib import Path

import downhaul

with tempfile.TemporaryDirectory() as folder:
    Path(folder, "a.bin").write_bytes(b"x" * 5000)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/a.bin"
    for file in downhaul.download([url], to=Path(folder, "data")):
        print(file.path, file.bytes, file.verified)
        assert file.path is not None and file.path.read_bytes() == b"x" * 5000
    server.shutdown()
