#!/usr/bin/env python3
"""Measures the Python package against img2dataset and hf_transfer, with many small JPEG files.

    benches/python/race.py [RUNS] --python VENV/bin/python [--files N] [--images FOLDER] [--results FILE] [--only TEXT]

RUNS is the number of alternating runs of each tool (5). N is the number of files (10,000) of about
10 KiB each. hf_transfer is slow with small files, so it gets only a tenth of them. With --images,
the files are kept in FOLDER for the next measurement. If RUNS is 0, the script only makes the
files. With --results, the numbers of each run are appended to FILE, and the table shows all runs in
FILE. With --only, only the tools whose names contain TEXT run.

The environment VENV needs img2dataset, hf_transfer and the wheel:

    python3 -m venv VENV
    VENV/bin/pip install img2dataset hf_transfer downhaul-*.whl

Build the wheel for this with `packaging/wheel`. Debug wheels are slow.

Needs Linux, nginx, and about 300 MiB in /dev/shm. nginx serves the files on loopback, and all tools
write to memory. Every file of downhaul and hf_transfer is compared with the file on the server.
img2dataset writes other bytes if it encodes the images again, so its files are only counted.
"""

import argparse
import collections
import contextlib
import filecmp
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

MAKE = """
import cv2, numpy, sys
# Images of noise, whose size is chosen so that each file has about 10 KiB. All images differ.
for n in range(int(sys.argv[2])):
    small = numpy.random.default_rng(n).integers(0, 256, (72, 96, 3), numpy.uint8)
    image = cv2.resize(small, (288, 216), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(f"{sys.argv[1]}/{n:06}.jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 20])
"""

# The scripts of downhaul and hf_transfer write the start and the end of the download itself, as
# img2dataset does for each shard.
DOWNHAUL = """
import json, os, sys, time, downhaul
urls = open(sys.argv[1]).read().split()
begin = time.time()
right = sum(file.ok for file in downhaul.download(urls, sys.argv[2], progress=False))
times = {"start_time": begin, "end_time": time.time(), "successes": right}
json.dump(times, open(os.path.join(sys.argv[2], "_stats.json"), "w"))
"""

# huggingface_hub calls hf_transfer in the same way: eight files at a time, each with these
# arguments.
HF_TRANSFER = """
import concurrent.futures, hf_transfer, json, os, sys, time
def fetch(url):
    path = os.path.join(sys.argv[2], url.rpartition("/")[2])
    hf_transfer.download(url, path, max_files=100, chunk_size=10 * 1024 * 1024, parallel_failures=0, max_retries=0)
os.makedirs(sys.argv[2], exist_ok=True)
urls = open(sys.argv[1]).read().split()
begin = time.time()
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    right = len(list(pool.map(fetch, urls)))
times = {"start_time": begin, "end_time": time.time(), "successes": right}
json.dump(times, open(os.path.join(sys.argv[2], "_stats.json"), "w"))
"""

# One process for each core, as the documentation of img2dataset recommends, and two shards for each
# process. 256 threads are the default, and were faster than 64.
IMG2DATASET = """
import os, sys, img2dataset
if __name__ == "__main__":
    files = sum(1 for _ in open(sys.argv[1]))
    img2dataset.download(
        sys.argv[1], output_folder=sys.argv[2], output_format="files", input_format="txt",
        processes_count=os.cpu_count(), thread_count=256, resize_mode="no", retries=0,
        number_sample_per_shard=-(-files // (2 * os.cpu_count())),
        disable_all_reencoding=sys.argv[3] == "raw",
    )
"""

NGINX = """
daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/error.log;
events {{ worker_connections 2048; }}
http {{ access_log off; sendfile on; keepalive_requests 1000000; client_body_temp_path {work}/body; proxy_temp_path {work}/proxy;
  fastcgi_temp_path {work}/fastcgi; uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  types {{ image/jpeg jpg; }}
  server {{ listen 127.0.0.1:{port} backlog=2048; root {files}; }} }}
"""


def main():
    args = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    work = tempfile.mkdtemp(prefix="downhaul-python.", dir="/dev/shm")
    # nginx reads the files as another user, so the folder must be readable for all users.
    os.chmod(work, 0o755)
    try:
        measured = race(args, pathlib.Path(work))
    finally:
        shutil.rmtree(work)
    if args.results:
        with open(args.results, "a") as results:
            results.writelines(json.dumps(one) + "\n" for one in measured)
        measured = [json.loads(line) for line in open(args.results)]
    if measured:
        report(measured, args.python)


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=5)
    parser.add_argument("--python", required=True)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--images", type=pathlib.Path)
    parser.add_argument("--results")
    parser.add_argument("--only", default="")
    return parser.parse_args()


