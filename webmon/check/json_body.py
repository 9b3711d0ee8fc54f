"""What a body of JSON must hold (expect.json): it is read as browsers do, and each rule looked for in it."""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from webmon.check.jsonpath import JsonPath, TooDeepError
from webmon.check.pattern import Pattern

_SHOWN: Final = 100
"""Characters of a value in a message."""
_MOST_VALUES: Final = 100_000
"""Of a body that is looked through: each costs up to 20 us, whatever it is."""
_TEXT: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""A text of JSON, or one that has no end."""
_MOST_DIGITS: Final = 4300
"""Of a whole number that Python reads and writes (sys.get_int_max_str_digits)."""


@dataclass(frozen=True, slots=True)
class JsonRule:
    """What stands at a place of a JSON body: all comparisons that are given hold for one of the values found there."""

    path: JsonPath
    equals: str | float | bool | None = None
    """Numbers are equal as numbers; true is not 1. None: not asked."""
    matches: Pattern | None = None
    """Of a text alone."""
    above: float | None = None
    below: float | None = None
    is_truth: bool = field(init=False, repr=False)
    """Whether `equals` is true or false, which in Python are equal to 1 and 0: such rules are not equal."""

    def __post_init__(self) -> None:
        """Look at what is asked."""
        object.__setattr__(self, "is_truth", isinstance(self.equals, bool))


class NotJsonError(ValueError):
    """A body that cannot be read as JSON; the text says why, and is a whole line."""


def fault(rules: Sequence[JsonRule], body: bytes, *, is_cut: bool) -> str | None:
    """Say which rule a body breaks first, or that it is not JSON; None: it is as expected. The text may be long.

    Args:
        rules: what is expected.
        body: what came, unpacked.
        is_cut: whether more of it came than is read.
    """
    if not rules:
        return None
    if is_cut:
        return f"the body is not JSON: it goes on past the {len(body)} bytes that are read (body_limit)"
    try:
        document = read(body)
    except NotJsonError as error:
        return str(error)
    return next((broken for rule in rules if (broken := _broken(rule, document)) is not None), None)


def shown(rule: JsonRule, body: bytes) -> str:
    """Say what stands in a body where a rule looks, and is as it expects; nothing where there is no such."""
    try:
        values = [value for value in rule.path.find(read(body)) if _holds(rule, value)]
    except (NotJsonError, TooDeepError):
        return ""
    return f"{rule.path.text} is {_told(values[0])}" if values else ""


def read(body: bytes) -> Any:
    """Read a body: it is UTF-8, whatever its header says, as for fetch() of browsers.

    Of a name that is there twice the last counts.

    Raises:
        NotJsonError: it is no JSON (RFC 8259), or none that can be read here.
    """
    text = body.decode(errors="replace").removeprefix("\ufeff")
    if not text.strip():
        raise NotJsonError("the body is not JSON: it is empty")
    if _values(text) > _MOST_VALUES and _values(_TEXT.sub("", text)) > _MOST_VALUES:
        raise NotJsonError(f"the body has more values than are looked through: {_MOST_VALUES} of JSON")
    try:
        return json.loads(text, parse_constant=_refuse, parse_int=_integer)
    except json.JSONDecodeError as error:
        stands = f", where {text[error.pos :][:_SHOWN]!r} stands" if error.pos < len(text) else ", where it ends"
        raise NotJsonError(f"the body is not JSON: {error.msg} at character {error.pos}{stands}") from None
    except RecursionError:
        raise NotJsonError("the body is JSON that is nested too deeply to be read") from None


def _values(text: str) -> int:
    """Count what may be values of JSON, before memory and time are spent on them."""
    return sum(map(text.count, ",[{"))


def _refuse(constant: str) -> None:
    raise NotJsonError(f"the body is not JSON: {constant} is no number of it")


def _integer(text: str) -> int | float:
    """Read a whole number; one that Python reads as none is as good as infinite."""
    return int(text) if len(text) <= _MOST_DIGITS else float(text)


def _broken(rule: JsonRule, document: object) -> str | None:
    count, first = 0, None
    try:
        for value in rule.path.find(document):
            if _holds(rule, value):
                return None
            first = value if count == 0 else first
            count += 1
    except TooDeepError:
        return f"the body is nested too deeply to look for {rule.path.text} in it"
    if count == 0:
        return f"nothing stands at {rule.path.text}, expected {_expected(rule)}"
    found = f"{rule.path.text} is {_told(first)}"
    if count > 1:
        found = f"none of the {count} values at {rule.path.text} is as expected, the first is {_told(first)}"
    return f"{found}, expected {_expected(rule)}"


def _holds(rule: JsonRule, value: object) -> bool:
    if rule.equals is not None and not _is_equal(rule.equals, value):
        return False
    if rule.matches is not None and not (
        isinstance(value, str)
        and any(rule.matches.found_in(form.encode(errors="replace")) for form in (value, _composed(value)))
    ):
        return False
    if rule.above is None and rule.below is None:
        return True
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return (rule.above is None or value > rule.above) and (rule.below is None or value < rule.below)


def _is_equal(expected: str | float | bool, value: object) -> bool:
    if isinstance(expected, str) and isinstance(value, str):
        return _composed(value) == _composed(expected)
    if isinstance(expected, str | bool) or isinstance(value, bool):
        return type(value) is type(expected) and value == expected
    return isinstance(value, int | float) and value == expected


def _composed(text: str) -> str:
    """Give a text in NFC: letters with marks may be written in two ways that look the same."""
    return unicodedata.normalize("NFC", text)


def _told(value: object) -> str:
    """Write a value for people, briefly."""
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    text = repr(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _expected(rule: JsonRule) -> str:
    parts = []
    if rule.equals is not None:
        parts.append(_told(rule.equals))
    if rule.matches is not None:
        parts.append(f"a text that matches {rule.matches.text!r}")
    if rule.above is not None:
        parts.append(f"a number above {rule.above:g}")
    if rule.below is not None:
        parts.append(f"a number below {rule.below:g}")
    return " and ".join(parts)
