"""Items of the input and options: each of them has an effect, or is refused."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path
from typing import Any

import pytest
from conftest import Server, content

import downhaul

BODY = content("a.bin", 1000)
SHA256 = hashlib.sha256(BODY)
WRONG = hashlib.sha256(b"another file")


def code(rows: Any) -> str | None:
    """Returns the code of the only row, or None if the file is complete."""
    (row,) = rows
    return row.error.code if row.error else None


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda digest: digest.hex().encode()])
def test_a_digest_may_be_bytes(server: Server, tmp_path: Path, kind: Any) -> None:
    item = {"url": server.url("fine/1000/a.bin"), "sha256": kind(SHA256.digest())}
    (row,) = downhaul.download([item], tmp_path)
    assert row.verified == "sha-256 from the list", row.error
    item["sha256"] = kind(WRONG.digest())
    assert code(downhaul.download([item], tmp_path / "2")) == "digest.mismatch"
    several = {"url": item["url"], "digests": {"sha256": kind(WRONG.digest())}}
    assert code(downhaul.download([several], tmp_path / "3")) == "digest.mismatch"
    with downhaul.Session(tmp_path / "4") as session:
        assert code([session.add(item).wait()]) == "digest.mismatch"


def test_digests_of_tables_may_be_bytes(server: Server, tmp_path: Path) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    data = {"url": [server.url("fine/1000/a.bin")], "md5": [b"\0" * 16]}
    for number, make in enumerate((pandas.DataFrame, polars.DataFrame, pyarrow.table)):
        assert code(downhaul.download(make(data), tmp_path / str(number))) == "digest.mismatch"


@pytest.mark.parametrize("digest", [12345678, 1.5, b"\xff\xff", object(), True])
def test_a_digest_that_cannot_be_understood_is_refused(server: Server, tmp_path: Path, digest: Any) -> None:
    item = {"url": server.url("fine/1000/a.bin"), "crc32": digest}
    assert code(downhaul.download([item], tmp_path)) == "list.line"
    with downhaul.Session(tmp_path) as session, pytest.raises(downhaul.DownloadError):
        session.add(item)
    assert not server.requests


def test_a_column_of_digests_with_numbers_is_refused_with_advice(server: Server, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"url": [server.url("fine/1000/a.bin")], "crc32": [zlib.crc32(BODY)]})
    (row,) = downhaul.download(frame, tmp_path)
    assert row.error and "dtype=str" in row.error.message


def test_an_empty_cell_has_no_digest(server: Server, tmp_path: Path) -> None:
    pandas, numpy = pytest.importorskip("pandas"), pytest.importorskip("numpy")
    url = server.url("fine/1000/a.bin")
    for n, empty in enumerate((None, float("nan"), numpy.float32("nan"), pandas.NaT, pandas.NA)):
        (row,) = downhaul.download([{"url": url, "md5": empty, "out": empty}], tmp_path / str(n))
        assert row.ok and row.verified is None, row.error
    assert code(downhaul.download(pandas.DataFrame({"url": [url], "md5": [""]}), tmp_path / "x")) is None


def test_names_and_options_may_be_paths_and_numbers(server: Server, tmp_path: Path) -> None:
    numpy, pandas = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    item = {"url": server.url("fine/9/a"), "out": Path("sub/one.bin"), "dir": Path("in"), "priority": numpy.int64(3)}
    (row,) = downhaul.download([item], tmp_path)
    assert row.path == tmp_path / "in" / "sub" / "one.bin", row.error
    frame = pandas.DataFrame({"url": server.urls(3), "name": [0, 1, 2]})
    rows = list(downhaul.download(frame, tmp_path / "2"))
    assert sorted(row.path.name for row in rows if row.path) == ["0", "1", "2"]
    for wrong in ({"out": 1.5}, {"out": b"x"}, {"priority": 1.5}, {"dir": object()}, {"connections": [1]}):
        assert code(downhaul.download([{"url": server.url("fine/9/b"), **wrong}], tmp_path)) == "list.line", wrong
    for url in (b"http://h/x", 5, ["http://h/x"]):
        assert code(downhaul.download([{"url": url}], tmp_path)) == "list.line", url


def test_a_url_that_is_not_utf_8_is_not_requested(server: Server, tmp_path: Path) -> None:
    url = server.url("fine/9/q\udce9.txt")
    assert code(downhaul.download([url], tmp_path)) == "url.invalid"
    assert code(downhaul.download([{"url": url}], tmp_path)) == "url.invalid"
    with downhaul.Session(tmp_path) as session, pytest.raises(downhaul.DownloadError, match="url.invalid"):
        session.add(url)
    assert not server.requests


def test_the_size_in_an_item_is_not_compared_with_the_file(server: Server, tmp_path: Path) -> None:
    for n, size in enumerate((5, "5", 5.0, "?", b"5")):
        item = {"url": server.url("fine/1000/a.bin"), "size": size}
        assert code(downhaul.download([item], tmp_path / str(n))) is None


def test_a_line_end_at_the_end_of_a_secret_is_left_out(server: Server, tmp_path: Path) -> None:
    url = server.url("fine/9/a")
    list(downhaul.download(url, tmp_path / "1", bearer="TOKEN\n", cookies={"sid": "abc\r\n"}))
    assert server.headers[-1]["authorization"] == "Bearer TOKEN" and server.headers[-1]["cookie"] == "sid=abc"
    private = server.url("private/9/a")
    assert code(downhaul.download(private, tmp_path / "2", user=("ann\n", "secret\n"))) is None


@pytest.mark.parametrize(
    "options",
    [
        {"bearer": "a\nb"},
        {"cookies": {"a": "b\nc"}},
        {"user": ("a", "b\0c")},
        {"user_agent": "x\ny"},
        {"proxy": "x://y"},
        {"key": "nofile"},
        {"retry_on": "404"},
        {"retry_on": [9999]},
    ],
)
def test_an_option_that_cannot_be_used_is_refused_at_the_call(server: Server, options: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        downhaul.download(server.url("fine/1/a"), **options)
    assert not server.requests


@pytest.mark.parametrize(
    "options",
    [
        {"to": b"o"},
        {"to": 5},
        {"parallel": "x"},
        {"parallel": 1.5},
        {"user": "a:b"},
        {"mtime": "x"},
        {"http_version": 2},
        {"headers": "a: b"},
        {"headers": {"a": 1}},
        {"cookies": 5},
        {"timeout": "soon"},
        {"limit_rate": [1]},
        {"bearer": 5},
        {"cacert": 5},
    ],
)
def test_an_option_of_a_wrong_type_is_named(server: Server, options: Any) -> None:
    (name,) = options
    with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
        downhaul.download(server.url("fine/1/a"), **options)
    with downhaul.Session() as session, pytest.raises((TypeError, ValueError), match="path must be"):
        session.add(server.url("fine/1/a"), path=b"x")  # type: ignore[arg-type]
    assert not server.requests


@pytest.mark.parametrize(
    "options",
    [
        {"limit_rate": float("inf")},
        {"limit_rate": float("nan")},
        {"limit_rate": 2**64},
        {"limit_rate": "9" * 400},
        {"min_speed": "99999999999T"},
        {"timeout": 10**400},
        {"connections": 2**31},
        {"retries": -1},
    ],
)
def test_a_number_that_is_out_of_range_is_a_value_error_that_names_the_option(
    server: Server, options: Any
) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name} must be"):
        downhaul.download(server.url("fine/1/a"), **options)
    assert not server.requests


def test_bytes_are_not_taken_as_a_list_of_urls() -> None:
    with pytest.raises(TypeError, match="bytes"):
        downhaul.download(b"http://h/x")  # type: ignore[arg-type]


def test_columns_are_refused_without_a_table(server: Server, tmp_path: Path) -> None:
    item = {"url": server.url("fine/1000/a.bin"), "sum": WRONG.hexdigest()}
    with pytest.raises(ValueError, match="only for tables"):
        downhaul.download([item], tmp_path, columns={"sha256": "sum"})
    with pytest.raises(ValueError, match="only for tables"):
        downhaul.download(item, tmp_path, columns={"sha256": "sum"})
    assert not server.requests


def test_a_column_may_have_several_urls(server: Server, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"links": [[server.url("fine/1000/a.bin")]]})
    (row,) = downhaul.download(frame, tmp_path, columns={"urls": "links"})
    assert row.ok


def test_a_row_without_a_url_and_with_a_mistake_fails_alone(server: Server, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    url = server.url("fine/1000/a.bin")
    items = [{"url": pandas.NA, "sha256": 5}, {"url": url}]
    wrong, right = sorted(downhaul.download(items, tmp_path), key=lambda row: row.ok)
    assert right.ok and wrong.error is not None and wrong.error.code == "list.line"



def test_a_mistyped_key_of_columns_is_refused(server: Server, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"url": server.urls(1), "sum": ["00000000"]})
    with pytest.raises(ValueError, match="sha265"):
        downhaul.download(frame, tmp_path, columns={"url": "url", "sha265": "sum"})


def test_without_a_folder_files_are_saved_here(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (row,) = downhaul.download(server.url("fine/9/a"), to=None)
    assert row.path == tmp_path / "a"


def test_files_stay_together_when_the_working_folder_changes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path)
    session = downhaul.Session("out")
    assert session.add(server.url("fine/9/a")).result().ok
    os.chdir("else")
    assert session.add(server.url("fine/9/b")).result().path == tmp_path / "out" / "b"
    session.finish()
    assert sorted(os.listdir(tmp_path / "out")) == ["a", "b"]


def test_the_row_of_a_url_that_is_given_twice_has_the_whole_path(server: Server, tmp_path: Path) -> None:
    url = server.url("fine/9/a.bin")
    rows = list(downhaul.download([url, url], tmp_path))
    assert [row.path for row in rows] == [tmp_path / "a.bin"] * 2


def test_each_url_is_requested_before_a_slow_input_makes_the_next_one(server: Server, tmp_path: Path) -> None:
    seen: list[int] = []

    def urls() -> Any:
        for number in range(3):
            yield server.urls(3)[number]
            until = 50
            while server.requests["fine"] <= number and until:
                server.is_over.wait(0.1)
                until -= 1
            seen.append(server.requests["fine"])

    assert len(list(downhaul.download(urls(), tmp_path))) == 3
    assert seen == [1, 2, 3]
