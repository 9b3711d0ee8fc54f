"""YAML that remembers its lines: values as PyYAML reads them, and where each one stood.

PyYAML is silent on a key that is there twice, and forgets the line of everything that it has read; both matter to
somebody who looks for a mistake in a long file.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

_MOST_ALIASED: Final = 100_000
"""Values that aliases may add to a file. What stands there itself is bounded by the file."""
_MOST_DEEP: Final = 32

_DECIMAL: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan", re.IGNORECASE)
_BACKSPACE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\b")

Path = tuple[str | int, ...]
"""Keys and positions from the top of the file to a value."""


@dataclass(slots=True)
class Document:
    """A file's value, the line of every part of it, and what was wrong with it."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    faults: list[tuple[int, str]] = field(default_factory=list)
    """Line and message."""
    numbers: dict[Path, tuple[str, int | float]] = field(default_factory=dict)
    """Numbers that YAML reads otherwise than people: what stands there, and what it is read as (0200 is 128)."""
    backspaces: set[Path] = field(default_factory=set)
    r"""Texts in which \b stands for a backspace, as it does in double quotes."""

    def line(self, path: Path) -> int:
        """Give the line of a value, or of the nearest thing around it."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


def read(text: str) -> Document:
    """Read one YAML document; never raises, the faults say what is wrong."""
    document = Document()
    loader = yaml.CSafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            document.value = _Walk(loader, document, text).value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # What is missing at the end is missed on the line after the last.
        line = min(mark.line + 1, len(text.splitlines()) or 1) if mark else 1
        document.faults.append((line, f"not YAML: {error.problem or error.context}"))
    except yaml.reader.ReaderError as error:
        line = text.encode(errors="replace")[: error.position].count(b"\n") + 1
        document.faults.append((line, f"not YAML: the character #x{error.character:04x} may not stand there"))
    except yaml.YAMLError as error:
        document.faults.append((1, f"not YAML: {' '.join(str(error).split())}"))
    except RecursionError:
        document.faults.append((1, f"nested more than {_MOST_DEEP} deep"))
    finally:
        loader.dispose()
    return document


class _Walk:
    """Turns nodes into values, and notes lines and faults in the document."""

    def __init__(self, loader: yaml.CSafeLoader, document: Document, text: str) -> None:
        self._loader = loader
        self._document = document
        self._text = text
        self._left = len(text) + _MOST_ALIASED

    def value(self, node: yaml.Node, path: Path) -> Any:
        self._left -= 1
        if self._left < 0 or len(path) > _MOST_DEEP:  # an alias may hold itself, or multiply
            raise yaml.MarkedYAMLError(problem="too large or nested too deep", problem_mark=node.start_mark)
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, position)) for position, item in enumerate(node.value)]
        try:
            value = self._loader.construct_object(node)
        except (ValueError, LookupError, AttributeError, ArithmeticError):
            # 2026-99-99 looks like a date, !!int without a number and !!timestamp x are one by force, and 1:1:1... of
            # 300 parts is too large a number.
            return node.value
        if "\b" in node.value and _BACKSPACE.search(self._text[node.start_mark.index : node.end_mark.index]):
            self._document.backspaces.add(path)
        # Octal, sexagesimal, in hexadecimal or with underscores (YAML 1.1).
        if isinstance(value, int | float) and not isinstance(value, bool) and not _DECIMAL.fullmatch(node.value):
            self._document.numbers[path] = node.value, value
        return value

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        self._note_doubles(node)
        self._loader.flatten_mapping(node)
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)  # as it stands there: `no` is no False here
            self._document.lines[(*path, key)] = key_node.start_mark.line + 1
            result[key] = self.value(value_node, (*path, key))
        return result

    def _note_doubles(self, node: yaml.MappingNode) -> None:
        seen: dict[str, int] = {}
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a word", problem_mark=key_node.start_mark)
            line = key_node.start_mark.line + 1
            if key_node.value in seen:
                first = seen[key_node.value]
                self._document.faults.append((line, f"{key_node.value} is here twice, first on line {first}"))
            seen.setdefault(key_node.value, line)
