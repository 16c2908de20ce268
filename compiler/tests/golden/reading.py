#!/usr/bin/env python3
"""Prints every golden case as somebody meets it who did not write it: the files, and what `edict check` says of them.

    cargo build -p edict
    compiler/tests/golden/reading.py target/debug/edict readings.txt readings.key

The cases are numbered, since their names tell the cause: the key says which number is which. READING.md holds what
readers made of them.
"""

import os
import pathlib
import subprocess
import sys
import tempfile


def files(text):
    """The files of a case, in the form that golden.rs reads: path, text, and what it is besides a file of UTF-8."""
    out, path, body = [], "main.edict", ""
    for line in text.splitlines(keepends=True):
        if line.startswith("=== "):
            if path != "main.edict" or body:
                out.append((path, body))
            path, body = line[4:].strip(), ""
        else:
            body += line
    out.append((path, body))
    kinds = [" latin-1", " named pipe"]
    for path, body in out:
        kind = next((kind for kind in kinds if path.endswith(kind)), "")
        yield path.removesuffix(kind), body, kind.strip()


def case(edict, text):
    """A case as a reader sees it."""
    shown = []
    with tempfile.TemporaryDirectory() as folder:
        for path, body, kind in files(text):
            place = pathlib.Path(folder, "rules", path)
            place.parent.mkdir(parents=True, exist_ok=True)
            if kind == "named pipe":
                os.mkfifo(place)
            else:
                place.write_bytes(body.encode("latin-1" if kind else "utf-8"))
            shown.append(f"file rules/{path}{f' ({kind})' if kind else ''}:\n\n{body.rstrip()}\n")
        done = subprocess.run([edict, "check", "rules"], cwd=folder, capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).rstrip()
    return "\n".join(shown) + f"\n$ edict check rules\n\n{said}\n"


def main():
    edict, out, key = sys.argv[1:4]
    edict = os.path.abspath(edict)
    cases = sorted(pathlib.Path(__file__).parent.glob("*.edict"))
    with open(out, "w", encoding="utf-8") as text, open(key, "w", encoding="utf-8") as names:
        for number, path in enumerate(cases, 1):
            body = path.read_bytes().decode("utf-8")
            text.write(f"{'=' * 100}\nCase {number}\n{'=' * 100}\n\n{case(edict, body)}\n\n")
            names.write(f"{number} {path.stem}\n")


main()
