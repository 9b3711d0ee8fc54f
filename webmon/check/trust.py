"""Whom a target's connections trust, as libcurl takes it: one file of authorities, our certificate, the oldest TLS.

libcurl keeps what it read of one file for a day, by the file's name; so each file is named by what is in it.
"""

import hashlib
import os
import shutil
import ssl
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal, NamedTuple

from webmon import files
from webmon.check.chain import Name, anchors_of
from webmon.check.target import Tls

_SYSTEM: Final = Path("/etc/ssl/certs/ca-certificates.crt")
"""Debian's store, where OpenSSL's own default names none."""


class Trust(NamedTuple):
    """How TLS is spoken with a target."""

    bundle: str
    """A PEM file of all authorities."""
    anchors: frozenset[Name]
    """Their names."""
    verify: bool
    certificate: bytes | None
    """Our own, as PEM; None: none."""
    key: bytes | None
    minimum: Literal["1.2", "1.3"]
    context: ssl.SSLContext
    """The same for Python's own TLS, where libcurl has none: on a connection that was plain before."""


class Trusts:
    """Makes what targets trust, once for each setting; it keeps files of its own until it is closed."""

    def __init__(self, authorities: tuple[Path, ...] = ()) -> None:
        """Take the PEM files that are trusted beside the system's store."""
        self._authorities = authorities
        self._folder: Path | None = None
        self._made: dict[Tls, Trust] = {}

    def prepare(self, settings: Iterable[Tls]) -> None:
        """Read the files (anew) for these settings, and forget the others.

        Raises:
            OSError: a file cannot be read, or holds no certificate, or a key that is another's (ssl.SSLError).
        """
        self._made = {tls: self._make(tls) for tls in settings}

    def of(self, tls: Tls) -> Trust:
        """Give what a setting trusts; it raises as `prepare`."""
        if (trust := self._made.get(tls)) is None:
            trust = self._made[tls] = self._make(tls)
        return trust

    def close(self) -> None:
        """Remove the files."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _make(self, tls: Tls) -> Trust:
        authorities = self._authorities + ((tls.ca,) if tls.ca else ())
        certificate = (tls.certificate, tls.key) if tls.certificate else None
        context = tls_context(verify=tls.verify, authorities=authorities, certificate=certificate)
        context.check_hostname = tls.verify
        context.verify_mode = ssl.CERT_REQUIRED if tls.verify else ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3 if tls.minimum == "1.3" else ssl.TLSVersion.TLSv1_2
        # As libcurl has it: an authority need not be a root, and a name in the subject alone counts for nobody.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.hostname_checks_common_name = False
        text = b"\n".join(_pem(path) for path in (*system_store(), *authorities)) if tls.verify else b""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="webmon-checks-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        file = self._folder / f"{hashlib.sha256(text).hexdigest()}.pem"
        if not file.exists():
            file.write_bytes(text)
        return Trust(
            bundle=str(file),
            anchors=anchors_of(context),
            verify=tls.verify,
            certificate=_pem(tls.certificate) if tls.certificate else None,
            key=_pem(tls.key) if tls.key else None,
            minimum=tls.minimum,
            context=context,
        )


def _pem(path: Path) -> bytes:
    return files.read(path, most=files.PEM).data


def system_store() -> list[Path]:
    """Give the file of the system's authorities: what SSL_CERT_FILE names, or OpenSSL's own, or Debian's."""
    found = ssl.get_default_verify_paths().cafile
    return [path for path in (Path(found) if found else _SYSTEM,) if os.access(path, os.F_OK)]


def tls_context(
    *,
    verify: bool = True,
    authorities: tuple[Path, ...] = (),
    certificate: tuple[Path, Path | None] | None = None,
) -> ssl.SSLContext:
    """Read the system's store and the PEM files given, as a connection would.

    Args:
        verify: whether the server's certificate must be right.
        authorities: PEM files trusted beside the system's store.
        certificate: our own PEM certificate and its key, for servers that ask for one; a key of None is in the
            certificate's file.

    Raises:
        OSError: a file cannot be read, or holds no certificate, or a key that is another's (ssl.SSLError).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if certificate is not None:
        for path in filter(None, certificate):
            files.look(path, most=files.PEM)
        # An empty password, so that an encrypted key fails here and nobody is asked for one on a terminal.
        context.load_cert_chain(*certificate, password="")
    if verify:
        for path in (*system_store(), *authorities):
            files.look(path, most=files.PEM)
            context.load_verify_locations(path)
    return context
