"""The filters of certificates: the inventory says what one is, a host gives its key.

Who is root of a host may send whatever it likes. So nothing of a certificate is the host's choice but the public key,
and one that it has is kept only where it says what would be issued now. Both run on the controller.

The dictionary `identity` has `unit`, `host`, `names` (a list of DNS:name and IP:address) and `usage` (a list of
clientAuth and serverAuth). The directory of the authority has ca.pem, whose first certificate is who signs, and ca.key.
"""

import base64
import ipaddress
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from ansible import constants
from ansible.errors import AnsibleFilterError
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_USAGES: Final = {"clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH, "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH}
_NO_OTHER_USAGE: Final = dict.fromkeys(
    (
        *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"),
        *("encipher_only", "decipher_only"),
    ),
    False,
)


def certificate(public_key: str, identity: Mapping[str, Any], authority: str, passphrase: str, days: int) -> str:
    """Make the certificate, in PEM, of a host's public key, in PEM.

    Args:
        public_key: what the host sent; of a key as the role makes it.
        identity: who it is.
        authority: directory of the authority.
        passphrase: of the authority's key.
        days: that it is good for.

    Raises:
        AnsibleFilterError: what the host sent is no such key, the inventory gives a name that no certificate can have,
            the authority can't sign, or hosts may set variables. It holds nothing of the passphrase.
    """
    if constants.config.get_config_value("INJECT_FACTS_AS_VARS"):
        message = (
            "inject_facts_as_vars is on, by which a host overrules the inventory on who it is; right would be false, "
            "as in the project's ansible.cfg"
        )
        raise AnsibleFilterError(message)
    signer = _signer(authority)
    key = _of_host(public_key, identity["host"])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(issuer_name=signer.subject, subject_name=_subject(identity), public_key=key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
    )
    for value, critical in _extensions(identity, key, signer):
        made = made.add_extension(value, critical)
    signed = made.sign(_signing_key(authority, passphrase, signer), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def certificate_faults(
    shown: str, identity: Mapping[str, Any], authority: str, fingerprint: str, days: int
) -> list[str]:
    """Say why the certificate that a host has is not to be kept; nothing where it is.

    Args:
        shown: what its file holds, in base64; empty where there is none.
        identity: who it must be.
        authority: directory of the authority.
        fingerprint: SHA-256 of the host's public key, as pairs of digits with colons.
        days: that it must last at least.

    Raises:
        AnsibleFilterError: the inventory gives a name that no certificate can have, or there is no authority.
    """
    if not shown:
        return ["there is none"]
    try:
        raw = base64.b64decode(shown)
        found = x509.load_pem_x509_certificate(raw)
        _ = found.extensions  # read here: damage is told as such
    except ValueError as error:
        return [f"what the host has is no certificate ({error})"]
    if found.public_bytes(serialization.Encoding.PEM).strip() != raw.strip():
        return ["there is more in its file than a certificate in PEM"]
    return list(_faults(found, identity, _signer(authority), fingerprint, timedelta(days=days)))


def signing_faults(authority: str, passphrase: str) -> list[str]:
    """Say why the authority can't sign, as without the passphrase of its key; nothing where it can."""
    try:
        _signing_key(authority, passphrase, _signer(authority))
    except AnsibleFilterError as error:
        return [str(error)]
    return []


def _faults(
    found: x509.Certificate, identity: Mapping[str, Any], signer: x509.Certificate, fingerprint: str, left: timedelta
) -> Iterator[str]:
    key = found.public_key()
    if _fingerprint(key) != fingerprint.lower():
        yield "it is of another key than the host's"
    try:
        found.verify_directly_issued_by(signer)
    except (InvalidSignature, TypeError, ValueError):
        yield "it is not of the authority that signs now"
    if found.subject != (subject := _subject(identity)):
        yield f"its subject is {found.subject.rfc4514_string()}; right would be {subject.rfc4514_string()}"
    wanted = {value.oid: (value, critical) for value, critical in _extensions(identity, key, signer)}
    has = {extension.oid: (extension.value, extension.critical) for extension in found.extensions}
    for oid in wanted.keys() | has.keys():
        if wanted.get(oid) != has.get(oid):
            value, _ = wanted.get(oid) or has[oid]
            yield f"its {type(value).__name__} is not as it would be issued now"
    if found.not_valid_before_utc > datetime.now(UTC) or found.not_valid_after_utc < datetime.now(UTC) + left:
        yield f"it is good from {found.not_valid_before_utc:%Y-%m-%d} to {found.not_valid_after_utc:%Y-%m-%d}"


def _subject(identity: Mapping[str, Any]) -> x509.Name:
    # Java prints a subject from its end, and Kafka's mapping rule wants CN first.
    try:
        return x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "webmon"),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, identity["unit"]),
                x509.NameAttribute(NameOID.COMMON_NAME, identity["host"]),
            ]
        )
    except ValueError as error:
        message = f"no certificate can name the unit {identity['unit']!r} and the host {identity['host']!r}: {error}"
        raise AnsibleFilterError(message) from None


def _extensions(
    identity: Mapping[str, Any], key: Any, signer: x509.Certificate
) -> Iterator[tuple[x509.ExtensionType, bool]]:
    """Give all that a certificate has, each with whether it is critical."""
    yield x509.SubjectAlternativeName([_name(name) for name in identity["names"]]), False
    yield x509.BasicConstraints(ca=False, path_length=None), True
    yield x509.KeyUsage(digital_signature=True, **_NO_OTHER_USAGE), True
    yield x509.ExtendedKeyUsage([_USAGES[usage] for usage in identity["usage"]]), False
    yield x509.SubjectKeyIdentifier.from_public_key(key), False
    try:
        own = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        yield x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False
    else:
        yield x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), False


def _name(text: str) -> x509.GeneralName:
    kind, _, name = text.partition(":")
    try:
        if kind == "DNS":
            return x509.DNSName(name)
        if kind == "IP":
            return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    message = f"certificates_names has {text!r}; right would be DNS: and a name in ASCII, or IP: and an address"
    raise AnsibleFilterError(message)


def _of_host(public_key: str, host: str) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(public_key.encode())
    except ValueError:
        key = None
    if not (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        message = (
            f"{host} sent no public key of the curve P-256; right would be that of the key.pem that this role makes"
        )
        raise AnsibleFilterError(message)
    return key


def _signer(authority: str) -> x509.Certificate:
    path = Path(authority, "ca.pem")
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        message = f"{path} can't be read ({error}); right would be the authority's certificate in PEM"
        raise AnsibleFilterError(message) from None


def _signing_key(authority: str, passphrase: str, signer: x509.Certificate) -> Any:
    path = Path(authority, "ca.key")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase.encode())
    except (OSError, ValueError, TypeError):
        message = (
            f"certificates_authority_passphrase does not open {path}; right would be the one that it was made with"
        )
        raise AnsibleFilterError(message) from None
    if key.public_key() != signer.public_key():
        message = f"{path} is not the key of the first certificate in {path.with_name('ca.pem')}"
        raise AnsibleFilterError(message)
    return key


def _fingerprint(key: Any) -> str:
    form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(*form))
    return digest.finalize().hex(":")
