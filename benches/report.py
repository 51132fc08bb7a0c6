"""The results of a scene of `benches/race`: medians and ratios, as a table and in race.json. The
names of the tools show their kinds: `downhaul...` is this program, `reference...` is a program that
does only the necessary work, and all other tools are peers.

Results of earlier versions of this script can still be read. They have no context switches
(`voluntary`, `involuntary`) and no `calls`, and their reference is called `minimal loop`."""
import json, os, re, shutil, statistics, subprocess

REFERENCE = ("reference", "minimal")
# The numbers that `timed` prints, in this order.
TIMED = ("wall", "cpu", "peak", "voluntary", "involuntary")
# `disk` is the wall time with the output on a disk.
MEASURED = (*TIMED, "disk")
# A system call that is made less than once in this number of files is not printed.
RARE = 20
# The sources of the program that is measured.
SOURCES = ("crates", "Cargo.toml", "Cargo.lock")


def peers(tools):
    """Returns the names of the tools that are neither downhaul nor the reference."""
    return [name for name in tools if not name.startswith(("downhaul", *REFERENCE))]


def versions(root, downhaul):
    """Returns the versions of downhaul, Linux, nginx, and the other tools that are installed."""
    commit = text(["git", "-C", root, "describe", "--always"]).strip() or "no commit"
    # Other files may differ from the commit. For example, race.json differs after the first scene.
    changed = text(["git", "-C", root, "status", "--porcelain", "--", *SOURCES]) != ""
    found = {"downhaul": f"{number(text([downhaul, '--version']))} ({commit}{'-dirty' if changed else ''})"}
    for tool, option in (("curl", "--version"), ("wget2", "--version"), ("aria2c", "--version"), ("axel", "--version"), ("nginx", "-v")):
        if shutil.which(tool):
            found[tool.removesuffix("c")] = number(text([tool, option]))
    return {**found, "Linux": os.uname().release}


def text(command):
    """Returns the output of a command, or an empty text if it fails or is not installed."""
    if not shutil.which(command[0]):
        return ""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout if done.returncode == 0 else ""


def number(words):
    found = re.search(r"\d+(\.\d+)+", words)
    return found[0] if found else "unknown"


def filesystem(folder):
    return text(["stat", "-f", "-c", "%T", folder]).strip()


def calls(path):
    """Returns how often each system call was made. `path` is the file that `strace -c -U calls,name`
    wrote."""
    with open(path) as file:
        rows = [line.split() for line in file]
    return {row[1]: int(row[0]) for row in rows if len(row) == 2 and row[0].isdigit() and row[1] != "total"}


def load(path):
    if not os.path.exists(path):
        return {}
    with open(path) as file:
        return json.load(file)


def scene(path, name, scene, tools, runs, filesystem, versions):
    """Prints the table of a scene and writes its numbers into the file. The file keeps the numbers
    of other scenes."""
    for one in tools.values():
        one["median"] = {what: statistics.median(one[what]) if one[what] else None for what in MEASURED}
    result = {
        "title": scene.title,
        "runs": runs,
        "cores": os.cpu_count(),
        "files": scene.files,
        "line": scene.line and {**dict(zip(("mbit", "rtt_ms", "loss_percent"), map(float, scene.line))), "queue_ms": 100},
        "disk": filesystem if scene.disk else None,
        "longest": scene.longest,
        "versions": versions,
        "ratios": ratios(tools),
        "tools": tools,
    }
    print_table(name, result)
    # The file is replaced by a rename, because the numbers of a scene may have taken an hour, and a
    # file that is written only in part would lose them.
    with open(f"{path}.new", "w") as file:
        json.dump({**load(path), name: result}, file, indent=1)
    os.replace(f"{path}.new", path)


