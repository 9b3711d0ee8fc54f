"""The filter `provided_faults`: what is wrong with certificates of a managed Kafka or a company's own authority.

They are a client's, or those of our own database, a server. They are judged on the controller, before any host gets
them: a pair for all hosts, or a host's own in a directory that has its name. Behind a certificate may stand those of
the authorities between it and the one in ca.pem.
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
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID

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
_RIGHT_OF_SERVER: Final = {
    **_RIGHT,
    _AUTHORITY: "the certificate of the authority that issues the server's",
    _CERTIFICATE: "the server's certificate",
}
_EXPIRED, _NOT_YET_VALID, _OTHER_NAME, _OTHER_ADDRESS = 10, 9, 62, 64
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED, ..._CERT_NOT_YET_VALID, ..._HOSTNAME_MISMATCH and ..._IP_ADDRESS_MISMATCH."""
_FLIGHTS: Final = 4
"""Turns that a handshake in memory needs at most."""
_FORM: Final = "in PEM (it begins with -----BEGIN {}-----)"
_LABEL: Final = re.compile(r"^-----BEGIN ([A-Z0-9 ]+)-----", re.MULTILINE)
_ENCRYPTED: Final = "$ANSIBLE_VAULT"


def provided_faults(
    directory: str, host: str = "", hosts: Collection[str] = (), names: Collection[str] = ()
) -> list[str]:
    """Say what is wrong with ca.pem, service.cert and service.key that a host would get; nothing where all is well.

    No line holds anything of a key.

    Args:
        directory: where they are; a directory of the host's name in it has its own pair, and may have its own ca.pem.
        host: the host's name in the inventory.
        hosts: the names of all hosts.
        names: of a server, how others call it, names and addresses; of a client none.
    """
    shared = Path(directory)
    own = shared / host if host and (shared / host).is_dir() else shared
    authority = own if (own / _AUTHORITY).exists() else shared
    paths = [authority / _AUTHORITY, own / _CERTIFICATE, own / _KEY]
    faults = [*_misnamed(shared, hosts)]
    if of_one := [fault for path in paths if (fault := _fault_of_one(path, is_server=bool(names)))]:
        return faults + of_one
    if names:
        return faults + (list(_server_faults(paths[1])) or _fit(*paths, names))
    return faults + (list(_client_faults(paths[1], host if own != shared else "", hosts)) or _fit(*paths, ()))


def _misnamed(shared: Path, hosts: Collection[str]) -> Iterator[str]:
    """Say which directories are nearly a host's: that host would get the pair of all others, unsaid."""
    with contextlib.suppress(OSError):
        for path in sorted(shared.iterdir()):
            near = difflib.get_close_matches(path.name, hosts, n=1, cutoff=0.75)
            if near and path.name not in hosts and path.is_dir() and not (shared / near[0]).is_dir():
                yield f"{path} has the name of no host; right would be {near[0]}"


def _fault_of_one(path: Path, *, is_server: bool) -> str:
    right = (_RIGHT_OF_SERVER if is_server else _RIGHT)[path.name]
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        whence = "as your authority issues it" if is_server else "as the managed service hands it out"
        return f"{path} is missing; right would be {right}, {whence}"
    except OSError as error:
        return f"{path} can't be read: {error.strerror}"
    form = _FORM.format("PRIVATE KEY" if path.name == _KEY else "CERTIFICATE")
    if path.name == _KEY and text.startswith(_ENCRYPTED):
        # By ansible-vault, whose password nobody has here: what needs the key is seen on the hosts, by the doctor.
        return ""
    fault = _fault_of_kind(text, key_wanted=path.name == _KEY) or _damage(path)
    return f"{path} {fault.format(right=f'right would be {right}, {form}')}" if fault else ""


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


def _client_faults(path: Path, host: str, hosts: Collection[str]) -> Iterator[str]:
    """Say what a client's certificate is not meant for, whoever signed it."""
    for own in _certificates(path)[:1]:
        if not _may(own, ExtendedKeyUsageOID.CLIENT_AUTH):
            yield f"{path} is not for clients; right would be one whose extended key usage has clientAuth"
        names = _names(own)
        if host and host.lower() not in names and (others := sorted(names & {name.lower() for name in hosts})):
            yield f"{path} is of {', '.join(others)} ({_subject(own)}); right would be one of {host}"


