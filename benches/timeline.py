"""A trace (`reprise … --trace FILE`) as a picture: what each thread did when, and the sum of each kind of work.

    python3 benches/timeline.py trace.json docs/timeline.svg "title"
"""

import json
import sys
from collections import defaultdict
from html import escape

COLORS = {
    "open": "#8c8c8c",
    "decode": "#4477aa",
    "convert colours": "#aa3377",
    "downsample": "#228833",
    "sharpen": "#66ccee",
    "compress tile": "#ee8866",
    "cut tile": "#ccbb44",
    "upload": "#994455",
    "submission": "#332288",
    "download": "#997700",
    "write file": "#bbbbbb",
    "hash file": "#ddcc77",
    "verify file": "#999999",
    "flush file": "#dddddd",
    "rename file": "#666666",
}
WIDTH, LEFT, LANE, GAP = 1000, 110, 34, 10


def main(trace, out, title):
    events = json.load(open(trace))
    names = {e["tid"]: e["args"]["name"] for e in events if e["ph"] == "M"}
    spans = [e for e in events if e["ph"] == "X" and e["name"] in COLORS]
    end = max(s["ts"] + s["dur"] for s in spans)
    # The decoding thread first, then the pool.
    threads = sorted({s["tid"] for s in spans}, key=lambda t: (names[t].startswith("compute"), names[t]))
    totals = defaultdict(float)
    for span in spans:
        totals[span["name"]] += span["dur"] / 1e3
    scale = (WIDTH - LEFT - 20) / end
    lanes_end = 40 + len(threads) * (LANE + GAP)
    height = lanes_end + 40 + 20 * ((len(totals) + 3) // 4)
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="22" font-weight="bold">{escape(title)}</text>',
    ]
    for row, thread in enumerate(threads):
        y = 40 + row * (LANE + GAP)
        label = names[thread] if names[thread].startswith("compute") else "decoder"
        svg.append(f'<text x="10" y="{y + LANE / 2 + 4}">{escape(label)}</text>')
        svg.append(f'<rect x="{LEFT}" y="{y}" width="{end * scale:.1f}" height="{LANE}" fill="#f4f4f4"/>')
        for span in spans:
            if span["tid"] == thread:
                x, width = LEFT + span["ts"] * scale, max(span["dur"] * scale, 0.3)
                svg.append(
                    f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{LANE}" fill="{COLORS[span["name"]]}" '
                    'stroke="white" stroke-width="0.2"/>'
                )
    for tick in range(0, int(end / 1e3) + 1, 20):
        x = LEFT + tick * 1e3 * scale
        svg.append(f'<line x1="{x:.1f}" y1="36" x2="{x:.1f}" y2="{lanes_end}" stroke="#aaaaaa" stroke-width="0.5"/>')
        svg.append(f'<text x="{x:.1f}" y="{lanes_end + 14}" text-anchor="middle" font-size="11">{tick} ms</text>')
    for place, (name, total) in enumerate(sorted(totals.items(), key=lambda item: -item[1])):
        x, y = LEFT + place % 4 * 215, lanes_end + 38 + place // 4 * 20
        svg.append(f'<rect x="{x}" y="{y - 11}" width="12" height="12" fill="{COLORS[name]}"/>')
        svg.append(f'<text x="{x + 18}" y="{y}">{name} {total:.0f} ms</text>')
    open(out, "w").write("\n".join(svg) + "\n</svg>\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
