"""Places in a JSON document: JSONPath (RFC 9535), of which only that is taken whose cost is linear in the document.

The document is a stranger's. Two `..` look at each value as often as it is nested, a path in a filter is followed anew
for each value, and a pattern that backtracks may take for ever: none of these is needed to say what a body must hold.
"""

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError, JSONPathMatch
from jsonpath.filter import FilterQuery, FunctionExtension, RootFilterQuery, StringLiteral, walk
from jsonpath.function_extensions import ExpressionType, FilterFunction
from jsonpath.segments import JSONPathRecursiveDescentSegment
from jsonpath.selectors import Filter, IndexSelector, NameSelector

from webmon.check.pattern import Pattern, PatternError, compile_pattern

_RIGHT: Final = "right would be one such as $.status or $.parts[?@.name == 'db'].state (RFC 9535)"
_SHOWN: Final = 40
"""Characters of a path in a message about it."""


class JsonPathError(ValueError):
    """A path that is no JSONPath, or none that is taken; the text says why, and what would be right."""


class TooDeepError(ValueError):
    """A document is nested more deeply than a path is followed: 100 levels."""


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A compiled path; equal to another of the same text."""

    text: str
    _compiled: JSONPath = field(repr=False, compare=False)

    def find(self, document: object) -> Iterator[object]:
        """Give the values that stand at it, in their order.

        Args:
            document: what json.loads gives.

        Raises:
            TooDeepError: it cannot be followed to its end.
        """
        found: Iterable[JSONPathMatch] = [_Node.root_of(document)]
        for segment in self._compiled.segments:
            found = segment.resolve(found)
        try:
            for node in found:
                yield node.obj
        except (JSONPathError, RecursionError):
            raise TooDeepError from None


class _Node(JSONPathMatch):
    """A value without its place: to write the place of each costs the square of a body with long names."""

    __slots__ = ()

    @classmethod
    def root_of(cls, document: object) -> "_Node":
        return cls(filter_context={}, obj=document, parent=None, path="", parts=(), root=document)  # type: ignore[arg-type]

    def new_child(self, obj: object, key: int | str) -> "_Node":  # noqa: ARG002
        return _Node(filter_context={}, obj=obj, parent=None, path="", parts=(), root=self.root)

    def add_child(self, *children: JSONPathMatch) -> None:
        pass


class _Matches(FilterFunction):
    """match() and search() by RE2, as all patterns here."""

    arg_types = [ExpressionType.VALUE, ExpressionType.VALUE]  # noqa: RUF012
    return_type = ExpressionType.LOGICAL

    def __init__(self, form: str) -> None:
        self._form = form

    def __call__(self, value: object, pattern: object) -> bool:
        if not isinstance(value, str) or not isinstance(pattern, str):
            return False
        return self.compiled(pattern).found_in(value.encode(errors="replace"))

    def compiled(self, pattern: str) -> Pattern:
        return _compiled(self._form.format(pattern))


_compiled = functools.lru_cache(maxsize=1000)(compile_pattern)


class _Environment(JSONPathEnvironment):
    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        self.function_extensions["match"] = _Matches(r"\A(?:{})\z")
        self.function_extensions["search"] = _Matches("{}")

    def compare(self, left: object, operator: str, right: object) -> bool:
        if operator[0] in "<>" and (isinstance(left, bool) or isinstance(right, bool)):  # true is not 1
            return operator.endswith("=") and super().compare(left, "==", right)
        return super().compare(left, operator, right)


_ENVIRONMENT: Final = _Environment(strict=True, filter_caching=False)


def compile_path(text: str) -> JsonPath:
    """Compile a path.

    Raises:
        JsonPathError: it is none, or none that is taken.
    """
    if not text.startswith("$"):
        raise JsonPathError(f"no JSONPath: it does not begin with $; {_RIGHT}")
    try:
        compiled = _ENVIRONMENT.compile(text)
    except JSONPathError as error:
        raise JsonPathError(f"no JSONPath: {_reason(error, text)}; {_RIGHT}") from None
    except RecursionError:
        raise JsonPathError(f"no JSONPath: it is nested too deeply; {_RIGHT}") from None
    assert isinstance(compiled, JSONPath)
    if (fault := _costs(compiled)) is not None:
        raise JsonPathError(f"taken are only paths that no page can make slow: {fault}")
    return JsonPath(text, compiled)


def _reason(error: JSONPathError, text: str) -> str:
    said = re.sub(r"'?TOKEN_(\w+)'?", lambda match: match[1].lower(), str(error.args[0]))
    at = error.token.index if error.token is not None else -1
    return f"{said}, before {text[at:][:_SHOWN]!r}" if 0 <= at < len(text) else said


def _costs(path: JSONPath) -> str | None:
    """Say what would make a path take longer than in proportion to the document."""
    if sum(isinstance(segment, JSONPathRecursiveDescentSegment) for segment in path.segments) > 1:
        return "right would be `..` once"
    for selectors in (segment.selectors for segment in path.segments):
        if len(selectors) > 1 and not _are_apart(selectors):
            return "right would be different names and indexes from 0 on in [..., ...], and * or a filter alone"
        for selector in selectors:
            if isinstance(selector, Filter) and (fault := _costs_of_filter(selector)) is not None:
                return fault
    return None


def _are_apart(selectors: tuple[Any, ...]) -> bool:
    """Tell whether no value is found by two of them: else a few such lists find it a million times."""
    named = all(isinstance(selector, NameSelector) or _is_plain_index(selector) for selector in selectors)
    return named and len(set(map(str, selectors))) == len(selectors)


def _is_plain_index(selector: object) -> bool:
    return isinstance(selector, IndexSelector) and selector.index >= 0


def _costs_of_filter(selector: Filter) -> str | None:
    for part in walk(selector.expression):
        if isinstance(part, FilterQuery) and not part.path.singular_query():
            return "right would be names and indexes alone in the paths of a filter"
        if isinstance(part, FunctionExtension) and part.name in ("match", "search"):
            value, pattern = part.args
            if isinstance(value, RootFilterQuery) or not isinstance(pattern, StringLiteral):
                return f"right would be {part.name}(@.NAME, 'an RE2 pattern')"
            function = _ENVIRONMENT.function_extensions[part.name]
            assert isinstance(function, _Matches)
            try:
                function.compiled(pattern.value)
            except PatternError as error:
                return f"{part.name}(): {error}"
    return None
