#!/usr/bin/env python3
"""Measures edictd as a durable relay between Postfix's smtp-source and smtp-sink.

Needs smtp-source and smtp-sink (Debian: postfix) and a release build of edictd:

    cargo build --release
    benches/smtp/run.py [--edictd target/release/edictd] [--table FILE] [--messages N] [--rounds N]

Each round runs, one after the other, so that a busy machine slows all alike:

    straight   source -> sink: the limit of the tools themselves
    edictd     source -> edictd -> sink, each message on disk before its 250

and `reconnect` variants with a connection per message. Printed are medians over the rounds, the spread,
and the ratio to the straight run. Delivered counts until the sink has the last message. CPU is user and
system time of the daemon per message; memory its largest proportional share (PSS).
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process):
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"{process.args[0]} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"{process.args[0]} does not listen on {port}")


class Sink:
    """smtp-sink; ends after so many messages if told to, which cuts off whoever still talks to it."""

    def __init__(self, messages=None):
        self.port = free_port()
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            ["smtp-sink", *user, *(["-M", str(messages)] if messages else []), f"127.0.0.1:{self.port}", "1024"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.port, self.process)

    def wait(self, limit):
        try:
            self.process.wait(limit)
            return True
        except subprocess.TimeoutExpired:
            return False
        finally:
            self.process.kill()
            self.process.wait()


def source(port, options, messages):
    flags = ["-m", str(messages), "-s", str(options.sessions), "-l", str(options.size),
             "-f", "ann@example.org", "-t", options.to]
    if not options.reconnect:
        flags.append("-d")
    begun = time.monotonic()
    done = subprocess.run(["smtp-source", *flags, f"127.0.0.1:{port}"], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"smtp-source: {done.stderr.strip()}")
    return time.monotonic() - begun


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_mib(pid):
    found = re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
    return int(found[1]) / 1024 if found else 0.0


def straight(options):
    sink = Sink()
    try:
        # The source ends when the sink has confirmed its last message.
        rate = options.messages / source(sink.port, options, options.messages)
        return {"accepted": rate, "delivered": rate}
    finally:
        sink.wait(0)


def edictd(options):
    sink = Sink(options.messages)
    data = tempfile.mkdtemp(prefix="edict-bench-", dir=options.scratch)
    port = free_port()
    table = ["--table", options.table] if options.table else []
    process = subprocess.Popen(
        [options.edictd, *options.arguments, *table, "--listen", f"127.0.0.1:{port}", "--data", data, "--relay",
         f"127.0.0.1:{sink.port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "RUST_LOG": options.log})
    try:
        wait_for(port, process)
        idle = pss_mib(process.pid)
        before = cpu_seconds(process.pid)
        begun = time.monotonic()
        accepted = source(port, options, options.messages)
        whole = sink.wait(120)
        delivered = time.monotonic() - begun
        if not whole:
            sys.exit("edictd: the sink did not get every message in time")
        return {"accepted": options.messages / accepted, "delivered": options.messages / delivered,
                "cpu_ms": 1000 * (cpu_seconds(process.pid) - before) / options.messages,
                "idle_mib": idle, "peak_mib": pss_mib(process.pid)}
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(data, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--edictd", default="target/release/edictd")
    parser.add_argument("--arguments", nargs="*", default=[], help="more arguments of edictd, in front")
    parser.add_argument("--table", help="a table built by `edict build`; the embedded one where absent")
    parser.add_argument("--messages", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--to", default="bob@elsewhere.example")
    parser.add_argument("--log", default="info", help="RUST_LOG of edictd")
    parser.add_argument("--scratch", help="folder on the disk to measure; the system's temporary one by default")
    parser.add_argument("--modes", nargs="*", default=["kept", "reconnect"])
    parser.add_argument("--format", choices=["human", "json"], default="human")
    options = parser.parse_args()
    for tool in ("smtp-source", "smtp-sink"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed (Debian: apt install postfix)")
    runs = {}
    for _ in range(options.rounds):
        for mode in options.modes:
            options.reconnect = mode == "reconnect"
            for name, run in (("straight", straight), ("edictd", edictd)):
                runs.setdefault((mode, name), []).append(run(options))
    report = []
    for (mode, name), results in runs.items():
        row = {"mode": mode, "server": name}
        for key in results[0]:
            values = [r[key] for r in results]
            row[key] = round(statistics.median(values), 3)
            row[f"{key}_spread"] = [round(min(values), 3), round(max(values), 3)]
        limits = runs[(mode, "straight")]
        row["of_straight"] = round(
            statistics.median(r["delivered"] / limit["delivered"] for r, limit in zip(results, limits)), 3)
        report.append(row)
    if options.format == "json":
        print(json.dumps({"messages": options.messages, "size": options.size, "rows": report}, indent=1))
        return
    for row in report:
        extra = f", {row['cpu_ms']} ms CPU a message, {row['idle_mib']} to {row['peak_mib']} MiB" if "cpu_ms" in row else ""
        low, high = row["delivered_spread"]
        print(f"{row['mode']:>9} {row['server']:>8}: accepted {row['accepted']:.0f}/s, "
              f"delivered {row['delivered']:.0f}/s ({low:.0f} to {high:.0f}), {row['of_straight']} of straight{extra}")


if __name__ == "__main__":
    main()
