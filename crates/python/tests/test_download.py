"""`download`: rows, errors, inputs, options."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import pickle
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from conftest import Server, content, wait_for

import downhaul
from downhaul._environment import hash_key


def test_one_url_gives_one_row(server: Server, tmp_path: Path) -> None:
    (file,) = downhaul.download(server.url("digest/5000/a.bin"), tmp_path)
    assert file.ok and file.status == "finished" and file.number == 1
    assert file.path == tmp_path / "a.bin"
    assert (tmp_path / "a.bin").read_bytes() == content("a.bin", 5000)
    assert file.bytes == 5000 and file.verified == "sha-256 from Repr-Digest"
    assert file.digests["sha-256"] == hashlib.sha256(content("a.bin", 5000)).hexdigest()
    assert file.url == file.item == file.final_url == server.url("digest/5000/a.bin")
    assert open(file, "rb").read() == content("a.bin", 5000)


def test_every_url_gets_a_row_and_none_raises(server: Server, tmp_path: Path) -> None:
    urls = [
        server.url("fine/1000/a.bin"),
        server.url("missing"),
        server.url("wrong-digest/1000/b.bin"),
        server.url("page/0/c.bin"),
        "no url",
        "ftp://127.0.0.1/x",
        "http://127.0.0.1:1/refused",
        server.url("busy-once/1000/d.bin"),
        server.url("cut-once/300000/e.bin"),
        server.url("moved/1000/f.bin"),
        "http://h/\ud800",
    ]
    rows = {row.url: row for row in downhaul.download(urls, tmp_path, retries=1)}
    assert len(rows) == len(urls)
    codes = [row.error.code if (row := rows[url]).error else None for url in urls]
    assert codes[:4] == [None, "http.not_found", "digest.mismatch", "content.html"]
    assert codes[4:7] == ["url.invalid", "url.scheme", "connect.refused"]
    assert codes[7:10] == [None, None, None]
    assert rows[urls[9]].final_url == server.url("fine/1000/f.bin")
    assert (tmp_path / "e.bin").read_bytes() == content("e.bin", 300000)
    for row in rows.values():
        assert (row.path is not None) == (row.error is None) == row.ok
    assert sorted(os.listdir(tmp_path)) == ["a.bin", "d.bin", "e.bin", "f.bin"]


def test_a_second_run_skips_what_is_there(server: Server, tmp_path: Path) -> None:
    list(downhaul.download(server.url("digest/5000/a.bin"), tmp_path))
    (file,) = downhaul.download(server.url("digest/5000/a.bin"), tmp_path)
    assert file.ok and file.status == "skipped" and file.bytes == 5000 and file.reason
    assert "skipped" in repr(file) and "4.88 KiB" in repr(file)
    item = {"url": server.url("digest/5000/a.bin"), "sha256": hashlib.sha256(content("a.bin", 5000)).hexdigest()}
    (file,) = downhaul.download([item], tmp_path)
    assert file.status == "skipped" and file.digests["sha-256"] == item["sha256"]


def test_the_first_error_can_be_raised(server: Server, tmp_path: Path) -> None:
    rows = downhaul.download([server.url("missing")], tmp_path, raise_on_error=True)
    with pytest.raises(downhaul.DownloadError) as caught:
        list(rows)
    assert caught.value.code == "http.not_found" and "http.not_found" in str(caught.value)
    assert list(rows) == []
    with pytest.raises(downhaul.DownloadError):
        for row in downhaul.download([server.url("missing")], tmp_path):
            row.raise_for_error()


def test_dictionaries_have_names_digests_headers_and_data(server: Server, tmp_path: Path) -> None:
    body = content("a.bin", 1000)
    good = {
        "url": server.url("fine/1000/a.bin"),
        "out": "sub/folder.bin",
        "sha256": hashlib.sha256(body).hexdigest(),
        "headers": {"X-Test": "yes"},
        "size": 1000,
        "priority": 5,
        "label": [1.5] * 100,
        "when": object(),
    }
    bad = {"url": server.url("fine/1000/b.bin"), "md5": "0" * 32}
    wrong = [
        {"url": server.url("fine/1/c.bin"), "priority": "high"},
        {"out": "no url"},
        {"url": server.url("fine/1/d.bin"), "out": "../up"},
    ]
    rows = {row.number: row for row in downhaul.download([good, bad, *wrong], tmp_path)}
    assert rows[1].path == tmp_path / "sub" / "folder.bin" and rows[1].item is good
    assert rows[1].verified == "sha-256 from the list"
    assert any(headers.get("x-test") == "yes" for headers in server.headers)
    assert rows[2].error and rows[2].error.code == "digest.mismatch"
    codes = [rows[number].error for number in (3, 4, 5)]
    assert [error and error.code for error in codes] == ["list.line", "list.line", "name.unsafe"]


def test_items_have_the_options_of_a_json_line_and_tables_only_named_ones(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.bin").write_bytes(b"mine")
    url = server.url("fine/9/a.bin")
    item = {"url": url, "dir": "sub", "connections": 2, "limit_rate": "1M", "if_exists": "skip"}
    (file,) = downhaul.download([item], tmp_path)
    assert file.status == "skipped" and file.path == tmp_path / "sub" / "a.bin" and file.bytes == 4
    for wrong in ({"connections": "few"}, {"credentials": "h.example"}, {"if_exists": "replace"}):
        (file,) = downhaul.download([{"url": url, **wrong}], tmp_path)
        assert file.error and file.error.code == "list.line", wrong

    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([{"url": url, "priority": "high", "if_exists": "overwrite", "dir": "sub"}])
    (file,) = downhaul.download(frame, tmp_path)
    assert file.status == "finished" and file.path == tmp_path / "a.bin"
    (file,) = downhaul.download(frame, tmp_path, columns={"dir": "dir"})
    assert file.error and file.error.code == "file.exists"
    assert (tmp_path / "sub" / "a.bin").read_bytes() == b"mine"


def test_tables_of_pandas_polars_and_pyarrow(server: Server, tmp_path: Path) -> None:
    md5 = [hashlib.md5(content(f"{n}.bin", 1000)).hexdigest() for n in range(3)]
    data: dict[str, list[Any]] = {
        "Download URL": [*server.urls(3), None],
        "file_name": ["x", "y", "z", "w"],
        "md5": [*md5, None],
        "label": [1.5, 2.5, None, 4.5],
    }
    tables: list[Any] = []
    pandas = pytest.importorskip("pandas")
    tables.append(pandas.DataFrame(data))
    polars = pytest.importorskip("polars")
    tables.append(polars.DataFrame(data))
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table(data)
    tables += [table, table.to_batches()[0], table.to_reader()]
    for number, one in enumerate(tables):
        folder = tmp_path / str(number)
        rows = {row.number: row for row in downhaul.download(one, folder)}
        assert [rows[n].path for n in (1, 2, 3)] == [folder / name for name in "xyz"], type(one)
        assert all((rows[n].verified or "").startswith("md5") for n in (1, 2, 3))
        assert rows[4].error and rows[4].error.code in ("list.line", "url.invalid")
        assert rows[2].item["label"] == 2.5 and rows[2].item["file_name"] == "y"
    # A column alone is a list of URLs.
    for n, column in enumerate((tables[0]["Download URL"], tables[1]["Download URL"], table["Download URL"])):
        rows = {row.number: row for row in downhaul.download(column, tmp_path / f"c{n}")}
        assert [row.ok for _, row in sorted(rows.items())] == [True, True, True, False]
    with pytest.raises(TypeError, match="collect"):
        downhaul.download(tables[1].lazy(), tmp_path)


def test_columns_can_be_named(server: Server, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"url": ["https://page.example"], "ftp": server.urls(1), "sum": ["0" * 32]})
    (file,) = downhaul.download(frame, tmp_path, columns={"url": "ftp", "md5": "sum"})
    assert file.error and file.error.code == "digest.mismatch"
    with pytest.raises(KeyError, match="nothing"):
        list(downhaul.download(frame, tmp_path, columns={"url": "nothing"}))
    with pytest.raises(KeyError, match="columns="):
        list(downhaul.download(frame[["sum"]], tmp_path))


def test_an_endless_input_is_read_as_needed(server: Server, tmp_path: Path) -> None:
    read = itertools.count(1)
    last = 0

    def urls() -> Any:
        nonlocal last
        for last in read:
            yield server.url(f"fine/10/{last}.bin")

    with downhaul.download(urls(), tmp_path) as rows:
        some = [row for row, _ in zip(rows, range(50))]
    assert all(row.ok for row in some) and 50 <= last <= 3000
    assert repr(rows) == "<Downloads: 51 files, over>" or "50 files" in repr(rows)


def test_rows_do_not_wait_for_a_slow_input(server: Server, tmp_path: Path) -> None:
    def urls() -> Any:
        yield server.url("fine/10/a.bin")
        time.sleep(0.05)
        yield server.url("fine/10/b.bin")

    assert len(list(downhaul.download(urls(), tmp_path))) == 2


def test_other_threads_of_python_run_meanwhile(server: Server, tmp_path: Path) -> None:
    count, is_over = itertools.count(), threading.Event()

    def work() -> None:
        while not is_over.is_set():
            next(count)
            time.sleep(0.001)

    thread = threading.Thread(target=work)
    thread.start()
    list(downhaul.download(server.url("slow/100000/a.bin"), tmp_path))
    is_over.set()
    thread.join()
    assert next(count) > 30


def test_two_downloads_run_in_two_threads(server: Server, tmp_path: Path) -> None:
    found: list[downhaul.File] = []

    def work(name: str) -> None:
        found.extend(downhaul.download(server.urls(20), tmp_path / name))

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 40 and all(file.ok for file in found)


def test_wrong_options_are_refused_before_anything_starts(server: Server, tmp_path: Path) -> None:
    for options, error in [
        ({"no_such": 1}, TypeError),
        ({"parallel": 0}, ValueError),
        ({"limit_rate": "fast"}, ValueError),
        ({"timeout": -1}, ValueError),
        ({"if_exists": "replace"}, ValueError),
        ({"if_locked": "never"}, ValueError),
        ({"headers": {"Bad Name": "x"}}, ValueError),
        ({"cacert": tmp_path / "none.pem"}, downhaul.DownloadError),
        ({"netrc": tmp_path / "none"}, OSError),
    ]:
        with pytest.raises(error):
            downhaul.download(server.url("fine/1/a"), tmp_path, **options)  # type: ignore[arg-type]
    assert not server.requests


def test_options_reach_the_library(server: Server, tmp_path: Path, home: Path) -> None:
    (file,) = downhaul.download(
        server.url("private/1000/a.bin"),
        tmp_path,
        parallel=3,
        user=("ann", "secret"),
        user_agent="test/1",
        headers={"X-Test": "a"},
        cookies={"c": "1"},
        limit_rate="1M",
        timeout=5,
        folders=1,
        verify="auto",
    )
    assert file.path == tmp_path / "1000" / "a.bin"
    assert server.headers[-1]["user-agent"] == "test/1" and server.headers[-1]["cookie"] == "c=1"
    (home / ".netrc").write_text("machine 127.0.0.1 login ann password secret")
    (file,) = downhaul.download(server.url("private/1000/b.bin"), tmp_path)
    assert file.ok
    (file,) = downhaul.download(server.url("private/1000/c.bin"), tmp_path, netrc=False)
    assert file.error and file.error.code == "http.unauthorized"


def test_a_proxy_of_the_environment_is_used(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    (file,) = downhaul.download(server.url("fine/1/a"), tmp_path, retries=0)
    assert file.error and file.error.code == "proxy.unreachable"
    (file,) = downhaul.download(server.url("fine/1/a"), tmp_path, no_proxy="127.0.0.1")
    assert file.ok
    (file,) = downhaul.download(server.url("fine/1/b"), tmp_path, proxy="")
    assert file.ok


def test_the_program_and_the_package_know_each_others_files(server: Server, tmp_path: Path) -> None:
    urls = server.urls(1)
    assert downhaul.cli([*urls, "-d", tmp_path, "--log", "none", "-q"]) == 0
    (file,) = downhaul.download(urls, tmp_path)
    assert file.status == "skipped"


def test_rows_can_be_pickled_and_become_plain_values(server: Server, tmp_path: Path) -> None:
    rows = list(downhaul.download([server.url("fine/10/a"), server.url("missing")], tmp_path))
    for row in rows:
        copy = pickle.loads(pickle.dumps(row))
        assert copy.to_dict() == row.to_dict() and repr(copy) == repr(row)
        json.dumps(row.to_dict())
    failed = next(row for row in rows if not row.ok)
    assert failed.to_dict()["error_code"] == "http.not_found" and failed.to_dict()["path"] is None


def test_what_is_shown_has_no_secret(server: Server, tmp_path: Path) -> None:
    url = server.url("missing?token=hush").replace("://", "://me:hush@")
    (file,) = downhaul.download([url], tmp_path)
    assert "hush" in file.url and "hush" not in repr(file) and "hush" not in str(file.error)


def test_an_ignored_result_is_a_warning(server: Server, tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="nothing read its rows"):
        downhaul.download(server.urls(1), tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(downhaul.download(server.urls(1), tmp_path))


def test_leaving_the_loop_stops_and_a_later_call_continues(server: Server, tmp_path: Path) -> None:
    url = server.url("slow/3000000/a.bin")
    for _ in downhaul.download([server.url("fine/1/b"), url], tmp_path, parallel=2):
        time.sleep(0.5)
        break
    kept = [name for name in os.listdir(tmp_path) if name.endswith(".part")]
    assert kept == ["a.bin.part"]


def test_the_two_lines_of_the_readme(server: Server, tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    text = (root / "README.md").read_text()
    assert "for file in downhaul.download(" in text


def test_a_file_that_another_run_is_downloading_is_not_ok(server: Server, tmp_path: Path) -> None:
    url = server.url("slow/9000000/a.bin")
    other = downhaul.Session(tmp_path)
    other.add(url)
    wait_for(lambda: any(one.bytes for one in other.running()))
    (row,) = downhaul.download(url, tmp_path, if_locked="skip")
    assert (row.status, row.ok, row.bytes) == ("skipped", False, None), row
    other.stop()


def test_a_second_item_with_the_url_of_a_failed_file_is_not_ok(server: Server, tmp_path: Path) -> None:
    url = server.url("missing")
    rows = list(downhaul.download([url, url], tmp_path))
    assert sorted((row.status, row.ok) for row in rows) == [("failed", False), ("skipped", False)], rows


def test_a_password_in_a_strange_url_is_not_shown(server: Server, tmp_path: Path) -> None:
    missing = server.url("missing").replace("http://", "http:/me:hush@")
    for url in [missing, missing.replace("/me", "\\me"), "me:hush@h.example/x", "https://me:hush@[/x", "\ud800"]:
        (row,) = downhaul.download(url, tmp_path, retries=0)
        assert not row.ok and "hush" not in repr(row) and "hush" not in str(row.error), url


def test_a_key_that_a_killed_run_left_does_not_hinder(tmp_path: Path) -> None:
    (tmp_path / f"key.{os.getpid()}").write_bytes(b"")
    key = hash_key(tmp_path)
    assert key is not None and len(key) == 32 and hash_key(tmp_path) == key