def race(args, work):
    """Returns the numbers of each run. The tools take turns, so that other load on the machine
    affects all of them."""
    files = (args.images or work / "files").absolute()
    files.mkdir(exist_ok=True)
    if len(list(files.iterdir())) != args.files:
        subprocess.run([args.python, "-c", MAKE, files, str(args.files)], check=True)
    size = sum(one.stat().st_size for one in files.iterdir()) / args.files
    print(f"{args.files} files of {size / 1024:.1f} KiB on average", flush=True)
    measured = []
    with server(work, files) as base:
        chosen = {name: command for name, command in tools(args.python, work).items() if args.only in name}
        for run in range(args.runs):
            # Each round begins with another tool.
            names = collections.deque(chosen)
            names.rotate(-run)
            for name in names:
                number = args.files // 10 if name == "hf_transfer" else args.files
                urls = "".join(f"{base}/{n:06}.jpg\n" for n in range(number))
                (work / "list.txt").write_text(urls)
                one = measure(chosen[name], work, number)
                measured.append({"tool": name, "files": number, **one})
                print(f"{name:40} {one['wall']:7.2f} s  {one['processor']:7.2f} s of processor", flush=True)
                check(name, files, work / "out", number)
                shutil.rmtree(work / "out")
    return measured


def tools(python, work):
    """Returns the command of each tool."""
    bin = pathlib.Path(python).parent
    lists, out = work / "list.txt", work / "out"
    for name, text in (("downhaul", DOWNHAUL), ("hf", HF_TRANSFER), ("img", IMG2DATASET)):
        (work / f"run_{name}.py").write_text(text)
    return {
        "downhaul.download": [python, work / "run_downhaul.py", lists, out],
        "the program downhaul -j auto": [bin / "downhaul", "-q", "--log", "none", "-i", lists, "-j", "auto", "-d", out],
        "hf_transfer": [python, work / "run_hf.py", lists, out],
        "img2dataset, resize_mode=no": [python, work / "run_img.py", lists, out, "encoded"],
        "img2dataset, disable_all_reencoding": [python, work / "run_img.py", lists, out, "raw"],
    }


@contextlib.contextmanager
def server(work, files):
    """Runs nginx, which serves the folder `files`, and yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (work / "nginx.conf").write_text(NGINX.format(work=work, files=files, port=port))
    nginx = subprocess.Popen(["nginx", "-c", work / "nginx.conf", "-p", work], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        nginx.terminate()
        nginx.wait()


def measure(command, work, files):
    """Returns the wall time and the processor time of a command, and the time that the download
    itself took."""
    # The state folder is a new one, so nothing that an earlier run learned about the server is
    # used.
    home = work / "home"
    shutil.rmtree(home, ignore_errors=True)
    env = {**os.environ, "HOME": str(home), "XDG_STATE_HOME": str(home), "NO_ALBUMENTATIONS_UPDATE": "1"}
    begin = time.monotonic()
    child = subprocess.Popen(command, env=env, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - begin
    child.returncode = os.waitstatus_to_exitcode(status)
    if status:
        sys.exit(f"{command}: {child.returncode}: {said.decode()[-2000:]}")
    own = wall
    stats = [json.loads(one.read_text()) for one in (work / "out").glob("*_stats.json")]
    if stats:
        assert sum(one["successes"] for one in stats) == files, stats
        own = max(one["end_time"] for one in stats) - min(one["start_time"] for one in stats)
    return {"wall": wall, "own": own, "processor": usage.ru_utime + usage.ru_stime}


def check(name, files, out, number):
    """Checks the files that a tool has written."""
    if name.startswith("img2dataset"):
        assert sum(1 for _ in out.glob("*/*.jpg")) == number, name
        return
    names = [f"{n:06}.jpg" for n in range(number)]
    same, other, missing = filecmp.cmpfiles(files, out, names, shallow=False)
    assert len(same) == number, (name, other[:3], missing[:3])


def report(measured, python):
    """Prints a table of medians."""
    print(f"\n{versions(python)}\n")
    by_tool = collections.defaultdict(list)
    for one in measured:
        by_tool[one["tool"]].append(one)
    print("| tool | runs | files a second | with its start | processor for a file |")
    print("|---|---|---|---|---|")
    rates = {}
    for name, runs in by_tool.items():
        rates[name] = [statistics.median(one["files"] / one[time] for one in runs) for time in ("own", "wall")]
        processor = statistics.median(one["processor"] / one["files"] for one in runs) * 1e6
        print(f"| {name} | {len(runs)} | {rates[name][0]:.0f} | {rates[name][1]:.0f} | {processor:.0f} µs |")
    print("\nThe same rates as ratios (without the start of the tools, and with it):\n")
    for ours in (name for name in rates if "downhaul" in name):
        for other in (name for name in rates if "downhaul" not in name):
            ratios = [a / b for a, b in zip(rates[ours], rates[other])]
            print(f"- {ours} / {other}: {ratios[0]:.1f}, {ratios[1]:.1f}")


def versions(python):
    code = """
import importlib.metadata as m, sys
found = {d.metadata["Name"].lower().replace("-", "_"): d.version for d in m.distributions()}
names = ("downhaul", "hf_transfer", "img2dataset")
print("Python", sys.version.split()[0], *(f", {n} {found[n]}" for n in names if n in found))
"""
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip().replace(" ,", ",")


main()
