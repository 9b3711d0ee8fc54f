"""Uptimes: what was found in windows and days, added up as `webmon uptime` does, so that both agree to the digit.

Maintenance is on neither side. What was found in it is read beside and taken away: whole hours from the rollups, parts
of hours from the results, as long as they are kept.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from psycopg2 import sql as psql

from webmon.page import collect_sql as sql
from webmon.page import spans
from webmon.page.kept import Kept
from webmon.page.scene import Basis, Scene
from webmon.page.snapshot import Day, Tally
from webmon.page.spans import Key, Times
from webmon.report import rolled_up
from webmon.report.span import Span
from webmon.report.uptime import Counts, Uptime, owed
from webmon.store.reader import Session

_AGAIN_SPANS: Final = 2
_AGAIN_DAYS: Final = 4
"""Of what is kept, how much each snapshot reads again: all of it in four to five minutes, at ten seconds each."""
_AGAIN_TODAY: Final = 3
"""Snapshots from one reading of the hours of the day that runs to the next: most late results are of these."""

Series = tuple[int, int]
"""Numbers of target and agent."""
Sums = tuple[int, int, int, int, float]
"""up, slow, down, agent_error, covered_secs."""
_NO_SUMS: Final[Sums] = (0, 0, 0, 0, 0.0)


class Counted:
    """Reads them one after the other."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._number = 0
        self._sums: Kept[dict[Series, Sums]] = Kept()
        self._days: Kept[dict[int, Day]] = Kept()
        self._off: Kept[dict[Series, Sums]] = Kept()
        self._base: dict[int, dict[Series, Sums]] = {}
        self._base_of: Any = None
        self._first: dict[int, datetime] = {}
        self._changes = 0

    def read(
        self, session: Session, scene: Scene, windows: Mapping[int, Span]
    ) -> tuple[dict[int, dict[int, Tally]], dict[int, list[Day]]]:
        """Give the tally of each window and target, and the days of each target."""
        self._number += 1
        basis = scene.basis
        now, marked = basis.now, basis.marked
        keys = [part for key in spans.cut(now, windows.values()) for part in spans.split(key, now)]
        over = [key for key in keys if key.until is not None]
        latest = [key for key in keys if key.until is None]
        today = [key for key in over if spans.running(key, now)]
        days = spans.past_days(now, basis.floors)
        atoms = list(spans.atoms(keys, scene.off, now))
        work = {key: times for key, times in atoms}  # noqa: C416 - a key stands once
        signature = {(key, _signature(times)): key for key, times in atoms}

        hot = {key for key in keys if key.holds(marked)}
        also = today if self._number % _AGAIN_TODAY == 0 else []
        reads = self._sums.wanted(over, hot, _AGAIN_SPANS, also)
        atoms_read = self._off.wanted(
            list(signature), [one for one, key in signature.items() if _is_hot(key, now, marked)], _AGAIN_SPANS
        )
        # A day stands for what was first seen when, and for its maintenance: where that changes, it is another.
        times_changed = self._first_seen(scene)
        of_day: dict[date, tuple[Any, ...]] = {}
        for one, key in signature.items():
            of_day[key.since.date()] = (*of_day.get(key.since.date(), ()), one)
        changed = {key.since.date() for one in atoms_read if (key := signature[one])}
        day_keys = {day: (day, times_changed, of_day.get(day, ())) for day in days}
        marked_days = {hour.date() for hour in marked} | changed
        days_read = [
            key[0]
            for key in self._days.wanted(
                list(day_keys.values()), [day_keys[day] for day in days if day in marked_days], _AGAIN_DAYS
            )
        ]
        found = _read_sums(
            session,
            basis,
            spans_of=[*reads, *latest],
            days=days_read,
            atoms=[(signature[one], work[signature[one]]) for one in atoms_read],
        )
        for place, key in enumerate(reads):
            self._sums.put(key, found[place], self._number)
        first_day = len(reads) + len(latest)
        now_sums = _added(found[len(reads) : first_day])
        first_atom = first_day + len(days_read)
        for place, one in enumerate(atoms_read):
            self._off.put(one, found[first_atom + place], self._number)

        def without(since: datetime, until: datetime) -> dict[Series, Sums]:
            """Give what was found in maintenance in a span."""
            return _added(
                self._off[one] for one, key in signature.items() if since <= key.since and (key.until or now) <= until
            )

        def tallies(span: Span, sums: Mapping[Series, Sums]) -> dict[int, Tally]:
            return _tallies(scene, span, sums, without(span.since, span.until) if scene.off else {})

        for place, day in enumerate(days_read):
            span = Span(spans.midnight(day), spans.midnight(day) + spans.DAY)
            self._days.put(
                day_keys[day],
                {number: Day(day, tally) for number, tally in tallies(span, found[first_day + place]).items()},
                self._number,
            )
        base_of = (self._sums.version, tuple(over), tuple(span.since for span in windows.values()))
        if base_of != self._base_of:
            self._base = {
                length: _added(self._sums[key] for key in over if key.since >= span.since)
                for length, span in windows.items()
            }
            self._base_of = base_of
        of_windows = {length: tallies(span, _added((self._base[length], now_sums))) for length, span in windows.items()}
        of_today = _added((*(self._sums[key] for key in today), now_sums))
        last = tallies(Span(spans.midnight(now.date()), now), of_today)
        return of_windows, self._by_target([day_keys[day] for day in days], now.date(), last)

    def _first_seen(self, scene: Scene) -> int:
        """Give a number that grows when something was first seen earlier than we knew; what is new changes no day."""
        known = {number: one.first_seen for number, one in scene.targets.items()}
        known |= {-number: one.first_seen for number, one in scene.agents.items()}
        if any(self._first.get(number, moment) != moment for number, moment in known.items()):
            self._changes += 1
        self._first = known
        return self._changes

    def _by_target(self, keys: Sequence[Any], today: date, last: Mapping[int, Tally]) -> dict[int, list[Day]]:
        found: dict[int, list[Day]] = {}
        for key in keys:
            for number, day in self._days[key].items():
                found.setdefault(number, []).append(day)
        for number, tally in last.items():
            found.setdefault(number, []).append(Day(today, tally))
        return found


