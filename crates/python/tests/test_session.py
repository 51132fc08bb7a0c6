"""`Session`."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from conftest import Server, content, wait_for

import downhaul


def test_files_are_added_while_it_runs(server: Server, tmp_path: Path) -> None:
    with downhaul.Session(tmp_path, parallel=4) as session:
        first = session.add(server.url("digest/5000/a.bin"))
        second = session.add({"url": server.url("fine/10/b"), "out": "c"})
        third = session.add(server.url("fine/10/d"), path=tmp_path / "else" / "e")
        assert first.result().verified == "sha-256 from Repr-Digest" and first.done
        assert second.result().path == tmp_path / "c"
        assert third.result().path == tmp_path / "else" / "e"
        assert [job.number for job in (first, second, third)] == [1, 2, 3]
        assert "finished" in repr(first)
    summary = session.summary
    assert (summary.files, summary.finished, summary.failed, summary.bytes) == (3, 3, 0, 5020)
    with pytest.raises(RuntimeError, match="no more files"):
        session.add(server.url("fine/1/late"))


def test_errors_have_codes(server: Server, tmp_path: Path) -> None:
    with downhaul.Session(tmp_path, retries=0) as session:
        with pytest.raises(downhaul.DownloadError) as caught:
            session.add("no url")
        assert caught.value.code == "url.invalid"
        job = session.add(server.url("missing"))
        with pytest.raises(downhaul.DownloadError) as caught:
            job.result()
        assert caught.value.code == "http.not_found"
        assert job.wait().error is not None
        with pytest.raises(TypeError):
            session.add(server.url("fine/1/a"), no_such=1)  # type: ignore[call-arg]
        with pytest.raises(downhaul.DownloadError, match="priority"):
            session.add({"url": server.url("fine/1/a"), "priority": "high"})


def test_a_file_is_paused_resumed_and_removed(server: Server, tmp_path: Path) -> None:
    session = downhaul.Session(tmp_path)
    job = session.add(server.url("slow/400000/a.bin"))
    gone = session.add(server.url("slow/9000000/b.bin"))
    wait_for(lambda: any(one.bytes for one in session.running() if one.number == 1))
    job.pause()
    wait_for(lambda: any(one.phase == "paused" for one in session.running()))
    with pytest.raises(TimeoutError):
        job.wait(0.3)
    gone.remove(keep_partial=False)
    with pytest.raises(downhaul.DownloadError, match="job.removed"):
        gone.result(10)
    job.resume()
    assert job.result(30).bytes == 400000
    assert (tmp_path / "a.bin").read_bytes() == content("a.bin", 400000)
    assert not list(tmp_path.glob("b*"))
    session.finish(10)


def test_limits_change_while_it_runs(server: Server, tmp_path: Path) -> None:
    with downhaul.Session(tmp_path, limit_rate="20k") as session:
        job = session.add(server.url("fine/400000/a.bin"))
        with pytest.raises(TimeoutError):
            job.wait(0.5)
        assert session.limit_rate == "20k"
        session.limit_rate = None
        job.set_limit_rate(None)
        job.set_priority(3)
        assert job.result(20).ok


def test_numbers_that_are_out_of_range_are_refused_and_a_long_timeout_is_not(
    server: Server, tmp_path: Path
) -> None:
    with downhaul.Session(tmp_path) as session:
        job = session.add(server.url("fine/10/a"))
        with pytest.raises(ValueError, match="priority must be from -2147483648 to 2147483647"):
            job.set_priority(2**31)
        with pytest.raises(ValueError, match="limit_rate must be"):
            job.set_limit_rate(float("inf"))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="limit_rate must be"):
            session.limit_rate = 2**64
        with pytest.raises(ValueError, match="size must be from 0 to"):
            session.add(server.url("fine/10/b"), size=-1)
        assert job.result(10**400).ok


def test_all_files_are_paused(server: Server, tmp_path: Path) -> None:
    with downhaul.Session(tmp_path) as session:
        session.pause()
        job = session.add(server.url("fine/10/a"))
        with pytest.raises(TimeoutError):
            job.wait(0.2)
        session.resume()
        assert job.result(10).ok


def test_rows_and_events_are_iterated(server: Server, tmp_path: Path) -> None:
    session = downhaul.Session(tmp_path)
    files, events = session.files(), session.events()
    for url in [*server.urls(5), server.url("missing")]:
        session.add(url)
    session.close()
    rows = list(files)
    assert sorted(row.number for row in rows) == [1, 2, 3, 4, 5, 6] and sum(row.ok for row in rows) == 5
    seen = list(events)
    kinds = [event["kind"] for event in seen]
    assert kinds.count("queued") == 6 and kinds.count("failed") == 1 and kinds[-1] == "summary"
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))


def test_a_row_has_its_urls_although_its_reader_came_late(server: Server, tmp_path: Path) -> None:
    with downhaul.Session(tmp_path) as session:
        job = session.add(server.url("slow/200000/a.bin"))
        wait_for(lambda: any(one.bytes for one in session.running()))
        rows = session.files()
        assert job.result(20).url == server.url("slow/200000/a.bin")
    (row,) = rows
    assert row.url == row.final_url == server.url("slow/200000/a.bin")


def test_a_stop_ends_waits_in_other_threads(server: Server, tmp_path: Path) -> None:
    session = downhaul.Session(tmp_path)
    job = session.add(server.url("slow/9000000/a.bin"))
    waiting = session.add(server.url("slow/9000000/b.bin"))
    wait_for(lambda: (tmp_path / "a.bin.part").exists())
    found: list[downhaul.File] = []
    thread = threading.Thread(target=lambda: found.append(job.wait()))
    thread.start()
    begin = time.monotonic()
    session.stop()
    thread.join(10)
    assert time.monotonic() - begin < 2
    assert found[0].error and found[0].error.code == "run.stopped"
    assert not waiting.wait(5).ok
    assert session.finish(5).failed >= 1


def test_an_exception_in_the_block_stops(server: Server, tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(LookupError), downhaul.Session(tmp_path) as session:
        session.add(server.url("slow/90000000/a.bin"))
        raise LookupError
    assert time.monotonic() - begin < 5


def test_very_many_files_are_added_without_a_reader(server: Server, tmp_path: Path) -> None:
    with downhaul.Session(tmp_path, if_exists="skip") as session:
        rows = session.files()
        jobs = [session.add({"url": server.url("fine/1/a"), "out": f"{n}"}) for n in range(3000)]
    assert all(job.done for job in jobs) and len(list(rows)) == 3000


def test_a_url_can_be_added_again_after_its_file_failed(server: Server, tmp_path: Path) -> None:
    url = server.url("missing-once/1000/a.bin")
    with downhaul.Session(tmp_path, retries=0) as session:
        with pytest.raises(downhaul.DownloadError, match="http.not_found"):
            session.add(url).result()
        row = session.add(url).result()
        assert row.ok and row.path == tmp_path / "a.bin"
    assert (tmp_path / "a.bin").read_bytes() == content("a.bin", 1000)


def test_a_url_can_be_added_again_after_it_was_removed(server: Server, tmp_path: Path) -> None:
    url = server.url("slow/100000/a.bin")
    with downhaul.Session(tmp_path) as session:
        job = session.add(url)
        job.remove()
        assert not job.wait().ok
        assert session.add(url).result().ok and (tmp_path / "a.bin").exists()


def test_a_path_can_be_used_again_after_its_file_was_deleted(server: Server, tmp_path: Path) -> None:
    url, path = server.url("fine/1000/a.bin"), tmp_path / "b"
    with downhaul.Session(tmp_path) as session:
        assert session.add(url, path=path).result().ok
        path.unlink()
        assert session.add(url, path=path).result().ok and path.exists()


def test_a_url_that_is_added_twice_at_once_has_a_file_for_each(server: Server, tmp_path: Path) -> None:
    url = server.url("slow/60000/a.bin")
    with downhaul.Session(tmp_path) as session:
        rows = [job.result() for job in [session.add(url), session.add(url)]]
    assert all(row.ok and row.path and row.path.exists() for row in rows), rows
