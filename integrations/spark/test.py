#!/usr/bin/env python3
"""Downloads files with two real workers of Spark. Takes two to five minutes.

In the first table, one partition is so slow that Spark runs a copy of it on the other worker. In the second one, a
process of Python is killed, and later a worker and its executor, as if their machine were lost.

Needs Java 17, and the packages downhaul, pyspark, pandas and pyarrow. Everything is in a temporary folder and on loopback.
"""
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
import downhaul_spark
import pyarrow.parquet
import pyspark
import testing
from pyspark.sql import SparkSession

# The files are larger than 1 MiB, so that each has a journal and is resumed.
BYTES = 1_200_000
# The server sends at this speed on each connection, in bytes a second.
SPEED = 600_000
# The speed of the files of the slow task. They take six minutes.
SLOW = 20_000
# The longest time for one table, in seconds. A test of two minutes may take longer on a busy machine.
LONGEST = 300
# Spark never runs a copy of a task on the host of the task, so the workers have different hosts.
HOSTS = ("127.0.0.1", "127.0.0.2")


def main() -> None:
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
            print(
                f"spark: {copied} copies of a slow task, {middle - began:.0f} s; "
                f"{killed} processes killed or lost, {time.monotonic() - middle:.0f} s"
            )
            spark.stop()
        except BaseException:
            show_logs(work)
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
        # Spark looks for slow tasks often, and a task is slow when it takes longer than the half of the others.
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
    """Runs a table whose last partition is slow until Spark runs a copy of its task. Returns the number of copies."""
    partitions = [[server.item(f"fast{n}.bin")] for n in range(3)] + [[server.item(f"slow{n}.bin") for n in range(6)]]
    server.slow_speed = SLOW
    job = Job(spark, partitions, f"{work}/slow", parallel=1)
    testing.wait(LONGEST, "Spark runs a copy of the slow task", lambda: copies(spark))
    assert job.is_running(), "the copy began after the end of the job"
    server.slow_speed = SPEED
    job.wait()
    job.check()
    return len(copies(spark))


def lost_worker(spark: SparkSession, server: testing.Server, work: str) -> int:
    """Kills a process of Python, and a worker with its executor, while they download. Returns how many were killed."""
    partitions = [[server.item(f"f{part}-{n}.bin") for n in range(10)] for part in range(6)]
    job = Job(spark, partitions, f"{work}/lost", parallel=2)
    on = {host: [pid for pid in executors(work) if f"/{host}/" in os.readlink(f"/proc/{pid}/cwd") + "/"][0] for host in HOSTS}
    # A partial file shows that a task is in the middle of its files. The daemon of an executor starts one process of Python for it.
    testing.wait(120, "both tasks download", lambda: job.partial_files() >= 3)
    python = [pid for pid in testing.descendants(on[HOSTS[0]]) if not testing.descendants(pid)]
    testing.kill(python[:1])
    testing.wait(120, "the task runs again", lambda: not testing.is_running(python[0]) and job.partial_files() >= 3)
    lost = [pid for pid in testing.processes(work, "deploy.worker.Worker") if HOSTS[1] in command(pid)]
    orphans = testing.descendants(on[HOSTS[1]])
    assert orphans, "the executor has no process of Python"
    testing.kill([*lost, on[HOSTS[1]]])
    testing.wait(20, "the processes of a lost executor end", lambda: not any(map(testing.is_running, orphans)))
    assert job.is_running(), "the worker was lost after the end of the job"
    job.wait()
    job.check()
    return 1 + len(lost) + 1 + len(orphans)


class Job:
    """A table that Spark downloads and whose rows it writes, in a thread."""

    def __init__(self, spark: SparkSession, partitions: list[list[dict[str, str]]], folder: str, **options) -> None:
        self.items = [item for items in partitions for item in items]
        self.files, self.rows = f"{folder}/files", f"{folder}/rows"
        self._error: BaseException | None = None
        lists = spark.sparkContext.parallelize(partitions, len(partitions)).flatMap(list)
        table = spark.createDataFrame(lists, "url string, sha256 string")
        result = downhaul_spark.download(table, to=self.files, **options)
        self._thread = threading.Thread(target=self._run, args=(result,), daemon=True)
        self._thread.start()

    def _run(self, result) -> None:
        try:
            result.write.parquet(self.rows)
        except BaseException as error:
            self._error = error

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def partial_files(self) -> int:
        assert self._error is None, self._error
        return sum(name.endswith(".part") for name in os.listdir(self.files)) if os.path.isdir(self.files) else 0

    def wait(self) -> None:
        self._thread.join(LONGEST)
        assert not self.is_running(), f"the table takes more than {LONGEST} s"
        if self._error is not None:
            raise self._error

    def check(self) -> None:
        """Checks that each file is there with the right bytes, and has one row."""
        testing.check_files(self.files, self.items)
        rows = pyarrow.parquet.read_table(self.rows).to_pylist()
        assert sorted(row["url"] for row in rows) == sorted(item["url"] for item in self.items), "each URL has one row"
        wrong = [row for row in rows if row["status"] not in ("finished", "skipped") or row["bytes"] != BYTES]
        assert not wrong, wrong


def executors(work: str) -> list[int]:
    return testing.processes(work, "CoarseGrainedExecutorBackend")


def command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read()


def copies(spark: SparkSession) -> list[dict]:
    """Returns the tasks that are copies of others. The web server of Spark states them."""
    context = spark.sparkContext
    base = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/stages"

    def ask(url: str) -> list[dict]:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)

    stages = [(stage["stageId"], stage["attemptId"]) for stage in ask(base)]
    all_tasks = [task for stage, attempt in stages for task in ask(f"{base}/{stage}/{attempt}/taskList?length=1000")]
    return [task for task in all_tasks if task["speculative"]]


def show_logs(work: str) -> None:
    """Shows the last lines of each log, after a failure."""
    for folder, _, names in os.walk(work):
        for name in names:
            if name.startswith("log-") or name == "stderr":
                with open(f"{folder}/{name}", errors="replace") as file:
                    print(f"== {folder}/{name}", *file.read().splitlines()[-30:], sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
