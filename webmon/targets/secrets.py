"""Secrets in a file that lists something: ${NAME} stands for a variable of the .env or of the environment."""

import re
from collections.abc import Mapping
from typing import Final

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_SECRET: Final = re.compile(rf"\$\{{({_NAME})\}}")
NO_NAME: Final = re.compile(rf"\$\{{(?!{_NAME}\}})")
"""What looks like one, and names none."""


class Filling:
    """Puts secrets in their places, and remembers which."""

    def __init__(self, secrets: Mapping[str, str] | None) -> None:
        """Take what each name stands for; None leaves them as they are."""
        self.seen: set[str] = set()
        self._secrets = secrets

    def fill(self, text: str) -> tuple[str, list[str]]:
        """Give the text with its ${NAME} filled in, and the names that nothing is known of."""
        if self._secrets is None:
            return text, []
        missing: list[str] = []

        def value(match: re.Match[str]) -> str:
            found = (self._secrets or {}).get(match[1])
            if not found:
                missing.append(match[1])
                return ""
            self.seen.add(found)
            return found

        return _SECRET.sub(value, text), missing
