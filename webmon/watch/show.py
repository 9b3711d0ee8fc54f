"""What somebody sees: a table that is drawn anew in a terminal, else lines or JSON; and in the end what there was.

Whatever a site sent is text: it begins no line and steers no terminal (webmon.render.printable).
"""

import logging
import os
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from webmon.alarm.senders import message
from webmon.check.result import encode
from webmon.render import Column, as_duration, as_milliseconds, as_percent, escaped, lines, printable
from webmon.report.status import COLOURS, State
from webmon.watch.memory import Memory, Seen, Told, Turn

_NARROW: Final = 72
"""Columns of a terminal below which only state, name and error are shown."""
_LONGEST: Final = 500
"""Characters of a name or an error that are looked at."""
_BELOW: Final = 4
"""Alarms and log lines below the table."""
_LAST: Final = 20
"""Alarms that are told once more in the end."""
_LEAST: Final = 12
"""Lines of a terminal from which on there is room for them."""


class Lines:
    """For a pipe, a file, a terminal without cursor: a line for each change of a state, and what an alarm would say."""

    def show(self, turn: Turn) -> None:
        """Print what is new."""
        for seen in turn.changed:
            error = f": {_error(seen)}" if _error(seen) else ""
            _print(f"{message.moment(seen.since)}  {seen.state.value:<8}  {printable(_name(seen) + error)}")
        for told in turn.told:
            _print(*_whole(told))

    def end(self, memory: Memory) -> None:
        """Print what there was."""
        _print("", *_summary(memory))


class Json(Lines):
    """For a program: a line for each check, the very message that Kafka would get, and one for each alarm."""

    def show(self, turn: Turn) -> None:
        """Print what is new."""
        alarms = [{"at": t.at, "channels": t.channels, "text": message.text(t.notice)} for t in turn.told]
        documents = [*map(encode, turn.results), *(msgspec.json.encode({"alarm": alarm}) for alarm in alarms)]
        _print(*(escaped(document.decode()) for document in documents))

    def end(self, memory: Memory) -> None:
        """Print no more: a program counts itself."""


class Table(logging.Handler):
    """A table that fills the terminal, the most urgent first; below it the last alarms, and what would be logged."""

    def __init__(self, page: str = "") -> None:
        """Take the terminal over, and the address of the page, which stands in it all the time."""
        super().__init__()
        self._page = page
        self._below: deque[str] = deque(maxlen=_BELOW)
        self._logged: list[str] = []
        self._coloured = not os.environ.get("NO_COLOR")
        sys.stdout.write("\033[?1049h\033[?7l")  # another screen, on which a line is cut and not wrapped

    def emit(self, record: logging.LogRecord) -> None:
        """Take a log line, which would stand across the table."""
        self._logged.append(self.format(record))
        self._below.append(f"note   {printable(record.getMessage())}")

    def show(self, turn: Turn) -> None:
        """Draw all of it."""
        for told in turn.told:
            self._below.append(f"alarm  {message.moment(told.at)}  {message.subject(told.notice)}")
        memory = turn.memory
        width, height = _size()
        below = ["", *self._below] if self._below and height >= _LEAST else []
        rows = _sorted(memory)
        room = max(1, height - 3 - len(below))
        shown = rows if len(rows) <= room else rows[: room - 1]
        table = lines(_columns(width), [(seen, memory) for seen in shown], width=width, colour=self._colour)
        more = [f"... and {len(rows) - len(shown)} more"] if len(rows) > len(shown) else []
        drawn = [_headline(memory), self._page, *table, *more, *below][:height]
        sys.stdout.write("\033[H" + "\r\n".join(f"{line}\033[K" for line in drawn) + "\033[J")
        sys.stdout.flush()

    def end(self, memory: Memory) -> None:
        """Give the terminal back, with what there was on it."""
        sys.stdout.write("\033[?7h\033[?1049l")
        for told in memory.told[-_LAST:]:
            _print(*_whole(told))
        _print(*_summary(memory))
        for line in "\n".join(self._logged).splitlines():
            print(printable(line), file=sys.stderr)

    def _colour(self, row: tuple[Seen, Memory]) -> str | None:
        return COLOURS[row[0].state] if self._coloured else None


_Row = tuple[Seen, Memory]
_COLUMNS: Final[tuple[Column[_Row], ...]] = (
    Column("STATE", lambda row: row[0].state.value),
    Column("FOR", lambda row: as_duration((row[1].now - row[0].since).total_seconds()), right=True),
    Column("RESPONSE", lambda row: as_milliseconds(row[0].response), right=True),
    Column("UP", lambda row: as_percent(row[0].tally.uptime), right=True),
    Column("ALARM", lambda row: ", ".join(row[0].alarms)),
    # Behind the numbers: a name that is written from the right would take those behind it along.
    Column("TARGET", lambda row: _name(row[0]), is_text=True),
    Column("ERROR", lambda row: _error(row[0]), is_text=True),
)


def _columns(width: int) -> Sequence[Column[_Row]]:
    return [c for c in _COLUMNS if width >= _NARROW or c.head in ("STATE", "TARGET", "ERROR")]


def _name(seen: Seen) -> str:
    return seen.target.name[:_LONGEST]


def _error(seen: Seen) -> str:
    return ((seen.last and seen.last.error) or "")[:_LONGEST]


def _sorted(memory: Memory) -> list[Seen]:
    urgency = list(State)
    return sorted(memory.seen.values(), key=lambda seen: urgency.index(seen.state))


def _headline(memory: Memory) -> str:
    counted = Counter(seen.state for seen in memory.seen.values())
    states = ", ".join(f"{counted[state]} {state.value}" for state in State if counted[state])
    spent = as_duration((memory.now - memory.began).total_seconds())
    watched, told = _counted(len(memory.seen), "target"), _counted(len(memory.told), "alarm")
    return f"{watched}: {states}; {_counted(memory.checks, 'check')} in {spent}, {told}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _summary(memory: Memory) -> Iterator[str]:
    yield _headline(memory)
    if not_well := [seen for seen in _sorted(memory) if seen.state is not State.UP or seen.tally.down]:
        yield ""
        yield from lines(_COLUMNS, [(seen, memory) for seen in not_well])


def _whole(told: Told) -> Iterator[str]:
    """Give what an alarm would say, so that each of its lines can be told from ours."""
    yield f"{message.moment(told.at)}  an alarm would tell {', '.join(told.channels)}:"
    for line in message.text(told.notice).splitlines():
        yield f"    {line}".rstrip()


def _size() -> tuple[int, int]:
    """Give columns and lines of the terminal as they are now: those of the environment are older."""
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        return 80, 24
    return size.columns or 80, size.lines or 24


def _print(*given: str) -> None:
    for line in given:
        print(line)
    sys.stdout.flush()