def ratios(tools):
    """Returns the medians of downhaul divided by those of the fastest peer, the fastest reference,
    and the fastest downhaul with a fixed number of files or connections at a time, if there are any.
    Tools with wrong results are left out."""
    ours, *fixed = [name for name in tools if name.startswith("downhaul")]
    found = {}
    for of, among in (
        ("best peer", peers(tools)),
        ("reference", [name for name in tools if name.startswith(REFERENCE)]),
        ("best fixed number", fixed),
    ):
        among = [name for name in among if not tools[name]["wrong"]]
        if among:
            best = min(among, key=lambda name: tools[name]["median"]["wall"])
            mine, theirs = tools[ours]["median"], tools[best]["median"]
            found[of] = {"tool": best, **{what: mine[what] / theirs[what] for what in ("wall", "cpu", "peak") if theirs[what]}}
    return found


def print_table(name, result):
    tools = result["tools"]
    files, disk = result["files"], result["disk"]
    # The columns: the heading of each column, and a function that returns the cell of a tool.
    ours = next(iter(tools.values()))["median"]["wall"]
    columns = [
        ("wall", lambda one, at: f"{more(one)}{at['wall']:.3f} s"),
        ("downhaul's : this", lambda one, at: f"{'< ' if one['cut'] else ''}{ours / at['wall']:.2f}"),
        ("processor", lambda one, at: f"{at['cpu']:.2f} s"),
        ("peak memory", lambda one, at: f"{at['peak'] / 2**20:.0f} MiB"),
    ]
    if files > 1:
        switches = "context switches for a file, voluntary + involuntary"
        columns.append(("wall for a file", lambda one, at: f"{more(one)}{at['wall'] / files * 1e6:.0f} µs"))
        columns.append((switches, lambda one, at: f"{at['voluntary'] / files:.2f} + {at['involuntary'] / files:.2f}"))
    if any(one.get("calls") for one in tools.values()):
        columns.append(("system calls for a file", lambda one, at: calls_for_a_file(one, files)))
    if disk:
        warned = " (no disk!)" if disk == "tmpfs" else ""
        columns.append((f"wall, to disk ({disk}{warned}, without sync)", lambda one, at: f"{at['disk']:.3f} s" if at["disk"] else ""))
    print(f"\n{result['title']} ({name}; medians of {result['runs']} alternating runs, {result['cores']} cores)\n")
    row(["", *(head for head, _ in columns)])
    row(["---"] * (1 + len(columns)), "")
    for tool, one in tools.items():
        wrong = f" (wrong {one['wrong']} times)" if one["wrong"] else ""
        row([f"{tool}{wrong}", *(cell(one, one["median"]) for _, cell in columns)])
    print_notes(result)


def print_notes(result):
    """Prints the text below a table: the ratios, the versions, the line, and the commands."""
    tools, files = result["tools"], result["files"]
    print()
    for of, ratio in result["ratios"].items():
        called = of if of == ratio["tool"] else f"{of} ({ratio['tool']})"
        parts = ", ".join(f"{word} {ratio[what]:.2f}" for what, word in (("wall", "wall"), ("cpu", "processor")) if what in ratio)
        print(f"downhaul : {called}: {parts}")
    print("; ".join(f"{tool} {version}" for tool, version in result["versions"].items()))
    if result["line"]:
        print("at the near end of: link {mbit:g} {rtt_ms:g} {loss_percent:g} {queue_ms:g}".format(**result["line"]))
    for tool, one in tools.items():
        if one.get("calls"):
            often = sorted(one["calls"].items(), key=lambda call: -call[1])
            print(f"{tool}:", ", ".join(f"{call} {count / files:.2f}" for call, count in often if count * RARE >= files))
    for one in tools.values():
        print(f"    {one['command']}")


def more(one):
    """Returns the mark for a tool that was stopped: its time is only known to be longer than the
    stated one."""
    return "> " if one["cut"] else ""


def calls_for_a_file(one, files):
    return f"{sum(one['calls'].values()) / files:.1f}" if one.get("calls") else ""


def row(cells, space=" "):
    print(f"|{'|'.join(f'{space}{cell}{space}' for cell in cells)}|", flush=True)
