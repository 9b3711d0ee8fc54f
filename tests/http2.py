"""A server that speaks HTTP/2 where that was agreed on in the TLS handshake, and HTTP/1.1 where not."""

import socket
import ssl

import h2.config
import h2.connection
import h2.events

from tests.hostile import Behaviour, page


def by_alpn(connection: socket.socket) -> None:
    """Answer one request."""
    with_headers(("x-asked", "by-h2"))(connection)


def with_headers(*headers: tuple[str, str]) -> Behaviour:
    """Answer one request, over HTTP/2 with these headers, whether it has such or not."""

    def behave(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        if connection.selected_alpn_protocol() == "h2":
            _speak_h2(connection, headers)
        else:
            page(b"Welcome")(connection)

    return behave


def _speak_h2(connection: socket.socket, headers: tuple[tuple[str, str], ...]) -> None:
    protocol = h2.connection.H2Connection(
        h2.config.H2Configuration(client_side=False, validate_outbound_headers=False, normalize_outbound_headers=False)
    )
    protocol.initiate_connection()
    connection.sendall(protocol.data_to_send())
    while data := connection.recv(65536):
        for event in protocol.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                protocol.send_headers(event.stream_id, [(":status", "200"), *headers])
                protocol.send_data(event.stream_id, b"Welcome", end_stream=True)
        connection.sendall(protocol.data_to_send())
