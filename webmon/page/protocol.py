"""HTTP/1.1 with a bound on the time that one client may take: uvicorn itself has none before a request is whole."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECS: Final = 15.0
"""From the first byte that we wait for to a request that is whole and an answer that was taken."""
IDLE_SECS: Final = 75
"""Between two requests of one connection; longer than a proxy's own bound, so that none sends into a closed one."""
MOST_CLIENTS: Final = 4000
"""Connections at once; past it each gets 503. One costs some 20 KB."""
HEAD_BYTES: Final = 16 * 1024
"""Of a request's first line and fields."""
_UNTAKEN_BYTES: Final = 256 * 1024
"""Of answers that a client does not take: past it we stop to make more."""


class BoundedProtocol(H11Protocol):
    """One client: where a request and its answer are not done in time, the connection ends."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to count with the connection: who connects and says nothing is slow, too."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_UNTAKEN_BYTES)
        certificate = transport.get_extra_info("peercert")
        if certificate:
            self.app_state = {**self.app_state, "certificate_name": common_name(certificate)}
        self._begin()

    def data_received(self, data: bytes) -> None:
        """Go on with the bound that runs, or begin one with a request that follows another."""
        if self._deadline is None:
            self._begin()
        super().data_received(data)

    def on_response_complete(self) -> None:
        """Wait for the next request; the rest of this one, and an answer that is not taken yet, still have their bound."""
        is_whole = self.conn.their_state is not h11.SEND_BODY
        if is_whole:
            self._end()
        super().on_response_complete()
        if is_whole and self._is_waited_for():
            self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count no more."""
        self._end()
        super().connection_lost(exc)

    def _begin(self) -> None:
        self._end()
        self._deadline = self.loop.call_later(REQUEST_SECS, self._give_up)

    def _end(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._is_waited_for():
            self.transport.abort()

    def _is_waited_for(self) -> bool:
        """Tell whether the client still owes something: the rest of a request, or to take an answer."""
        is_idle = self.timeout_keep_alive_task is not None and self.conn.their_state is not h11.SEND_BODY
        return not is_idle or self.transport.get_write_buffer_size() > 0


def common_name(certificate: Mapping[str, Any]) -> str:
    """Give the common name of a client's certificate, as ssl.SSLSocket.getpeercert() has it; empty where none is."""
    names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
    return str(names[-1]) if names else ""


def options() -> dict[str, Any]:
    """Give what both listeners tell uvicorn: our bounds, no log of its own, nothing believed of X-Forwarded-*."""
    return {
        "http": BoundedProtocol,
        "ws": "none",
        "lifespan": "off",
        "loop": "asyncio",
        "log_config": None,
        "access_log": False,
        "proxy_headers": False,
        "server_header": False,
        "h11_max_incomplete_event_size": HEAD_BYTES,
        "timeout_keep_alive": IDLE_SECS,
        "timeout_graceful_shutdown": 2,
        "limit_concurrency": MOST_CLIENTS,
        "backlog": 1024,
    }
