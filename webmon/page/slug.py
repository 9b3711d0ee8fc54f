"""What a public name is called in an address."""

import hashlib
import re
import unicodedata
from typing import Final

_LONGEST: Final = 60


def slug(name: str) -> str:
    """Give 1 to 60 small letters, digits and dashes; of a name without any such letter, what is made from all of it."""
    plain = unicodedata.normalize("NFKD", name).casefold().encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain.lower())
    return "-".join(words)[:_LONGEST].rstrip("-") or f"x-{digest(name)}"


def told_apart(name: str) -> str:
    """Give what a name is called where another one's slug is the same."""
    return f"{slug(name)[: _LONGEST - 11].rstrip('-')}-{digest(name)}"


def digest(name: str) -> str:
    """Give ten letters and digits that stand for a name."""
    return hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=5).hexdigest()
