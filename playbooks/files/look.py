"""Look at a host before anything is done to it, and print what was found as one line of JSON; nothing is changed.

    look.py ARGUMENTS

ARGUMENTS is JSON: `began` (the controller's seconds since the epoch), `names` (to be resolved), `reaches` (a list of
[host, port] to connect to), `listens` (ports of this host) and `files` (paths, to be compared with what they would
become). It runs on whatever Python a host has, from 3.5 on, so that one that is too old can be told.
"""

import contextlib
import glob
import hashlib
import json
import os
import platform
import shutil
import socket
import sys
import time

PATIENCE_SECS = 3
MOST_OF_FILE = 65536
LOOPBACKS = "0100007F", "00000000000000000000000001000000"
"""As /proc/net writes 127.0.0.1 and ::1."""
AUTHORITIES = "/etc/kafka/tls/ca.pem", "/etc/webmon/*/tls/ca.pem"
BROKER = "/etc/kafka/server.properties"
DIGITS = 3
"""Of a digest of a file with secrets: enough to see a change, too few to guess a password by."""


def system():
    """Give what os-release(5) says of the system."""
    found = {}
    for line in read("/etc/os-release").splitlines():
        name, _, value = line.partition("=")
        found[name] = value.strip("\"'")
    return {"id": found.get("ID", ""), "version": found.get("VERSION_ID", ""), "name": found.get("PRETTY_NAME", "")}


def read(path):
    """Give the text of a file, empty where there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(MOST_OF_FILE)
    except OSError:
        return ""


def digests(paths):
    """Give the beginning of the SHA-256 of each file that is there, in hexadecimal digits."""
    found = {}
    for path in paths:
        with contextlib.suppress(OSError), open(path, "rb") as file:
            found[path] = hashlib.sha256(file.read()).hexdigest()[:DIGITS]
    return found


def resolved(name):
    """Give why a name does not resolve, empty where it does."""
    try:
        socket.getaddrinfo(name, None)
    except OSError as error:
        return str(error.strerror or error)
    return ""


def reached(host, port):
    """Give why nothing answers there, empty where something does."""
    try:
        socket.create_connection((host, port), PATIENCE_SECS).close()
    except OSError as error:
        return str(error.strerror or error)
    return ""


def listening():
    """Give the ports that answer on more than the loopback: a database that is yet to be set up has it alone."""
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table, encoding="ascii") as file:
            for line in list(file)[1:]:
                _, local, _, state = line.split()[:4]
                address, _, port = local.rpartition(":")
                if state == "0A" and address not in LOOPBACKS:
                    ports.add(int(port, 16))
    return ports


def free(path):
    """Give the bytes that are free where a path is, or would be."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return shutil.disk_usage(path).free


def main():
    """Look."""
    asked = json.loads(sys.argv[1])
    paths = sorted(path for pattern in AUTHORITIES for path in glob.glob(pattern))
    found = {
        "began": asked["began"],
        "time": time.time(),
        "root": os.geteuid() == 0,
        "system": system(),
        "machine": platform.machine(),
        "python": list(sys.version_info[:2]),
        "systemd": os.path.isdir("/run/systemd/system"),
        "installed": os.path.exists("/opt/webmon/current") or os.path.exists("/opt/kafka/current"),
        "free": {path: free(path) for path in ("/opt/webmon", "/opt/kafka", "/var/lib")},
        "unresolved": {name: fault for name in asked["names"] for fault in [resolved(name)] if fault},
        "unreached": {
            "{}:{}".format(*place): fault for place in asked["reaches"] for fault in [reached(*place)] if fault
        },
        "listens": sorted(listening().intersection(asked["listens"])),
        "authorities": {path: read(path) for path in paths},
        "files": digests(asked["files"]),
        "signs": "\nMONITORING_MAC_KEY=" in read("/etc/webmon/agent/.env"),
        "kafka": read("/var/lib/kafka/data/meta.properties"),
        "quorum": [line for line in read(BROKER).splitlines() if line.startswith("controller.quorum.")],
    }
    print("LOOKED " + json.dumps(found))


if __name__ == "__main__":
    main()
