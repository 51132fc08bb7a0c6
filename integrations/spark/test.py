#!/usr/bin/env python3
"""Downloads files with two real workers of Spark. Takes two to five minutes.

In the first table, one partition is so slow that Spark runs a copy of it on the other worker. With
the second table, the test kills a process of Python, and later a worker and its executor, as if
their machine were lost. Then each task runs the program with its shard of a list.

Needs Java 17, and the packages downhaul, pyspark, pandas and pyarrow. Everything is in a temporary
folder and on loopback.
"""
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import downhaul
import downhaul_spark
import pyarrow.parquet
import pyspark
import testing
from pyspark.sql import SparkSession

# Each file is larger than 1 MiB, so it has a journal and its download can be resumed.
BYTES = 1_200_000
# The speed of each connection of the server, in bytes a second.
SPEED = 600_000
# The speed of the files of the slow task. At this speed, they take six minutes.
SLOW = 20_000
# Spark never runs a copy of a task on the host of the task, so the workers have different hosts.
HOSTS = ("127.0.0.1", "127.0.0.2")


def main() -> None:
    testing.end_for_sigterm()
    with tempfile.TemporaryDirectory(prefix="downhaul-spark.") as work:
        os.environ.update({
            testing.MARK: work,
            "SPARK_HOME": os.path.dirname(pyspark.__file__),
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_LOCAL_IP": HOSTS[0],
            "XDG_STATE_HOME": f"{work}/state",
        })
        server = testing.Server(BYTES, SPEED)
        try:
            master = f"spark://{HOSTS[0]}:{start_master(work)}"
            for host in HOSTS:
                start(work, "worker.Worker", host, "--webui-port", "0", "-c", "1", "-m", "1g", "--work-dir", f"{work}/{host}", master)
            spark = session(work, master)
            began = time.monotonic()
            copied = slow_task(spark, server, work)
            middle = time.monotonic()
            killed = lost_worker(spark, server, work)
            end = time.monotonic()
            shards(spark, server, work)
            print(
                f"spark: {copied} copies of a slow task, {middle - began:.0f} s; "
                f"{killed} processes killed or lost, {end - middle:.0f} s; "
                f"a list in shards, {time.monotonic() - end:.0f} s"
            )
            spark.stop()
        except BaseException:
            testing.show_logs(work)
            raise
        finally:
            testing.kill_all(work)
            server.shutdown()


def start_master(work: str) -> int:
    port = testing.free_port()
    start(work, "master.Master", HOSTS[0], "--port", str(port), "--webui-port", "0")
    return port


def start(work: str, what: str, host: str, *words: str) -> None:
    program = os.path.join(os.environ["SPARK_HOME"], "bin", "spark-class")
    with open(f"{work}/log-{what}-{host}", "w") as log:
        command = [program, f"org.apache.spark.deploy.{what}", "--host", host, *words]
        subprocess.Popen(command, env={**os.environ, "SPARK_LOCAL_IP": host}, stdout=log, stderr=log)


def session(work: str, master: str) -> SparkSession:
    options = {
        "spark.driver.host": HOSTS[0],
        "spark.driver.bindAddress": HOSTS[0],
        "spark.driver.memory": "512m",
        "spark.executor.memory": "512m",
        "spark.local.dir": f"{work}/local",
        "spark.sql.warehouse.dir": f"{work}/warehouse",
        "spark.submit.pyFiles": f"{HERE}/downhaul_spark.py",
        "spark.ui.port": "0",
        # Spark looks for slow tasks often. When half of the tasks have ended, a task is slow if it
        # takes more than 1.1 times as long as their median.
        "spark.speculation": "true",
        "spark.speculation.interval": "200ms",
        "spark.speculation.multiplier": "1.1",
        "spark.speculation.quantile": "0.5",
        # A copy of a task that is no longer needed is killed after this time.
        "spark.python.task.killTimeout": "1s",
        "spark.sql.adaptive.enabled": "false",
    }
    builder = SparkSession.builder.master(master).appName("downhaul")
    for name, value in options.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    testing.wait(120, "both executors run", lambda: len(executors(work)) == 2)
    return spark


def slow_task(spark: SparkSession, server: testing.Server, work: str) -> int:
    """Runs a table whose last partition is slow until Spark runs a copy of its task. Returns the
    number of copies."""
    partitions = [[server.item(f"fast{n}.bin")] for n in range(3)] + [[server.item(f"slow{n}.bin") for n in range(6)]]
    server.slow_speed = SLOW
    job = start_job(spark, partitions, f"{work}/slow", parallel=1)
    testing.wait(testing.LONGEST, "Spark runs a copy of the slow task", lambda: copies(spark))
    assert job.is_running(), "the copy began after the end of the job"
    server.slow_speed = SPEED
    job.check(BYTES)
    return len(copies(spark))


