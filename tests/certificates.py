"""Certificates as a test wants them, right or wrong, and the TLS of a server that shows them."""

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Issued = tuple[x509.Certificate, Key]
NOW: Final = datetime.now(UTC)


def issue(
    common_name: str,
    issuer: Issued | None = None,
    *,
    names: tuple[str, ...] = (),
    usages: tuple[x509.ObjectIdentifier, ...] = (),
    days: int = 300,
    key: Key | None = None,
    more: x509.ExtensionType | None = None,
) -> Issued:
    """Make a certificate; without names one of an authority."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(
            x509.BasicConstraints(ca=not names and common_name != "localhost", path_length=None), critical=True
        )
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    if more is not None:
        builder = builder.add_extension(more, critical=False)
    if usages:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    signer = issuer[1] if issuer else key
    return builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()), key


def pem(*chain: Issued) -> bytes:
    """Write certificates."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate, _ in chain)


def server_of(*chain: Issued) -> ssl.SSLContext:
    """Give the TLS of a server that has the first of them, however weak, and shows all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with tempfile.TemporaryDirectory() as name:
        key = chain[0][1].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = Path(name) / "chain.pem"
        file.write_bytes(key + pem(*chain))
        context.load_cert_chain(file)
    return context
