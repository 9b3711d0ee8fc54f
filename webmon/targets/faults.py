"""The faults of a YAML file that lists something: each with its line, key, value and what would be right."""

import datetime
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from webmon.check.target import without_password
from webmon.errors import UserError
from webmon.targets import yaml_lines
from webmon.targets.keys import fields_of

_READ_SO: Final = {bool: "yes, no, on and off", datetime.date: "what looks like a date"}
"""Types of values that surprise those who wrote a text, and what YAML makes them of."""
_LARGEST_SHOWN: Final = 1e15
"""A number of thousands of digits is no help in a message."""
NOT_SHOWN: Final = "it may be a secret and is not shown"
_SHOWN_NUMBER: Final = 40
_SHOWN: Final = 200
"""Characters of a value in a message."""
_MOST_CIRCLES: Final = 20
_ALTERNATIVES: Final = 4
"""What a value may be at most, in the place of one: pydantic says of each that it is not that."""

M = TypeVar("M", bound=BaseModel)


class Faults:
    """Gathers the faults of one file, and knows where in it everything stood."""

    def __init__(
        self,
        path: Path,
        *,
        closed: tuple[str, ...],
        mappings: tuple[str, ...] = (),
        show: Callable[[object], str] | None = None,
    ) -> None:
        """Take what the file is.

        Args:
            path: what messages name.
            closed: keys whose values may be secrets, and are never shown.
            mappings: keys whose values have keys of the user's.
            show: writes a value for a message; None: as `shown` does.
        """
        self.told: list[tuple[int, str]] = []
        """Line and message."""
        self.document = yaml_lines.Document()
        self._path = path
        self._closed = closed
        self._mappings = mappings
        self._show = show or shown

    def read(self, text: str) -> Any:
        """Read the file's text; None where it is no YAML, which is told."""
        document = self.document = yaml_lines.read(text)
        for line, message in document.faults:
            self.add(line, message)
        for path, (written, value) in document.numbers.items():
            is_closed = bool(set(path) & set(self._closed))
            shown = "a number here" if is_closed else f"{path[-1]}: {written[:_SHOWN_NUMBER]}"
            read = f"as {value}" if abs(value) < _LARGEST_SHOWN and not is_closed else "otherwise than people do"
            self.add(
                document.line(path),
                f"{shown} is read by YAML {read}; right would be a plain decimal number, or text in quotes",
            )
        return document.value

    def validate(
        self, model: type[M], value: Mapping[str, Any], path: yaml_lines.Path, who: str
    ) -> tuple[M | None, Sequence[yaml_lines.Path]]:
        """Give the model, or None and the keys that are wrong."""
        try:
            return model.model_validate(value), ()
        except ValidationError as error:
            wrong = []
            for fault in error.errors(include_url=False):
                keys = tuple(_keys(model, fault["loc"], self._mappings))
                wrong.append(keys)
                self._tell(model, fault, keys, path, who)
            return None, wrong

    def _tell(self, model: type[BaseModel], fault: Any, keys: yaml_lines.Path, path: yaml_lines.Path, who: str) -> None:
        line = self.document.line((*path, *keys))
        key, value = ".".join(map(str, keys)), fault["input"]
        around, right = _described(model, keys)
        so = next((f" (YAML reads {what} so)" for kind, what in _READ_SO.items() if isinstance(value, kind)), "")
        if fault["type"] == "extra_forbidden":
            self.unknown(line, who, key, tuple(fields_of(around)))
        elif fault["type"] == "missing":
            self.add(line, f"{who}: {key} is missing; right would be {right}")
        elif str(cause := fault.get("ctx", {}).get("error", "")):
            self.add(line, f"{who}: {key} is {self._show(value)}: {cause}")
        elif keys[0] in self._closed:
            told = str(value) if isinstance(value, tuple(_READ_SO)) else f"not right ({NOT_SHOWN})"
            self.add(line, f"{who}: {key} is {told}{so}; right would be {right}")
        else:
            self.add(line, f"{who}: {key} is {self._show(value)}{so}; right would be {right}")

    def unknown(self, line: int, who: str, key: str, known: tuple[str, ...]) -> None:
        """Tell of a key, or a name, that is not known."""
        near = difflib.get_close_matches(key.rpartition(".")[2], known, n=1)
        right = near[0] if near else "one of " + ", ".join(known)
        self.add(line, f"{who}{': ' if who else ''}{key} is not known; right would be {right}")

    def at(self, path: yaml_lines.Path, message: str) -> None:
        """Tell of a fault at what stands there."""
        self.add(self.document.line(path), message)

    def add(self, line: int, message: str) -> None:
        """Tell of a fault on a line."""
        # A URL with a password in it is a fault itself; the message must not carry the password on.
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in without_password(message))
        told = (line, f"{self._path}:{line}: {text}")
        if told not in self.told[-_ALTERNATIVES:]:
            self.told.append(told)

    def end(self) -> None:
        """Tell all, by their lines.

        Raises:
            UserError: there is one.
        """
        if self.told:
            raise UserError(*(message for _, message in sorted(self.told, key=itemgetter(0))))


def shown(value: object) -> str:
    """Write a value of the file for a message, briefly."""
    try:
        text = str(value) if isinstance(value, datetime.date) else repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        text = "a huge number"
    text = without_password(text)  # before it is cut, or what shows where it ends would be missing
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def circles(parents: Mapping[str, Iterable[str]]) -> Iterator[list[str]]:
    """Give ways that lead from a name over its parents to itself: the names, each once; twenty of them at most."""
    left = {name: set(theirs) for name, theirs in parents.items()}
    for _ in range(_MOST_CIRCLES):
        try:
            TopologicalSorter(left).prepare()
        except CycleError as error:
            circle = error.args[1][:0:-1]  # it goes from parent to child, and ends where it begins
            yield circle
            for name in circle:
                left.pop(name, None)
        else:
            return


def _keys(model: type[BaseModel], location: Sequence[str | int], mappings: tuple[str, ...]) -> Iterator[str | int]:
    """Give the file's own keys of a fault's location; pydantic adds names of types and positions after them."""
    for number, part in enumerate(location):
        yield part
        if isinstance(part, int):
            continue
        if part in mappings:
            yield from map(str, location[number + 1 : number + 2])
        inner = _inner(model, str(part))
        if inner is None:
            return
        model = inner


def _inner(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    """Give the model of a key's value, where it has one."""
    field = fields_of(model).get(key)
    kinds = (get_args(field.annotation) or (field.annotation,)) if field else ()
    for kind in kinds:
        while inner := get_args(kind):  # of a list's items, whatever is said of the list
            kind = inner[0]  # noqa: PLW2901
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _described(model: type[BaseModel], keys: Sequence[str | int]) -> tuple[type[BaseModel], str]:
    """Give the model that the last key belongs to, and what a right value is of the last key that a model knows."""
    right = ""
    for key in map(str, keys):
        known = fields_of(model).get(key)
        if known is not None and known.description:
            right = known.description
        if key != str(keys[-1]):
            model = _inner(model, key) or model
    return model, right
