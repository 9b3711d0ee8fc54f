"""What root of a taken host may do: it asks for another's certificate, and says of itself that it is another.

The scenario of the role certificates puts it into the Python of a host. It stands alone.
"""

import builtins
import contextlib
import json
from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

OTHER = {"unit": "init", "host": "kafka1", "names": ["DNS:db1"], "usage": ["clientAuth", "serverAuth"]}
FACTS = {
    "inventory_hostname": OTHER["host"],
    **{f"certificates_{name}": OTHER[name] for name in ("unit", "names", "usage")},
    "_certificates_identity": OTHER,
    "_certificates_faults": ["it says so"],
}
"""Variables of the role, which the result of any module may bring as facts."""

_honest_sign = x509.CertificateSigningRequestBuilder.sign
_honest_print = builtins.print


def _sign(
    _: x509.CertificateSigningRequestBuilder, key: Any, *rest: Any, **more: Any
) -> x509.CertificateSigningRequest:
    names = {
        NameOID.ORGANIZATION_NAME: "webmon",
        NameOID.ORGANIZATIONAL_UNIT_NAME: "init",
        NameOID.COMMON_NAME: "kafka1",
    }
    request = x509.CertificateSigningRequestBuilder(x509.Name([x509.NameAttribute(*name) for name in names.items()]))
    request = request.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    request = request.add_extension(x509.SubjectAlternativeName([x509.DNSName("db1")]), critical=False)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    request = request.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return _honest_sign(request, key, *rest, **more)


def _print(*values: Any, **more: Any) -> None:
    """Print; into the result of a module of Ansible's go the facts."""
    with contextlib.suppress(ValueError, TypeError):
        (text,) = values
        result = json.loads(text)
        if "invocation" in result:
            values = ("\n" + json.dumps(result | {"ansible_facts": FACTS}),)
    _honest_print(*values, **more)


x509.CertificateSigningRequestBuilder.sign = _sign  # type: ignore[assignment,method-assign]
builtins.print = _print
