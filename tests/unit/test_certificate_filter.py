"""What a certificate is, the inventory says: a host that is taken chooses nothing of it, and what it has is judged."""

import base64
import contextlib
import dataclasses
import datetime
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.unit.filters import load

plugin = load("certificate")
AnsibleFilterError: Final[type[Exception]] = plugin.AnsibleFilterError

IDENTITY: Final = {
    "unit": "agent",
    "host": "agent1",
    "names": ["DNS:agent1", "IP:192.0.2.7", "IP:2001:db8::7"],
    "usage": ["clientAuth"],
}
PASSPHRASE: Final = "an authority's passphrase"
DAYS: Final = 397
RENEW_DAYS: Final = 30
_NO_USAGE: Final = dict.fromkeys(
    (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    ),
    False,
)
DIGITAL_SIGNATURE: Final = x509.KeyUsage(**_NO_USAGE | {"digital_signature": True})
SIGNING: Final = x509.KeyUsage(**_NO_USAGE | {"key_cert_sign": True, "crl_sign": True})


def pem(key: Any) -> str:
    """Give the public key of a key."""
    public: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public.decode()


def fingerprint(key: Any) -> str:
    """Give what Ansible's module says of a key."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(
        key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return digest.finalize().hex(":")


@dataclasses.dataclass(frozen=True)
class Controller:
    """The authority on the controller, and a host with its key."""

    directory: Path
    key: ec.EllipticCurvePrivateKey
    host_key: ec.EllipticCurvePrivateKey

    def make(self, **other: Any) -> x509.Certificate:
        """Give the host's certificate, of another identity where that is said."""
        text = plugin.certificate(pem(self.host_key), IDENTITY | other, str(self.directory), PASSPHRASE, DAYS)
        return x509.load_pem_x509_certificate(text.encode())

    def sign(
        self, builder: x509.CertificateBuilder, *, by: ec.EllipticCurvePrivateKey | None = None
    ) -> x509.Certificate:
        """Sign what somebody asked for, as it is."""
        return builder.sign(by or self.key, hashes.SHA256())

    def faults(self, found: x509.Certificate | str, **other: Any) -> list[str]:
        """Judge a certificate that the host shows."""
        text = found if isinstance(found, str) else found.public_bytes(serialization.Encoding.PEM).decode()
        shown = base64.b64encode(text.encode()).decode()
        told: list[str] = plugin.certificate_faults(
            shown, IDENTITY | other, str(self.directory), fingerprint(self.host_key), RENEW_DAYS
        )
        return told


