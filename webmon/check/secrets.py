"""Secrets in texts that a server had a say in: they are taken out, also where it sends them back changed a little."""

import base64
import functools
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

LEAST: Final = 6
"""Characters of a secret that is looked for in other forms than its own: one that is shorter may be any word."""
_LEAST_TOLD: Final = 4
"""Characters of a secret's beginning that may stand at the end of a line that was cut."""
_LONGEST_END: Final = 2000
"""Characters at the end of such a line that are looked at: no message has more."""
_MASK: Final = "***"


def without(text: str, secrets: tuple[str, ...]) -> str:
    """Take secrets out of a text: as they are, and from six characters on in capitals or small letters, with a blank
    between any two characters, as a URL has them, and in base64, alone or in something longer.
    """
    exact, bent = _looked_for(secrets)
    for form in exact:
        text = text.replace(form, _MASK)
    for form in bent:
        text = _without_bent(text, form)
    return _without_beginning(text, exact + bent) if text.endswith("…") else text


@functools.lru_cache(maxsize=1024)
def _looked_for(secrets: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the secrets as they are, and their other forms in small letters; longest first."""
    exact = {form for secret in secrets for form in (repr(secret)[1:-1], secret) if form}
    bent = {_small(form) for secret in secrets if len(secret) >= LEAST for form in _bent(secret)}
    return tuple(sorted(exact, key=len, reverse=True)), tuple(sorted(bent, key=len, reverse=True))


def _small(text: str) -> str:
    """Give a text in small letters, each at the place that it had."""
    small = text.lower()
    return small if len(small) == len(text) else "".join(c if len(c.lower()) > 1 else c.lower() for c in text)


def _without_bent(text: str, form: str) -> str:
    small, kept, at = _small(text), "", 0
    while (found := small.find(form, at)) >= 0:
        kept += text[at:found] + _MASK
        at = found + len(form)
    return kept + text[at:]


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


def _without_beginning(text: str, forms: tuple[str, ...]) -> str:
    """Take a secret's beginning off the end of a line that was cut in the middle of it."""
    line = text[:-1]
    end = _small(line[-_LONGEST_END:])
    for form in forms:
        begin = _small(form[: len(end)])
        for length in range(min(len(begin), len(end)), _LEAST_TOLD - 1, -1):
            if end.endswith(begin[:length]):
                return line[:-length] + _MASK + "…"
    return text
