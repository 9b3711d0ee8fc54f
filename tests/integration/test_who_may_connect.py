"""Who gets through to Kafka and to the database at all: TLS, and a certificate of our authority."""

import contextlib
import re
import socket
import ssl
import struct
import subprocess
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import trustme
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.integration.services import Services

_ASKED = struct.pack(">ihhih", 10, 18, 0, 4711, -1)
"""ApiVersions, which a broker answers to anybody whom it lets in."""


def answer(services: Services, pair: tuple[Path, Path] | None, *, tls: bool = True) -> bytes:
    """Ask the broker which versions it knows; give its answer, empty where it hung up."""
    with contextlib.ExitStack() as stack:
        wire: socket.socket = stack.enter_context(
            socket.create_connection((services.kafka_host, services.kafka_port), timeout=10)
        )
        if tls:
            context = ssl.create_default_context(cafile=str(services.ca))
            if pair:
                context.load_cert_chain(*pair)
            wire = stack.enter_context(context.wrap_socket(wire, server_hostname=services.kafka_host))
        wire.sendall(_ASKED)
        return wire.recv(8)


def test_the_broker_answers_a_certificate_of_our_authority(services: Services, tmp_path: Path) -> None:
    (number,) = struct.unpack(">i", answer(services, services.issue(tmp_path, "agent"))[4:])
    assert number == 4711


@pytest.fixture(params=["none", "expired", "a server's", "of another authority"])
def wrong_pair(request: pytest.FixtureRequest, services: Services, tmp_path: Path) -> tuple[Path, Path] | None:
    if request.param == "none":
        return None
    if request.param == "expired":
        return services.issue(tmp_path, "agent", days=-1)
    if request.param == "a server's":
        # As the database has it, whose host may be taken.
        return services.issue(tmp_path, "init", usage=ExtendedKeyUsageOID.SERVER_AUTH)
    # With the very names of ours: what counts is who signed it.
    forged = trustme.CA(organization_name="webmon", organization_unit_name="webmon authority").issue_cert(
        "agent1", organization_name="webmon", organization_unit_name="agent", common_name="agent1"
    )
    certificate, key = tmp_path / "forged.pem", tmp_path / "forged.key"
    forged.cert_chain_pems[0].write_to_path(certificate)
    forged.private_key_pem.write_to_path(key)
    return certificate, key


def test_the_broker_refuses_every_other(services: Services, wrong_pair: tuple[Path, Path] | None) -> None:
    with pytest.raises(ssl.SSLError, match="alert"):
        answer(services, wrong_pair)


def test_the_broker_refuses_plain_text(services: Services) -> None:
    with contextlib.suppress(ConnectionResetError):
        told = answer(services, None, tls=False)
        # Nothing, or an alert of TLS: type 21.
        assert told[:1] in {b"", b"\x15"}, told


def test_the_database_refuses_plain_text_also_with_the_right_password(services: Services) -> None:
    place: dict[str, Any] = {
        "host": services.postgres_host,
        "port": services.postgres_port,
        "dbname": services.database,
        "user": services.owner,
        "password": services.owner_password,
    }
    psycopg2.connect(**place, sslmode="verify-full", sslrootcert=str(services.ca)).close()
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        psycopg2.connect(**place, sslmode="disable")


def tls_1_2(services: Services, server: str, pair: tuple[Path, Path], *options: str) -> str:
    """Try a server with TLS 1.2 and whatever is weak; give the suite, or why there is none."""
    place = {
        "kafka": [f"{services.kafka_host}:{services.kafka_port}"],
        "postgres": [f"{services.postgres_host}:{services.postgres_port}", "-starttls", "postgres"],
    }[server]
    command = [
        "openssl",
        "s_client",
        "-connect",
        *place,
        "-cert",
        str(pair[0]),
        "-key",
        str(pair[1]),
        "-tls1_2",
        *options,
    ]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
    found = re.search(r"Cipher is (\S+)", done.stdout)
    return found[1] if found and not done.returncode else done.stderr


@pytest.mark.parametrize("server", ["kafka", "postgres"])
def test_of_tls_1_2_neither_server_takes_cbc_or_sha_1(services: Services, tmp_path: Path, server: str) -> None:
    pair = services.issue(tmp_path, "agent")
    assert "GCM" in tls_1_2(services, server, pair)
    assert "handshake failure" in tls_1_2(services, server, pair, "-cipher", "ALL:!AESGCM:!CHACHA20:@SECLEVEL=0")
    sha_1 = tls_1_2(services, server, pair, "-sigalgs", "ECDSA+SHA1", "-cipher", "ALL:@SECLEVEL=0")
    assert "handshake failure" in sha_1
