"""Logs in by SCRAM-SHA-256 (RFC 5802, RFC 7677), written anew out of Python's own primitives.

scram.py SUBMISSION CERTIFICATE USER PASSWORD

Prints what the challenges to the user and to nobody hold, salt and iterations, which must not change.
"""

import base64
import hashlib
import hmac
import os
import smtplib
import ssl
import sys

port, certificate, user, password = int(sys.argv[1]), *sys.argv[2:5]


def sign(key, text):
    return hmac.new(key, text.encode(), "sha256").digest()


def b64(data):
    return base64.b64encode(data).decode()


def login(name, secret):
    """The last reply, and what the server's first message held."""
    with smtplib.SMTP("127.0.0.1", port) as s:
        s.starttls(context=ssl.create_default_context(cafile=certificate))
        s.ehlo()
        assert "SCRAM-SHA-256" in s.esmtp_features["auth"], s.esmtp_features
        bare = f"n={name},r={b64(os.urandom(12))}"
        code, text = s.docmd("AUTH", "SCRAM-SHA-256 " + b64(f"n,,{bare}".encode()))
        assert code == 334, (code, text)
        first = base64.b64decode(text).decode()
        parts = dict(part.split("=", 1) for part in first.split(","))
        assert parts["r"].startswith(bare.split("r=")[1]) and len(parts["r"]) > 30, first
        salted = hashlib.pbkdf2_hmac("sha256", secret.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
        client = sign(salted, "Client Key")
        without_proof = f"c=biws,r={parts['r']}"
        signed = f"{bare},{first},{without_proof}"
        signature = sign(hashlib.sha256(client).digest(), signed)
        proof = b64(bytes(a ^ b for a, b in zip(client, signature)))
        code, text = s.docmd(b64(f"{without_proof},p={proof}".encode()))
        if code == 334:
            # The server must prove that it knows the password, too.
            assert base64.b64decode(text).decode() == "v=" + b64(sign(sign(salted, "Server Key"), signed))
            code, text = s.docmd("")
        if code == 235:
            to = ["bob@example.com"]
            assert s.sendmail(name, to, f"From: {name}\r\nSubject: scram\r\n\r\nhello\r\n") == {}
        return (code, text), parts


assert login(user, password)[0][0] == 235
wrong, known = login(user, password + "!")
nobody, unknown = login("nobody@example.com", password)
assert wrong == nobody and wrong[0] == 535, (wrong, nobody)
# Nobody's challenge looks like somebody's, and is the same each time.
assert known["i"] == unknown["i"] and len(known["s"]) == len(unknown["s"]), (known, unknown)
assert login("nobody@example.com", password)[1]["s"] == unknown["s"] != known["s"]
assert login(user, password)[1]["s"] == known["s"]
# A wrong password and a user who is not there get the same words by every mechanism.
for mechanism in ("PLAIN", "LOGIN"):
    told = set()
    for name, secret in ((user, password + "!"), ("nobody@example.com", password)):
        with smtplib.SMTP("127.0.0.1", port) as s:
            s.starttls(context=ssl.create_default_context(cafile=certificate))
            s.ehlo()
            if mechanism == "PLAIN":
                told.add(s.docmd("AUTH", "PLAIN " + b64(f"\0{name}\0{secret}".encode())))
            else:
                begin = s.docmd("AUTH", "LOGIN"), s.docmd(b64(name.encode()))
                told.add((begin, s.docmd(b64(secret.encode()))))
    assert len(told) == 1 and wrong in (told | {t[1] for t in told}), (mechanism, told)
for parts in (known, unknown):
    print(parts["s"], parts["i"])
