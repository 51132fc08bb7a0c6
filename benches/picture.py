"""Draws docs/race.svg: bars of wall time from race.json. The SVG has its own background, so that it
can be read on any page. Scenes in which only downhaul and the reference took part are left
out."""
import html

import report

WIDTH, MARGIN, GAP = 828, 16, 24
COLUMN = (WIDTH - 2 * MARGIN - GAP) / 2
# A column has names, bars, and space for the number after the longest bar.
NAMES, FIGURES = 120, 66
BARS = COLUMN - NAMES - FIGURES
LINE, BAR, TITLE, BETWEEN, FOOT = 16, 10, 38, 14, 24
# The bars of downhaul and of the best peer are compared. A bar is cut if it is more than this many
# times as long as the longer one of these two bars.
CUT = 3
STYLE = """
text { font: 12px ui-sans-serif, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #24292f }
.page { fill: #f6f8fa } .title { font-weight: 600 } .faint { fill: #57606a } .end { text-anchor: end }
.ours { fill: #0969da } .peer { fill: #afb8c1 } .reference { fill: none; stroke: #57606a; stroke-dasharray: 3 2 } .gap { stroke: #f6f8fa }
text.ours { font-weight: 600 }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .page { fill: #161b22 } .faint { fill: #9198a1 }
.ours { fill: #58a6ff } .peer { fill: #57606a } .reference { stroke: #9198a1 } .gap { stroke: #161b22 }
}
"""


def draw(source, names, path):
    """Draws the scenes of race.json that have a peer (another tool), and prints which of `names`
    race.json does not have."""
    stored = report.load(source)
    scenes = [scene for scene in stored.values() if "best peer" in scene["ratios"]]
    if not scenes:
        raise SystemExit(f"nothing to draw in {source}: run benches/race first")
    missing = [name for name in names if name not in stored]
    if missing:
        print(f"these scenes are not drawn, because {source} does not have them: {', '.join(missing)}")
    heights = [TITLE + LINE * len(scene["tools"]) + BETWEEN for scene in scenes]
    # There are two columns. The left column gets scenes until it has at least half of the whole
    # height.
    left = next(n for n in range(1, len(scenes) + 1) if 2 * sum(heights[:n]) >= sum(heights))
    parts = []
    for column, some in enumerate((range(left), range(left, len(scenes)))):
        y = MARGIN
        for n in some:
            parts += group(scenes[n], MARGIN + column * (COLUMN + GAP), y)
            y += heights[n]
    height = MARGIN + max(sum(heights[:left]), sum(heights[left:])) + FOOT
    parts.append(label(MARGIN, height - 12, foot(scenes), "faint"))
    with open(path, "w") as svg:
        svg.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">')
        svg.write(f"<style>{STYLE}</style>\n" '<rect width="100%" height="100%" rx="8" class="page"/>\n')
        svg.write("\n".join(parts) + "\n</svg>\n")


def group(scene, x, y):
    """Draws a scene: its title, how downhaul compares with the best peer, and a bar for each tool."""
    tools, best = scene["tools"], scene["ratios"]["best peer"]
    walls = {name: one["median"]["wall"] for name, one in tools.items()}
    ours = next(iter(walls))
    longest = min(max(walls.values()), CUT * max(walls[ours], walls[best["tool"]]))
    speed = walls[best["tool"]] / walls[ours]
    verdict = f"{speed:.2f} times the speed of {best['tool']}"
    parts = [label(x, y + 12, scene["title"], "title"), label(x, y + 27, verdict, "faint")]
    for n, (name, wall) in enumerate(walls.items()):
        top = y + TITLE + n * LINE - 4
        kind = "ours" if name.startswith("downhaul") else "reference" if name.startswith(report.REFERENCE) else "peer"
        width = BARS * min(wall / longest, 1)
        start = x + NAMES
        shown = "(reference)" if kind == "reference" else name
        parts.append(label(start - 6, top + 9, shown, f"end {'ours' if kind == 'ours' else 'faint'}"))
        parts.append(f'<rect x="{start:.1f}" y="{top:.1f}" width="{max(width, 1):.1f}" height="{BAR}" rx="1" class="{kind}"/>')
        if wall > longest:
            cut = start + width - 14
            parts.append(f'<path d="M{cut:.1f} {top + BAR + 1:.1f} l4 -{BAR + 2} m4 0 l-4 {BAR + 2}" class="gap" stroke-width="2"/>')
        figure = f"{'> ' if tools[name]['cut'] else ''}{seconds(wall)}{' wrong' if tools[name]['wrong'] else ''}"
        parts.append(label(start + width + 6, top + 9, figure, "faint" if kind != "ours" else "ours"))
    return parts


def seconds(wall):
    """Returns a time with three significant digits."""
    if wall < 1:
        return f"{wall * 1e3:.3g} ms"
    return f"{wall:.2f} s" if wall < 10 else f"{wall:.1f} s" if wall < 100 else f"{wall:.0f} s"


def foot(scenes):
    versions = {tool: version for scene in scenes for tool, version in scene["versions"].items() if tool not in ("Linux", "nginx")}
    runs = sorted({scene["runs"] for scene in scenes})
    tools = ", ".join(f"{tool} {version.split(' ')[0]}" for tool, version in versions.items())
    of = f"{runs[0]} to {runs[-1]}" if len(runs) > 1 else runs[0]
    return f"Wall time, medians of {of} runs, {scenes[0]['cores']} cores. {tools}"


def label(x, y, words, kind):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{html.escape(words)}</text>'
