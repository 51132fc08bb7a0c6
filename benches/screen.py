"""Draws docs/demo.svg: the demo as a terminal shows it. The script needs tmux, and the demo must be
built before (`cargo build --example demo`). It runs the demo in a terminal of its own, takes a
picture of the screen while bars are drawn, and stops the demo.
"""
import html, os, re, subprocess, sys, time

COLUMNS, ROWS = 100, 30
# The picture is taken this many seconds after the start, when some files are finished and others have bars.
AFTER = 3.2
WIDTH, HEIGHT, MARGIN, TOP = 8.0, 17, 14, 27
INK, PAPER, FAINT = "#c0caf5", "#1a1b26", "#7a83ad"
# The colours that the program uses (SGR).
COLOURS = {"31": "#f7768e", "32": "#9ece6a", "33": "#e0af68", "35": "#bb9af7", "36": "#7dcfff"}
FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def tmux(*words):
    command = ["tmux", "-L", f"downhaul-screen-{os.getpid()}", "-f", "/dev/null", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def capture():
    """Returns the lines of the screen, with codes for their colours."""
    demo = os.path.join(os.environ.get("CARGO_TARGET_DIR", f"{FOLDER}/target"), "debug/examples/demo")
    tmux("new-session", "-d", "-s", "demo", "-x", str(COLUMNS), "-y", str(ROWS), f"LC_ALL=C.UTF-8 {demo}; sleep 60")
    try:
        time.sleep(AFTER)
        lines = tmux("capture-pane", "-p", "-e", "-t", "demo").rstrip().split("\n")
    finally:
        tmux("kill-server")
    start = next(n for n, line in enumerate(lines) if line.startswith("$ downhaul"))
    return lines[start:]


def parts(lines):
    """Returns the texts of each line with their styles. A style is valid until another style
    begins, also on the next line."""
    style = (INK, False)
    for line in lines:
        row = []
        for codes, text in re.findall(r"(?:\x1b\[([0-9;]*)m)?([^\x1b]*)", line):
            for code in codes.split(";") if codes else []:
                colour, bold = style
                style = {"0": (INK, False), "1": (colour, True), "2": (FAINT, bold), "39": (INK, bold)}.get(
                    code, (COLOURS.get(code, colour), bold)
                )
            if text:
                row.append((style, text))
        yield row


def draw(lines, path):
    width, height = round(COLUMNS * WIDTH + 2 * MARGIN), TOP + HEIGHT * len(lines)
    font = "font-family=\"ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace\" font-size=\"13.3\""
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" {font}>']
    out.append(f'<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>')
    for n, row in enumerate(parts(lines)):
        column, spans = 0, []
        for (colour, bold), text in row:
            # The length keeps the columns in place if the font of a reader has another width.
            length = f'textLength="{len(text) * WIDTH:.0f}" lengthAdjust="spacingAndGlyphs"'
            weight = ' font-weight="600"' if bold else ""
            spans.append(f'<tspan x="{MARGIN + column * WIDTH:.0f}" fill="{colour}"{weight} {length}>{html.escape(text)}</tspan>')
            column += len(text)
        out.append(f'<text y="{TOP + n * HEIGHT}" xml:space="preserve">{"".join(spans)}</text>')
    with open(path, "w") as svg:
        svg.write("\n".join(out) + "\n</svg>\n")


if __name__ == "__main__":
    draw(capture(), sys.argv[1] if len(sys.argv) > 1 else f"{FOLDER}/docs/demo.svg")
