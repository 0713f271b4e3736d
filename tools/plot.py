#!/usr/bin/env python3
"""Draws how the cost of a compaction grows, from the figures of tools/bench.py, as one SVG file.

    tools/bench.py --case growth --json target/growth.json
    tools/plot.py target/growth.json docs/growth.svg
"""

import json
import sys
from pathlib import Path

PANELS = [("bytes", "MB in 4 segments"), ("segments", "segments of 64 MB together"),
          ("fields", "fields of 200,000 rows"), ("deletes", "deleted rows of a thousand, 128 MB")]
WIDTH, HEIGHT, MARGIN = 300, 200, 44


def panel(figures, name, label, left, top):
    prefix = f"compact_growth_{name}_"
    points = sorted((int(key[len(prefix):]), value) for key, (value, _) in figures.items() if key.startswith(prefix))
    if not points:
        sys.exit(f"no figures named {prefix}*")
    most_x, most_y = points[-1][0], max(y for _, y in points)

    def place(x, y):
        return left + MARGIN + x / most_x * WIDTH, top + HEIGHT - y / most_y * (HEIGHT - 20)

    zero = place(0, 0)
    parts = [f'<path d="M{zero[0]},{top} V{zero[1]} H{zero[0] + WIDTH}" class="axis"/>',
             f'<text x="{zero[0] + WIDTH / 2}" y="{zero[1] + 34}" class="label">{label}</text>',
             '<polyline class="line" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*p) for p in points))
             + '"/>']
    for value, seconds in points:
        x, y = place(value, seconds)
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
                     f'<text x="{x:.1f}" y="{y - 8:.1f}" class="value">{seconds:.2g} s</text>'
                     f'<text x="{x:.1f}" y="{zero[1] + 15}" class="value">{value}</text>')
    return "\n".join(parts)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    figures = json.loads(Path(sys.argv[1]).read_text())["datacoord"]
    step_x, step_y = WIDTH + MARGIN + 30, HEIGHT + 60
    panels = [panel(figures, name, label, n % 2 * step_x, n // 2 * step_y + 10)
              for n, (name, label) in enumerate(PANELS)]
    style = (".axis{fill:none;stroke:#888}.line{fill:none;stroke:#2563eb;stroke-width:2}circle{fill:#2563eb}"
             "text{font:11px sans-serif;text-anchor:middle;fill:#333}.label{font-weight:bold}")
    svg = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * step_x + 10} {2 * step_y + 10}">'
           f'<style>{style}</style><rect width="100%" height="100%" fill="white"/>' + "\n".join(panels) + "</svg>\n")
    Path(sys.argv[2]).write_text(svg)


if __name__ == "__main__":
    main()
