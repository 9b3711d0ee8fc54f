r"""Patterns of a targets file that are sure to mean something else than what stands there.

\b in double quotes is YAML's backspace, and no pattern takes a secret: such a one never matches. What somebody may
have meant is left as it is.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

from webmon.targets import yaml_lines

_PLACE: Final = re.compile(
    r"dialogue\.\d+\.expect|expect\.(body|body_not|headers\..+|headers_not\..+|json\.\d+\.matches)", re.DOTALL
)
_DEAD: Final = re.compile(r"(?:\(\?[imsU]+\))?(?:[^\\|(\[]|\\[^Q])*?\$(\{[A-Za-z_][A-Za-z0-9_]*\})[^|(\[]*", re.DOTALL)
"""A secret behind the end of a line, where there is no other way to match."""


def mistaken(given: Any, at: yaml_lines.Path, document: yaml_lines.Document) -> Iterator[tuple[yaml_lines.Path, str]]:
    """Give each pattern that can't be meant as it stands.

    Args:
        given: a target, or the defaults.
        at: where it stands.
        document: the file.

    Yields:
        Keys from there to a pattern, and what is wrong with it.
    """
    for keys, text in _patterns(given, ()):
        if (*at, *keys) in document.backspaces:
            yield keys, r"holds a backspace, which \b is in double quotes; right would be single quotes, or \\b"
        elif dead := _DEAD.fullmatch(text):
            never = "which no pattern can hold, so that it never matches; right would be the text itself"
            yield keys, f"names ${dead[1]}, {never}"


def _patterns(value: Any, keys: yaml_lines.Path) -> Iterator[tuple[yaml_lines.Path, str]]:
    if isinstance(value, str):
        if _PLACE.fullmatch(".".join(map(str, keys))):
            yield keys, value
    elif not keys or keys[0] in ("dialogue", "expect"):
        inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in inside:
            yield from _patterns(inner, (*keys, key))
