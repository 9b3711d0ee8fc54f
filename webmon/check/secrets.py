"""Secrets in texts that a server had a say in: they are taken out, also where it sends them back changed a little."""

import base64
import functools
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

LEAST: Final = 6
"""Characters of a secret that is looked for in other forms than its own: one that is shorter may be any word."""
_LEAST_TOLD: Final = 4
"""Characters of a secret's beginning that may stand at the end of a line that was cut."""
_MASK: Final = "***"


def without(text: str, secrets: tuple[str, ...]) -> str:
    """Take secrets out of a text: as they are, and from six characters on in capitals or small letters, with a blank
    between any two characters, as a URL has them, and in base64, alone or in something longer.
    """
    exact, bent, forms = _looked_for(secrets)
    for pattern in (exact, bent):
        if pattern is not None:
            text = pattern.sub(_MASK, text)
    return _without_beginning(text, forms) if text.endswith("…") else text


@functools.lru_cache(maxsize=1024)
def _looked_for(secrets: tuple[str, ...]) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None, tuple[str, ...]]:
    """Give patterns of the secrets as they are and of their other forms, and all of those, longest first."""
    exact = {form for secret in secrets for form in (repr(secret)[1:-1], secret) if form}
    bent = {form for secret in secrets if len(secret) >= LEAST for form in _bent(secret)}
    longest_first = tuple(sorted(exact | bent, key=len, reverse=True))
    return _any_of(exact, 0), _any_of(bent, re.IGNORECASE), longest_first


def _bent(secret: str) -> Iterator[str]:
    yield from (secret, repr(secret)[1:-1], " ".join(secret))
    yield quote(secret, safe="")
    yield quote(secret, safe="").replace("%20", "+")
    octets = secret.encode()
    yield base64.b64encode(octets).decode()
    for before in range(3):
        # What stands before it shifts its bits; its first and last characters may hold some of its neighbours'.
        coded = base64.b64encode(bytes(before) + octets).decode().rstrip("=")
        whole = coded[(0, 2, 3)[before] : len(coded) - ((before + len(octets)) % 3 > 0)]
        yield from (whole, whole.translate(str.maketrans("+/", "-_")))


def _any_of(forms: set[str], flags: int) -> re.Pattern[str] | None:
    written = sorted(forms, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, written)), flags) if written else None


def _without_beginning(text: str, forms: tuple[str, ...]) -> str:
    """Take a secret's beginning off the end of a line that was cut in the middle of it."""
    line = text[:-1]
    for form in forms:
        for length in range(min(len(form), len(line)), _LEAST_TOLD - 1, -1):
            if line[-length:].lower() == form[:length].lower():
                return line[:-length] + _MASK + "…"
    return text
