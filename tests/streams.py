"""What servers of streams and WebSockets say, for tests/hostile.py's server, down to the single byte."""

import base64
import hashlib
import socket
import ssl
import time
from collections.abc import Callable

from tests.hostile import Behaviour, hang, hear, server_context

GREETING = {"smtp": b"220 mail.example ESMTP\r\n", "imap": b"* OK ready\r\n", "pop3": b"+OK ready\r\n"}
_CAPABILITIES = {
    "smtp": b"250-mail.example\r\n250 STARTTLS\r\n",
    "imap": b"* CAPABILITY IMAP4rev1 STARTTLS\r\nTAG OK\r\n",
    "pop3": b"+OK\r\nSTLS\r\n.\r\n",
}
_GO_AHEAD = {"smtp": b"220 go\r\n", "imap": b"TAG OK go\r\n", "pop3": b"+OK go\r\n"}


def say(*parts: bytes, then: Behaviour | None = hang) -> Behaviour:
    """Say something at once, and go on as told; None: close."""

    def behave(connection: socket.socket) -> None:
        for part in parts:
            connection.sendall(part)
        if then is not None:
            then(connection)

    return behave


def drop_by_drop(drop: bytes, seconds: float = 0.02) -> Behaviour:
    """Say a drop now and then, for much longer than a test takes."""

    def behave(connection: socket.socket) -> None:
        for _ in range(500):
            connection.sendall(drop)
            time.sleep(seconds)

    return behave


def without_end(chunk: bytes) -> Behaviour:
    """Say a chunk again and again, as fast as it is read."""

    def behave(connection: socket.socket) -> None:
        while True:
            connection.sendall(chunk)

    return behave


def turns(*turns: tuple[bytes, bytes], heard: list[bytes] | None = None) -> Behaviour:
    """Answer each thing that is awaited, and then hear what else comes until the client leaves."""

    def behave(connection: socket.socket) -> None:
        came = b""
        for awaited, answer in turns:
            while awaited not in came:
                part = connection.recv(65536)
                if not part:
                    return
                came += part
            if heard is not None:
                heard.append(came)
            came = b""
            connection.sendall(answer)
        while part := connection.recv(65536):
            if heard is not None:
                heard.append(part)

    return behave


def goes_over_to_tls(
    before: Behaviour | None = None, context: Callable[[], ssl.SSLContext] = server_context, then: Behaviour = hang
) -> Behaviour:
    """Do something in plain, and go on by TLS."""

    def behave(connection: socket.socket) -> None:
        if before is not None:
            before(connection)
        with context().wrap_socket(connection, server_side=True) as secure:
            then(secure)

    return behave


def mail(
    kind: str,
    *,
    greeting: bytes | None = None,
    capabilities: bytes | None = None,
    go_ahead: bytes | None = None,
    context: Callable[[], ssl.SSLContext] = server_context,
    heard: list[bytes] | None = None,
) -> Behaviour:
    """Be a mail server up to STARTTLS and what is asked after it; the tag of a command stands as TAG."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(GREETING[kind] if greeting is None else greeting)
        for answer in (capabilities or _CAPABILITIES[kind], go_ahead or _GO_AHEAD[kind]):
            if not (asked := connection.recv(65536)):
                return
            connection.sendall(answer.replace(b"TAG", asked.split()[0]))
        with context().wrap_socket(connection, server_side=True) as secure:
            while asked := secure.recv(65536):
                if heard is not None:
                    heard.append(asked)
                if b"QUIT" not in asked and b"LOGOUT" not in asked:
                    secure.sendall(_CAPABILITIES[kind].replace(b"TAG", asked.split()[0]))

    return behave


def upgraded(
    then: Behaviour = hang,
    *,
    said: bytes = b"",
    status: bytes = b"101 Switching Protocols",
    accept: bytes | None = None,
    headers: bytes = b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    requests: list[bytes] | None = None,
) -> Behaviour:
    """Go over to WebSocket; `said` stands in the same packet."""

    def behave(connection: socket.socket) -> None:
        if not (request := hear(connection)):
            return
        if requests is not None:
            requests.append(request)
        lines = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:] if b": " in line)
        digest = hashlib.sha1(
            lines[b"Sec-WebSocket-Key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False
        )
        proof = base64.b64encode(digest.digest()) if accept is None else accept
        connection.sendall(b"HTTP/1.1 %b\r\n%bSec-WebSocket-Accept: %b\r\n\r\n%b" % (status, headers, proof, said))
        then(connection)

    return behave


def frame(payload: bytes, opcode: int = 1, *, ends: bool = True) -> bytes:
    """Write a frame as a server does: unmasked (RFC 6455, 5.2)."""
    first = bytes([opcode | (0x80 if ends else 0)])
    if len(payload) < 126:
        return first + bytes([len(payload)]) + payload
    return first + b"\x7f" + len(payload).to_bytes(8) + payload


def read_frame(connection: socket.socket) -> tuple[int, bytes]:
    """Read a frame of a client: its opcode, and what is in it."""
    first, second = _exactly(connection, 2)
    length = second & 0x7F
    if length == 126:
        length = int.from_bytes(_exactly(connection, 2))
    elif length == 127:
        length = int.from_bytes(_exactly(connection, 8))
    mask = _exactly(connection, 4)
    return first & 0x0F, bytes(byte ^ mask[at % 4] for at, byte in enumerate(_exactly(connection, length)))


def _exactly(connection: socket.socket, count: int) -> bytes:
    came = bytearray()
    while len(came) < count:
        if not (part := connection.recv(count - len(came))):
            raise ConnectionError(f"{len(came)} of {count} bytes")
        came += part
    return bytes(came)
