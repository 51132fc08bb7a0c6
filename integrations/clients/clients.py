"""Tests `downhaul daemon` with clients of aria2 that are written in Python: most methods over
JSON-RPC (aria2p), a WebSocket with notices (aioaria2), and XML-RPC (the standard library).

Usage: python clients.py PROGRAM NODE_SCRIPT   (NODE_SCRIPT is then run with the port, the secret and a URL)
"""

import asyncio
import base64
import functools
import http.server
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
import xmlrpc.client

import aioaria2
import aria2p

program, node_script = sys.argv[1:]
SECRET = "a secret for clients"
BYTES = os.urandom(200_000)


class Files(http.server.BaseHTTPRequestHandler):
    """Sends the same bytes under every name. If a name begins with `slow`, the response takes seconds."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(BYTES)))
        self.end_headers()
        for at in range(0, len(BYTES), 10_000):
            self.wfile.write(BYTES[at : at + 10_000])
            if "/slow" in self.path:
                time.sleep(0.25)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """Ignores errors, because a paused download closes its connection."""


def until(what, look):
    """Calls `look` until its result is true, and returns this result. Fails after 30 seconds."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not seen: {what}")


def with_aria2p(port, url):
    api = aria2p.API(aria2p.Client(host="http://127.0.0.1", port=port, secret=SECRET))
    client = api.client
    assert client.get_version()["version"] == "1.37.0"
    assert len(client.list_methods()) == 36 and len(client.list_notifications()) == 6
    assert len(client.get_session_info()["sessionId"]) == 40
    one = api.add_uris([url("one")], options={"out": "p/one.bin"})
    until("the first download is complete", lambda: api.get_download(one.gid).is_complete)
    assert (folder / "p/one.bin").read_bytes() == BYTES
    slow = api.add_uris([url("slow")])
    until("the slow download is active", lambda: api.get_download(slow.gid).is_active)
    assert client.get_servers(slow.gid)[0]["servers"][0]["currentUri"] == url("slow")
    assert client.get_uris(slow.gid)[0]["uri"] == url("slow")
    assert client.get_files(slow.gid)[0]["index"] == "1"
    assert api.pause([slow]) == [True] and api.get_download(slow.gid).is_paused
    other = api.add_uris([url("other")], options={"pause": "true"})
    assert client.change_position(other.gid, 0, "POS_SET") == 0
    assert [one["gid"] for one in client.tell_waiting(0, 9)] == [other.gid, slow.gid]
    assert client.change_uri(slow.gid, 1, [url("slow")], [url("two")]) == [1, 1]
    options = api.get_options([slow])[0]
    options.max_download_limit = 1_000_000
    assert api.get_options([slow])[0].max_download_limit == 1_000_000
    assert len(client.get_option(slow.gid)) >= 70 and len(client.get_global_option()) >= 120
    assert api.set_global_options({"max-concurrent-downloads": "4"})
    assert api.resume_all() and api.pause_all() and api.pause_all(force=True) and api.resume_all()
    until("both downloads are complete", lambda: all(api.get_download(gid).is_complete for gid in (slow.gid, other.gid)))
    document = f'<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="m.bin"><url>{url("m")}</url></file></metalink>'
    gids = client.add_metalink(base64.b64encode(document.encode()).decode())
    until("the file of the document is complete", lambda: client.tell_status(gids[0])["status"] == "complete")
    for call in (lambda: client.add_torrent("", []), lambda: client.get_peers(gids[0])):
        try:
            call()
        except aria2p.ClientException as fault:
            assert fault.code == 1
        else:
            raise AssertionError("BitTorrent was not refused")
    last = api.add_uris([url("slow-last")])
    until("the last download is active", lambda: api.get_download(last.gid).is_active)
    client.force_remove(last.gid)
    assert client.tell_stopped(-1, 1)[0]["errorCode"] == "31"
    assert client.remove_download_result(last.gid) == "OK"
    assert api.get_stats().num_stopped >= 4 and api.purge() and api.get_stats().num_stopped == 0
    assert client.save_session() == "OK"
    results = client.multicall([{"methodName": "aria2.getVersion", "params": [f"token:{SECRET}"]}])
    assert results[0][0]["version"] == "1.37.0"


async def with_aioaria2(port, url):
    client = await aioaria2.Aria2WebsocketClient.new(f"http://127.0.0.1:{port}/jsonrpc", token=SECRET)
    seen, complete = [], asyncio.Event()

    @client.onDownloadStart
    async def start(_, data):
        seen.append(("start", data["params"][0]["gid"]))

    @client.onDownloadComplete
    async def end(_, data):
        seen.append(("complete", data["params"][0]["gid"]))
        complete.set()

    gid = await client.addUri([url("socket")])
    await asyncio.wait_for(complete.wait(), 20)
    assert seen == [("start", gid), ("complete", gid)], seen
    assert (await client.tellStatus(gid, ["status"]))["status"] == "complete"
    await client.close()


def with_xmlrpc(port, url):
    server = xmlrpc.client.ServerProxy(f"http://127.0.0.1:{port}/rpc")
    token = f"token:{SECRET}"
    gid = server.aria2.addUri(token, [url("xml")], {"out": "x/ä&<.bin"})
    until("the download is complete", lambda: server.aria2.tellStatus(token, gid, ["status"])["status"] == "complete")
    assert (folder / "x/ä&<.bin").read_bytes() == BYTES
    calls = [{"methodName": "aria2.tellStatus", "params": [token, "zz"]}, {"methodName": "aria2.getVersion", "params": [token]}]
    wrong, version = server.system.multicall(calls)
    assert wrong["faultString"] == "Invalid GID zz" and version[0]["version"] == "1.37.0"
    try:
        server.aria2.tellStatus(token, "zz")
    except xmlrpc.client.Fault as fault:
        assert (fault.faultCode, fault.faultString) == (1, "Invalid GID zz")
    else:
        raise AssertionError("an invalid GID was accepted")


with tempfile.TemporaryDirectory() as place:
    folder = pathlib.Path(place, "files")
    server = Server(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = functools.partial("http://127.0.0.1:{}/{}".format, server.server_port)
    environment = {**os.environ, "XDG_STATE_HOME": place, "DOWNHAUL_DAEMON_SECRET": SECRET}
    arguments = [program, "daemon", "-d", folder, "--listen", "127.0.0.1:0"]
    with subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True) as daemon:
        try:
            port = int(re.search(r":(\d+)/", daemon.stderr.readline())[1])
            with_aria2p(port, url)
            asyncio.run(with_aioaria2(port, url))
            with_xmlrpc(port, url)
            subprocess.run(["node", node_script, str(port), SECRET, url("node")], check=True, timeout=60)
            aria2p.Client(host="http://127.0.0.1", port=port, secret=SECRET).shutdown()
            assert daemon.wait(timeout=20) == 0
        finally:
            daemon.kill()
print("clients: aria2p, aioaria2, XML-RPC, aria2 and maria2 work with the daemon")
