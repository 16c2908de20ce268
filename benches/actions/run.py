#!/usr/bin/env python3
"""Measures what disclaimers, blind copies and signatures cost edictd, as a share of its throughput without them.

Needs smtp-source and smtp-sink (Debian: postfix), openssl for the key, and release builds:

    cargo build --release --workspace
    benches/actions/run.py [--messages N] [--rounds N] [--size BYTES]

Each round runs every table once, one after the other, so that a busy machine slows all alike: the same daemon, the
same message with a text, an HTML and an attached part, the same sessions, from smtp-source through edictd into
smtp-sink. Each message is on disk before its 250, and counts as done when the sink and the mailboxes have it and
all its copies: when the queue is empty.

    plain        one recipient outside, no rule that does anything
    disclaimer   a disclaimer with text and HTML
    bcc          a blind copy with the envelope recorded, to an archive at the same next hop
    both         disclaimer and blind copy: the bound is three quarters of plain
    mailbox      both, but the copy goes into a Maildir of the daemon, which syncs a file for each
    signed       both, and an RSA and an Ed25519 signature

Printed are medians over the rounds, the spread, the ratio to plain in the same rounds, and CPU of the daemon per
message. Exit code 1 where with `both` less than three quarters of the messages are taken, or handed on to next hops.
"""

import argparse
import base64
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BOUND = 0.75

PROFILE = """edict 1

profile {
    hostname         mx.example.com
    local-domains    [example.com]
    recipients       any
    trusted-networks [127.0.0.0/8]
}
"""
DISCLAIMER = """
disclaimer "legal" {
    when  direction is outbound
    text  "legal.txt"
    html  "legal.html"
    place above-quote
}
"""
BCC = """
bcc "archive" {
    when   direction is outbound
    to     [archive@archive.example]
    record envelope
}
"""
TABLES = {
    "plain": ("", False),
    "disclaimer": (DISCLAIMER, False),
    "bcc": (BCC, False),
    "both": (DISCLAIMER + BCC, False),
    "mailbox": (DISCLAIMER + BCC.replace("archive.example", "example.com"), False),
    "signed": (DISCLAIMER + BCC, True),
}
LEGAL = "Confidential. Example Ltd., registered in Berlin under number 4711, managing directors A. and B."


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


def build(options, scratch):
    """The tables, by name."""
    built = {}
    for name, (rules, _) in TABLES.items():
        folder = scratch / f"rules-{name}"
        folder.mkdir()
        (folder / "main.edict").write_text(PROFILE + rules)
        (folder / "legal.txt").write_text(LEGAL)
        (folder / "legal.html").write_text(f"<p>{LEGAL}</p>")
        built[name] = scratch / f"{name}.table"
        subprocess.run([options.edict, "build", folder, "-o", built[name]], check=True, stdout=subprocess.DEVNULL)
    for name, kind in (("rsa", ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]), ("ed", ["ed25519"])):
        subprocess.run(["openssl", "genpkey", "-algorithm", *kind, "-out", scratch / f"{name}.pem"], check=True,
                       stderr=subprocess.DEVNULL)
    return built


