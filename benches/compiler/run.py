#!/usr/bin/env python3
"""Measures the compiler from the outside: `edict check` and `edict build`, beside Postfix's `postmap` on the same list.

    cargo build --release -p edict && benches/compiler/run.py [--rules 10000] [--entries 1000000] [--rounds 3]

What is measured, best of the rounds, each process by itself, time by the clock and memory by the kernel's account:
  check       `edict check` on RULES rules and ENTRIES list entries in 50 files, with and without proofs
  list        one list of ENTRIES addresses: `edict build` beside `postmap cdb:` and `postmap hash:` (or lmdb:)
  equals      `edict check` on many rules of one priority for senders, recipients or lists of their own, all of which could meet
  cookbook    `edict check` on each recipe of docs/language.md; the slowest counts
Needs Postfix for the second. Prints a table for docs/performance.md, or one JSON object with --json.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(args, cwd, want=(0,)):
    """Runs a process; seconds by the clock, and its peak in MiB."""
    begin = time.monotonic()
    process = subprocess.Popen(args, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begin
    code = os.waitstatus_to_exitcode(status)
    if code not in want:
        sys.exit(f"{args} ended with {code}:\n{out.decode(errors='replace')[-3000:]}")
    return seconds, usage.ru_maxrss / 1024


def best(rounds, args, cwd):
    runs = [run(args, cwd) for _ in range(rounds)]
    return min(r[0] for r in runs), max(r[1] for r in runs)


def rules(folder, count, entries):
    """COUNT rules of many kinds over 50 list files; no rule overrules another, so that the proofs find no error."""
    draw = random.Random(1)
    lists = 50
    each = entries // lists
    text = ["edict 1", "profile { hostname mx.example.com local-domains [example.com] max-message-size 1 GiB }"]
    (folder / "lists").mkdir(parents=True)
    for at in range(lists):
        kind = ["address", "domain", "network"][at % 3]
        with open(folder / f"lists/{at}.txt", "w") as out:
            for n in range(each):
                if kind == "address":
                    out.write(f"user{n}@host{draw.randrange(10**6)}.list{at}.example\n")
                elif kind == "domain":
                    out.write(f"h{n}.list{at}.example\n")
                else:
                    out.write(f"{at + 10}.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}\n")
        text.append(f'list list-{at}: {kind} from "lists/{at}.txt"')
    for at in range(count):
        of = at % lists
        where = ["sender", "sender.domain", "client.ip"][of % 3] + f" in list-{of}"
        also = [
            f'subject contains "offer {at:05}"',
            f"recipient is person{at}@example.com",
            f"size > {at + 1} KiB and recipient is big{at}@example.com",
            f'header("X-Campaign") matches "c{at}-*"',
            f"sender is robot{at}@far.example",
            f"client.name is client{at}.example",
            f'attachment.name ends with ".x{at}"',
            f"helo is host{at}.example",
        ][at % 8]
        test = f"{where} and {also}" if at % 2 else also
        verb = ["reject", "discard", "hold", "defer"][at % 4]
        text.append(f'{verb} "rule {at}" {{ when {test} unless auth.user is "boss{at}" }}')
    (folder / "main.edict").write_text("\n".join(text) + "\n")


HEAD = "edict 1\nprofile { hostname mx.example.com local-domains [example.com] }\n"


def quota(n, test):
    return f'quota "q{n}" {{ per user at most {n + 1} messages per day when {test} }}\n'


def equals():
    """Rule sets in which any two rules could claim one message, and none do: their files by name."""
    people = [f"user{n}@host{n % 997}.example" for n in range(20_000)]
    yield "1,000 quotas by sender", {"main.edict": HEAD + "".join(quota(n, f"sender is u{n}@example.com") for n in range(1_000))}
    yield "1,000 quotas by login and size", {
        "main.edict": HEAD + "".join(quota(n, f'size > {n % 2} MiB and size <= {n % 2 + 1} MiB and auth.user is "u{n}@example.com"') for n in range(1_000))
    }
    yield "300 quotas by login, of senders in one list of 20,000", {
        # Who logs in may send as anybody: else no login of ours could be one of theirs.
        "main.edict": HEAD.replace("profile {", "profile { sender-must be-anything") + 'list people: address from "people.txt"\n' + "".join(quota(n, f'sender in people and auth.user is "u{n}@example.com"') for n in range(300)),
        "people.txt": "\n".join(people) + "\n",
    }
    disclaimer = 'disclaimer "d{0}" {{ when direction is outbound and sender is u{0}@example.com text """\nNumber {0}\n""" }}\n'
    yield "300 disclaimers by sender", {"main.edict": HEAD + "".join(disclaimer.format(n) for n in range(300))}
    route = 'relay x{0} {{ host x{0}.example:25 }}\nroute "r{0}" {{ when recipient is @c{0}.example via x{0} }}\n'
    yield "300 routes by recipient's domain", {"main.edict": HEAD + "".join(route.format(n) for n in range(300))}


def recipes():
    chapter = (ROOT / "docs/language.md").read_text().split("\n## Cookbook\n")[1].split("\n## ")[0]
    for recipe in chapter.split("\n### ")[1:]:
        files = {}
        for info, body in re.findall(r"^```([^\n]*)\n(.*?)^```$", recipe, re.M | re.S):
            files["main.edict" if info == "edict" else info.split()[1]] = body
        yield recipe.splitlines()[0], files


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--edict", default=str(ROOT / "target/release/edict"))
    arguments.add_argument("--rules", type=int, default=10_000)
    arguments.add_argument("--entries", type=int, default=1_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    edict = str(Path(given.edict).resolve())
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        rules(folder / "large", given.rules, given.entries)
        found["check --no-proofs"] = best(given.rounds, [edict, "check", "large", "--no-proofs", "--format", "short"], folder)
        found["check"] = best(given.rounds, [edict, "check", "large", "--format", "short"], folder)

        # Written line by line: the kernel counts the memory of whoever starts a process to that process too.
        (folder / "one").mkdir()
        draw = random.Random(2)
        with open(folder / "one/senders.txt", "w") as ours, open(folder / "senders", "w") as theirs:
            for n in range(given.entries):
                address = f"user{n}@host{draw.randrange(10**6)}.example"
                ours.write(address + "\n")
                theirs.write(address + " REJECT\n")
        (folder / "one/main.edict").write_text('edict 1\nlist senders: address from "senders.txt"\nreject "s" { when sender in senders }\n')
        found["build, one list"] = best(given.rounds, [edict, "build", "one", "-o", "one.table"], folder)
        (folder / "main.cf").write_text("compatibility_level = 3.6\n")
        types = subprocess.run(["postconf", "-c", str(folder), "-m"], capture_output=True, text=True).stdout.split()
        for kind in [k for k in ("cdb", "hash", "lmdb") if k in types]:
            # Postfix waits for a file that was written a moment ago.
            past = time.time() - 60
            os.utime(folder / "senders", (past, past))
            found[f"postmap {kind}"] = best(given.rounds, ["postmap", "-c", str(folder), f"{kind}:{folder}/senders"], folder)

        for at, (name, files) in enumerate(equals()):
            (folder / f"equals{at}").mkdir()
            for path, body in files.items():
                (folder / f"equals{at}" / path).write_text(body)
            found[f"check, {name}"] = best(given.rounds, [edict, "check", f"equals{at}", "--format", "short"], folder)

        slowest, count = (0.0, 0.0), 0
        for name, files in recipes():
            count += 1
            (folder / f"recipe{count}").mkdir()
            for path, body in files.items():
                (folder / f"recipe{count}" / path).write_text(body)
            slowest = max(slowest, best(given.rounds, [edict, "check", f"recipe{count}"], folder))
        found[f"check, slowest of {count} recipes"] = slowest
    if given.json:
        print(json.dumps({name: {"seconds": s, "mib": m} for name, (s, m) in found.items()}))
        return
    print("| what | seconds | peak MiB |\n|---|---|---|")
    for name, (seconds, mib) in found.items():
        print(f"| {name} | {seconds:.3f} | {mib:.0f} |")
    ours = found["build, one list"]
    for name in [n for n in found if n.startswith("postmap")]:
        print(f"| build, one list / {name} | {ours[0] / found[name][0]:.2f} | {ours[1] / found[name][1]:.2f} |")


if __name__ == "__main__":
    main()
