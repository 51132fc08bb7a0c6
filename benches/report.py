"""The results of a scene of `benches/race`: medians and ratios, as a table and in race.json. The name of a tool says what it
is: `downhaul...` is this program, `minimal...` the physical limit, and all others are peers."""
import json, os, re, shutil, statistics, subprocess


def versions(root, downhaul):
    """Returns the version of each tool that takes part."""
    commit = text(["git", "-C", root, "describe", "--always", "--dirty"]).strip()
    found = {"downhaul": f"{number(text([downhaul, '--version']))} ({commit or 'no commit'})"}
    for tool, option in (("curl", "--version"), ("wget2", "--version"), ("aria2c", "--version"), ("axel", "--version"), ("nginx", "-v")):
        if shutil.which(tool):
            found[tool.removesuffix("c")] = number(text([tool, option]))
    return {**found, "Linux": os.uname().release}


def text(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout if done.returncode == 0 else ""


def number(words):
    found = re.search(r"\d+(\.\d+)+", words)
    return found[0] if found else "unknown"


def filesystem(folder):
    return text(["stat", "-f", "-c", "%T", folder]).strip()


def load(path):
    if not os.path.exists(path):
        return {}
    with open(path) as file:
        return json.load(file)


def scene(path, name, scene, tools, runs, filesystem, versions):
    """Prints the table of a scene and writes its numbers into the file. The numbers of other scenes stay."""
    for one in tools.values():
        one["median"] = {what: statistics.median(one[what]) if one[what] else None for what in ("wall", "cpu", "peak", "disk")}
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
    # The file is replaced by a rename, because a scene may have taken an hour and a half-written file would lose it.
    with open(f"{path}.new", "w") as file:
        json.dump({**load(path), name: result}, file, indent=1)
    os.replace(f"{path}.new", path)


def ratios(tools):
    """Returns downhaul's medians divided by those of the fastest peer, and by those of the minimal loop, if there are any."""
    names = list(tools)
    ours = tools[names[0]]["median"]
    found = {}
    for of, among in (
        ("best peer", [name for name in names if not name.startswith(("downhaul", "minimal"))]),
        ("minimal loop", [name for name in names if name.startswith("minimal")]),
    ):
        among = [name for name in among if not tools[name]["wrong"]]
        if among:
            best = min(among, key=lambda name: tools[name]["median"]["wall"])
            theirs = tools[best]["median"]
            found[of] = {"tool": best, **{what: ours[what] / theirs[what] for what in ("wall", "cpu", "peak") if theirs[what]}}
    return found


def print_table(name, result):
    tools = result["tools"]
    ours = next(iter(tools.values()))["median"]["wall"]
    files, disk = result["files"], result["disk"]
    warned = " (no disk!)" if disk == "tmpfs" else ""
    head = ["", "wall", "downhaul's : this", "processor", "peak memory"]
    head += ["wall for a file"] if files > 1 else []
    head += [f"wall, to disk ({disk}{warned}, without sync)"] if disk else []
    print(f"\n{result['title']} ({name}; medians of {result['runs']} alternating runs, {result['cores']} cores)\n")
    row(head)
    row(["---"] * len(head), "")
    for tool, one in tools.items():
        wall, cpu, peak, to_disk = (one["median"][what] for what in ("wall", "cpu", "peak", "disk"))
        wrong = f" (wrong {one['wrong']} times)" if one["wrong"] else ""
        # Of a tool that was stopped only one thing is known: that it takes longer.
        more, less = ("> ", "< ") if one["cut"] else ("", "")
        cells = [f"{tool}{wrong}", f"{more}{wall:.3f} s", f"{less}{ours / wall:.2f}", f"{cpu:.2f} s", f"{peak / 2**20:.0f} MiB"]
        cells += [f"{more}{wall / files * 1e6:.0f} µs"] if files > 1 else []
        cells += [f"{to_disk:.3f} s" if to_disk else ""] if disk else []
        row(cells)
    print()
    for of, ratio in result["ratios"].items():
        called = of if of == ratio["tool"] else f"{of} ({ratio['tool']})"
        parts = ", ".join(f"{word} {ratio[what]:.2f}" for what, word in (("wall", "wall"), ("cpu", "processor")) if what in ratio)
        print(f"downhaul : {called}: {parts}")
    print("; ".join(f"{tool} {version}" for tool, version in result["versions"].items()))
    if result["line"]:
        print("at the near end of: link {mbit:g} {rtt_ms:g} {loss_percent:g} {queue_ms:g}".format(**result["line"]))
    for one in tools.values():
        print(f"    {one['command']}")


def row(cells, space=" "):
    print(f"|{'|'.join(f'{space}{cell}{space}' for cell in cells)}|", flush=True)
