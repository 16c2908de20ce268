#!/usr/bin/env python3
"""Puts the lines of run.py together: medians and spread, ratios to what ran in the same round, the goals, a plot.

    benches/smtp/report.py results.jsonl [--svg plot.svg]
"""

import argparse
import json
import statistics
import sys

import plot


class Rounds:
    """Runs by round: only those of one round are held against each other."""

    def __init__(self, lines):
        self.runs = {}
        self.marks = {}
        for line in lines:
            row = json.loads(line)
            key = row["mode"], row["server"], row["set"]
            self.runs.setdefault(key, []).append(row)
            self.marks[row["mark"], *key] = row

    def values(self, key, what):
        return [row[what] for row in self.runs.get(key, []) if what in row]

    def ratios(self, key, other):
        """Delivered by one as a share of what another delivered in the same round."""
        found = ((row, self.marks.get((row["mark"], *other))) for row in self.runs.get(key, []))
        return [row["delivered"] / beside["delivered"] for row, beside in found if beside and beside["delivered"]]


def told(values, digits):
    """Median and spread."""
    if not values:
        return ""
    if min(values) == max(values):
        return f"{values[0]:,.{digits}f}"
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def tables(rounds):
    for mode in dict.fromkeys(mode for mode, _, _ in rounds.runs):
        keys = [key for key in rounds.runs if key[0] == mode]
        keys.sort(key=lambda key: -statistics.median(rounds.values(key, "delivered")))
        print(f"\n| {mode} | set | rounds | accepted/s | delivered/s | of straight | CPU a message, ms | PSS idle, MB | at the peak |")
        print("|---|---|---|---|---|---|---|---|---|")
        for key in keys:
            cells = [("accepted", 0), ("delivered", 0), ("of_straight", 3), ("cpu_ms", 3), ("idle_mb", 0), ("peak_mb", 0)]
            row = [told(rounds.values(key, what), digits) for what, digits in cells]
            print("|", " | ".join([key[1], key[2], str(len(rounds.runs[key])), *row]), "|")


def goals(rounds):
    """What is to be reached: a text, the figure, the bound, and whether it is a least or a most."""
    least, most = True, False
    sets = ["bare", "rules", "tenfold"]
    yield from (
        (f"durable, kept connections, {name}, of straight", rounds.values(("kept", "edictd", name), "of_straight"), 0.6, least)
        for name in sets)
    yield from (
        (f"durable, a connection a message, {name}, of straight",
         rounds.values(("reconnect", "edictd", name), "of_straight"), 0.5, least) for name in sets)
    for name, bound in (("bare", 12), ("rules", 15)):
        yield (f"times Postfix, kept connections, {name}",
               rounds.ratios(("kept", "edictd", name), ("kept", "postfix", name)), bound, least)
    yield from (
        (f"CPU a message, ms, {mode}, {name}", rounds.values((mode, "edictd", name), "cpu_ms"), 0.12, most)
        for mode in ("kept", "reconnect") for name in sets)
    yield from (
        (f"pass-through, {mode}, {name}, of straight",
         rounds.values((mode, "edictd pass-through", name), "of_straight"), 0.7, least)
        for mode in ("kept", "many", "reconnect") for name in sets)
    for mode in ("kept", "reconnect"):
        yield (f"tenfold rules, of rules, {mode}",
               rounds.ratios((mode, "edictd", "tenfold"), (mode, "edictd", "rules")), 0.9, least)
    yield "PSS at the peak with tenfold rules, MB", rounds.values(("kept", "edictd", "tenfold"), "peak_mb"), 60, most
    yield "PSS idle, MB", rounds.values(("kept", "edictd", "bare"), "idle_mb"), 15, most
    yield ("one session, times Postfix",
           rounds.ratios(("one", "edictd", "bare"), ("one", "postfix", "bare")), 1.5, least)
    yield "100 KiB, of straight", rounds.values(("large", "edictd", "bare"), "of_straight"), 0.5, least


def print_goals(rounds):
    print("\n| what | goal | measured | rounds | reach it | |")
    print("|---|---|---|---|---|---|")
    for what, values, bound, least in goals(rounds):
        if values:
            middle = statistics.median(values)
            there = sum(value >= bound if least else value <= bound for value in values)
            met = "met" if (middle >= bound if least else middle <= bound) else "**missed**"
            how = "at least" if least else "at most"
            print(f"| {what} | {how} {bound} | {told(values, 3 if bound < 2 else 1)} | {len(values)} | {there} | {met} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("results", nargs="+")
    parser.add_argument("--svg", help="writes a plot of what is delivered")
    options = parser.parse_args()
    lines = [line for path in options.results for line in open(path) if line.strip()]
    if not lines:
        sys.exit("no results")
    rounds = Rounds(lines)
    tables(rounds)
    print_goals(rounds)
    if options.svg:
        with open(options.svg, "w") as out:
            out.write(plot.bars(rounds))


if __name__ == "__main__":
    main()
