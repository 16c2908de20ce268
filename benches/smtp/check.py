"""Whether a server applies the rules that it is given: asked once of each, before anything is measured."""

import smtplib
import socket
import socketserver
import threading
import time

from measure import Failed, Folder

#: How long a message may take to its next hop here.
PATIENCE = 20


class Catcher(socketserver.ThreadingTCPServer):
    """A next hop that remembers for whom it took mail."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        self.recipients = set()
        super().__init__(("127.0.0.1", 0), Session)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def has(self, recipient):
        end = time.monotonic() + PATIENCE
        while recipient not in self.recipients and time.monotonic() < end:
            time.sleep(0.05)
        return recipient in self.recipients

    def end(self):
        self.shutdown()
        self.server_close()


class Session(socketserver.StreamRequestHandler):
    """One connection: a server that says yes to everything."""

    def handle(self):
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        taken = []
        self.say("220 catcher.example ESMTP")
        for line in self.rfile:
            text = line.decode("latin-1").strip()
            verb = text[:4].upper()
            if verb == "RCPT":
                taken.append(text.split("<", 1)[1].split(">", 1)[0].lower())
            if verb == "DATA":
                self.say("354 go on")
                for more in self.rfile:
                    if more == b".\r\n":
                        break
                self.server.recipients.update(taken)
                taken = []
            if verb == "QUIT":
                return self.say("221 bye")
            self.say("250 ok")

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")


def send(port, sender="ann@example.org", to="bob@elsewhere.example", subject="x", text="x", source=None):
    with smtplib.SMTP("127.0.0.1", port, "client.example", 20, source) as client:
        client.sendmail(sender, [to], f"From: {sender}\nSubject: {subject}\n\n{text}\n")


def refuses(port, **mail):
    """Whether a server turns this mail away, at whatever stage."""
    try:
        send(port, **mail)
    except smtplib.SMTPResponseException as error:
        return 500 <= error.smtp_code
    except smtplib.SMTPRecipientsRefused:
        return True
    return False


def check_rules(kind, rules, options):
    """Fails where a server does not apply a kind of rules that it has words for."""
    with Folder(options.scratch) as folder:
        catcher = Catcher()
        server = kind(options, folder, rules)
        try:
            server.start(catcher.port)
            check(kind, server.port, catcher)
        finally:
            server.stop()
            catcher.end()


def check(kind, port, catcher):
    send(port)
    tries = {
        "mail": lambda: catcher.has("bob@elsewhere.example"),
        "senders": lambda: refuses(port, sender="user7@blocked7.example"),
        "networks": lambda: refuses(port, source=("127.9.9.9", 0)),
        "header patterns": lambda: refuses(port, subject="a cheap word7 late offer"),
        "body patterns": lambda: refuses(port, text="wire7 the whole amount"),
        "blind copies": lambda: send(port, sender="boss7@example.com") or catcher.has("archive7@example.net"),
        "aliases": lambda: send(port, to="team7@example.com") or catcher.has("member7@example.net"),
    }
    for what, holds in tries.items():
        if what not in kind.lacks and not holds():
            raise Failed(f"it does not apply its {what}")
