#!/usr/bin/env python3
"""Downloads files with two real nodes of Ray. Takes two to five minutes.

Ray Data downloads a dataset with two actors. One of them is killed, and later the raylet of the other node, whose
place another node takes. Then plain tasks download a list, and the process of one of them is killed.

Needs the packages downhaul and ray[data]. Everything is in a temporary folder and on loopback.
"""
import os
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import testing

# The files are larger than 1 MiB, so that each has a journal and is resumed.
BYTES = 1_200_000
# The server sends at this speed on each connection, in bytes a second.
SPEED = 400_000
# The longest time for one job, in seconds. A test of two minutes may take longer on a busy machine.
LONGEST = 300
# The first node, the one that is lost, and the one that takes its place.
HEAD, LOST, NEW = "127.0.0.2", "127.0.0.3", "127.0.0.4"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="downhaul-ray.") as work:
        os.environ.update({
            testing.MARK: work,
            "PYTHONPATH": HERE,
            "RAY_USAGE_STATS_ENABLED": "0",
            "XDG_STATE_HOME": f"{work}/state",
        })
        server = testing.Server(BYTES, SPEED)
        try:
            address = f"{HEAD}:{testing.free_port()}"
            start_node(work, HEAD, "--head", f"--port={address.rpartition(':')[2]}", "--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={work}/ray")
            testing.wait(120, "the first node runs", lambda: testing.processes(work, "raylet/raylet"))
            start_node(work, LOST, f"--address={address}")
            check(work, address, server)
        except BaseException:
            show_logs(work)
            raise
        finally:
            testing.kill_all(work)
            server.shutdown()


def start_node(work: str, host: str, *words: str) -> None:
    program = os.path.join(os.path.dirname(sys.executable), "ray")
    command = [program, "start", "--block", f"--node-ip-address={host}", "--num-cpus=1", "--object-store-memory=100000000", *words]
    with open(f"{work}/log-{host}", "w") as log:
        subprocess.Popen(command, stdout=log, stderr=log)


def check(work: str, address: str, server: testing.Server) -> None:
    import ray

    ray.init(address, _node_ip_address=HEAD, log_to_driver=False)
    testing.wait(120, "both nodes run", lambda: len(hosts()) == 2)
    began = time.monotonic()
    dataset(work, address, server)
    middle = time.monotonic()
    tasks(work, server)
    print(f"ray: an actor killed and a node lost, {middle - began:.0f} s; a plain task killed, {time.monotonic() - middle:.0f} s")
    ray.shutdown()


def dataset(work: str, address: str, server: testing.Server) -> None:
    import downhaul_ray
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    items = [server.item(f"data{n}.bin") for n in range(60)]
    given = ray.data.from_items(items, override_num_blocks=12)
    job = Job(items, f"{work}/data", lambda to: downhaul_ray.download(given, to=to, files_at_once=5, parallel=2).take_all())
    testing.wait(120, "two actors download", lambda: len(actors(work)) == 2 and job.partial_files() >= 3)
    raylet = [pid for pid in testing.processes(work, "raylet/raylet") if f"node_ip_address={LOST}" in command(pid)]
    assert len(raylet) == 1, "the second node has one raylet"
    orphans = testing.descendants(raylet[0])
    assert set(orphans) & set(actors(work)), "an actor runs on the second node"
    first = [pid for pid in actors(work) if pid not in orphans][0]
    testing.kill([first])
    testing.wait(120, "another actor takes the place of the killed one", lambda: len(set(actors(work)) - {first}) == 2 and job.partial_files() >= 3)
    testing.kill(raylet)
    testing.wait(60, "the processes of a lost node end", lambda: not any(map(testing.is_running, orphans)))
    assert job.is_running(), "the node was lost after the end of the job"
    start_node(work, NEW, f"--address={address}")
    job.wait()
    job.check()


def tasks(work: str, server: testing.Server) -> None:
    import downhaul_ray

    testing.wait(120, "the new node runs", lambda: NEW in hosts())
    items = [server.item(f"task{n}.bin") for n in range(40)]
    job = Job(items, f"{work}/tasks", lambda to: list(downhaul_ray.download_items(items, to=to, files_of_a_task=5, parallel=2)))
    testing.wait(120, "a task downloads", lambda: testing.processes(work, "ray::fetch") and job.partial_files() >= 1)
    testing.kill(testing.processes(work, "ray::fetch")[:1])
    job.wait()
    job.check()
    assert sorted(row["number"] for row in job.rows) == list(range(1, len(items) + 1)), "each item has its number"


class Job:
    """Downloads files with a function, in a thread."""

    def __init__(self, items: list[dict[str, str]], folder: str, run) -> None:
        self.items, self.folder = items, folder
        self.rows: list[dict] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(run,), daemon=True)
        self._thread.start()

    def _run(self, run) -> None:
        try:
            self.rows = run(self.folder)
        except BaseException as error:
            self._error = error

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def partial_files(self) -> int:
        assert self._error is None, self._error
        return sum(name.endswith(".part") for name in os.listdir(self.folder)) if os.path.isdir(self.folder) else 0

    def wait(self) -> None:
        self._thread.join(LONGEST)
        assert not self.is_running(), f"the job takes more than {LONGEST} s"
        if self._error is not None:
            raise self._error

    def check(self) -> None:
        """Checks that each file is there with the right bytes, and has one row."""
        testing.check_files(self.folder, self.items)
        assert sorted(row["url"] for row in self.rows) == sorted(item["url"] for item in self.items), "each URL has one row"
        wrong = [row for row in self.rows if row["status"] not in ("finished", "skipped") or row["bytes"] != BYTES]
        assert not wrong, wrong


def hosts() -> set[str]:
    """Returns the addresses of the nodes that Ray counts as alive."""
    import ray

    return {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}


def actors(work: str) -> list[int]:
    return testing.processes(work, "ray::MapWorker")


def command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read()


def show_logs(work: str) -> None:
    """Shows the last lines of each log, after a failure."""
    for name in sorted(os.listdir(work)):
        if name.startswith("log-"):
            with open(f"{work}/{name}", errors="replace") as file:
                print(f"== {name}", *file.read().splitlines()[-30:], sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
