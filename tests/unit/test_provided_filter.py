"""What a managed Kafka hands out is judged before any host gets it: file by file, with what would be right."""

import dataclasses
import datetime
import re
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.certificates import Issued, issue, pem
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
    (told,) = handed.faults()
    assert told.startswith(f"{handed.path('service.cert')}: the certificate of OU=")
    assert re.search(r" ended on \d{4}-\d\d-\d\d; right would be a new one, from who issued it$", told)


def test_one_that_is_not_good_yet_is_told(handed: Handed) -> None:
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    issued = handed.authority.issue_cert("client", not_before=now + day, not_after=now + 2 * day)
    handed.path("service.cert").write_bytes(issued.cert_chain_pems[0].bytes())
    handed.path("service.key").write_bytes(issued.private_key_pem.bytes())
    (told,) = handed.faults()
    assert told.startswith(f"{handed.path('service.cert')}: certificate is not yet valid; right would be a new one")


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


def test_a_key_that_ansible_vault_encrypts_is_not_held_against_its_certificate(handed: Handed) -> None:
    handed.path("service.key").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    assert handed.faults() == []
    handed.issue(handed.authority, days=-1)
    handed.path("service.key").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    assert "ended on" in handed.faults()[0]


ROOT = issue("Corp Root")
BETWEEN = issue("Corp Issuing", ROOT)
LAST = issue("Corp Clients", BETWEEN)
OWN = issue("agent1", LAST, names=("agent1.example.org",))


@dataclasses.dataclass(frozen=True)
class Company:
    """A directory with the files of all hosts, and directories of some."""

    directory: Path

    def put(self, where: str, *chain: Issued, key: Issued | None = None) -> None:
        """Put a certificate with those behind it, and its key."""
        place = self.directory / where
        place.mkdir(exist_ok=True)
        (place / "service.cert").write_bytes(pem(*chain))
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (place / "service.key").write_bytes((key or chain[0])[1].private_bytes(*form))

    def faults(self, host: str = "agent1") -> list[str]:
        """Judge what a host would get."""
        found: list[str] = plugin.provided_faults(str(self.directory), host, ["agent1", "agent2", "db1"])
        return found


@pytest.fixture
def company(tmp_path: Path) -> Company:
    """A company's root, and a certificate for all hosts that it signed itself."""
    made = Company(tmp_path)
    (tmp_path / "ca.pem").write_bytes(pem(ROOT))
    made.put("", issue("all", ROOT, names=("all",)))
    return made


def test_authorities_may_stand_between_the_certificate_and_the_root(company: Company) -> None:
    company.put("agent1", OWN, LAST, BETWEEN)
    assert company.faults() == []


@pytest.mark.parametrize(("chain", "signer"), [((OWN,), "CN=Corp Clients"), ((OWN, LAST), "CN=Corp Issuing")])
def test_one_that_is_missing_between_them_is_told_by_its_name(
    company: Company, chain: tuple[Issued, ...], signer: str
) -> None:
    company.put("agent1", *chain)
    (told,) = company.faults()
    own, root = company.directory / "agent1/service.cert", company.directory / "ca.pem"
    assert told.startswith(f"{own}: no authority in {root} vouches for it (")
    assert told.endswith(f"(now it ends with what {signer} signed)")


def test_a_root_that_is_missing_is_told(company: Company) -> None:
    (company.directory / "ca.pem").write_bytes(pem(BETWEEN))
    company.put("agent1", OWN, LAST, BETWEEN)
    (told,) = company.faults()
    assert "vouches for it (" in told


def test_a_certificate_that_is_not_the_first_of_its_file_is_told(company: Company) -> None:
    company.put("agent1", LAST, OWN, BETWEEN, key=OWN)
    (told,) = company.faults()
    assert told.endswith(
        "right would be the key's certificate first in service.cert, behind it who signed that, and so on"
    )


def test_an_authority_that_ended_is_told_by_its_name(company: Company) -> None:
    ended = issue("Corp Clients", BETWEEN, days=-1)
    company.put("agent1", issue("agent1", ended, names=("agent1",)), ended, BETWEEN)
    (told,) = company.faults()
    assert ": the certificate of CN=Corp Clients ended on " in told


def test_a_directory_of_the_hosts_name_is_its_own_and_of_no_other(company: Company) -> None:
    company.put("agent1", OWN, LAST, BETWEEN, key=LAST)
    assert "agent1/service.key is not the key of" in company.faults("agent1")[0]
    assert company.faults("agent2") == []


def test_what_lacks_in_it_is_not_taken_from_that_of_all(company: Company) -> None:
    company.put("agent1", OWN, LAST, BETWEEN)
    (company.directory / "agent1/service.key").unlink()
    assert [told.partition(";")[0] for told in company.faults()] == [
        f"{company.directory}/agent1/service.key is missing"
    ]


