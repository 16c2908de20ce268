#!/usr/bin/env python3
"""Puts the lines of run.py together: medians and spread, ratios to the straight run of the same round.

    benches/smtp/report.py results.jsonl [--json summary.json] [--svg plot.svg]
"""

import argparse
import json
import statistics
import sys

COLOURS = {"edictd": "#2f6f4f", "edictd pass-through": "#7fb798"}
OTHER = "#9a9a9a"


def summary(lines):
    groups = {}
    for line in lines:
        row = json.loads(line)
        groups.setdefault((row["mode"], row["server"], row["set"]), []).append(row)
    out = []
    for (mode, server, name), rows in groups.items():
        whole = {"mode": mode, "server": server, "set": name, "rounds": len(rows)}
        for key in ("accepted", "delivered", "of_straight", "cpu_ms", "idle_mb", "peak_mb"):
            values = [row[key] for row in rows if key in row]
            if values:
                digits = 4 if key in ("of_straight", "cpu_ms") else 1
                whole[key] = round(statistics.median(values), digits)
                whole[f"{key}_spread"] = [round(min(values), digits), round(max(values), digits)]
        out.append(whole)
    order = {"straight": 0}
    return sorted(out, key=lambda r: (r["mode"], order.get(r["server"], 1), -r["delivered"]))


def table(rows):
    print("| mode | server | rules | rounds | accepted/s | delivered/s | spread | of straight | CPU ms | PSS MB, idle to peak |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for r in rows:
        low, high = r["delivered_spread"]
        memory = f"{r['idle_mb']:.0f} to {r['peak_mb']:.0f}" if "peak_mb" in r else ""
        print(f"| {r['mode']} | {r['server']} | {r['set']} | {r['rounds']} | {r['accepted']:,.0f} | {r['delivered']:,.0f} "
              f"| {low:,.0f} to {high:,.0f} | {r.get('of_straight', 1):.3f} | {r.get('cpu_ms', '')} | {memory} |")


def plot(rows, mode="kept"):
    """Bars: how much of the straight run each server delivers."""
    bars = [r for r in rows if r["mode"] == mode and r["server"] != "straight"]
    bars.sort(key=lambda r: -r["of_straight"])
    width, left, step = 760, 230, 26
    height = 60 + step * len(bars)
    scale = (width - left - 90) / max([r["of_straight"] for r in bars] + [0.1])
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
           '<text x="10" y="24" font-size="15">Delivered, as a share of smtp-source straight into smtp-sink '
           '(4 KiB, 50 sessions)</text>']
    for place, r in enumerate(bars):
        y = 40 + place * step
        wide = max(1, r["of_straight"] * scale)
        label = r["server"] + ("" if r["set"] == "bare" else f", {r['set']}")
        out.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{label}</text>')
        out.append(f'<rect x="{left}" y="{y + 2}" width="{wide:.1f}" height="18" fill="{COLOURS.get(r["server"], OTHER)}"/>')
        out.append(f'<text x="{left + wide + 6:.1f}" y="{y + 15}">{r["of_straight"]:.3f}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("results", nargs="+")
    parser.add_argument("--json")
    parser.add_argument("--svg")
    options = parser.parse_args()
    lines = [line for path in options.results for line in open(path) if line.strip()]
    if not lines:
        sys.exit("no results")
    rows = summary(lines)
    table(rows)
    if options.json:
        with open(options.json, "w") as out:
            json.dump({"rows": rows}, out, indent=1)
            out.write("\n")
    if options.svg:
        with open(options.svg, "w") as out:
            out.write(plot(rows))


if __name__ == "__main__":
    main()
