"""Starts a program as systemd does with socket activation: activate.py NAME=ADDRESS:PORT... -- PROGRAM ARGUMENTS"""

import os
import socket
import sys

split = sys.argv.index("--")
names, sockets = [], []
for given in sys.argv[1:split]:
    name, place = given.split("=", 1)
    host, port = place.rsplit(":", 1)
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((host, int(port)))
    s.listen(50)
    # Away from where they are put in the end.
    sockets.append(os.dup2(s.fileno(), 100 + len(sockets)))
    names.append(name)
    s.close()
for place, fd in enumerate(sockets):
    os.dup2(fd, 3 + place, inheritable=True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)), LISTEN_FDNAMES=":".join(names))
os.execv(sys.argv[split + 1], sys.argv[split + 1:])
