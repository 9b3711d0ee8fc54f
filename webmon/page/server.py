"""The HTTP listeners of the page: one thread with one loop serves both faces."""

import asyncio
import contextlib
import logging
import resource
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from webmon.daemon import threads
from webmon.errors import UserError
from webmon.page.protocol import options
from webmon.settings import Auth, CertificateAuth, HostPort

_FILES: Final = 16_384
"""Files and sockets that the process may have open: two faces with all their clients."""


@dataclass(frozen=True)
class Face:
    """What is served where."""

    app: ASGIApp
    socket: socket.socket
    auth: Auth | None = None


def bind(address: HostPort, variable: str) -> socket.socket:
    """Take the address of a setting; 0 takes a free port.

    Raises:
        UserError: it can't be had.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # asyncio sets TCP_NODELAY on connections whose protocol is named, and only there: without it each answer on a
    # connection that is kept waits 40 ms for the client's delayed acknowledgement.
    taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(address)
        taken.listen(1024)
    except OSError as error:
        taken.close()
        raise UserError(
            f"{variable}: {address}: {error.strerror or error}; right would be an address of ours"
        ) from error
    taken.setblocking(False)
    return taken


class Server:
    """Serves until it is stopped."""

    def __init__(self, faces: Sequence[Face]) -> None:
        """Take what is served; nothing is yet."""
        self._servers = [(uvicorn.Server(_config(face)), face.socket) for face in faces]
        self._thread = threads.Thread("pages", self._run)
        self._started = threading.Event()
        self.turned_at = time.monotonic()
        """When the loop last turned, by the monotonic clock."""

    def start(self) -> None:
        """Begin to serve; returns when connections are taken."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        # What a client does is no event; a bug of ours is.
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._thread.start()
        self._started.wait(10)

    def stop(self, timeout: float = 5.0) -> None:
        """Take no more connections, end what is being answered, and return."""
        for server, _ in self._servers:
            server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def clients(self) -> int:
        """How many connections there are."""
        return sum(len(server.server_state.connections) for server, _ in self._servers)

    @property
    def requests(self) -> int:
        """How many were answered since the start."""
        return sum(server.server_state.total_requests for server, _ in self._servers)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        turning = asyncio.create_task(self._turn())
        try:
            await asyncio.gather(*(server.serve(sockets=[taken]) for server, taken in self._servers))
        finally:
            turning.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await turning

    async def _turn(self) -> None:
        while True:
            self.turned_at = time.monotonic()
            if all(server.started for server, _ in self._servers):
                self._started.set()
            await asyncio.sleep(0.05 if not self._started.is_set() else 0.5)


def _config(face: Face) -> uvicorn.Config:
    tls: dict[str, Any] = {}
    if isinstance(face.auth, CertificateAuth):
        tls = {
            "ssl_certfile": face.auth.certificate,
            "ssl_keyfile": face.auth.key,
            "ssl_ca_certs": str(face.auth.authority),
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
        }
    config = uvicorn.Config(face.app, **options(), **tls)
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise UserError(
            f"PAGE_AUTH: {getattr(error, 'strerror', None) or error}; right would be PEM files: the operators' "
            "authority, our certificate and its key without a passphrase"
        ) from error
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config
