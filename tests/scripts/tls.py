"""Logs in over STARTTLS and implicit TLS as a mail program does, and tries what must be refused.

tls.py SUBMISSION SUBMISSIONS MX CERTIFICATE OTHER_CERTIFICATE
"""

import base64
import smtplib
import socket
import ssl
import sys

submission, submissions, mx = (int(a) for a in sys.argv[1:4])
certificate, other = sys.argv[4:6]
PLAIN = base64.b64encode(b"\0alice@example.com\0correct horse").decode()


def context(cafile, newest=None):
    it = ssl.create_default_context(cafile=cafile)
    if newest:
        it.maximum_version = newest
    return it


def message(subject):
    return f"From: alice@example.com\r\nTo: bob@example.com\r\nSubject: {subject}\r\n\r\nhello\r\n"


# Without TLS there is no login, and without a login no mail.
with smtplib.SMTP("127.0.0.1", submission) as s:
    s.ehlo()
    assert s.has_extn("starttls") and not s.has_extn("auth"), s.esmtp_features
    assert s.docmd("AUTH", "PLAIN " + PLAIN)[0] == 538
    assert s.docmd("MAIL", "FROM:<alice@example.com>") == (530, b"5.7.0 log in first")
    try:
        s.login("alice@example.com", "correct horse")
        raise SystemExit("a login without TLS")
    except smtplib.SMTPNotSupportedError:
        pass
    # What was said before TLS counts for nothing after it.
    s.starttls(context=context(certificate))
    assert s.docmd("MAIL", "FROM:<alice@example.com>")[0] == 503
    s.ehlo()
    assert s.has_extn("auth") and not s.has_extn("starttls"), s.esmtp_features
    assert s.docmd("MAIL", "FROM:<alice@example.com>")[0] == 530
    wrong = s.docmd("AUTH", "PLAIN " + base64.b64encode(b"\0alice@example.com\0wrong").decode())
    nobody = s.docmd("AUTH", "PLAIN " + base64.b64encode(b"\0nobody@example.com\0wrong").decode())
    assert wrong == nobody and wrong[0] == 535, (wrong, nobody)
    s.login("alice@example.com", "correct horse")
    assert s.sendmail("alice@example.com", ["bob@example.com"], message("starttls")) == {}
    assert s.docmd("MAIL", "FROM:<bob@example.com>")[0] == 553, "another's address"

# CVE-2011-0411: what came in the clear behind STARTTLS is never obeyed.
with socket.create_connection(("127.0.0.1", mx)) as raw:
    lines = raw.makefile("rb")
    assert lines.readline().startswith(b"220 ")
    raw.sendall(b"EHLO client.example\r\n")
    while lines.readline()[3:4] == b"-":
        pass
    raw.sendall(b"STARTTLS\r\nNOOP injected\r\n")
    assert lines.readline().startswith(b"503 5.5.0 ")
    assert lines.readline() == b""

# TLS from the first byte, and the certificate of the name that is asked for.
for name, ca in (("mx.example.com", certificate), ("mail.other.example", other), ("any.wild.example", other)):
    with socket.create_connection(("127.0.0.1", submissions)) as raw:
        with context(ca).wrap_socket(raw, server_hostname=name) as tls:
            assert tls.recv(100).startswith(b"220 "), name
with smtplib.SMTP_SSL("127.0.0.1", submissions, context=context(certificate)) as s:
    s.login("alice@example.com", "correct horse")
    assert s.sendmail("alice@example.com", ["bob@example.com"], message("implicit")) == {}

# Whoever ends TLS without a QUIT gets the last word of TLS, so that nobody can be cut off unseen (RFC 8446 6.1).
with socket.create_connection(("127.0.0.1", submissions)) as raw:
    with context(certificate).wrap_socket(raw, server_hostname="mx.example.com") as tls:
        assert tls.recv(100).startswith(b"220 ")
        tls.unwrap()

# Strangers may encrypt on port 25, and are offered no login there.
with smtplib.SMTP("127.0.0.1", mx) as s:
    s.starttls(context=context(certificate))
    s.ehlo()
    assert not s.has_extn("auth"), s.esmtp_features
    assert s.sendmail("carl@elsewhere.example", ["bob@example.com"], message("stranger")) == {}

# The configuration asks for TLS 1.3.
try:
    smtplib.SMTP_SSL("127.0.0.1", submissions, context=context(certificate, ssl.TLSVersion.TLSv1_2))
    raise SystemExit("TLS 1.2 was spoken")
except (ssl.SSLError, ConnectionError):
    pass
