"""The filter `provided_faults`: what is wrong with certificates of a managed Kafka or a company's own authority.

They are judged on the controller, before any host gets them: a pair for all hosts, or a host's own in a directory that
has its name. Behind a certificate may stand those of the authorities between it and the one in ca.pem.
"""

import contextlib
import difflib
import re
import ssl
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from webmon.kafka import certificate

_AUTHORITY: Final = "ca.pem"
_CERTIFICATE: Final = "service.cert"
_KEY: Final = "service.key"
_RIGHT: Final = {
    _AUTHORITY: "the certificate of the service's authority",
    _CERTIFICATE: "our certificate for the service",
    _KEY: "the private key of service.cert, without a passphrase",
}
"""What each file must hold."""
_FORM: Final = "in PEM (it begins with -----BEGIN {}-----)"
_LABEL: Final = re.compile(r"^-----BEGIN ([A-Z0-9 ]+)-----", re.MULTILINE)
_ENCRYPTED: Final = "$ANSIBLE_VAULT"


def provided_faults(directory: str, host: str = "", hosts: Collection[str] = ()) -> list[str]:
    """Say what is wrong with ca.pem, service.cert and service.key that a host would get; nothing where all is well.

    No line holds anything of a key.

    Args:
        directory: where they are; a directory of the host's name in it has its own pair, and may have its own ca.pem.
        host: the host's name in the inventory.
        hosts: the names of all hosts.
    """
    shared = Path(directory)
    own = shared / host if host and (shared / host).is_dir() else shared
    authority = own if (own / _AUTHORITY).exists() else shared
    paths = [authority / _AUTHORITY, own / _CERTIFICATE, own / _KEY]
    faults = [*_misnamed(shared, hosts)]
    if of_one := [fault for path in paths if (fault := _fault_of_one(path))]:
        return faults + of_one
    return faults + (list(_faults(paths[1], host if own != shared else "", hosts)) or _fit(*paths))


def _misnamed(shared: Path, hosts: Collection[str]) -> Iterator[str]:
    """Say which directories are nearly a host's: that host would get the pair of all others, unsaid."""
    with contextlib.suppress(OSError):
        for path in sorted(shared.iterdir()):
            near = difflib.get_close_matches(path.name, hosts, n=1, cutoff=0.75)
            if near and path.name not in hosts and path.is_dir() and not (shared / near[0]).is_dir():
                yield f"{path} has the name of no host; right would be {near[0]}"


def _fault_of_one(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return f"{path} is missing; right would be {_RIGHT[path.name]}, as the managed service hands it out"
    except OSError as error:
        return f"{path} can't be read: {error.strerror}"
    form = _FORM.format("PRIVATE KEY" if path.name == _KEY else "CERTIFICATE")
    if path.name == _KEY and text.startswith(_ENCRYPTED):
        # By ansible-vault, whose password nobody has here: what needs the key is seen on the hosts, by the doctor.
        return ""
    fault = _fault_of_kind(text, key_wanted=path.name == _KEY) or _damage(path)
    return f"{path} {fault.format(right=f'right would be {_RIGHT[path.name]}, {form}')}" if fault else ""


def _fault_of_kind(text: str, *, key_wanted: bool) -> str:
    labels = _LABEL.findall(text)
    holds_key = any(label.endswith("PRIVATE KEY") for label in labels)
    if not text.strip():
        return "is empty; {right}"
    if not labels:
        return "is no PEM; {right}"
    if holds_key and not key_wanted:
        return "holds a private key; {right}"
    if key_wanted and "ENCRYPTED" in text:
        return "is encrypted; {right}, which openssl pkey -in service.key -out FILE makes of it"
    if not (holds_key if key_wanted else "CERTIFICATE" in labels):
        return f"holds a {labels[0]}; {{right}}"
    return ""


def _damage(path: Path) -> str:
    if path.name == _KEY:  # seen when it is held against its certificate
        return ""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return "is damaged: its PEM can't be read; {right}"
    return ""


def _faults(path: Path, host: str, hosts: Collection[str]) -> Iterator[str]:
    """Say what a certificate is not meant for, whoever signed it."""
    own = next(iter(_certificates(path)), None)
    if own is None:
        return
    with contextlib.suppress(x509.ExtensionNotFound, ValueError):
        usage = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        if not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & {*usage}:
            yield f"{path} is not for clients; right would be one whose extended key usage has clientAuth"
    names = _names(own)
    if host and host.lower() not in names and (others := sorted(names & {name.lower() for name in hosts})):
        yield f"{path} is of {', '.join(others)} ({_subject(own)}); right would be one of {host}"


def _certificates(path: Path) -> list[x509.Certificate]:
    """Give those in a file, none where one of them is of a form that only OpenSSL takes."""
    with contextlib.suppress(ValueError):
        return x509.load_pem_x509_certificates(path.read_bytes())
    return []


def _names(one: x509.Certificate) -> set[str]:
    found = {str(name.value) for name in one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    with contextlib.suppress(x509.ExtensionNotFound, ValueError):
        others = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found |= {*others.get_values_for_type(x509.DNSName)}
    return {name.lower() for name in found}


def _subject(one: x509.Certificate) -> str:
    return one.subject.rfc4514_string() or "no name"


def _fit(authority: Path, own: Path, key: Path) -> list[str]:
    if key.read_text(encoding="utf-8", errors="replace").startswith(_ENCRYPTED):
        return list(_ended(own))
    try:
        examined = certificate.examine(authority, own, key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return [f"{key} is not the key of {own}; right would be {_right_pair(own, key)}"]
        return [f"{key} can't be read as a private key; right would be {_RIGHT[_KEY]}, {_FORM.format('PRIVATE KEY')}"]
    if examined.fault is None:
        return []
    if "not signed by" in examined.fault:
        signers = [one.issuer.rfc4514_string() for one in _certificates(own)[-1:]]
        return [
            f"{own}: no authority in {authority} vouches for it {_reason(examined.fault)}; right would be the three "
            f"files of one service. Where it has an authority of its own for clients, append that to {_AUTHORITY}; "
            f"where authorities stand between, append theirs to {own.name}, from the one that signed it to the one "
            f"that a root in {_AUTHORITY} signed (now it ends with what {' '.join(signers) or 'nobody'} signed)"
        ]
    right = "right would be a new one, fetched from the service with its key"
    return [*_ended(own), *_ended(authority)] or [f"{own}: {examined.fault}; {right}"]


def _ended(path: Path) -> Iterator[str]:
    for one in _certificates(path):
        if one.not_valid_after_utc < datetime.now(UTC):
            ended = f"{path}: the certificate of {_subject(one)} ended on {one.not_valid_after_utc:%Y-%m-%d}"
            yield f"{ended}; right would be a new one, from who issued it"


def _right_pair(own: Path, key: Path) -> str:
    """Say what would be right where the key is not that of the first certificate."""
    with contextlib.suppress(ValueError, TypeError):
        public = serialization.load_pem_private_key(key.read_bytes(), None).public_key()
        if any(one.public_key() == public for one in _certificates(own)[1:]):
            return f"the key's certificate first in {own.name}, behind it who signed that, and so on"
    return "both as the service handed them out together"


def _reason(fault: str) -> str:
    return fault[fault.rindex("(") :]