def _server_faults(path: Path) -> Iterator[str]:
    for own in _certificates(path)[:1]:
        if not _may(own, ExtendedKeyUsageOID.SERVER_AUTH):
            yield f"{path} is not for servers; right would be one whose extended key usage has serverAuth"
        if own.signature_algorithm_oid in (SignatureAlgorithmOID.ED25519, SignatureAlgorithmOID.ED448):
            yield f"{path} is signed by an Ed key, to which PostgreSQL can't bind a log-in; right would be ECDSA or RSA"


def _may(one: x509.Certificate, usage: x509.ObjectIdentifier) -> bool:
    with contextlib.suppress(x509.ExtensionNotFound, ValueError):
        allowed = one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        return not {usage, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}.isdisjoint(allowed)
    return True


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


def _fit(authority: Path, own: Path, key: Path, names: Collection[str]) -> list[str]:
    if key.read_text(encoding="utf-8", errors="replace").startswith(_ENCRYPTED):
        return list(_ended(own))
    try:
        fault = _refusal(authority, own, key, names) if names else certificate.examine(authority, own, key).fault
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return [f"{key} is not the key of {own}; right would be {_right_pair(own, key, is_server=bool(names))}"]
        return [f"{key} can't be read as a private key; right would be {_RIGHT[_KEY]}, {_FORM.format('PRIVATE KEY')}"]
    return list(_refused(authority, own, fault, is_server=bool(names))) if fault else []


def _refused(authority: Path, own: Path, fault: str, *, is_server: bool) -> Iterator[str]:
    if "not signed by" in fault:
        reason = fault[fault.rindex("(") :]
        yield f"{own}: no authority in {authority} vouches for it {reason}; {_right_chain(own, is_server=is_server)}"
    elif fault.startswith("lacks "):
        yield f"{own} {fault}"
    elif ended := [*_ended(own), *_ended(authority)]:
        yield from ended
    else:
        whence = "" if is_server else ", fetched from the service with its key"
        yield f"{own}: {fault}; right would be a new one{whence}"


def _right_chain(own: Path, *, is_server: bool) -> str:
    signers = [one.issuer.rfc4514_string() for one in _certificates(own)[-1:]]
    between = (
        f"authorities stand between, append theirs to {own.name}, from the one that signed it to the one that a root "
        f"in {_AUTHORITY} signed (now it ends with what {' '.join(signers) or 'nobody'} signed)"
    )
    if is_server:
        return f"right would be the root of those that issued it in {_AUTHORITY}. Where {between}"
    return (
        "right would be the three files of one service. Where it has an authority of its own for clients, append that "
        f"to {_AUTHORITY}; where {between}"
    )


def _refusal(authority: Path, own: Path, key: Path, names: Collection[str]) -> str:
    """Say why a client that trusts the authority refuses a server by one of its names, nothing where it does not.

    Raises:
        ssl.SSLError: the key is none, or another's.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(own, key, password="")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(authority)
    for name in names:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = client.wrap_bio(to_client, to_server, server_hostname=name)
        theirs = server.wrap_bio(to_server, to_client, server_side=True)
        for end in (ours, theirs) * _FLIGHTS:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError as error:
                if error.verify_code in (_OTHER_NAME, _OTHER_ADDRESS):
                    return f"lacks the name {name} by which others call it; right would be one with it as a SAN"
                if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
                    return error.verify_message
                return f"it is not signed by ({error.verify_message})"
    return ""


def _ended(path: Path) -> Iterator[str]:
    for one in _certificates(path):
        if one.not_valid_after_utc < datetime.now(UTC):
            ended = f"{path}: the certificate of {_subject(one)} ended on {one.not_valid_after_utc:%Y-%m-%d}"
            yield f"{ended}; right would be a new one, from who issued it"


def _right_pair(own: Path, key: Path, *, is_server: bool) -> str:
    """Say what would be right where the key is not that of the first certificate."""
    with contextlib.suppress(ValueError, TypeError):
        public = serialization.load_pem_private_key(key.read_bytes(), None).public_key()
        if any(one.public_key() == public for one in _certificates(own)[1:]):
            return f"the key's certificate first in {own.name}, behind it who signed that, and so on"
    return "the key that it was issued for" if is_server else "both as the service handed them out together"