def message(size):
    """A message of about this many bytes, as a mail program writes it."""
    words = "A few words of an offer, and then some more of them.\r\n" * 40
    front = ("From: Ann <ann@example.com>\r\nTo: bob@elsewhere.example\r\nSubject: offer\r\n"
             "Date: Tue, 24 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@client.example>\r\nMIME-Version: 1.0\r\n"
             "Content-Type: multipart/mixed; boundary=mix\r\n\r\n--mix\r\n"
             "Content-Type: multipart/alternative; boundary=alt\r\n\r\n"
             f"--alt\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{words}"
             "--alt\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
             f"<html><body><p>{words}</p></body></html>\r\n--alt--\r\n"
             "--mix\r\nContent-Type: application/pdf; name=offer.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n")
    lines = base64.encodebytes(bytes(range(256)) * 4).decode().splitlines()
    line = lines[0] + "\r\n"
    return front + line * max(0, (size - len(front) - 10) // len(line)) + "--mix--\r\n"


def once(options, table, signed, body, scratch):
    port, sink_port = free_port(), free_port()
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    sink = subprocess.Popen(["smtp-sink", *user, f"127.0.0.1:{sink_port}", "1024"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    data = pathlib.Path(tempfile.mkdtemp(prefix="edict-bench-", dir=scratch))
    keys = "".join(f'(domain: "example.com", selector: "{k}", key_file: "{scratch}/{k}.pem"),' for k in ("rsa", "ed"))
    (data / "edictd.ron").write_text(f"(dkim: [{keys}])" if signed else "()")
    daemon = subprocess.Popen(
        [options.edictd, "--table", table, "--config", data / "edictd.ron", "--listen", f"127.0.0.1:{port}", "--data",
         data / "data", "--relay", f"127.0.0.1:{sink_port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "RUST_LOG": "info"})
    try:
        wait_for(sink_port, sink)
        wait_for(port, daemon)
        before = cpu_seconds(daemon.pid)
        begun = time.monotonic()
        done = subprocess.run(
            ["smtp-source", "-m", str(options.messages), "-s", str(options.sessions), "-d", "-F", body,
             "-f", "ann@example.com", "-t", "bob@elsewhere.example", f"127.0.0.1:{port}"],
            capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"smtp-source: {done.stderr.strip()}")
        accepted = time.monotonic() - begun
        while queued(data / "data"):
            time.sleep(0.02)
        whole = time.monotonic() - begun
        return {"accepted": options.messages / accepted, "done": options.messages / whole,
                "cpu_ms": 1000 * (cpu_seconds(daemon.pid) - before) / options.messages}
    finally:
        for process in (daemon, sink):
            process.kill()
            process.wait()
        shutil.rmtree(data, ignore_errors=True)


def queued(data):
    """Messages in the queue, asked of the admin socket: a process for each look would be measured as well."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(data / "admin.sock"))
        s.sendall(b"GET /status HTTP/1.1\r\nHost: edictd\r\nConnection: close\r\n\r\n")
        answer = b""
        while more := s.recv(65536):
            answer += more
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])["queued"]


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--edictd", default="target/release/edictd")
    parser.add_argument("--edict", default="target/release/edict")
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--size", type=int, default=100 << 10)
    parser.add_argument("--scratch", help="folder on the disk to measure; the system's temporary one by default")
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=list(TABLES))
    options = parser.parse_args()
    for tool in ("smtp-source", "smtp-sink", "openssl"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed")
    options.edictd, options.edict = map(os.path.abspath, (options.edictd, options.edict))
    with tempfile.TemporaryDirectory(prefix="edict-actions-", dir=options.scratch) as scratch:
        scratch = pathlib.Path(scratch)
        built = build(options, scratch)
        body = scratch / "message"
        body.write_text(message(options.size).replace("\r\n", "\n"))
        runs = {name: [] for name in options.tables}
        once(options, built[options.tables[0]], False, body, scratch)
        for _ in range(options.rounds):
            for name in options.tables:
                runs[name].append(once(options, built[name], TABLES[name][1], body, scratch))
    print(f"{options.messages} messages of {options.size} bytes, {options.sessions} sessions, {options.rounds} rounds")
    print(f"{'table':<12}{'accepted/s':>11}{'done/s':>9}{'spread':>16}{'of plain':>10}{'CPU ms':>8}")
    ratios = {}
    for name, all_runs in runs.items():
        median = {key: statistics.median(run[key] for run in all_runs) for key in ("accepted", "done", "cpu_ms")}
        ratio = "-"
        if "plain" in runs:
            ratios[name] = statistics.median(run["done"] / plain["done"] for run, plain in zip(all_runs, runs["plain"]))
            ratio = f"{ratios[name]:.2f}"
        rates = [run["done"] for run in all_runs]
        print(f"{name:<12}{median['accepted']:>11.0f}{median['done']:>9.0f}"
              f"{f'{min(rates):.0f}-{max(rates):.0f}':>16}{ratio:>10}{median['cpu_ms']:>8.2f}")
    if "both" in ratios:
        # A message with a copy is two on the wire, and the sink bounds the run: what the daemon takes and what it
        # hands on tell its throughput, the messages that are done tell the sink's as well.
        pairs = list(zip(runs["both"], runs["plain"]))
        taken = statistics.median(both["accepted"] / plain["accepted"] for both, plain in pairs)
        handed = statistics.median(2 * both["done"] / plain["done"] for both, plain in pairs)
        print(f"disclaimer and copy: {taken:.2f} of what is taken, {handed:.2f} of what is handed on")
        if min(taken, handed) < BOUND:
            sys.exit(f"below {BOUND}")


if __name__ == "__main__":
    main()
