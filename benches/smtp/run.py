#!/usr/bin/env python3
"""Measures edictd beside other servers, each as a relay between Postfix's smtp-source and smtp-sink.

Needs smtp-source and smtp-sink (Debian: postfix), a release build, and for the peers a folder:

    cargo build --release
    sudo benches/smtp/fetch.sh /tmp/peers          # OpenSMTPD and Exim from Debian, Haraka from npm, unpacked only
    sudo apt install postfix haproxy               # haproxy hands bytes on: the limit of what answers with the sink's replies
    sudo benches/smtp/run.py --peers /tmp/peers --servers all --sets bare rules tenfold --out results.jsonl
    benches/smtp/report.py results.jsonl [--svg plot.svg]

A round runs every server once, one after the other, and in front of each mode

    straight   source -> sink: the limit of the tools themselves

so that a busy machine slows all alike; ratios are to the straight run of the same round. Before the first round each
server with rules must show that it applies them (check.py). Accepted is the rate
until the last 250, delivered until the sink has the last message. Each server first takes a few hundred
messages that do not count: segments and caches are made then. CPU is user and system time of all its
processes a message, memory their proportional shares (PSS). Every run has an end: a server that is not through
by then is told by how far it came. Results are appended to --out, a line a run, so that rounds can be
measured in pieces.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
import time

from check import check_rules
from measure import Failed, Folder, Load, Memory, Sink, Source, cpu_seconds, pss_mb
from peers import SERVERS
from rules import SETS

WARM_UP = 500

#: What is sent: sessions, bytes, whether each message has a connection of its own, how many of a server's share.
MODES = {
    "kept": (50, 4096, False, 1.0),
    "reconnect": (50, 4096, True, 0.5),
    "many": (500, 4096, False, 1.0),
    "one": (1, 4096, False, 0.1),
    "large": (50, 102_400, False, 0.1),
}


def load(mode, messages):
    sessions, size, reconnect, share = MODES[mode]
    return Load(max(50, int(messages * share)), sessions, size, reconnect)


def straight(mode, options):
    what = load(mode, options.messages or 20_000)
    sink = Sink()
    try:
        # The source ends when the sink has confirmed its last message.
        rate = what.messages / Source(sink.port, what).wait(options.limit)
        return {"accepted": rate, "delivered": rate}
    finally:
        sink.end()


def relay(kind, mode, name, options):
    what = load(mode, options.messages or kind.messages)
    warm = Load(min(WARM_UP, what.messages // 2), min(what.sessions, 20), what.size)
    with Folder(options.scratch) as folder:
        sink = Sink(None if kind.answers_late else warm.messages + what.messages, kind.counting)
        server = kind(options, folder, SETS[name])
        source = None
        try:
            server.start(sink.port)
            time.sleep(1)
            idle = pss_mb(server.root)
            Source(server.port, warm).wait(options.limit)
            time.sleep(1)
            before = cpu_seconds(server.root)
            memory = Memory(server.root)
            already = 0
            if kind.counting:
                sink.wait(0.2)
                already = sink.count
            source = Source(server.port, what)
            took = source.wait(options.limit)
            if kind.answers_late:
                whole, seconds = took is not None, took or options.limit
            else:
                whole = sink.wait(max(1, options.limit - (time.monotonic() - source.begun)))
                seconds = time.monotonic() - source.begun
            delivered = what.messages if whole else sink.count - already
            if not whole and not kind.counting:
                raise Failed(f"{kind.name}: the sink did not get every message in {options.limit} s")
            used = cpu_seconds(server.root) - before
            return {
                "accepted": what.messages / took if took else 0.0, "delivered": delivered / seconds,
                "cpu_ms": 1000 * used / max(1, delivered), "idle_mb": idle, "peak_mb": memory.stop(),
                "whole": whole,
            }
        finally:
            if source:
                source.end()
            server.stop()
            sink.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--servers", nargs="+", default=["edictd"], help=f"of {', '.join(SERVERS)}, or all")
    parser.add_argument("--sets", nargs="+", default=["bare"], choices=SETS)
    parser.add_argument("--modes", nargs="+", default=["kept", "reconnect"], choices=MODES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, help="for every server; else its own number")
    parser.add_argument("--limit", type=int, default=40, help="seconds until a run ends, whatever is missing")
    parser.add_argument("--edictd", default="target/release/edictd")
    parser.add_argument("--edict", default="target/release/edict", help="builds the tables of rules")
    parser.add_argument("--peers", help="the folder that fetch.sh filled")
    parser.add_argument("--log", default="info", help="RUST_LOG of edictd")
    parser.add_argument("--scratch", help="folder on the disk to measure; the system's temporary one by default")
    parser.add_argument("--cache", help="keeps tables of rules between calls")
    parser.add_argument("--out", help="results are appended here, a JSON object a line")
    options = parser.parse_args()
    for tool in ("smtp-source", "smtp-sink"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed (Debian: apt install postfix)")
    kinds = list(SERVERS.values()) if "all" in options.servers else [SERVERS[name] for name in options.servers]
    absent = {kind: kind.missing(options) for kind in kinds}
    for kind, why in absent.items():
        if why:
            print(f"{kind.name}: left out, {why}", file=sys.stderr)
    kinds = [kind for kind in kinds if not absent[kind]]
    cache = None
    if not options.cache:
        cache = tempfile.TemporaryDirectory(prefix="edict-bench-tables-")
        options.cache = cache.name
    rows = []

    def note(row):
        rows.append(row)
        if options.out:
            with open(options.out, "a") as out:
                out.write(json.dumps(row) + "\n")
        shown = ", ".join(f"{k} {v:.4g}" for k, v in row.items() if isinstance(v, float))
        print(f"{row['mode']:>9} {row['server']:>19} {row['set']:>8}: {shown}", flush=True)

    for kind in list(kinds):
        for name in filter(SETS.get, options.sets if kind.has_rules else []):
            try:
                check_rules(kind, SETS[name], options)
            except Failed as error:
                # Who does not apply the rules is not compared.
                print(f"{kind.name}: left out, {error}", file=sys.stderr)
                kinds.remove(kind)
                break
    for number in range(options.rounds):
        for mode in options.modes:
            # Names the round for those who put pieces together.
            mark = f"{time.time():.0f}-{os.getpid()}-{number}-{mode}"
            base = {"mark": mark, "mode": mode, "cores": os.cpu_count(), "kernel": platform.release()}
            limit = straight(mode, options)
            note({**base, "server": "straight", "set": "bare", **limit})
            for kind in kinds:
                for name in options.sets if kind.has_rules else ["bare"]:
                    try:
                        result = relay(kind, mode, name, options)
                    except Failed as error:
                        print(f"{kind.name}, {name}, {mode}: {error}", file=sys.stderr)
                        continue
                    ratio = result["delivered"] / limit["delivered"]
                    note({**base, "server": kind.name, "set": name, **result, "of_straight": ratio})
    if cache:
        cache.cleanup()


if __name__ == "__main__":
    main()