def lost_worker(spark: SparkSession, server: testing.Server, work: str) -> int:
    """Kills a process of Python, and a worker with its executor, while they download. Returns the
    number of processes that were killed or lost."""
    partitions = [[server.item(f"f{part}-{n}.bin") for n in range(10)] for part in range(6)]
    job = start_job(spark, partitions, f"{work}/lost", parallel=2)
    first, second = (executor_on(host, work) for host in HOSTS)
    testing.wait(120, "both tasks download", lambda: job.partial_files() >= 3)
    # An executor has a process of Python that starts another process for each task.
    python = [pid for pid in testing.descendants(first) if not testing.descendants(pid)][0]
    testing.kill([python])
    testing.wait(120, "the task runs again", lambda: not testing.is_running(python) and job.partial_files() >= 3)
    lost = [pid for pid in testing.processes(work, "deploy.worker.Worker") if HOSTS[1] in testing.command(pid)]
    orphans = testing.descendants(second)
    assert orphans, "the executor has no process of Python"
    testing.kill([*lost, second])
    testing.wait(20, "the processes of a lost executor end", lambda: not any(map(testing.is_running, orphans)))
    assert job.is_running(), "the worker was lost after the end of the job"
    job.check(BYTES)
    return len([python, *lost, second, *orphans])


def shards(spark: SparkSession, server: testing.Server, work: str) -> None:
    """Runs the program in tasks, twice. The second run finds that all shards are complete."""
    items = [server.item(f"shard{n}.bin") for n in range(8)]
    folder, lines = f"{work}/shards", f"{work}/list.jsonl"
    with open(lines, "w") as file:
        file.writelines(json.dumps(item) + "\n" for item in items)

    def run(_):
        shard = downhaul.task_shard(4)
        options = ["--shard", shard, "--if-locked", "wait", "--stop-with-parent", "--log", "none", "--config", "none"]
        yield shard, downhaul.cli(["-i", lines, "-d", folder, *options])

    tasks = spark.sparkContext.parallelize(range(4), 4)
    wanted = [(f"{number}/4", 0) for number in range(1, 5)]
    assert (found := tasks.mapPartitions(run).collect()) == wanted, found
    testing.check_files(folder, items)
    requests = server.requests
    assert (found := tasks.mapPartitions(run).collect()) == wanted, found
    assert server.requests == requests, "a complete shard sends no requests"
    # Barrier mode runs all tasks at once. Only one of the two workers is left, so there is one
    # task.
    one = spark.sparkContext.parallelize(range(1), 1).barrier().mapPartitions(lambda _: [downhaul.task_shard()])
    assert one.collect() == ["1/1"]


def start_job(spark: SparkSession, partitions: list[list[dict[str, str]]], folder: str, **options) -> testing.Job:
    """Downloads a table with these partitions. Spark writes the rows to a folder, and the job reads
    them from this folder."""

    def run(to: str) -> list[dict]:
        lists = spark.sparkContext.parallelize(partitions, len(partitions)).flatMap(list)
        table = spark.createDataFrame(lists, "url string, sha256 string")
        downhaul_spark.download(table, to=to, **options).write.parquet(f"{folder}/rows")
        return pyarrow.parquet.read_table(f"{folder}/rows").to_pylist()

    return testing.Job([item for items in partitions for item in items], f"{folder}/files", run)


def executors(work: str) -> list[int]:
    return testing.processes(work, "CoarseGrainedExecutorBackend")


def executor_on(host: str, work: str) -> int:
    # Each executor runs in a folder of its worker.
    [found] = [pid for pid in executors(work) if os.readlink(f"/proc/{pid}/cwd").startswith(f"{work}/{host}/")]
    return found


def copies(spark: SparkSession) -> list[dict]:
    """Returns the tasks that are copies of other tasks, from the web interface of Spark."""
    context = spark.sparkContext
    base = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/stages"

    def ask(url: str) -> list[dict]:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)

    stages = [(stage["stageId"], stage["attemptId"]) for stage in ask(base)]
    all_tasks = [task for stage, attempt in stages for task in ask(f"{base}/{stage}/{attempt}/taskList?length=1000")]
    return [task for task in all_tasks if task["speculative"]]


if __name__ == "__main__":
    main()
