#!/usr/bin/python3 -IS
"""Has the waiting process (server.py) run the module of Ansible's on standard input, in this one's place.

What is not sent in Ansible's way (a program with arguments), or comes before there is such a process, the host's own
Python runs. Root's first call starts it.
"""

import _socket  # not socket: that takes longer to load than all of this
import os
import sys

PYTHON = "/usr/bin/python3"
SERVER = "/usr/local/lib/warm-python/server.py"
SOCKET = "/run/warm-python"
KILLED = 137
"""Exit status for a module whose process was killed."""


def connected() -> "_socket.socket | None":
    """Connect to the waiting process; where there is none, have root start it for the next call, and give None."""
    waiting = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        waiting.connect(SOCKET)
    except OSError:
        if os.geteuid() == 0:
            start = ["/usr/bin/systemd-run", "--quiet", "--collect", "--unit=warm-python", PYTHON, SERVER, SOCKET]
            null = [(os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0) for number in (0, 1, 2)]
            os.waitpid(os.posix_spawn(start[0], start, os.environ, file_actions=null), 0)
        return None
    return waiting


def place() -> bytes:
    """Give directory, mask for new files and environment of this process, each with a NUL behind it."""
    try:
        directory = os.getcwdb()  # noqa: PTH109 a Path takes too long
    except OSError:
        directory = b"/"  # another user's; Ansible has its own way out too
    variables = (name + b"=" + value for name, value in os.environb.items())
    return b"".join(part + b"\0" for part in (directory, b"%d" % os.umask(0), *variables))


waiting = None if sys.argv[1:] else connected()
if waiting is None:
    os.execv(PYTHON, [PYTHON, *sys.argv[1:]])  # noqa: S606 it is in that one's place
ours = place()
descriptors = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
waiting.sendmsg([len(ours).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
waiting.sendall(ours)
status = waiting.recv(1)
os._exit(status[0] if status else KILLED)
