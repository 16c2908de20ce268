"""The tools around a server: smtp-source, smtp-sink, processor time and memory of a process tree.

Everything listens on the loopback address, and every wait has an end.
"""

import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A server or a tool did not do what a measurement needs."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process, limit=30):
    """Until somebody greets there with 220."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Failed(f"{process.args[0]} ended with {process.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as s:
                s.settimeout(5)
                if s.recv(512).startswith(b"220"):
                    s.sendall(b"QUIT\r\n")
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise Failed(f"{process.args[0]} does not greet on port {port}")


class Sink:
    """smtp-sink; ends by itself after so many messages, or counts them where a server may be slow."""

    def __init__(self, messages=None, counting=False):
        self.port = free_port()
        self.count = 0
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        enough = ["-M", str(messages)] if messages else []
        self.process = subprocess.Popen(
            ["smtp-sink", "-m", "2000", *user, *(["-c"] if counting else []), *enough, f"127.0.0.1:{self.port}", "1024"],
            stdout=subprocess.PIPE if counting else subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise Failed("smtp-sink does not listen")

    def wait(self, limit):
        """True once it has every message. Where it counts, `count` is how many it has."""
        end = time.monotonic() + limit
        while self.process.poll() is None and time.monotonic() < end:
            self._read(0.05)
        self._read(0)
        return self.process.poll() is not None

    def _read(self, patience):
        if self.process.stdout is None:
            time.sleep(min(patience, 0.01))
            return
        while select.select([self.process.stdout], [], [], patience)[0]:
            text = os.read(self.process.stdout.fileno(), 65536)
            if not text:
                return
            numbers = re.findall(rb"mesg=(\d+)", text)
            if numbers:
                self.count = int(numbers[-1])

    def end(self):
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


class Source:
    """smtp-source at work."""

    def __init__(self, port, load):
        flags = ["-m", str(load.messages), "-s", str(min(load.sessions, load.messages)), "-l", str(load.size),
                 "-S", "Weekly report of the office", "-f", load.sender, "-t", load.to]
        if not load.reconnect:
            flags.append("-d")
        self.begun = time.monotonic()
        self.process = subprocess.Popen(["smtp-source", *flags, f"127.0.0.1:{port}"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def wait(self, limit):
        """Seconds until the last 250; none where they do not come in time."""
        try:
            _, errors = self.process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            self.end()
            return None
        if self.process.returncode != 0:
            raise Failed(f"smtp-source: {errors.strip()[:300]}")
        return time.monotonic() - self.begun

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


class Load:
    """What is sent."""

    def __init__(self, messages, sessions=50, size=4096, reconnect=False, sender="ann@example.org",
                 to="bob@elsewhere.example"):
        self.messages, self.sessions, self.size, self.reconnect = messages, sessions, size, reconnect
        self.sender, self.to = sender, to


def tree(root):
    """The process and all below it."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        parent = int(text.rsplit(")", 1)[1].split()[1])
        children.setdefault(parent, []).append(int(stat.parent.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(children.get(pid, []))
    return found


def cpu_seconds(root):
    """User and system time of a tree, of those that ended in it too."""
    total = 0
    for pid in tree(root):
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(field) for field in fields[11:15])
    return total / TICKS


def pss_mb(root):
    """Proportional share of memory of a tree, in MB of 1,000,000 bytes."""
    total = 0
    for pid in tree(root):
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        found = re.search(r"^Pss:\s+(\d+)", text, re.M)
        total += int(found[1]) if found else 0
    return total * 1024 / 1e6


class Memory(threading.Thread):
    """Looks at a tree's memory while it works."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root, self.peak, self.over = root, pss_mb(root), threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.2):
            self.peak = max(self.peak, pss_mb(self.root))

    def stop(self):
        self.over.set()
        self.join()
        self.peak = max(self.peak, pss_mb(self.root))
        return self.peak


def end_tree(process, patience=8):
    """Ends a server and whatever it started."""
    if process.poll() is None:
        below = tree(process.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            pass
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        process.wait()


class Folder:
    """A folder for one run, gone afterwards."""

    def __init__(self, scratch):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="edict-bench-", dir=scratch))
        self.path.chmod(0o755)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)