def _signature(times: Mapping[int, Times]) -> int:
    return hash(tuple(sorted(times.items())))


def _is_hot(key: Key, now: datetime, marked: Iterable[datetime]) -> bool:
    return spans.running(key, now) or key.holds(marked)


def _read_sums(
    session: Session,
    basis: Basis,
    *,
    spans_of: Sequence[Key],
    days: Sequence[date],
    atoms: Sequence[tuple[Key, Mapping[int, Times]]],
) -> list[dict[Series, Sums]]:
    """Read what was found in spans, in days, and in the maintenance of pieces of days; one after the other."""
    found: list[dict[Series, Sums]] = [{} for _ in range(len(spans_of) + len(days) + len(atoms))]
    selects: list[psql.Composed] = []
    for number, key in enumerate(spans_of):
        columns = psql.SQL(sql.SUM_COLUMNS).format(n=psql.Literal(number))
        selects += rolled_up.of_span(session, key.span(basis.now), columns, marked=basis.marked, now=basis.now)
    selects += _of_days(session, basis, days, len(spans_of))
    for number, (_, times) in enumerate(atoms, len(spans_of) + len(days)):
        selects += _of_maintenance(session, basis, number, times)
    if selects:
        for number, target, agent, *sums in session.each(sql.SUMS, source=psql.SQL(" UNION ALL ").join(selects)):
            found[number][target, agent] = tuple(sums)
    return found


