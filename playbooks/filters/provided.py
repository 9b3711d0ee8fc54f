"""The filter `provided_faults`: what is wrong with the three files of a managed Kafka, before any host gets them."""

import re
import ssl
from pathlib import Path
from typing import Final

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


def provided_faults(directory: str) -> list[str]:
    """Say what is wrong with ca.pem, service.cert and service.key of a directory; nothing where all is well.

    No line holds anything of a key.
    """
    place = Path(directory)
    faults = [fault for name in _RIGHT if (fault := _fault_of_one(place / name))]
    return faults or _fit(place)


def _fault_of_one(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return f"{path} is missing; right would be {_RIGHT[path.name]}, as the managed service hands it out"
    except OSError as error:
        return f"{path} can't be read: {error.strerror}"
    form = _FORM.format("PRIVATE KEY" if path.name == _KEY else "CERTIFICATE")
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


def _fit(place: Path) -> list[str]:
    authority, own, key = (place / name for name in (_AUTHORITY, _CERTIFICATE, _KEY))
    try:
        examined = certificate.examine(authority, own, key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return [f"{key} is not the key of {own}; right would be both as the service handed them out together"]
        return [f"{key} can't be read as a private key; right would be {_RIGHT[_KEY]}, {_FORM.format('PRIVATE KEY')}"]
    if examined.fault is None:
        return []
    if "not signed by" in examined.fault:
        return [
            f"{own}: no authority in {authority} vouches for it {_reason(examined.fault)}; right would be the three "
            f"files of one service. Where it has an authority of its own for clients, append that to {_AUTHORITY}"
        ]
    return [f"{own}: {examined.fault}; right would be a new one, fetched from the service with its key"]


def _reason(fault: str) -> str:
    return fault[fault.rindex("(") :]
