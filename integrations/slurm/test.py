#!/usr/bin/env python3
"""Runs job.sh on a real Slurm with two nodes, all on this machine, and interrupts its tasks.

    integrations/slurm/test.py PROGRAM      PROGRAM is the program downhaul

Needs root, nginx, and slurmctld, slurmd, slurm-client and munge of Debian. Takes about three
minutes, because Slurm waits two minutes before it starts a task again. Everything is in one
temporary folder and on loopback. One task is stopped by SIGTERM. It ends with exit status 75,
and queues itself again. Another task is killed. A job of higher priority then takes the nodes from
the other tasks.
"""
import hashlib, json, os, random, shutil, signal, socket, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
FILES, TASKS, BYTES = 40, 4, 1_500_000
# The longest wait until every shard is complete, in seconds.
LONGEST = 420


def main():
    program = os.path.abspath(sys.argv[1])
    work = tempfile.mkdtemp(prefix="downhaul-slurm.")
    os.chmod(work, 0o755)
    started = []
    try:
        check(work, program, started)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait()
        shutil.rmtree(work, ignore_errors=True)


def check(work, program, started):
    wanted = files(work, started)
    slurm(work, program, started)
    submitted = time.monotonic()
    job = ran("sbatch", "--parsable", f"--array=0-{TASKS - 1}", "--partition=low", f"--output={work}/log-%a", f"{HERE}/job.sh",
              f"{work}/list.csv", f"{work}/out")
    wait(60, "two tasks run", lambda: len(pids()) >= 2)
    time.sleep(2)
    first, second = pids()[:2]
    os.kill(first, signal.SIGTERM)
    os.kill(second, signal.SIGKILL)
    # A task that was killed has failed. The test queues it again, as an administrator would.
    wait(60, "a task has failed", lambda: "FAILED" in ran("squeue", "-h", "-t", "all", "-o", "%T") or "NODE_FAIL" in states(job))
    failed = [line.split()[0] for line in states(job).splitlines() if "FAILED" in line]
    for one in failed:
        ran("scontrol", "requeue", one)
    # This job takes both nodes, so Slurm stops the tasks on the nodes and queues them again.
    ran("sbatch", "--parsable", "--partition=high", "--exclusive", "--nodes=2", "--output=/dev/null", "--wrap=sleep 2")
    marks = f"{work}/out/.downhaul-shards"
    wait(LONGEST, "every shard is complete", lambda: os.path.isdir(marks) and len(os.listdir(marks)) == TASKS)
    wait(60, "no task is left", lambda: ran("squeue", "-h") == "")
    for name, digest in wanted.items():
        with open(f"{work}/out/{name}", "rb") as file:
            assert hashlib.sha256(file.read()).hexdigest() == digest, f"{name} has wrong bytes"
    there = {name for name in os.listdir(f"{work}/out") if not name.startswith(".")}
    assert there == set(wanted), f"missing or unexpected files: {there ^ set(wanted)}"
    shards = [json.load(open(f"{marks}/{name}")) for name in os.listdir(marks)]
    assert sum(shard["files"] for shard in shards) == FILES and all(shard["of"] == TASKS for shard in shards), shards
    restarts = sum(open(f"{work}/log-{n}").read().count("shard ") - 1 for n in range(TASKS))
    assert restarts >= 3, f"{restarts} restarts"
    print(f"slurm: {FILES} files in {TASKS} tasks, {restarts} restarts, {time.monotonic() - submitted:.0f} s")


def files(work, started):
    """Writes the files and their list, starts the server, and returns the digest of each file by
    its name."""
    os.makedirs(f"{work}/www")
    port, wanted = free_port(), {}
    with open(f"{work}/list.csv", "w") as table:
        table.write("url,sha256\r\n")
        for number in range(FILES):
            content = random.Random(number).randbytes(BYTES)
            with open(f"{work}/www/f{number}.bin", "wb") as file:
                file.write(content)
            wanted[f"f{number}.bin"] = hashlib.sha256(content).hexdigest()
            table.write(f"http://127.0.0.1:{port}/f{number}.bin,{wanted[f'f{number}.bin']}\r\n")
    with open(f"{work}/nginx.conf", "w") as config:
        config.write(f"""user root; daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/nginx.log;
events {{ }} http {{ access_log off; client_body_temp_path {work}/body; proxy_temp_path {work}/proxy;
fastcgi_temp_path {work}/fastcgi; uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
server {{ listen 127.0.0.1:{port}; root {work}/www; limit_rate 600k; }} }}""")
    started.append(subprocess.Popen(["nginx", "-p", work, "-c", f"{work}/nginx.conf"], stderr=subprocess.DEVNULL))
    return wanted


def slurm(work, program, started):
    """Starts munge, the controller and two nodes, and points the commands of Slurm to them."""
    os.makedirs(f"{work}/bin")
    os.symlink(program, f"{work}/bin/downhaul")
    for folder in ("state", "munge", "spool-n1", "spool-n2"):
        os.makedirs(f"{work}/{folder}", mode=0o755)
    with open(f"{work}/munge/key", "wb") as key:
        key.write(random.randbytes(128))
    os.chmod(f"{work}/munge/key", 0o400)
    started.append(subprocess.Popen([
        "munged", "--foreground", "--force", f"--key-file={work}/munge/key", f"--socket={work}/munge/socket",
        f"--pid-file={work}/munge/pid", f"--log-file={work}/munge/log", f"--seed-file={work}/munge/seed"],
        stderr=subprocess.DEVNULL))
    host, ports = socket.gethostname(), [free_port() for _ in range(3)]
    with open(f"{work}/slurm.conf", "w") as config:
        config.write(f"""ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={work}/munge/socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={work}/state
SlurmdSpoolDir={work}/spool-%n
SlurmctldPidFile={work}/slurmctld.pid
SlurmdPidFile={work}/slurmd-%n.pid
SlurmctldLogFile={work}/slurmctld.log
SlurmdLogFile={work}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=10
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 State=UNKNOWN
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=10 MaxTime=INFINITE State=UP
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP
""")
    os.environ["SLURM_CONF"] = f"{work}/slurm.conf"
    os.environ["PATH"] = f"{work}/bin:{os.environ['PATH']}"
    wait(20, "munge runs", lambda: os.path.exists(f"{work}/munge/socket"))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started.append(subprocess.Popen(["slurmctld", "-D", "-c"], **quiet))
    for node in ("n1", "n2"):
        started.append(subprocess.Popen(["slurmd", "-D", "-N", node], **quiet))
    wait(60, "both nodes are idle", lambda: ran("sinfo", "-h", "-N", "-p", "low", "-o", "%T").split() == ["idle", "idle"])


def pids():
    """Returns the processes of downhaul that belong to tasks of this test."""
    found = subprocess.run(["pgrep", "-x", "downhaul"], capture_output=True, text=True).stdout.split()
    mine = os.environ["SLURM_CONF"].encode()
    return [int(pid) for pid in found if mine in environment(pid)]


def environment(pid):
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read()
    except OSError:
        return b""


def states(job):
    return ran("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%i %T")


def ran(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip()


def wait(seconds, what, condition):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.3)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


if __name__ == "__main__":
    main()
