#!/usr/bin/env python3
"""Measures the SMTP front alone: throughput, latency beside a crowd, latency beside reloads, failed logins.

Needs smtp-source, smtp-sink and postfix (Debian: postfix) and release builds:

    cargo build --release --workspace
    benches/front/run.py throughput [--rounds 3] [--messages 20000]
    benches/front/run.py crowd [--rounds 6] [--idle 1000] [--slow 100]
    benches/front/run.py reload [--rounds 20] [--entries 100000]
    benches/front/run.py login [--rounds 60]

throughput  smtp-source with 50 sessions of 4 KiB messages straight to smtp-sink, and to edictd with a rule that
            discards all, in turn. The ratio is edictd's rate over that of the straight run beside it.
crowd       seconds from connecting to the last reply of one message, alone and with idle and slow
            connections beside it, in turn on two daemons.
reload      milliseconds of each greeting and each reply, first without reloads, then with one every half second; the
            same with Postfix. The table has so many list entries.
login       milliseconds from a wrong password to its reply, of users whose passwords are kept in each way and of
            names that nobody has, in turn: the ratio of the medians, and how likely a difference of ranks as large
            is where there is none (Mann-Whitney, two sides). Once in a file of one kind of hash, once of three.
"""

import argparse
import base64
import json
import math
import os
import pathlib
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "smtp"))
import peers  # noqa: E402
from measure import Folder, Load, Sink, Source, cpu_seconds, end_tree, free_port, wait_for  # noqa: E402

BODY = b"Subject: weekly report\r\n\r\n" + b"It is the same as last week, more or less.\r\n" * 90 + b".\r\n"


class Front:
    """edictd with rules that drop everything, and so many senders on a list that none of them is on."""

    def __init__(self, options, folder, entries=0, users=None):
        source = folder / "rules"
        source.mkdir()
        auth = "auth optional\nauth-without-tls allowed" if users else "auth off"
        rules = ["edict 1", "profile {", "hostname bench.example", "local-domains [example.com]",
                 "trusted-networks [127.0.0.0/8, ::1]", "recipients any", auth, "}",
                 'discard "all" { when client.ip in [127.0.0.0/8] }']
        if entries:
            names = "".join(f"user{i}@blocked{i % 1000}.example\n" for i in range(entries))
            (source / "senders.txt").write_text(names)
            rules += ['list senders: address from "senders.txt"', 'reject "senders" { priority 1  when sender in senders }']
        (source / "main.edict").write_text("\n".join(rules) + "\n")
        table = folder / "edict.table"
        made = subprocess.run([options.edict, "build", str(source), "-o", str(table)], capture_output=True, text=True)
        if not table.exists():
            sys.exit(f"edict build: {made.stderr[-800:]}")
        self.port = free_port()
        config = folder / "edictd.ron"
        config.write_text(f'(table: "edict.table", data: "data", listeners: [(address: "127.0.0.1:{self.port}")], '
                          f'{f"users: {json.dumps(str(users))}, " if users else ""}clients: (connections: 5000))')
        self.process = subprocess.Popen([options.edictd, "--config", str(config)], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, env={**os.environ, "RUST_LOG": options.log})
        wait_for(self.port, self.process)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        end_tree(self.process)