def _of_days(session: Session, basis: Basis, days: Sequence[date], first: int) -> Iterator[psql.Composed]:
    """Give the queries of some days in order: those in a row that nothing is marked in are one."""
    marked = {hour.date() for hour in basis.marked}
    begin = 0
    while begin < len(days):
        end = begin + 1
        if days[begin] in marked:
            midnight = spans.midnight(days[begin])
            columns = psql.SQL(sql.SUM_COLUMNS).format(n=psql.Literal(first + begin))
            span = Span(midnight, midnight + spans.DAY)
            yield from rolled_up.of_span(session, span, columns, marked=basis.marked, now=basis.now)
        else:
            while end < len(days) and days[end] == days[end - 1] + spans.DAY and days[end] not in marked:
                end += 1
            yield session.fill(
                sql.EACH_DAY,
                n=psql.Literal(first + begin),
                since_day=psql.Literal(days[begin]),
                until_day=psql.Literal(days[end - 1] + spans.DAY),
            )
        begin = end


def _of_maintenance(session: Session, basis: Basis, number: int, times: Mapping[int, Times]) -> Iterator[psql.Composed]:
    """Give the queries of what was found in the maintenance of a piece of a day: whole hours, and what is beside."""
    together: dict[tuple[datetime, datetime], list[int]] = {}
    for target, ours in times.items():
        for begin, end in ours:
            together.setdefault((begin, end), []).append(target)
    for (begin, end), those in together.items():
        first, last = _next_hour(begin), end.replace(minute=0, second=0, microsecond=0)
        parts = (
            [(begin, end, sql.SOME_ROWS)]
            if first >= last
            else [(begin, first, sql.SOME_ROWS), (first, last, sql.SOME_HOURS), (last, end, sql.SOME_ROWS)]
        )
        for since, until, text in parts:
            gone = text == sql.SOME_ROWS and basis.floors.rows is not None and since < basis.floors.rows
            if since < until and not gone:
                yield session.fill(
                    text,
                    n=psql.Literal(number),
                    since=psql.Literal(since),
                    until=psql.Literal(until),
                    those=psql.Literal(those),
                )


def _next_hour(moment: datetime) -> datetime:
    hour = moment.replace(minute=0, second=0, microsecond=0)
    return hour if hour == moment else hour + spans.HOUR


def _added(several: Iterable[Mapping[Series, Sums]]) -> dict[Series, Sums]:
    total: dict[Series, Sums] = {}
    for sums in several:
        if not total:
            total = dict(sums)
            continue
        for series, (up, slow, down, agent_error, covered) in sums.items():
            had = total.get(series)
            total[series] = (
                (up, slow, down, agent_error, covered)
                if had is None
                else (had[0] + up, had[1] + slow, had[2] + down, had[3] + agent_error, had[4] + covered)
            )
    return total


def _tallies(scene: Scene, span: Span, sums: Mapping[Series, Sums], without: Mapping[Series, Sums]) -> dict[int, Tally]:
    """Add up what the vantages of each target found, as `webmon uptime` does, with maintenance on neither side."""
    by_target: dict[int, Uptime] = {}
    off_secs: dict[int, float] = {}
    for (number, agent_number), found in sums.items():
        target, agent = scene.targets.get(number), scene.agents.get(agent_number)
        if target is None or agent is None:
            continue
        own = owed(span, target.first_seen, agent.first_seen)
        up, slow, down, agent_error, covered = found
        if number in scene.off:
            begin = max(span.since, target.first_seen, agent.first_seen)
            work = spans.seconds(spans.within(scene.off[number], begin, span.until))
            off_secs[number] = off_secs.get(number, 0.0) + work
            own -= work
            less = without.get((number, agent_number), _NO_SUMS)
            up, slow, down, agent_error, covered = (
                up - less[0],
                slow - less[1],
                down - less[2],
                agent_error - less[3],
                max(0.0, covered - less[4]),
            )
        line = by_target.get(number)
        if line is None:
            line = by_target[number] = Uptime(None, span)
        line.add(Counts(number, agent_number, up, slow, down, agent_error, covered, 0, 0.0), own)
    return {
        number: Tally(
            up=line.up,
            slow=line.slow,
            down=line.down,
            agent_error=line.agent_error,
            covered_secs=line.covered_secs,
            owed_secs=line.owed_secs,
            maintenance_secs=off_secs.get(number, 0.0),
        )
        for number, line in by_target.items()
    }