def test_whom_it_trusts_may_be_its_own_too(company: Company) -> None:
    other = issue("Other Root")
    company.put("agent1", issue("agent1", other, names=("agent1",)))
    assert "no authority in" in company.faults()[0]
    (company.directory / "agent1/ca.pem").write_bytes(pem(other))
    assert company.faults() == []


@pytest.mark.parametrize(
    ("usages", "fits"),
    [
        ((), True),
        ((ExtendedKeyUsageOID.SERVER_AUTH,), False),
        ((ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH), True),
    ],
)
def test_a_certificate_that_is_for_servers_alone_is_told(company: Company, usages: tuple[Any, ...], fits: bool) -> None:
    company.put("agent1", issue("agent1", ROOT, names=("agent1",), usages=usages))
    told = f"{company.directory}/agent1/service.cert is not for clients; right would be one whose extended key usage"
    assert [fault.startswith(told) for fault in company.faults()] == ([] if fits else [True])


def test_the_certificate_of_another_host_is_told(company: Company) -> None:
    company.put("agent1", issue("agent2", ROOT, names=("agent2",)))
    assert company.faults() == [
        f"{company.directory}/agent1/service.cert is of agent2 (CN=agent2); right would be one of agent1"
    ]
    # Nor is every name a host's.
    company.put("agent1", issue("vantage 7", ROOT, names=("agent1.example.org",)))
    assert company.faults() == []


def test_a_directory_whose_name_is_nearly_a_hosts_is_told(company: Company) -> None:
    company.put("agnet1", OWN, LAST, BETWEEN)
    company.put("old", OWN)
    assert company.faults("db1") == [f"{company.directory}/agnet1 has the name of no host; right would be agent1"]
    company.put("agent1", OWN, LAST, BETWEEN)
    assert company.faults("db1") == []


@pytest.fixture
def server(company: Company) -> Company:
    """The company's certificate of a database, in a directory of its own."""
    own = issue(
        "db1", LAST, names=("db1.example.org", "postgres.example.org"), usages=(ExtendedKeyUsageOID.SERVER_AUTH,)
    )
    company.put("db1", own, LAST, BETWEEN)
    return company


def server_faults(server: Company, *names: str) -> list[str]:
    """Judge what a server would get that others call by these names."""
    found: list[str] = plugin.provided_faults(str(server.directory), "db1", ["agent1", "db1"], names)
    return found


def test_a_server_has_each_name_by_which_others_call_it(server: Company) -> None:
    assert server_faults(server, "db1.example.org", "postgres.example.org") == []
    own = server.directory / "db1/service.cert"
    for name in ("db1", "10.1.2.3"):
        assert server_faults(server, "postgres.example.org", name) == [
            f"{own} lacks the name {name} by which others call it; right would be one with it as a SAN"
        ]


def test_a_server_by_its_address_has_that_in_its_certificate(server: Company) -> None:
    issued = trustme.CA()
    issued.cert_pem.write_to_path(server.directory / "db1/ca.pem")
    made = issued.issue_cert("10.1.2.3")
    (server.directory / "db1/service.cert").write_bytes(made.cert_chain_pems[0].bytes())
    (server.directory / "db1/service.key").write_bytes(made.private_key_pem.bytes())
    assert server_faults(server, "10.1.2.3") == []
    assert "lacks the name 10.1.2.4 by which" in server_faults(server, "10.1.2.4")[0]


@pytest.mark.parametrize(
    ("chain", "key", "told"),
    [
        ((OWN, LAST), None, "(now it ends with what CN=Corp Issuing signed)"),
        ((OWN, LAST, BETWEEN), ROOT, "right would be the key that it was issued for"),
        (
            (issue("agent1", ROOT, names=("agent1.example.org",), days=-1),),
            None,
            ": the certificate of CN=agent1 ended on",
        ),
        (
            (issue("agent1", ROOT, names=("agent1.example.org",), usages=(ExtendedKeyUsageOID.CLIENT_AUTH,)),),
            None,
            "is not for servers; right would be one whose extended key usage has serverAuth",
        ),
    ],
)
def test_what_a_server_could_not_show_is_told(
    server: Company, chain: tuple[Issued, ...], key: Issued | None, told: str
) -> None:
    server.put("db1", *chain, key=key)
    (fault,) = server_faults(server, "agent1.example.org")
    assert fault.startswith(f"{server.directory}/db1/service.")
    assert told in fault


def test_a_server_without_its_files_is_told_in_its_own_words(server: Company) -> None:
    (server.directory / "db1/service.cert").unlink()
    assert server_faults(server, "db1.example.org") == [
        f"{server.directory}/db1/service.cert is missing; right would be the server's certificate, as your authority "
        "issues it"
    ]


def test_postgresql_can_not_bind_a_log_in_to_an_ed25519_signature(server: Company) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    root = issue("Ed Root", key=key)
    (server.directory / "ca.pem").write_bytes(pem(root))
    server.put("db1", issue("db1", root, names=("db1",)))
    (told,) = server_faults(server, "db1")
    assert "is signed by an Ed key" in told
