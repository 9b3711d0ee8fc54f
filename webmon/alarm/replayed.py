"""`webmon alarm replay`: what rules would have told, beside what was told."""

import dataclasses
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from webmon.alarm.conditions import Condition
from webmon.alarm.moments import as_milliseconds
from webmon.alarm.past import Past
from webmon.alarm.quiet import PLANNED
from webmon.alarm.records import Maintenance, Silence
from webmon.alarm.replay import Replay, Told
from webmon.alarm.ruleset import Ruleset
from webmon.errors import UserError
from webmon.render import Column, Form, as_minute, show
from webmon.settings import ReportSettings
from webmon.store.reader import Session, look

_NEAR: Final = timedelta(minutes=15)
"""So far apart the same told of the same is one: rules that confirm later tell later."""
_FLOOR: Final = "SELECT max(floor) FROM {floors} WHERE kind = 'rows'"
_QUIET: Final = "SELECT id, match, begins, until FROM {{{what}}} WHERE begins < %(until)s AND until > %(since)s"
_ACKS: Final = "SELECT ack_at, id, ack_by FROM {episodes} WHERE ack_at >= %(since)s AND ack_at < %(until)s"
# What is of webmon itself is not in the results.
_WAS_TOLD: Final = """
SELECT n.id, n.id, n.at, n.channel, n.event, e.condition, e.severity, e.subject, e.since
FROM {notices} AS n JOIN {episodes} AS e ON e.id = n.episode
WHERE n.state = 'sent' AND n.at >= %(since)s AND n.at < %(until)s AND e.condition <> %(monitor)s
ORDER BY n.at, n.id
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """What would be told and was told; either may be missing."""

    would: Told | None
    was: Told | None

    @property
    def any(self) -> Told:
        """What it is about."""
        told = self.would or self.was
        assert told is not None
        return told

    @property
    def verdict(self) -> str:
        """Say it in a word."""
        return "both" if self.would and self.was else "new" if self.would else "gone"


def run(settings: ReportSettings, rules: Ruleset, *, form: Form, since: datetime | timedelta) -> int:
    """Judge the past by rules, and print what would have been told, beside what was.

    Raises:
        UserError: the database is not there or refuses us; nothing of the span is kept.
    """
    began = time.monotonic()
    with look(settings, "alarm-replay") as session:
        until = session.now()
        begin = since if isinstance(since, datetime) else until - since
        ((floor,),) = session.rows(_FLOOR)
        kept = "" if floor is None or floor <= begin else f"; results from before {as_minute(floor)} are not kept"
        begin = max(begin, floor) if floor else begin
        if begin >= until:
            raise UserError(f"--since is {as_minute(begin)} UTC, which is not past; now is {as_minute(until)}")
        asked = {"since": begin, "until": until, "monitor": Condition.MONITOR.value}
        acks = [(as_milliseconds(at), number, by) for at, number, by in session.rows(_ACKS, asked)]
        replay = Replay(rules, Past(session), since=begin, until=until, quiet=_quiet(session, begin, until), acks=acks)
        would = replay.run()
        was = [Told(*row) for row in session.rows(_WAS_TOLD, asked)]
    lines = compare(would, was)
    messages = len({told.message for told in would})
    title = f"{as_minute(begin)} to {as_minute(until)} UTC{kept}: these rules would have told {len(would)} things in"
    title += f" {messages} messages; {len(was)} were told"
    show(form, COLUMNS, lines, nothing=f"{title}", title=title, colour=lambda line: _COLOURS.get(line.verdict))
    if form is Form.TABLE:
        print(f"\n{replay.judged} results were judged in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


def compare(would: Iterable[Told], was: Iterable[Told]) -> list[Line]:
    """Put side by side what is the same: by its id, else the same event of the same, about the same time."""
    left = {told.id: told for told in was}
    lines, unmatched = [], []
    for told in would:
        if (same := left.pop(told.id, None)) is not None:
            lines.append(Line(told, same))
        else:
            unmatched.append(told)
    alike: dict[tuple[str, ...], list[Told]] = defaultdict(list)
    for told in left.values():
        alike[_of(told)].append(told)
    for told in unmatched:
        near = [one for one in alike[_of(told)] if abs(one.at - told.at) <= _NEAR]
        found = min(near, key=lambda one: abs(one.at - told.at), default=None)
        if found is not None:
            alike[_of(told)].remove(found)
        lines.append(Line(told, found))
    lines += (Line(None, told) for rest in alike.values() for told in rest)
    return sorted(lines, key=lambda line: (line.any.at, line.any.channel, line.any.subject))


def _of(told: Told) -> tuple[str, ...]:
    return told.channel, told.event, told.condition, told.subject


def _quiet(session: Session, since: datetime, until: datetime) -> list[Silence | Maintenance]:
    """Give what people ordered; windows of a rules file are those of the rules that are tried."""
    found: list[Silence | Maintenance] = []
    for what, kind in (("silences", Silence), ("maintenance", Maintenance)):
        rows = session.rows(_QUIET.format(what=what), {"since": since, "until": until})
        found += (
            kind(id=number, match=match, begins=as_milliseconds(begins), until=as_milliseconds(ends))
            for number, match, begins, ends in rows
            if not number.startswith(PLANNED)
        )
    return found


def _second(told: Told | None) -> str:
    return "" if told is None else f"{told.at:%Y-%m-%d %H:%M:%S}"


_COLOURS: Final = {"new": "33", "gone": "35"}
COLUMNS: Final[tuple[Column[Line], ...]] = (
    Column("", lambda line: line.verdict, name="verdict", value=lambda line: line.verdict),
    Column("WOULD BE TOLD", lambda line: _second(line.would), name="would", value=lambda line: _at(line.would)),
    Column("WAS TOLD", lambda line: _second(line.was), name="was", value=lambda line: _at(line.was)),
    Column("CHANNEL", lambda line: line.any.channel, name="channel", value=lambda line: line.any.channel, is_text=True),
    Column("EVENT", lambda line: line.any.event, name="event", value=lambda line: line.any.event),
    Column("SEVERITY", lambda line: line.any.severity, name="severity", value=lambda line: line.any.severity),
    Column("CONDITION", lambda line: line.any.condition, name="condition", value=lambda line: line.any.condition),
    Column("SUBJECT", lambda line: line.any.subject, name="subject", value=lambda line: line.any.subject, is_text=True),
    Column("SINCE", lambda line: as_minute(line.any.since), name="since", value=lambda line: line.any.since),
)


def _at(told: Told | None) -> datetime | None:
    return None if told is None else told.at
