"""The HTTP server of a component: /metrics for Prometheus, /healthz for whoever asks whether it lives."""

import contextlib
import logging
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep, thread_time
from typing import Any, Final

from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from webmon.daemon import threads
from webmon.settings import HostPort

_log = logging.getLogger(__name__)

_CLIENT_SECS: Final = 5.0
"""How long a client may take for its request: one that says nothing must not hold a thread."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Log what went wrong with a request; a client that hangs up in the middle is no event."""
        if not isinstance(sys.exc_info()[1], OSError):
            _log.exception("a bug in webmon: %s got no answer", client_address[0])


class _Family(Collector):
    """One family of metrics, as generate_latest wants it."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


def _exposition(metrics: Collector) -> list[bytes]:
    """Give the text of all families, each made by itself: 5,000 targets at once would take 40 MB for a moment.

    Python runs one thread at a time, and thousands of targets take a good part of a second: after each family others
    have as much time as it took, or checks would be late by all of it, and their times too long.
    """
    texts, worked = [], thread_time()
    for family in metrics.collect():
        texts.append(generate_latest(_Family(family)))
        sleep(thread_time() - worked)
        worked = thread_time()
    return texts


class Listener:
    """Serves until it is stopped, in threads of its own."""

    def __init__(
        self,
        address: HostPort,
        metrics: Collector,
        is_healthy: Callable[[], bool],
        state: Callable[[], str] = lambda: "",
    ) -> None:
        """Take a port and begin; 0 takes a free one.

        Args:
            address: one of ours, and the port.
            metrics: what /metrics shows.
            is_healthy: whether /healthz answers 200, else 503.
            state: what /healthz says beside that, in one line.

        Raises:
            OSError: the address cannot be had.
        """

        class Handler(BaseHTTPRequestHandler):
            timeout = _CLIENT_SECS
            server_version = "webmon"
            sys_version = ""

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, _exposition(metrics), CONTENT_TYPE_PLAIN_0_0_4)
                elif path == "/healthz":
                    healthy = is_healthy()
                    text = "\n".join(["ok" if healthy else "not well", *filter(None, [state()])]) + "\n"
                    self._answer(200 if healthy else 503, [text.encode()], "text/plain; charset=utf-8")
                else:
                    self._answer(404, [b"/metrics and /healthz are here\n"], "text/plain")

            def _answer(self, status: int, body: Sequence[bytes], kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(sum(map(len, body))))
                self.end_headers()
                for part in body:
                    self.wfile.write(part)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base's name)
                """A scrape is no event."""

        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        kind = type("Server", (_Server,), {"address_family": family})
        self._server: ThreadingHTTPServer = kind(address, Handler)
        self.port: int = self._server.server_address[1]
        threads.Thread("listener", self._server.serve_forever).start()

    def close(self) -> None:
        """Take no more requests."""
        with contextlib.suppress(OSError):
            # Wakes the server, which would look for its end twice a second only.
            self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._server.server_close()


def listen(
    address: HostPort | None,
    variable: str,
    metrics: Collector,
    is_healthy: Callable[[], bool],
    state: Callable[[], str],
) -> Listener | None:
    """Serve at the address of a setting; where it cannot be had, log why and go on without.

    Args:
        address: None where the setting is off.
        variable: the setting's name.
        metrics, is_healthy, state: as Listener takes them.
    """
    if address is None:
        return None
    try:
        return Listener(address, metrics, is_healthy, state)
    except OSError as error:
        # No site may go unwatched, and no result unstored, for that.
        _log.error("no metrics: %s is %s: %s", variable, address, error.strerror or error)
        return None
