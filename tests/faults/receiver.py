"""The receiver of alarms, on web1: it takes every message, and notes it.

    receiver.py PORT LOG

One line a message, as JSON: when it came (seconds of the epoch), from which address, to which path, and the message.
Standard library only.
"""

import http.server
import json
import sys
import threading
import time
from pathlib import Path


class Server(http.server.ThreadingHTTPServer):
    """Takes as many at once as come."""

    def __init__(self, port: int, log: Path) -> None:
        """Listen on a port; messages are noted in the log."""
        super().__init__(("", port), Receiver)
        self._log = log.open("a", buffering=1, encoding="utf-8")
        self._lock = threading.Lock()

    def note(self, line: str) -> None:
        """Add a line to the log."""
        with self._lock:
            self._log.write(line)


class Receiver(http.server.BaseHTTPRequestHandler):
    """A receiver for every path."""

    def do_POST(self) -> None:
        """Note it, then answer: what was taken is noted."""
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        noted = {"at": time.time(), "from": self.client_address[0], "to": self.path.strip("/"), "message": message}
        assert isinstance(self.server, Server)
        self.server.note(json.dumps(noted) + "\n")
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """Say nothing: the log has it."""


if __name__ == "__main__":
    Server(int(sys.argv[1]), Path(sys.argv[2])).serve_forever()
