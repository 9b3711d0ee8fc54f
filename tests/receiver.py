"""An HTTP receiver for alarms that does what receivers do: takes them, refuses, is slow, hangs, cuts off."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self


@dataclass(frozen=True)
class Request:
    """What came."""

    path: str
    headers: Mapping[str, str]
    """By names in small letters."""
    body: bytes
    at: float = 0.0
    """When, in Unix time."""


Behaviour = Callable[["_Handler"], None]


def status(code: int, headers: Mapping[str, str] | None = None, body: bytes = b"said\nmore") -> Behaviour:
    """Answer so."""

    def answer(handler: "_Handler") -> None:
        handler.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def hang(handler: "_Handler") -> None:
    """Say nothing."""
    handler.receiver.over.wait()


def cut(handler: "_Handler") -> None:
    """Close the connection without an answer."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def cut_in_body(handler: "_Handler") -> None:
    """Say 200, and close in the middle of what follows."""
    status(200, {"Content-Length": "1000"}, b"half")(handler)
    handler.close_connection = True


def hang_in_body(handler: "_Handler") -> None:
    """Say 200, and no more of what should follow."""
    status(200, {"Content-Length": "1000"}, b"half")(handler)
    handler.receiver.over.wait()


def drip(handler: "_Handler") -> None:
    """Send a byte of headers now and then, and never all of them."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not handler.receiver.over.wait(0.05):
        handler.wfile.write(b"x")
        handler.wfile.flush()


TAKEN: Final = status(200, body=b"thanks")


class Receiver:
    """Receives on loopback; each request is answered by the next behaviour, or taken where there is none."""

    def __init__(self, *behaviours: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        """Take how it answers, and its TLS."""
        self.requests: list[Request] = []
        self.behaviours = list(behaviours)
        self.over = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.receiver = self
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: Receiver

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever was cut off, or did not want our certificate, is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    @property
    def receiver(self) -> Receiver:
        return self.server.receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.receiver.requests.append(Request(self.path, headers, body, time.time()))
        behaviours = self.receiver.behaviours
        (behaviours.pop(0) if behaviours else TAKEN)(self)

    do_GET = do_POST  # noqa: N815 (http.server calls it so)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """Tests look at requests."""
