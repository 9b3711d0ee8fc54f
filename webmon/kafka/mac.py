"""Who wrote a message: HMAC-SHA256 (RFC 2104) over a record's key and value, with a key per agent.

Kafka tells a reader nothing of who wrote a record: whoever may write the topic could speak for any agent.
"""

import hmac
from typing import Any, Final

HEADER: Final = "mac"
"""The record header that holds it: 32 bytes."""


class Signer:
    """Makes the MACs of one key."""

    def __init__(self, key: str) -> None:
        """Take an agent's key, a text as webmon.settings.is_agents_key judges it."""
        # What is hashed of the key alone is hashed once: a copy of that costs two thirds of hmac.digest().
        self._begun: Any = hmac.new(key.encode(), digestmod="sha256")

    def sign(self, key: bytes | None, value: bytes) -> bytes:
        """Give the MAC of a record: over the length of its key in 4 bytes, its key and its value."""
        key = key or b""
        signed = self._begun.copy()
        signed.update(len(key).to_bytes(4, "big") + key + value)
        digest: bytes = signed.digest()
        return digest

    def fits(self, mac: bytes, key: bytes | None, value: bytes) -> bool:
        """Tell whether a MAC is that of a record; how long that takes tells nothing."""
        return hmac.compare_digest(mac, self.sign(key, value))
