"""What a managed Kafka hands out is judged before any host gets it: file by file, with what would be right."""

import dataclasses
import datetime
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tests.unit.filters import load

CERTIFICATE = "in PEM (it begins with -----BEGIN CERTIFICATE-----)"
KEY = "right would be the private key of service.cert, without a passphrase, in PEM"


plugin = load("provided")


@dataclasses.dataclass(frozen=True)
class Handed:
    """The three files of a service, in a directory."""

    directory: Path
    authority: trustme.CA

    def path(self, name: str) -> Path:
        """Give the path of one."""
        return self.directory / name

    def issue(self, authority: trustme.CA, *, days: float = 90) -> None:
        """Hand out a certificate and its key."""
        now = datetime.datetime.now(datetime.UTC)
        issued = authority.issue_cert(
            "client",
            not_before=now - datetime.timedelta(days=100),
            not_after=now + datetime.timedelta(days=days),
        )
        self.path("service.cert").write_bytes(issued.cert_chain_pems[0].bytes())
        self.path("service.key").write_bytes(issued.private_key_pem.bytes())

    def faults(self) -> list[str]:
        """Judge them."""
        found: list[str] = plugin.provided_faults(str(self.directory))
        return found


@pytest.fixture
def handed(tmp_path: Path) -> Handed:
    """What a service hands out, without a fault."""
    made = Handed(tmp_path, trustme.CA())
    made.authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    made.issue(made.authority)
    return made


def test_what_fits_has_no_fault(handed: Handed) -> None:
    assert handed.faults() == []


def test_what_is_not_there_is_told_file_by_file(handed: Handed) -> None:
    handed.path("ca.pem").unlink()
    handed.path("service.key").unlink()
    authority, key = handed.faults()
    assert authority == (
        f"{handed.path('ca.pem')} is missing; right would be the certificate of the service's authority, as the "
        "managed service hands it out"
    )
    assert key.startswith(f"{handed.path('service.key')} is missing; right would be the private key of service.cert")


@pytest.mark.parametrize("name", ["ca.pem", "service.cert", "service.key"])
@pytest.mark.parametrize(
    ("content", "fault"),
    [("", "is empty"), ("\n \n", "is empty"), ("not a PEM\n", "is no PEM"), ("\0\xff", "is no PEM")],
)
def test_what_is_no_pem_is_told_with_what_would_be_right(handed: Handed, name: str, content: str, fault: str) -> None:
    handed.path(name).write_text(content)
    (told,) = handed.faults()
    assert told.startswith(f"{handed.path(name)} {fault}; right would be ")
    assert ("-----BEGIN PRIVATE KEY-----" if name == "service.key" else "-----BEGIN CERTIFICATE-----") in told


def test_a_certificate_and_a_key_in_each_others_place_are_told(handed: Handed) -> None:
    certificate, key = handed.path("service.cert"), handed.path("service.key")
    before = certificate.read_text(), key.read_text()
    certificate.write_text(before[1])
    key.write_text(before[0])
    assert handed.faults() == [
        f"{certificate} holds a private key; right would be our certificate for the service, {CERTIFICATE}",
        f"{key} holds a CERTIFICATE; {KEY} (it begins with -----BEGIN PRIVATE KEY-----)",
    ]


@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_an_encrypted_key_is_told_with_how_to_decrypt_it(handed: Handed, form: serialization.PrivateFormat) -> None:
    path = handed.path("service.key")
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"a passphrase"))
    )
    (told,) = handed.faults()
    assert told.startswith(f"{path} is encrypted; {KEY}")
    assert "openssl pkey -in service.key -out FILE" in told


def test_damage_is_told_by_the_file_that_has_it(handed: Handed) -> None:
    for name in ("ca.pem", "service.cert"):
        path = handed.path(name)
        path.write_text(path.read_text()[:200] + "\n-----END CERTIFICATE-----\n")
    assert [told.partition(";")[0] for told in handed.faults()] == [
        f"{handed.path(name)} is damaged: its PEM can't be read" for name in ("ca.pem", "service.cert")
    ]


def test_a_damaged_key_is_told_without_anything_of_it(handed: Handed) -> None:
    path = handed.path("service.key")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:-4], lines[-1]]) + "\n")
    (told,) = handed.faults()
    assert told.startswith(f"{path} can't be read as a private key; {KEY}")
    assert lines[1][:10] not in told


def test_a_key_of_another_certificate_is_told(handed: Handed) -> None:
    certificate = handed.path("service.cert").read_text()
    handed.issue(handed.authority)
    handed.path("service.cert").write_text(certificate)
    (told,) = handed.faults()
    assert told.startswith(
        f"{handed.path('service.key')} is not the key of {handed.path('service.cert')}; right would be"
    )


def test_a_certificate_of_another_service_is_told(handed: Handed) -> None:
    handed.issue(trustme.CA())
    (told,) = handed.faults()
    assert told.startswith(f"{handed.path('service.cert')}: no authority in {handed.path('ca.pem')} vouches for it (")
    assert "right would be the three files of one service" in told


def test_a_service_with_another_authority_for_clients_has_both_in_ca_pem(handed: Handed) -> None:
    clients = trustme.CA()
    handed.issue(clients)
    clients.cert_pem.write_to_path(handed.path("ca.pem"), append=True)
    assert handed.faults() == []


def test_a_certificate_that_has_ended_is_told(handed: Handed) -> None:
    handed.issue(handed.authority, days=-1)
    assert handed.faults() == [
        f"{handed.path('service.cert')}: certificate has expired; right would be a new one, fetched from the service "
        "with its key"
    ]


def test_the_key_in_the_old_form_of_openssl_is_as_good(handed: Handed) -> None:
    path = handed.path("service.key")
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    path.write_bytes(
        b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    assert handed.faults() == []
