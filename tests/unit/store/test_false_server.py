"""A server that is not the one that is meant gets nothing of the password."""

import contextlib
import hashlib
import socket
import ssl
import struct
import threading
from pathlib import Path
from typing import Self

import pytest
import trustme

from tests.unit.store.test_postgres import make_settings
from webmon.errors import UserError
from webmon.settings import ReportSettings, load
from webmon.store import postgres

CLEAR = struct.pack(">cii", b"R", 8, 3)
MD5 = struct.pack(">cii4s", b"R", 12, 5, b"salt")
SCRAM_ALONE = struct.pack(">cii15s", b"R", 23, 10, b"SCRAM-SHA-256\0\0")
"""AuthenticationCleartextPassword, ...MD5Password, and ...SASL without SCRAM-SHA-256-PLUS
(https://www.postgresql.org/docs/17/protocol-message-formats.html)."""
_WANTS_TLS = struct.pack(">ii", 8, 80877103)


class FalseServer:
    """Takes connections, with TLS where that is asked for, and asks each for the password in one way."""

    def __init__(self, authority: trustme.CA, asks: bytes) -> None:
        """Listen."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        self._asks = asks
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.asked = 0
        self.heard = b""
        """All that came after the question."""
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Be no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                plain = self._socket.accept()[0]
            except OSError:
                return
            with plain, contextlib.suppress(OSError):
                self._talk(plain)

    def _talk(self, wire: socket.socket) -> None:
        first = wire.recv(4096)
        if first == _WANTS_TLS:
            wire.sendall(b"S")
            wire = self._context.wrap_socket(wire, server_side=True)
            first = wire.recv(4096)
        if b"user" in first:
            self.asked += 1
            wire.sendall(self._asks)
            while said := wire.recv(4096):
                self.heard += said
        wire.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return str(path)


@pytest.mark.parametrize("asks", [CLEAR, MD5], ids=["clear", "md5"])
@pytest.mark.parametrize(
    ("mode", "binding"),
    [
        ("disable", "prefer"),
        ("prefer", "prefer"),
        ("require", "prefer"),
        ("verify-ca", "prefer"),
        # Of our own authority, for the right name: as a host has it that was taken.
        ("verify-full", "require"),
        ("require", "require"),
    ],
)
def test_a_false_server_that_asks_for_the_password_gets_nothing(
    authority: trustme.CA, ca_file: str, asks: bytes, mode: str, binding: str
) -> None:
    with FalseServer(authority, asks) as server:
        settings = make_settings(
            POSTGRES_HOST="127.0.0.1",
            POSTGRES_PORT=str(server.port),
            POSTGRES_SSL=mode,
            POSTGRES_CHANNEL_BINDING=binding,
            **({"POSTGRES_CA_CERTIFICATE": ca_file} if mode.startswith("verify") else {}),
        )
        with pytest.raises(UserError) as caught:
            postgres.connect(settings, application="test", autocommit=True)
    assert server.asked
    assert b"p" not in server.heard[:1], "no message of a password"
    assert b"hunter2" not in server.heard
    assert hashlib.md5(b"hunter2webmon_sink").hexdigest().encode() not in server.heard  # noqa: S324
    told = str(caught.value)
    assert "POSTGRES_CHANNEL_BINDING=require" in told if binding == "require" else f"POSTGRES_SSL={mode}" in told
    assert "hunter2" not in told


def test_nor_does_one_whose_scram_is_not_bound_where_it_must_be(authority: trustme.CA, ca_file: str) -> None:
    with FalseServer(authority, SCRAM_ALONE) as server:
        settings = make_settings(
            POSTGRES_HOST="127.0.0.1",
            POSTGRES_PORT=str(server.port),
            POSTGRES_SSL="verify-full",
            POSTGRES_CA_CERTIFICATE=ca_file,
            POSTGRES_CHANNEL_BINDING="require",
        )
        with pytest.raises(UserError, match="pooler in between"):
            postgres.connect(settings, application="test", autocommit=True)
    assert server.asked
    assert server.heard == b""


def test_a_server_that_is_known_by_its_certificate_may_ask_as_it_likes(authority: trustme.CA, ca_file: str) -> None:
    with FalseServer(authority, CLEAR) as server:
        settings = make_settings(
            POSTGRES_HOST="127.0.0.1",
            POSTGRES_PORT=str(server.port),
            POSTGRES_SSL="verify-full",
            POSTGRES_CA_CERTIFICATE=ca_file,
        )
        with pytest.raises(Exception, match="PostgreSQL at"):
            postgres.connect(settings, application="test", autocommit=True)
    assert b"hunter2" in server.heard, "managed services take tokens so"


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_binding_without_tls_is_a_fault_that_is_told_before(tmp_path: Path, mode: str) -> None:
    file = tmp_path / ".env"
    file.touch(0o600)
    file.write_text(
        "POSTGRES_HOST=h\nPOSTGRES_USER=u\nPOSTGRES_PASSWORD=p\nPOSTGRES_CHANNEL_BINDING=require\n"
        f"POSTGRES_SSL={mode}\n"
    )
    with pytest.raises(UserError, match=f"POSTGRES_CHANNEL_BINDING: is require, but POSTGRES_SSL is {mode}"):
        load(ReportSettings, file)
