#!/usr/bin/env python3
"""Collects what `cargo bench --bench table` and benches/peers measured and draws the plots of docs/performance.md.

    benches/table/plot.py [table=target/criterion] [peers=benches/peers/target/criterion]

Of a folder that is named, the medians are first written to results.json beside the bench. The plots are made from those
files, as SVG, by nothing but the standard library; the tables of the page are printed.
"""
import json
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TABLE = ROOT / "benches/table/results.json"
PEERS = ROOT / "benches/peers/results.json"
PLOTS = ROOT / "docs/performance"
COLOURS = ["#1b6ca8", "#c1440e", "#3c7d3c", "#7a3e9d", "#8a6d00", "#555555", "#b03060", "#008b8b"]


def collect(folder, into):
    results = {}
    for path in sorted(folder.glob("*/*/**/new/estimates.json")):
        group, *rest = path.relative_to(folder).parts[:-2]
        median = json.loads(path.read_text())["median"]["point_estimate"]
        results.setdefault(group, {})["/".join(rest)] = round(median, 1)
    into.write_text(json.dumps({"unit": "ns, median", "results": results}, indent=1, sort_keys=True) + "\n")


def human(ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.3g} ns"


def draw(name, title, across, series):
    """A plot with both axes logarithmic; `series` maps a name to {x: ns}."""
    width, height, left, right, top, bottom = 720, 400, 70, 190, 36, 46
    xs = sorted({x for points in series.values() for x in points})
    ys = [y for points in series.values() for y in points.values() if y > 0]
    if not xs or not ys:
        return
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    high = max(high, low + 1)
    x0, x1 = math.log10(xs[0] or 1), math.log10(xs[-1] or 1)
    px = lambda x: left + (width - left - right) * ((math.log10(x or 1) - x0) / ((x1 - x0) or 1))
    py = lambda y: height - bottom - (height - top - bottom) * ((math.log10(y) - low) / (high - low))
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="20" font-size="14">{title}</text>',
        f'<text x="{(left + width - right) / 2}" y="{height - 10}" text-anchor="middle">{across}</text>',
    ]
    for power in range(low, high + 1):
        y = py(10**power)
        out.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{human(10**power)}</text>')
    for x in xs:
        out.append(f'<text x="{px(x):.1f}" y="{height - bottom + 16}" text-anchor="middle">{x:,}</text>')
    ends = []
    for (label, points), colour in zip(series.items(), COLOURS * 3):
        line = [(px(x), py(y)) for x, y in sorted(points.items()) if y > 0]
        if not line:
            continue
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in line]
        ends.append([line[-1][1], label, colour, line[-1][0]])
    ends.sort()
    for before, after in zip(ends, ends[1:]):
        after[0] = max(after[0], before[0] + 14)
    for y, label, colour, x in ends:
        out.append(f'<text x="{x + 8:.1f}" y="{y + 4:.1f}" fill="{colour}">{label}</text>')
    out.append("</svg>")
    PLOTS.mkdir(parents=True, exist_ok=True)
    (PLOTS / f"{name}.svg").write_text("\n".join(out) + "\n")


def numbered(group, prefix):
    found = {k.rsplit("/", 1)[1]: v for k, v in group.items() if k.startswith(prefix + "/")}
    return {int(k): v for k, v in found.items() if k.isdigit()}


def rows(results):
    """The figures and ratios of docs/performance.md."""
    for group, over in (("envelope", "bare_probes"), ("header", "bare_aho_corasick"), ("headers", "bare_aho_corasick"),
                        ("body_4k", "bare_aho_corasick"), ("body_100k", "bare_aho_corasick"), ("list", "")):
        ours, bare = (numbered(results.get(group, {}), name) for name in ("decide", over))
        for size in sorted(ours):
            ratio = f"| {human(bare[size])} | {ours[size] / bare[size]:.2f} |" if size in bare else "|"
            print(f"{group} | {size:,} | {human(ours[size])} {ratio}")
    for name, ns in results.get("load", {}).items():
        print(f"load {name}: {human(ns)}")


def peer_rows(results):
    for group, points in results.items():
        ours = numbered(points, "edict")
        for name in dict.fromkeys(key.rsplit("/", 1)[0] for key in points):
            cells = [f"{human(ns)} ({ns / ours[size]:,.3g})" for size, ns in sorted(numbered(points, name).items())]
            print(f"{group} | {name} | " + " | ".join(cells))


def main():
    for argument in sys.argv[1:]:
        which, folder = argument.split("=", 1)
        collect(pathlib.Path(folder), {"table": TABLE, "peers": PEERS}[which])
    if TABLE.exists():
        results = json.loads(TABLE.read_text())["results"]
        rows(results)
        envelope = results.get("envelope", {})
        draw("envelope", "A decision on the envelope, no rule matches", "rules", {
            "decision": numbered(envelope, "decide"), "bare hash probes": numbered(envelope, "bare_probes")})
        draw("list", "A decision on one list", "entries", {"decision": numbered(results.get("list", {}), "decide")})
        for name, title in (("header", "A subject of 46 bytes"), ("headers", "Five header fields"),
                            ("body_4k", "A body of 4 KiB"), ("body_100k", "A body of 100 KiB")):
            group = results.get(name, {})
            draw(name, f"{title}, a literal a rule", "rules", {
                "decision": numbered(group, "decide"), "bare aho-corasick": numbered(group, "bare_aho_corasick")})
    if PEERS.exists():
        results = json.loads(PEERS.read_text())["results"]
        peer_rows(results)
        for name, title in (("mixed", "Envelope rules of six shapes"), ("senders", "One list of senders"),
                            ("networks", "One list of networks"), ("patterns", "A literal in the subject a rule")):
            points = results.get(name, {})
            names = dict.fromkeys(key.rsplit("/", 1)[0] for key in points)
            draw(f"peers-{name}", f"{title}: time a mail", "rules or entries", {n: numbered(points, n) for n in names})


main()
