"""TLS on a connection that was plain before, by Python's own: no more than bytes in and bytes out."""

import ssl
from collections.abc import Mapping
from typing import Any

from webmon.check.chain import Chain, read_verified
from webmon.check.trust import Trust


class LaterTls:
    """One side of TLS. What it raises is ssl.SSLError; `why` says it."""

    def __init__(self, trust: Trust, host: str) -> None:
        """Begin with a server of this name, or at this address."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        name = host.partition("%")[0].rstrip(".")
        self._tls = trust.context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._verifies = trust.verify

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._incoming.write(data)

    def to_send(self) -> bytes:
        """Give what is to be sent now."""
        return self._outgoing.read()

    def shake_hands(self) -> bool:
        """Go on with the handshake; False: more must come."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def sealed(self, data: bytes) -> bytes:
        """Give what is to be sent so that this is read."""
        self._tls.write(data)
        return self.to_send()

    def read(self) -> bytes | None:
        """Give what came; None: more must come first; nothing: that was all."""
        try:
            return self._tls.read(LARGEST_RECORD)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            return b""

    @property
    def version(self) -> str | None:
        """The version that was agreed on."""
        return self._tls.version()

    def chain(self) -> Chain | None:
        """Give the certificates; None where they were not verified, or Python cannot read them."""
        if not self._verifies:
            return None
        try:
            return self._read_chain()
        except UnicodeDecodeError:  # a name in one of them is no UTF-8: no reason to refuse what is verified
            return None

    def _read_chain(self) -> Chain | None:
        own: Mapping[str, Any] = self._tls.getpeercert() or {}
        # Public from Python 3.13 on, and there as DER.
        inner = getattr(self._tls, "_sslobj", None)
        verified = getattr(inner, "get_verified_chain", lambda: None)()
        told = [one.get_info() for one in verified or () if hasattr(one, "get_info")]
        return read_verified(told or [own])


LARGEST_RECORD = 16 << 10


def why(error: ssl.SSLError) -> str:
    """Say what ended it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "the server closed the connection"
    return (error.reason or str(error)).replace("_", " ").lower()
