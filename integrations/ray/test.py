#!/usr/bin/env python3
"""Downloads files with two real nodes of Ray. Takes two to five minutes.

Ray Data downloads a dataset with two actors. The test kills one of them, and later the raylet of
the other node, and starts a new node in its place. Then plain tasks download a list, and the test
kills the process of one of them. At the end, the workers of Ray Train find their shards.

Needs the packages downhaul and ray[data,train]. Everything is in a temporary folder and on loopback.
"""
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import downhaul
import testing

# Each file is larger than 1 MiB, so it has a journal and its download can be resumed.
BYTES = 1_200_000
# The speed of each connection of the server, in bytes a second.
SPEED = 400_000
# The first node, the node that is lost, and the node that replaces the lost node.
HEAD, LOST, NEW = "127.0.0.2", "127.0.0.3", "127.0.0.4"


def main() -> None:
    testing.end_for_sigterm()
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
            testing.show_logs(work)
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
    try:
        testing.wait(120, "both nodes run", lambda: len(hosts()) == 2)
        began = time.monotonic()
        dataset(work, address, server)
        middle = time.monotonic()
        tasks(work, server)
        end = time.monotonic()
        train(work)
        print(
            f"ray: an actor killed and a node lost, {middle - began:.0f} s; a plain task killed, {end - middle:.0f} s; "
            f"shards of Ray Train, {time.monotonic() - end:.0f} s"
        )
    finally:
        # This must happen while the first node runs. Without that node, the end of this process
        # would wait for a minute.
        ray.shutdown()


def dataset(work: str, address: str, server: testing.Server) -> None:
    import downhaul_ray
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    items = [server.item(f"data{n}.bin") for n in range(60)]
    given = ray.data.from_items(items, override_num_blocks=12)
    job = testing.Job(items, f"{work}/data", lambda to: downhaul_ray.download(given, to=to, files_at_once=5, parallel=2).take_all())
    testing.wait(120, "two actors download", lambda: len(actors(work)) == 2 and job.partial_files() >= 3)
    raylet = [pid for pid in testing.processes(work, "raylet/raylet") if f"node_ip_address={LOST}" in testing.command(pid)]
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
    job.check(BYTES)


def tasks(work: str, server: testing.Server) -> None:
    import downhaul_ray

    testing.wait(120, "the new node runs", lambda: NEW in hosts())
    items = [server.item(f"task{n}.bin") for n in range(40)]
    job = testing.Job(items, f"{work}/tasks", lambda to: list(downhaul_ray.download_items(items, to=to, files_of_a_task=5, parallel=2)))
    testing.wait(120, "a task downloads", lambda: testing.processes(work, "ray::fetch") and job.partial_files() >= 1)
    testing.kill(testing.processes(work, "ray::fetch")[:1])
    job.check(BYTES)
    assert sorted(row["number"] for row in job.rows) == list(range(1, len(items) + 1)), "each item has its number"


def train(work: str) -> None:
    """Runs two workers of Ray Train, which write their shards into files."""
    from ray.train import RunConfig, ScalingConfig

    # The trainers of all frameworks are based on this trainer, which needs no framework.
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    os.makedirs(f"{work}/shards")

    def loop() -> None:
        with open(f"{work}/shards/{os.getpid()}", "w") as file:
            file.write(downhaul.task_shard())

    scaling = ScalingConfig(num_workers=2, resources_per_worker={"CPU": 0.5})
    DataParallelTrainer(loop, scaling_config=scaling, run_config=RunConfig(storage_path=f"{work}/train")).fit()
    found = []
    for name in os.listdir(f"{work}/shards"):
        with open(f"{work}/shards/{name}") as file:
            found.append(file.read())
    assert sorted(found) == ["1/2", "2/2"], found


def hosts() -> set[str]:
    """Returns the addresses of the nodes that Ray counts as alive."""
    import ray

    return {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}


def actors(work: str) -> list[int]:
    return testing.processes(work, "ray::MapWorker")


if __name__ == "__main__":
    main()
