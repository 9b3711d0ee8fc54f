"""What somebody sees: a table that is drawn anew in a terminal, else lines or JSON; and in the end what there was.

Whatever a site sent is text: it begins no line and steers no terminal (webmon.render.printable).
"""

import logging
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Iterator
from typing import Final

import msgspec

from webmon.alarm.senders import message
from webmon.check.result import encode
from webmon.page.model import OperatorTarget, State
from webmon.render import Column, as_duration, as_milliseconds, as_percent, escaped, lines, printable
from webmon.watch.memory import Memory, Told, Turn

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
_TAKE: Final = "\033[?1049h\033[?7l"
"""Another screen, on which a line is cut and not wrapped."""
_GIVE_BACK: Final = "\033[?7h\033[?1049l"


class Lines:
    """For a pipe, a file, a terminal without cursor: a line for each change of a state, and what an alarm would say."""

    def show(self, turn: Turn) -> None:
        """Print what is new."""
        for one in turn.changed:
            error = f": {one.error}" if one.error else ""
            since = message.moment(turn.memory.since[one.target.name])
            _print(f"{since}  {STATES[one.state]:<9}  {printable(one.target.name + error)}")
        for told in turn.told:
            _print(*_whole(told))

    def end(self, turn: Turn) -> None:
        """Print what there was."""
        _print("", *_summary(turn))


class Json(Lines):
    """For a program: a line for each check, the very message that Kafka would get, and one for each alarm."""

    def show(self, turn: Turn) -> None:
        """Print what is new."""
        alarms = [{"at": t.at, "channels": t.channels, "text": message.text(t.notice)} for t in turn.told]
        documents = [*map(encode, turn.results), *(msgspec.json.encode({"alarm": alarm}) for alarm in alarms)]
        _print(*(escaped(document.decode()) for document in documents))

    def end(self, turn: Turn) -> None:
        """Print no more: a program counts itself."""


class Table(logging.Handler):
    """A table that fills the terminal, the most urgent first; below it the last alarms, and what would be logged."""

    def __init__(self, page: str = "") -> None:
        """Take the terminal over, and the address of the page, which stands in it all the time."""
        super().__init__()
        self._page = page
        self._below: deque[str] = deque(maxlen=_BELOW)
        self._logged: list[str] = []
        sys.stdout.write(_TAKE)
        signal.signal(signal.SIGTSTP, _stand_back)

    def emit(self, record: logging.LogRecord) -> None:
        """Take a log line, which would stand across the table."""
        self._logged.append(self.format(record))
        self._below.append(f"note   {printable(record.getMessage())}")

    def show(self, turn: Turn) -> None:
        """Draw all of it."""
        for told in turn.told:
            self._below.append(f"alarm  {message.moment(told.at)}  {message.subject(told.notice)}")
        # As they are now: those of the environment are older.
        width, height = os.get_terminal_size()
        below = ["", *self._below] if self._below and height >= _LEAST else []
        room = max(1, height - 3 - len(below))
        targets = turn.page.targets
        shown = targets if len(targets) <= room else targets[: room - 1]
        colour = None if os.environ.get("NO_COLOR") else lambda one: _COLOURS[one.state]
        columns = [c for c in _columns(turn.memory) if width >= _NARROW or c.head in ("STATE", "TARGET", "ERROR")]
        table = lines(columns, shown, width=width, colour=colour)
        more = [f"... and {len(targets) - len(shown)} more"] if len(targets) > len(shown) else []
        drawn = [_headline(turn), self._page, *table, *more, *below][:height]
        sys.stdout.write("\033[H" + "\r\n".join(f"{line}\033[K" for line in drawn) + "\033[J")
        sys.stdout.flush()

    def end(self, turn: Turn) -> None:
        """Give the terminal back, with what there was on it."""
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        sys.stdout.write(_GIVE_BACK)
        for told in turn.memory.told[-_LAST:]:
            _print(*_whole(told))
        _print(*_summary(turn))
        for line in "\n".join(self._logged).splitlines():
            print(printable(line), file=sys.stderr)


def _stand_back(*_: object) -> None:
    """Give the shell its screen at Ctrl-Z, and take it again at `fg`; the next turn draws anew."""
    out = sys.stdout.fileno()  # Python's stdout may be in the midst of a write
    os.write(out, _GIVE_BACK.encode())
    os.kill(os.getpid(), signal.SIGSTOP)
    os.write(out, _TAKE.encode())


STATES: Final = {state: state.value for state in State} | {State.DOWN: "DOWN", State.UNKNOWN: "not known"}
_COLOURS: Final = {State.UP: "32", State.DOWN: "1;31", State.SLOW: "33", State.UNKNOWN: "35"}


def _columns(memory: Memory) -> tuple[Column[OperatorTarget], ...]:
    def lasted(one: OperatorTarget) -> str:
        return as_duration((memory.now - memory.since.get(one.target.name, memory.began)).total_seconds())

    def response(one: OperatorTarget) -> str:
        return as_milliseconds(one.target.vantages[0].response if one.target.vantages else None)

    return (
        Column("STATE", lambda one: STATES[one.state]),
        Column("FOR", lasted, right=True),
        Column("RESPONSE", response, right=True),
        Column("UP", lambda one: as_percent(one.target.uptime[0].tally.uptime), right=True),
        Column("ALARM", lambda one: ", ".join(episode.condition for episode in one.episodes)),
        # Behind the numbers: a name that is written from the right would take those behind it along.
        Column("TARGET", lambda one: one.target.name[:_LONGEST], is_text=True),
        Column("ERROR", lambda one: (one.error or "")[:_LONGEST], is_text=True),
    )


def _headline(turn: Turn) -> str:
    memory = turn.memory
    counts = Counter(one.state for one in turn.page.targets)
    states = ", ".join(f"{counts[state]} {STATES[state]}" for state in State if counts[state])
    spent = as_duration((memory.now - memory.began).total_seconds())
    watched, told = _counted(len(turn.page.targets), "target"), _counted(len(memory.told), "alarm")
    return f"{watched}: {states}; {_counted(memory.checks, 'check')} in {spent}, {told}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _summary(turn: Turn) -> Iterator[str]:
    yield _headline(turn)
    if not_well := [one for one in turn.page.targets if one.state is not State.UP or one.target.uptime[0].tally.down]:
        yield ""
        yield from lines(_columns(turn.memory), not_well)


def _whole(told: Told) -> Iterator[str]:
    """Give what an alarm would say, so that each of its lines can be told from ours."""
    yield f"{message.moment(told.at)}  an alarm would tell {', '.join(told.channels)}:"
    for line in message.text(told.notice).splitlines():
        yield f"    {line}".rstrip()


def _print(*given: str) -> None:
    for line in given:
        print(line)
    sys.stdout.flush()
