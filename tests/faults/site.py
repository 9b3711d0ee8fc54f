"""The sites of the faults' targets, on web1: every path is a plain page, and each answer is noted.

    site.py PORT LOG FAILING

A path that stands on a line of the file FAILING is answered with 503. One line an answer: when the request was read and
when the answer was sent (seconds of the epoch), status, path, client. It tells what a site really did, so that a result
that says otherwise is known. Standard library only.
"""

import http.server
import sys
import threading
import time
from pathlib import Path
from typing import Final

BODY: Final = b"<html><body>Welcome</body></html>\n"


class Server(http.server.ThreadingHTTPServer):
    """Takes as many at once as come."""

    request_queue_size = 1024

    def __init__(self, port: int, log: Path, failing: Path) -> None:
        """Listen on a port; answers are noted in the log."""
        super().__init__(("", port), Site)
        self._failing = failing
        self._log = log.open("a", buffering=1, encoding="utf-8")
        self._lock = threading.Lock()

    def fails(self, path: str) -> bool:
        """Tell whether a site is to fail now."""
        return path in self._failing.read_text(encoding="utf-8").splitlines()

    def note(self, line: str) -> None:
        """Add a line to the log."""
        with self._lock:
            self._log.write(line)


class Site(http.server.BaseHTTPRequestHandler):
    """A page for every path."""

    def do_GET(self) -> None:
        """Answer, then note it."""
        began = time.time()
        assert isinstance(self.server, Server)
        status = 503 if self.server.fails(self.path) else 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)
        self.wfile.flush()
        self.server.note(f"{began:.6f} {time.time():.6f} {status} {self.path} {self.client_address[0]}\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """Say nothing: the log has it."""


if __name__ == "__main__":
    Server(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])).serve_forever()
