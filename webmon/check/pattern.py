"""Patterns for bodies: RE2 on bytes, so that no page can hang an agent (matching is linear in the page)."""

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any, Final

import re2

_MEMORY: Final = 8 << 20
"""Bytes that one pattern may use while it matches; RE2 falls back to a slower way past it, never to a failure."""

_INSTEAD: Final = (
    (
        r"operator: \(\?<?[=!]",
        "it has no lookahead and no lookbehind: match the text itself, or put what must not be there in body_not",
    ),
    (r"operator: \(\?P$|sequence: \\[1-9gk]", "it has no back references: spell out what may stand there"),
    (
        r"operator: \(\?>|repetition operator: .*\+$",
        "it never backtracks, so it needs no atomic or possessive form: write the plain one",
    ),
    (r"operator: \(\?#", "it has no comments"),
    (r"operator: \(\?[|(R]", "it has no conditions and no recursion: write the alternatives, (a|b)"),
    (r"operator: \(\?\w", "its flags are i, m, s and U"),
    (r"sequence: \\Z", r"write \z for the end of the page"),
    (r"sequence: \\[uN]", r"write the character itself, or \x{...} with its number"),
    (r"sequence: \\h", r"write [ \t]"),
    (r"sequence: \\R", r"write \r?\n"),
    (r"repetition size", "a repetition goes to 1000 at most, nested ones multiplied: write * instead"),
)
"""Reasons of RE2, and what to write instead."""
_NO_TEXT: Final = re.compile("[\udc80-\udcff]")
"""How Python decodes a byte that is no UTF-8 (surrogateescape)."""


class PatternError(ValueError):
    """A pattern that RE2 cannot take; the text says why, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern; equal to another of the same text."""

    text: str
    _forms: tuple[Any, ...] = field(repr=False, compare=False)
    """Compiled as it is written, and in NFC where that is another: letters with marks may be written in two ways."""

    def found_in(self, page: bytes) -> bool:
        """Tell whether it matches anywhere in the page, which need not be valid UTF-8."""
        if self._search(page) is not None:
            return True
        text = as_text(page)
        return text != page and self._search(text) is not None

    def find(self, page: bytes) -> bytes | None:
        """Give the first part of the page that it matches, or None. What is no UTF-8 it does not go past."""
        match = self._search(page)
        if match is None:
            return None
        part: bytes = match.group()
        return part

    def end_in(self, page: bytes, *, before: bytes = b"", after: bytes = b"") -> int | None:
        """Give where the first part of the page that it matches ends, or None; the page need not be valid UTF-8.

        What stands before and after the page says whether a line, or a word, begins and ends with it.
        """
        text = as_text(page)
        if (end := self._end(before, text, after)) is None or text == page:
            return end if text == page else self._end(before, page, after)
        characters = len(text[:end].decode(errors="ignore"))
        return len(page.decode(errors="surrogateescape")[:characters].encode(errors="surrogateescape"))

    def _end(self, before: bytes, page: bytes, after: bytes) -> int | None:
        stop = len(before) + len(page)
        match = self._search(before + page + after, len(before), stop)
        return None if match is None else int(match.end()) - len(before)

    def _search(self, page: bytes, start: int = 0, stop: int | None = None) -> Any:
        found = (form.search(page, start, stop) for form in self._forms)
        return next((match for match in found if match is not None), None)


def as_text(page: bytes) -> bytes:
    """Put U+FFFD for each byte of a page that is no UTF-8, as Go reads it: for RE2 such a byte is not even a `.`."""
    if page.isascii():
        return page
    return _NO_TEXT.sub("\ufffd", page.decode(errors="surrogateescape")).encode()


def compile_pattern(text: str) -> Pattern:
    """Compile a pattern of RE2's syntax (https://github.com/google/re2/wiki/Syntax); letters are UTF-8.

    Raises:
        PatternError: RE2 cannot take it.
    """
    options = re2.Options()
    options.log_errors = False  # else RE2 writes to stderr by itself
    options.max_mem = _MEMORY
    try:
        written = dict.fromkeys((text, unicodedata.normalize("NFC", text)))
        forms = tuple(re2.compile(form.encode(), options) for form in written)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else "unknown"
        hint = next((hint for seen, hint in _INSTEAD if re.search(seen, reason)), "")
        raise PatternError(f"RE2 cannot take it: {reason}" + (f"; {hint}" if hint else "")) from error
    except UnicodeEncodeError as error:
        raise PatternError(f"not UTF-8 at character {error.start}") from error
    return Pattern(text, forms)
