"""Who wrote a message: HMAC-SHA256 (RFC 2104) over a record's key and value, with a key per agent.

Kafka tells a reader nothing of who wrote a record: whoever may write the topic could speak for any agent.
"""

import hashlib
import hmac
from typing import Final

HEADER: Final = "mac"
"""The record header that holds it."""
SIZE: Final = 32
"""Its bytes."""
_BLOCK: Final = 64
"""Bytes of a block of SHA-256; no key is longer."""


class Signer:
    """Makes the MACs of one key.

    What is hashed of the key alone is hashed once, as RFC 2104 (4) has it: that is half of what hmac.digest() takes.
    """

    def __init__(self, key: str) -> None:
        """Take an agent's key, a text as webmon.settings.is_agents_key judges it."""
        padded = key.encode().ljust(_BLOCK, b"\0")
        assert len(padded) == _BLOCK
        self._inner = hashlib.sha256(bytes(octet ^ 0x36 for octet in padded))
        self._outer = hashlib.sha256(bytes(octet ^ 0x5C for octet in padded))

    def sign(self, key: bytes | None, value: bytes) -> bytes:
        """Give the MAC of a record: over the length of its key in 4 bytes, its key and its value."""
        key = key or b""
        inner = self._inner.copy()
        inner.update(len(key).to_bytes(4, "big") + key + value)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.digest()

    def fits(self, mac: bytes, key: bytes | None, value: bytes) -> bool:
        """Tell whether a MAC is that of a record; how long that takes tells nothing."""
        return hmac.compare_digest(mac, self.sign(key, value))