@pytest.fixture(autouse=True)
def facts_are_no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ansible.cfg has it, wherever the tests run."""
    monkeypatch.setenv("ANSIBLE_INJECT_FACT_VARS", "false")


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webmon authority")])
    now = datetime.datetime.now(datetime.UTC)
    authority = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(SIGNING, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "ca.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSPHRASE.encode()),
        )
    )
    return Controller(tmp_path, key, ec.generate_private_key(ec.SECP256R1()))


def test_a_certificate_says_what_the_inventory_says(controller: Controller) -> None:
    made = controller.make()
    assert made.subject.rfc4514_string() == "CN=agent1,OU=agent,O=webmon"
    assert made.public_key() == controller.host_key.public_key()
    values = {type(extension.value): (extension.value, extension.critical) for extension in made.extensions}
    assert values[x509.BasicConstraints] == (x509.BasicConstraints(ca=False, path_length=None), True)
    assert values[x509.ExtendedKeyUsage] == (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["agent1", "192.0.2.7", "2001:db8::7"]
    assert values[x509.KeyUsage] == (DIGITAL_SIGNATURE, True)
    lasts = made.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=DAYS - 1) < lasts <= datetime.timedelta(days=DAYS)


def test_what_was_just_issued_is_kept(controller: Controller) -> None:
    assert controller.faults(controller.make()) == []


def _shake_hands(controller: Controller, made: x509.Certificate) -> None:
    """Be a server with that certificate, and a client as all of ours are, but for the name."""
    pair = controller.directory / "pair.pem"
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pair.write_bytes(
        controller.host_key.private_bytes(serialization.Encoding.PEM, *form)
        + made.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair)
    client = ssl.create_default_context(cafile=controller.directory / "ca.pem")
    client.check_hostname = False
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
    for end in (ours, theirs, ours):
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()


def test_no_client_takes_a_clients_certificate_for_a_servers(controller: Controller) -> None:
    _shake_hands(controller, controller.make(usage=["serverAuth"]))
    with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
        _shake_hands(controller, controller.make())


def _former(controller: Controller, **other: Any) -> x509.CertificateBuilder:
    """What the controller signed when a host said itself what it is: by default all is right but `other`."""
    now = datetime.datetime.now(datetime.UTC)
    what: dict[str, Any] = {
        "subject": "CN=agent1,OU=agent,O=webmon",
        "key": controller.host_key.public_key(),
        "names": [x509.DNSName("agent1")],
        "ca": False,
        "usage": [ExtendedKeyUsageOID.CLIENT_AUTH],
        "begin": now - datetime.timedelta(hours=1),
        "end": now + datetime.timedelta(days=DAYS),
    } | other
    return (
        x509.CertificateBuilder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "webmon authority")]),
            x509.Name.from_rfc4514_string(what["subject"]),
            what["key"],
            2,
            what["begin"],
            what["end"],
        )
        .add_extension(x509.SubjectAlternativeName(what["names"]), critical=False)
        .add_extension(x509.BasicConstraints(ca=what["ca"], path_length=None), critical=True)
        .add_extension(DIGITAL_SIGNATURE, critical=True)
        .add_extension(x509.ExtendedKeyUsage(what["usage"]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(what["key"]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(controller.key.public_key()), critical=False)
    )


ONE_NAME: Final[Mapping[str, Any]] = {"names": ["DNS:agent1"]}


def test_what_was_issued_before_and_fits_is_kept(controller: Controller) -> None:
    assert controller.faults(controller.sign(_former(controller)), **ONE_NAME) == []


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        (
            {"subject": "CN=agent1,OU=init,O=webmon"},
            "its subject is CN=agent1,OU=init,O=webmon; right would be CN=agent1,",
        ),
        ({"subject": "CN=agent2,OU=agent,O=webmon"}, "its subject is CN=agent2,"),
        ({"subject": "CN=init,CN=agent1,OU=agent,O=webmon"}, "its subject is CN=init,"),
        ({"names": [x509.DNSName("agent1"), x509.DNSName("db1")]}, "its SubjectAlternativeName is not as"),
        ({"ca": True}, "its BasicConstraints is not as"),
        ({"usage": [ExtendedKeyUsageOID.SERVER_AUTH]}, "its ExtendedKeyUsage is not as"),
        ({"usage": [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]}, "its ExtendedKeyUsage is not"),
        ({"end": datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=29)}, "it is good from"),
        ({"begin": datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)}, "it is good from"),
    ],
)
def test_what_a_taken_host_asked_for_is_not_kept(controller: Controller, other: Mapping[str, Any], fault: str) -> None:
    (told,) = controller.faults(controller.sign(_former(controller, **other)), **ONE_NAME)
    assert told.startswith(fault)


def test_what_has_more_or_less_than_would_be_issued_is_not_kept(controller: Controller) -> None:
    more = _former(controller).add_extension(x509.IssuerAlternativeName([x509.DNSName("db1")]), critical=False)
    assert controller.faults(controller.sign(more), **ONE_NAME) == [
        "its IssuerAlternativeName is not as it would be issued now"
    ]


def test_another_key_or_authority_is_not_kept(controller: Controller) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    of_other_key = controller.sign(_former(controller, key=other.public_key()))
    assert controller.faults(of_other_key, **ONE_NAME) == ["it is of another key than the host's"]
    # It says that it is of our authority; only the signature shows that it is not.
    forged = controller.sign(_former(controller), by=other)
    assert controller.faults(forged, **ONE_NAME) == ["it is not of the authority that signs now"]


@pytest.mark.parametrize("text", ["no PEM", "\0", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_not_kept(controller: Controller, text: str) -> None:
    (told,) = controller.faults(text)
    assert told.startswith("what the host has is no certificate")


def test_what_stands_beside_a_certificate_is_not_kept(controller: Controller) -> None:
    fits = controller.make().public_bytes(serialization.Encoding.PEM).decode()
    assert controller.faults(fits + fits) == ["there is more in its file than a certificate in PEM"]


def test_what_was_never_issued_is_to_be_made(controller: Controller) -> None:
    assert controller.faults("") == ["there is none"]


@pytest.mark.parametrize(
    "sent",
    [
        lambda: "",
        lambda: "{{ lookup('pipe', 'id') }}",
        lambda: pem(rsa.generate_private_key(65537, 2048)),
        lambda: pem(ec.generate_private_key(ec.SECP384R1())),
    ],
    ids=["nothing", "a template", "another kind", "another curve"],
)
def test_what_is_no_key_as_the_role_makes_it_is_refused_with_the_host(
    controller: Controller, sent: Callable[[], str]
) -> None:
    with pytest.raises(AnsibleFilterError, match=r"agent1 sent no public key of the curve P-256; right would be"):
        plugin.certificate(sent(), IDENTITY, str(controller.directory), PASSPHRASE, DAYS)


def test_nothing_is_signed_where_a_host_can_set_variables(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_INJECT_FACT_VARS", "true")
    with pytest.raises(AnsibleFilterError, match="inject_facts_as_vars is on"):
        controller.make()


@pytest.mark.parametrize("name", ["agent1", "DNS:ägent", "IP:agent1", "email:root@agent1", "dirName:x"])
def test_a_name_that_no_certificate_can_have_is_told(controller: Controller, name: str) -> None:
    with pytest.raises(AnsibleFilterError, match=f"certificates_names has '{name}'; right would be DNS:"):
        controller.make(names=[name])


def test_a_host_whose_name_is_too_long_is_told(controller: Controller) -> None:
    with pytest.raises(AnsibleFilterError, match="no certificate can name the unit 'agent' and the host 'aaaa"):
        controller.make(host="a" * 65)


def test_a_wrong_passphrase_is_told_and_not_shown(controller: Controller) -> None:
    with pytest.raises(AnsibleFilterError) as told:
        plugin.certificate(pem(controller.host_key), IDENTITY, str(controller.directory), "another secret", DAYS)
    assert str(told.value).startswith(f"certificates_authority_passphrase does not open {controller.directory}/ca.key")
    assert "another secret" not in str(told.value)


def test_of_two_authorities_that_are_trusted_the_first_signs(controller: Controller, tmp_path: Path) -> None:
    made = controller.make()
    path = tmp_path / "ca.pem"
    ours = path.read_text()
    now = datetime.datetime.now(datetime.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "former")])
    former = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    text = former.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
    path.write_text(ours + text)
    assert controller.faults(made) == []
    path.write_text(text + ours)
    assert "it is not of the authority that signs now" in controller.faults(made)
    with pytest.raises(AnsibleFilterError, match="is not the key of the first certificate in"):
        controller.make()
