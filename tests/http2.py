"""A server that speaks HTTP/2 where that was agreed on in the TLS handshake, and HTTP/1.1 where not."""

import socket
import ssl
from collections.abc import Sequence

import h2.config
import h2.connection
import h2.events

from tests.hostile import Behaviour, page

_FRAME = 16 << 10
"""Bytes of the largest frame that all take."""


def by_alpn(connection: socket.socket) -> None:
    """Answer one request."""
    with_headers(("x-asked", "by-h2"))(connection)


def with_headers(*headers: tuple[str, str]) -> Behaviour:
    """Answer one request, over HTTP/2 with these headers, whether it has such or not."""
    return responding("200", headers, b"Welcome")


def responding(
    status: str, headers: Sequence[tuple[str, str]] = (), body: bytes | None = None, *, instead: Behaviour | None = None
) -> Behaviour:
    """Answer one request over HTTP/2 with just this.

    Args:
        status: of the response.
        headers: as they are sent.
        body: None: the headers end it all.
        instead: what is done where HTTP/1.1 was agreed on; None: a good page is sent.
    """

    def behave(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        if connection.selected_alpn_protocol() == "h2":
            _speak_h2(connection, [(":status", status), *headers], body)
        else:
            (instead or page(b"Welcome"))(connection)

    return behave


def _speak_h2(connection: socket.socket, headers: list[tuple[str, str]], body: bytes | None) -> None:
    protocol = h2.connection.H2Connection(
        h2.config.H2Configuration(client_side=False, validate_outbound_headers=False, normalize_outbound_headers=False)
    )
    protocol.initiate_connection()
    connection.sendall(protocol.data_to_send())
    while data := connection.recv(65536):
        for event in protocol.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                protocol.send_headers(event.stream_id, headers, end_stream=body is None)
                if body is not None:
                    frames = range(0, len(body), _FRAME)
                    for at in frames:
                        protocol.send_data(event.stream_id, body[at : at + _FRAME], end_stream=at == frames[-1])
        connection.sendall(protocol.data_to_send())
