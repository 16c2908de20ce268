"""Verifies every DKIM signature of a message on standard input with dkimpy, an implementation that shares nothing
with ours. Keys come as arguments, `name=record`, in place of DNS. Prints `d=... pass` or `d=... fail` a signature."""

import sys
import dkim

records = {}
for argument in sys.argv[1:]:
    name, _, record = argument.partition("=")
    records[name.encode() + b"."] = record.encode()


def txt(name, timeout=5):
    return records.get(name)


message = sys.stdin.buffer.read()
fields = dkim.rfc822_parse(message)[0]
count = sum(1 for name, _ in fields if name.lower() == b"dkim-signature")
for index in range(count):
    checker = dkim.DKIM(message, minkey=1024)
    try:
        good = checker.verify(idx=index, dnsfunc=txt)
    except dkim.DKIMException as error:
        good = False
        print(error, file=sys.stderr)
    print("d=%s %s" % (checker.domain.decode(), "pass" if good else "fail"))
