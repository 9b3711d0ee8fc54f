"""The Kafka and the TimescaleDB that the integration tests run against, and certificates for them.

They are the test lab's (LAB_NAME; `make test` makes it), or those that the JSON file WEBMON_TEST_SERVICES names:
{"kafka": {"host", "port", "stop": [command], "start": [command], "freeze": ..., "thaw": ..., "kill": ...},
 "postgres": {"host", "port", "database", "user", "password"},
 "authority": {"certificate", "key", "passphrase"}}
"""

import contextlib
import dataclasses
import datetime
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.sockets import wait_for_port

ROOT = Path(__file__).parents[2]
_LAB_NETS = {"demo": "10.77.0", "test": "10.78.0", "faults": "10.76.0"}
_LAB_HARD = "$ ${HOME} '\"\\ #%"
"""What inventory/lab puts behind the database's passwords, so that each stands for the worst."""
COMMON_NAME = "integration"
"""Of every certificate that is made here."""


@dataclasses.dataclass(frozen=True)
class Services:
    """Where the two are, and what an administrator of them has."""

    kafka_host: str
    kafka_port: int
    broker_commands: dict[str, list[str]]
    """What does it to the broker: stop, start, freeze, thaw, kill."""
    postgres_host: str
    postgres_port: int
    database: str
    owner: str
    owner_password: str
    ca: Path
    ca_key: Path
    ca_passphrase: str | None

    def stop_broker(self) -> None:
        """Stop the broker in order."""
        self._broker("stop")

    def start_broker(self) -> None:
        """Start it again, and wait until it takes connections: on a busy machine that is half a minute."""
        self._broker("start")
        wait_for_port(self.kafka_port, 60, host=self.kafka_host)

    def kill_broker(self) -> None:
        """End it as a crash would (SIGKILL); it stays down until it is started."""
        self._broker("kill")

    @contextlib.contextmanager
    def frozen_broker(self) -> Iterator[None]:
        """Hold the broker (SIGSTOP): connections are accepted, as its kernel does that, and nothing is said."""
        self._broker("freeze")
        try:
            yield
        finally:
            self._broker("thaw")

    def _broker(self, what: str) -> None:
        subprocess.run(self.broker_commands[what], check=True, timeout=60)

    def client_arguments(self, certificate: Path, key: Path, ca: Path | None = None) -> dict[str, Any]:
        """Give what a client of kafka-python needs to reach the broker with a certificate."""
        return {
            "bootstrap_servers": f"{self.kafka_host}:{self.kafka_port}",
            "security_protocol": "SSL",
            "ssl_cafile": str(ca or self.ca),
            "ssl_certfile": str(certificate),
            "ssl_keyfile": str(key),
        }

    def issue(
        self,
        directory: Path,
        unit: str,
        *,
        days: float = 1,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    ) -> tuple[Path, Path]:
        """Make a key and a certificate of the lab's authority; its OU, and an agent's CN, say who that is to Kafka.

        With days below 0 it has expired.
        """
        authority = x509.load_pem_x509_certificate(self.ca.read_bytes())
        passphrase = self.ca_passphrase.encode() if self.ca_passphrase else None
        authority_key = serialization.load_pem_private_key(self.ca_key.read_bytes(), passphrase)
        assert isinstance(authority_key, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        attributes = [
            (NameOID.ORGANIZATION_NAME, "webmon"),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            (NameOID.COMMON_NAME, COMMON_NAME),
        ]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes]))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=30))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        return write_pair(directory, f"{unit}{days}", key, certificate)


def write_pair(
    directory: Path, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
) -> tuple[Path, Path]:
    """Write a certificate and its key as PEM; give their paths."""
    certificate_path, key_path = directory / f"{name}.pem", directory / f"{name}.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    key_path.chmod(0o600)
    return certificate_path, key_path


def find() -> Services:
    """Find the services; without any the tests fail, as a skipped one proves nothing."""
    if named := os.environ.get("WEBMON_TEST_SERVICES"):
        return _from_document(json.loads(Path(named).read_text(encoding="utf-8")))
    if name := os.environ.get("LAB_NAME"):
        return _of_lab(name)
    pytest.fail("LAB_NAME is not set: `make integration` runs these tests on the test lab", pytrace=False)


def _from_document(document: dict[str, Any]) -> Services:
    kafka, postgres, authority = document["kafka"], document["postgres"], document["authority"]
    return Services(
        kafka_host=kafka["host"],
        kafka_port=kafka["port"],
        broker_commands={what: kafka[what] for what in ("stop", "start", "freeze", "thaw", "kill")},
        postgres_host=postgres["host"],
        postgres_port=postgres["port"],
        database=postgres["database"],
        owner=postgres["user"],
        owner_password=postgres["password"],
        ca=Path(authority["certificate"]),
        ca_key=Path(authority["key"]),
        ca_passphrase=authority.get("passphrase"),
    )


def lab_password(lab: Path, role: str) -> str:
    """Give the password of a role (postgres-owner, postgres-sink, postgres-reader) in a lab's database."""
    return _secret(lab, role) + _LAB_HARD


def _secret(lab: Path, what: str) -> str:
    return (lab / "secrets" / what).read_text(encoding="utf-8").split()[0]


def _of_lab(name: str) -> Services:
    lab = Path(os.environ.get("LAB_ROOT", "/var/lib/webmon-lab")) / "labs" / name
    net = os.environ.get("LAB_NET") or _LAB_NETS[name]
    program = str(ROOT / "tests/lab/lab")

    commands = {
        "stop": "systemctl stop kafka",
        "start": "systemctl start kafka",
        "freeze": "systemctl kill -s STOP kafka",
        "thaw": "systemctl kill -s CONT kafka",
        # Stopped at once, or the unit would start it again in 5 s.
        "kill": "systemctl kill -s KILL kafka; systemctl stop kafka",
    }
    return Services(
        kafka_host=f"{net}.11",
        kafka_port=9093,
        broker_commands={what: [program, "ssh", "kafka1", command] for what, command in commands.items()},
        postgres_host=f"{net}.12",
        postgres_port=5432,
        database="webmon",
        owner="webmon_owner",
        owner_password=lab_password(lab, "postgres-owner"),
        ca=lab / "pki/ca.pem",
        ca_key=lab / "pki/ca.key",
        ca_passphrase=_secret(lab, "authority"),
    )
