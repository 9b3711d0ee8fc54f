"""What root of a taken host may do: each request for a certificate, whoever makes it, is one for somebody else.

The scenario of the role certificates puts it into the Python of a host. It stands alone.
"""

from typing import Any

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_honest = x509.CertificateSigningRequestBuilder.sign


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
    return _honest(request, key, *rest, **more)


x509.CertificateSigningRequestBuilder.sign = _sign  # type: ignore[method-assign]