class Client:
    """A connection that times every reply."""

    def __init__(self, port, times=None, source=None):
        self.times = [] if times is None else times
        begun = time.monotonic()
        self.socket = socket.create_connection(("127.0.0.1", port), 30, source and (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reply(begun)

    def reply(self, begun):
        text = b""
        while not text.endswith(b"\r\n") or text.splitlines()[-1][3:4] == b"-":
            more = self.socket.recv(4096)
            if not more:
                raise OSError("the server closed")
            text += more
        self.times.append((begun, time.monotonic() - begun))
        if text[:1] not in b"23":
            raise OSError(text.decode())

    def say(self, line):
        begun = time.monotonic()
        self.socket.sendall(line)
        self.reply(begun)

    def message(self):
        self.say(b"EHLO client.example\r\n")
        self.say(b"MAIL FROM:<ann@example.org>\r\n")
        self.say(b"RCPT TO:<bob@example.com>\r\n")
        self.say(b"DATA\r\n")
        self.say(BODY)

    def close(self):
        self.socket.close()


def throughput(options):
    rows = []
    for reconnect in (False, True):
        ratios, rates, straights, cpu = [], [], [], []
        for _ in range(options.rounds):
            load = Load(options.messages, reconnect=reconnect, to="bob@example.com")
            sink = Sink()
            straight = options.messages / Source(sink.port, load).wait(200)
            sink.end()
            with Folder(options.scratch) as folder:
                front = Front(options, folder)
                before = cpu_seconds(front.process.pid)
                rate = options.messages / Source(front.port, load).wait(200)
                cpu.append(1000 * (cpu_seconds(front.process.pid) - before) / options.messages)
                front.stop()
            ratios.append(rate / straight)
            rates.append(rate)
            straights.append(straight)
        rows.append({"mode": "reconnect" if reconnect else "kept", "straight": statistics.median(straights),
                     "edictd": statistics.median(rates), "ratio": statistics.median(ratios),
                     "ratios": ratios, "cpu_ms": statistics.median(cpu)})
    return rows


def crowd(options):
    def measure(port):
        times = []
        for _ in range(options.transactions):
            begun = time.monotonic()
            client = Client(port)
            client.message()
            times.append(time.monotonic() - begun)
            client.close()
        return times

    with Folder(options.scratch) as one, Folder(options.scratch) as two:
        alone, crowded = Front(options, one), Front(options, two)
        memory = private(crowded.process.pid)
        idle = [Client(crowded.port) for _ in range(options.idle)]
        for client in idle:
            client.say(b"EHLO idle.example\r\n")
        each = (private(crowded.process.pid) - memory) / options.idle
        slow = [Client(crowded.port) for _ in range(options.slow)]
        for client in slow[::2]:
            client.say(b"EHLO slow.example\r\n")
            client.say(b"MAIL FROM:<ann@example.org>\r\n")
            client.say(b"RCPT TO:<bob@example.com>\r\n")
            client.say(b"DATA\r\n")
        drip = subprocess.Popen([sys.executable, "-c", DRIP, *[str(c.socket.fileno()) for c in slow]],
                                pass_fds=[c.socket.fileno() for c in slow])
        # What comes first pays for caches; it counts on neither side.
        measure(alone.port), measure(crowded.port)
        pairs = []
        try:
            for _ in range(options.rounds):
                pairs.append((measure(alone.port), measure(crowded.port)))
        finally:
            drip.kill()
            drip.wait()
        alone.stop()
        crowded.stop()
    of = lambda values, part: sorted(values)[int(len(values) * part)] * 1000
    both = [[t for pair in pairs for t in pair[side]] for side in (0, 1)]
    ratios = [statistics.median(b) / statistics.median(a) for a, b in pairs]
    return [{"idle": options.idle, "slow": options.slow, "alone_ms": of(both[0], .5), "crowd_ms": of(both[1], .5),
             "ratio": statistics.median(ratios), "ratios": ratios, "alone_p99_ms": of(both[0], .99),
             "crowd_p99_ms": of(both[1], .99), "bytes_each_idle": each}]


# Each slow client says a byte, one after the other, a hundred bytes a second in all.
DRIP = """
import os, sys, time
while True:
    for fd in map(int, sys.argv[1:]):
        os.write(fd, b"x")
        time.sleep(.01)
"""


def private(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(("Private_", "Swap:")))


def reload(options):
    rows = []
    for name in options.servers:
        with Folder(options.scratch) as folder:
            sink = Sink()
            if name == "edictd":
                server = Front(options, folder, options.entries)
                again = server.reload
            else:
                if peers.Postfix.missing(options):
                    continue
                server = peers.Postfix(options, folder, None)
                server.start(sink.port)
                command = ["/usr/sbin/postfix", "-c", str(folder / "conf"), "reload"]
                again = lambda: subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            greetings, replies, marks, said = [], [], [], 0
            stay = Client(server.port, replies)
            stay.say(b"EHLO client.example\r\n")
            # All rounds without a reload first: what one leaves behind must not count as away from it.
            for beside in (False, True):
                marks.append((time.monotonic(), beside))
                for _ in range(options.rounds):
                    if beside:
                        again()
                    begun = time.monotonic()
                    while time.monotonic() < begun + 0.5:
                        try:
                            client = Client(server.port, greetings)
                            client.say(b"EHLO client.example\r\n")
                            replies.append(client.times.pop())
                            client.close()
                            stay.say(b"RSET\r\n")
                            said += 1
                            if said % 50 == 0:
                                # Both servers slow down or end a session that brings no mail.
                                stay.close()
                                stay = Client(server.port, replies)
                                stay.say(b"EHLO client.example\r\n")
                        except OSError:
                            # Postfix ends sessions that it reloads under; the time is counted all the same.
                            stay = Client(server.port, replies)
                            stay.say(b"EHLO client.example\r\n")
                        time.sleep(.002)
            stay.close()
            server.stop()
            sink.end()

        def split(times, wanted):
            out = []
            for begun, taken in times:
                last = [beside for mark, beside in marks if mark <= begun]
                if last and last[-1] == wanted:
                    out.append(taken * 1000)
            return out

        for what, times in (("greeting", greetings), ("reply", replies)):
            away, beside = split(times, False), split(times, True)
            rows.append({"server": name, "what": what, "away_median_ms": statistics.median(away),
                         "away_longest_ms": max(away), "beside_median_ms": statistics.median(beside),
                         "beside_longest_ms": max(beside), "longer_ms": max(beside) - max(away), "count": len(beside)})
    return rows


def login(options):
    kinds = ["argon2id", "sha512-crypt", "scram-sha-256"]
    rows = []
    for file in (kinds[:1], kinds):
        with Folder(options.scratch) as folder:
            users = folder / "users"
            for kind in file:
                command = [options.edictd, "passwd", f"{kind}@example.com", "--file", str(users), "--scheme", kind]
                made = subprocess.run(command, input="right\n", capture_output=True, text=True)
                if made.returncode:
                    sys.exit(f"edictd passwd: {made.stderr}")
            front = Front(options, folder, users=users)
            times = failures(front.port, [*file, "nobody"], options.rounds)
            front.stop()
        for kind in file:
            known, unknown = times[kind], times["nobody"]
            rows.append({"file": "+".join(file), "known": kind, "known_median_ms": statistics.median(known),
                         "unknown_median_ms": statistics.median(unknown),
                         "ratio": statistics.median(known) / statistics.median(unknown),
                         "p": rank_test(known, unknown), "samples": f"{len(known)}+{len(unknown)}"})
    return rows


def failures(port, kinds, rounds):
    """Milliseconds to the reply of a wrong password, for each kind of name in turn; each stranger has another name."""
    times = {kind: [] for kind in kinds}
    for turn in range(rounds):
        # Three failures end a connection, twenty shut a client out: each connection is another client's.
        for place, kind in enumerate(kinds[turn % len(kinds):] + kinds[:turn % len(kinds)]):
            client = Client(port, source=f"127.1.{turn % 250}.{1 + turn // 250 * 10 + place}")
            client.say(b"EHLO client.example\r\n")
            name = f"nobody{turn}" if kind == "nobody" else kind
            secret = base64.b64encode(f"\0{name}@example.com\0wrong".encode())
            begun = time.monotonic()
            client.socket.sendall(b"AUTH PLAIN " + secret + b"\r\n")
            reply = client.socket.recv(4096)
            times[kind].append(1000 * (time.monotonic() - begun))
            if not reply.startswith(b"535"):
                sys.exit(f"a wrong password got {reply}")
            client.close()
    return times


def rank_test(one, two):
    """How likely ranks differ so much by chance: Mann-Whitney, two sides, by the normal distribution."""
    both = sorted((value, side) for side, values in enumerate((one, two)) for value in values)
    ranks = sum(place for place, (_, side) in enumerate(both, 1) if side == 0)
    expected = len(one) * (len(both) + 1) / 2
    spread = math.sqrt(len(one) * len(two) * (len(both) + 1) / 12)
    return math.erfc(abs(ranks - expected) / spread / math.sqrt(2))


def main():
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=["throughput", "crowd", "reload", "login"])
    parser.add_argument("--edictd", default=str(root / "target/release/edictd"))
    parser.add_argument("--edict", default=str(root / "target/release/edict"))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--transactions", type=int, default=300)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--slow", type=int, default=100)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--servers", nargs="*", default=["edictd", "postfix"], help="whose reloads are measured")
    parser.add_argument("--log", default="info", help="RUST_LOG of edictd; its lines are written and thrown away")
    parser.add_argument("--scratch", help="folder on the disk to measure; the system's temporary one by default")
    parser.add_argument("--format", choices=["human", "json"], default="human")
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run, rounds = {"throughput": (throughput, 3), "crowd": (crowd, 6), "reload": (reload, 20),
                   "login": (login, 60)}[options.what]
    options.rounds = options.rounds or rounds
    rows = run(options)
    if options.format == "json":
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        show = lambda v: [round(x, 2) for x in v] if isinstance(v, list) else round(v, 3) if isinstance(v, float) else v
        print(", ".join(f"{key} {show(value)}" for key, value in row.items()))


if __name__ == "__main__":
    main()
