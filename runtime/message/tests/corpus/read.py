"""Reads every edited message with Python's email package and compares it with the original.

Usage: read.py CORPUS RESULTS. Prints one line per fault and exits 1 if there is one.
"""

import email
import html
import pathlib
import re
import sys

corpus, results = map(pathlib.Path, sys.argv[1:3])
faults = []


def expectations(name):
    out = []
    for line in (corpus / f"{name}.expect").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition(": ")
            out.append((key, value))
    return out


def parts(message):
    """All parts by path; messages inside messages are not entered."""
    found = {}

    def enter(part, path):
        found[path or "0"] = part
        if part.is_multipart() and part.get_content_maintype() == "multipart":
            for number, child in enumerate(part.get_payload(), 1):
                enter(child, f"{path}.{number}" if path else str(number))

    enter(message, "")
    return found


def text(part):
    raw = part.get_payload(decode=True)
    charset = part.get_content_charset() or "us-ascii"
    if charset != "us-ascii":
        try:
            return raw.decode(charset, "replace")
        except LookupError:
            pass
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def visible(value):
    return re.sub(r"\s+", "", value)


def words(value, is_html):
    return visible(html.unescape(re.sub(r"<[^>]*>", "", value)) if is_html else value)


def compare(name):
    def fault(what):
        faults.append(f"{name}: {what}")

    old = email.message_from_bytes((corpus / f"{name}.eml").read_bytes())
    new = email.message_from_bytes((results / f"{name}.eml").read_bytes())
    wanted = (results / f"{name}.words").read_text(encoding="utf-8")
    expected = expectations(name)
    if ("result", "wrapped") in expected:
        wrapped(old, new, wanted, fault)
        return
    changes = dict(
        (value.split()[0], value.split()[1:]) for key, value in expected if key == "change"
    )
    before, after = parts(old), parts(new)
    if list(before) != list(after):
        return fault(f"parts {list(before)} became {list(after)}")
    for path, part in after.items():
        was = before[path]
        if len(part.defects) > len(was.defects):
            fault(f"{path}: defects {part.defects}")
        free = {"content-type", "content-transfer-encoding", "mime-version"} if path in changes else set()
        kept = [[(k, v) for k, v in p.items() if k.lower() not in free] for p in (was, part)]
        if kept[0] != kept[1]:
            fault(f"{path}: header fields changed")
        if path not in changes:
            if not part.is_multipart() and part.get_payload() != was.get_payload():
                fault(f"{path}: changed")
            continue
        charset, encoding = changes[path]
        checks = (
            ("charset", charset, part.get_content_charset(), was.get_content_charset()),
            ("encoding", encoding, part["content-transfer-encoding"], was["content-transfer-encoding"]),
        )
        for what, want, has, had in checks:
            if (has or "").lower() != ((had or "") if want == "-" else want).lower():
                fault(f"{path}: {what} is {has}, was {had}")
        inserted(path, was, part, wanted, expected, fault)


def inserted(path, was, part, wanted, expected, fault):
    is_html = part.get_content_type() == "text/html"
    old, new = text(was), text(part)
    line = max(map(len, part.get_payload().encode("utf-8", "surrogateescape").split(b"\n")))
    had = max(map(len, was.get_payload().encode("utf-8", "surrogateescape").split(b"\n")))
    if line > 999 and line > had:
        fault(f"{path}: a line of {line} bytes")
    flat_old, flat_new = visible(old), visible(new)
    size = len(flat_new) - len(flat_old)
    fits = [
        at
        for at in range(len(flat_old) + 1)
        if flat_new.startswith(flat_old[:at]) and flat_new[at + size :] == flat_old[at:]
    ]
    places = [at for at in fits if words(flat_new[at : at + size], is_html) == visible(wanted)]
    if not places and is_html:
        # Tags may straddle the insertion: compare what a reader sees.
        places = [at for at in fits if visible(wanted) in words(new, True)]
    if not places:
        return fault(f"{path}: the disclaimer is not what was put in")
    for key, value in expected:
        where, _, mark = value.partition(" ")
        if where != path:
            continue
        mark = visible(mark)
        if key == "before" and not any(flat_old[:at].endswith(mark) for at in places):
            fault(f"{path}: not behind {mark!r} but {flat_old[: places[-1]][-20:]!r}")
        if key == "after" and not any(flat_old[at:].startswith(mark) for at in places):
            fault(f"{path}: not before {mark!r} but {flat_old[places[-1] :][:20]!r}")


def wrapped(old, new, wanted, fault):
    if new.get_content_type() != "multipart/mixed" or len(new.get_payload()) != 2:
        return fault("not wrapped")
    first, second = new.get_payload()
    if visible(text(first)) != visible(wanted):
        fault("the first part is not the disclaimer")
    inner = second.get_payload()[0]
    for field in ("From", "To", "Subject", "Date", "Message-ID"):
        if new[field] != old[field] or inner[field] != old[field]:
            fault(f"{field} changed")
    if inner.as_bytes().split(b"\n\n", 1)[1].rstrip() != old.as_bytes().split(b"\n\n", 1)[1].rstrip():
        fault("the wrapped body changed")
    if new.defects or first.defects or second.defects:
        fault("defects")


names = sorted(path.stem for path in results.glob("*.eml"))
for name in names:
    compare(name)
print("\n".join(faults))
print(f"{len(names)} read, {len(faults)} faults")
sys.exit(1 if faults or not names else 0)
