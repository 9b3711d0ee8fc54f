"""How an answer is laid out: a table for people, JSON and CSV for programs."""

import csv
import dataclasses
import io
import json
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Generic, TextIO, TypeVar

R = TypeVar("R")
"""What a line of the answer is made from."""


class Form(StrEnum):
    """What the answer is for."""

    TABLE = "table"
    """People: aligned; in a terminal coloured, and never wider than it."""
    JSON = "json"
    """A list of objects; durations in seconds, shares as ratios, times in UTC."""
    CSV = "csv"
    """RFC 4180 with a header row; the same numbers."""


@dataclasses.dataclass(frozen=True)
class Column(Generic[R]):
    """One column: what it is called and what stands in it, for people and for programs."""

    head: str | None = None
    """Its head in the table; None: people do not see it."""
    cell: Callable[[R], str] = str
    """Text for people."""
    name: str | None = None
    """Its key in JSON and its head in CSV; None: programs do not see it."""
    value: Callable[[R], Any] = str
    """What JSON has. CSV shows None as nothing, a list of texts with commas, what is nested as JSON."""
    right: bool = False
    """Whether the cells end at the column's right edge, as numbers do."""
    is_text: bool = False
    """Whether it is cut where the terminal is too narrow."""


def show(
    form: Form,
    columns: Sequence[Column[R]],
    rows: Sequence[R],
    *,
    nothing: str,
    title: str | None = None,
    colour: Callable[[R], str | None] = lambda _: None,
    out: TextIO | None = None,
) -> None:
    """Print an answer on `out` (default: standard output).

    People read `nothing` where there are no rows, else the title and a table; `colour` gives the SGR code of a row's
    first cell. Programs get an empty list, or the header alone.
    """
    out = sys.stdout if out is None else out
    if form is Form.JSON:
        print(as_json(columns, rows), file=out)
    elif form is Form.CSV:
        print(as_csv(columns, rows), end="", file=out)
    elif not rows:
        print(nothing, file=out)
    else:
        in_terminal = out.isatty()
        width = shutil.get_terminal_size().columns if in_terminal else None
        coloured = in_terminal and not os.environ.get("NO_COLOR")
        if title is not None:
            print(_cut(title, width), end="\n\n", file=out)
        for line in lines(columns, rows, width=width, colour=colour if coloured else None):
            print(line, file=out)


def lines(
    columns: Sequence[Column[R]],
    rows: Sequence[R],
    *,
    width: int | None = None,
    colour: Callable[[R], str | None] | None = None,
) -> list[str]:
    """Lay a table out: a head, and a line for each row; none is wider than `width`, in columns of a terminal."""
    seen = [column for column in columns if column.head is not None]
    head = [column.head or "" for column in seen]
    cells = [head, *([printable(column.cell(row)) for column in seen] for row in rows)]
    widths = [max(columns_of(line[place]) for line in cells) for place in range(len(seen))]
    if width is not None:
        widths = _shrunk(seen, widths, width)
    laid = []
    for number, line in enumerate(cells):
        padded = [_pad(_cut(cell, size), size, right=c.right) for cell, size, c in zip(line, widths, seen, strict=True)]
        code = colour(rows[number - 1]) if colour and number else None
        whole = _cut(_GAP.join(padded).rstrip(), width)
        if code:
            end = min(len(padded[0].rstrip()), len(whole))
            whole = f"\033[{code}m{whole[:end]}\033[0m{whole[end:]}"
        laid.append(whole)
    return laid


_GAP: Final = "  "
_LEAST: Final = 8
"""A text column is not cut below this, so that something of it can be read."""


def _shrunk(seen: Sequence[Column[R]], widths: Sequence[int], width: int) -> list[int]:
    """Take what is too much from the widest text columns, so that they end up equally wide."""
    shrunk = list(widths)
    too_much = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    texts = [place for place, column in enumerate(seen) if column.is_text]
    while too_much > 0 and texts:
        widest = max(texts, key=lambda place: shrunk[place])
        if shrunk[widest] <= _LEAST:
            break
        shrunk[widest] -= 1
        too_much -= 1
    return shrunk


def as_json(columns: Sequence[Column[R]], rows: Sequence[R]) -> str:
    """Give a JSON list of objects; what could steer a terminal stands in it as an escape."""
    return as_document(
        [{column.name: column.value(row) for column in columns if column.name is not None} for row in rows]
    )


def as_document(document: Any) -> str:
    """Give JSON; what could steer a terminal stands in it as an escape."""
    text = json.dumps(document, indent=2, ensure_ascii=False, default=_as_text, allow_nan=False)
    return escaped(text)


def escaped(text: str) -> str:
    """Give JSON in which what could steer a terminal stands as an escape; a line's end stays."""
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def as_csv(columns: Sequence[Column[R]], rows: Sequence[R]) -> str:
    """Give CSV after RFC 4180, with a header row."""
    named = [column for column in columns if column.name is not None]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([column.name for column in named])
    writer.writerows([_csv_field(column.value(row)) for column in named] for row in rows)
    return text.getvalue()


def _csv_field(value: Any) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        value = ", ".join(value)
    elif isinstance(value, (Mapping, list, tuple)):
        value = json.dumps(value, ensure_ascii=False, default=_as_text) if value else ""
    return _harmless(printable(_as_text(value)))


def _harmless(text: str) -> str:
    """Keep a spreadsheet from taking a text for a formula (https://owasp.org/www-community/attacks/CSV_Injection)."""
    return f"'{text}" if re.match(r"\s*[=+\-@]", text) else text


def _as_text(value: Any) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


def printable(text: str) -> str:
    """Keep what a target sent from steering the terminal, or the reader's eye: each such character becomes a space."""
    return text if text.isprintable() else "".join(char if char.isprintable() else " " for char in text)


def columns_of(text: str) -> int:
    """Give how many columns of a terminal a printable text takes."""
    return len(text) if text.isascii() else sum(map(_columns_of_char, text))


def _columns_of_char(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _cut(text: str, width: int | None) -> str:
    if width is None or columns_of(text) <= width:
        return text
    kept, used = [], 1
    for char in text:
        used += _columns_of_char(char)
        if used > width:
            break
        kept.append(char)
    return "".join(kept).rstrip() + "…"


def _pad(text: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - columns_of(text))
    return blanks + text if right else text + blanks


def hundredths(share: float) -> int:
    """Give a ratio as hundredths of a percent, cut: what is short of 100 % is never 10000."""
    # A ratio such as 0.9999 times 10000 falls short of 9999 by the last bit.
    return 10_000 if share >= 1 else min(int(share * 10_000 + 1e-6), 9_999)


def as_percent(share: float | None) -> str:
    """Give a ratio for people, rounded down: what is short of 100 % never reads as 100 %."""
    if share is None:
        return "no data"
    return "100 %" if share >= 1 else f"{hundredths(share) / 100:.2f} %"


def some(names: Sequence[str], most: int) -> str:
    """Name the first of some, so many at most, and count the rest: `a, b and 3 more`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def as_duration(seconds: float | None) -> str:
    """Give a long span of time for people, in two units at most: 45 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds is None:
        return "-"
    left = round(seconds)
    if left >= 3600:
        # The smaller unit is minutes at least.
        left = round(left / 60) * 60
    parts = []
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def as_milliseconds(seconds: float | None) -> str:
    """Give a response time for people."""
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"


def as_minute(moment: datetime) -> str:
    """Give a time for people, in UTC, to the minute."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}"
