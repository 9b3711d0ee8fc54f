"""`webmon alarms`: what is wrong now or was of late, who was told, what keeps people from being told; from the history.

A history lags while the database is away; the alarms themselves do not.
"""

import dataclasses
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from webmon.render import Column, Form, as_document, as_duration, as_minute, show
from webmon.report.span import Moment, span
from webmon.settings import ReportSettings
from webmon.store.history import COLUMNS
from webmon.store.reader import Session, look

_SHORT: Final = 8
"""Digits of an id that are enough to type, but for a rare chance."""
_WEEK: Final = timedelta(days=7)

_EPISODES: Final = f"""
SELECT {", ".join(COLUMNS["episodes"])} FROM {{episodes}}
WHERE closed IS NULL OR closed >= %(since)s
ORDER BY closed IS NOT NULL, severity <> 'critical', since DESC, id
"""  # noqa: S608 - names of ours
_OF_NOTICE: Final = ", ".join(f"n.{column}" for column in COLUMNS["notices"])
_NOTICES: Final = f"""
SELECT {_OF_NOTICE}, e.subject FROM {{notices}} AS n JOIN {{episodes}} AS e ON e.id = n.episode
WHERE e.closed IS NULL OR e.closed >= %(since)s
ORDER BY n.made, n.step, n.channel
"""  # noqa: S608
_UNDELIVERED: Final = f"""
SELECT {_OF_NOTICE}, e.subject FROM {{notices}} AS n LEFT JOIN {{episodes}} AS e ON e.id = n.episode
WHERE (n.state = 'waiting' AND n.due <= now())
    OR (n.state = 'failed' AND (e.closed IS NULL OR n.due >= now() - INTERVAL '1 day'))
ORDER BY n.due, n.channel
"""  # noqa: S608
_POSITION: Final = "SELECT written, epoch FROM {alarm_position}"


@dataclasses.dataclass(frozen=True)
class Notice:
    """What a channel was to be told."""

    id: str
    episode: str
    channel: str
    event: str
    step: int
    made: datetime
    due: datetime
    state: str
    at: datetime | None
    subject: str | None


@dataclasses.dataclass
class Episode:
    """One time that a condition held for a subject; the columns of its table."""

    id: str
    condition: str
    subject: str
    severity: str
    since: datetime
    opened: datetime
    ended: datetime | None
    closed: datetime | None
    reason: str
    url: str
    labels: dict[str, str]
    detail: str
    seen: list[dict[str, Any]]
    voters: int
    days: int | None
    not_after: datetime | None
    held: str
    under: str | None
    late: bool
    ack_by: str | None
    ack_at: datetime | None
    ack_note: str | None
    now: datetime
    notices: list[Notice] = dataclasses.field(default_factory=list)
    short: str = ""
    """As much of its id as tells it from the others."""

    @property
    def seconds(self) -> float:
        """How long it lasted, or lasts."""
        return ((self.ended or self.closed or self.now) - self.since).total_seconds()

    @property
    def told(self) -> dict[str, str]:
        """What became of the newest message by each channel."""
        return {notice.channel: notice.state for notice in self.notices if notice.state != "dropped"}


def run(settings: ReportSettings, *, form: Form, everything: bool, since: Moment | None) -> int:
    """Print what is open, and with `everything` what was over since a moment; what is in force; what nobody took.

    Raises:
        UserError: the database is not there or refuses us; an empty span.
    """
    with look(settings, "alarms") as session:
        now = session.now()
        begin = span(since or _WEEK, None, now).since if everything or since is not None else None
        episodes = read(session, begin, now)
        undelivered = [Notice(*row) for row in session.rows(_UNDELIVERED)]
        silences, maintenance = (_in_force(session, what) for what in ("silences", "maintenance"))
        ((written, epoch),) = session.rows(_POSITION)
    if form is Form.JSON:
        document = {
            "written": written,
            "epoch": epoch,
            "episodes": [_as_object(episode) for episode in episodes],
            "silences": silences,
            "maintenance": maintenance,
            "undelivered": [dataclasses.asdict(notice) for notice in undelivered],
        }
        print(as_document(document))
        return 0
    if written is None:
        print("no judge has told the database of anything yet: does `webmon alarm` run?")
        return 0
    nothing = "nothing is open" if begin is None else f"nothing is open, or was since {as_minute(begin)} UTC"
    title = f"{sum(e.closed is None for e in episodes)} open; as of {as_minute(written)} UTC"
    show(
        form,
        _OPEN if begin is None else _ALL,
        episodes,
        nothing=f"{nothing}; as of {as_minute(written)} UTC",
        title=title,
        colour=lambda e: _COLOURS.get(e.severity) if e.closed is None else None,
    )
    held = [*(("silence", one) for one in silences), *(("maintenance", one) for one in maintenance)]
    if held:
        print()
        show(form, _HELD, held, nothing="", title="not told of, in force now:")
    if undelivered:
        print()
        show(form, _WAITING, undelivered, nothing="", title="messages that no receiver took:")
    sys.stdout.flush()
    return 0


def read(session: Session, since: datetime | None, now: datetime) -> list[Episode]:
    """Give what is open, and what was over since a moment; with its messages, the most urgent first."""
    asked = {"since": since or "infinity"}
    episodes = [
        Episode(**dict(zip(COLUMNS["episodes"], row, strict=True)), now=now) for row in session.rows(_EPISODES, asked)
    ]
    by_id = {episode.id: episode for episode in episodes}
    for row in session.rows(_NOTICES, asked):
        notice = Notice(*row)
        by_id[notice.episode].notices.append(notice)
    for episode in episodes:
        episode.short = shortest(episode.id, by_id)
    return episodes


def shortest(number: str, among: Iterable[str]) -> str:
    """Give the beginning of an id that tells it from others; eight digits at least."""
    length = _SHORT
    others = [other for other in among if other[:length] == number[:length] and other != number]
    while any(other.startswith(number[:length]) for other in others):
        length += 1
    return number[:length].rstrip("-")


def _in_force(session: Session, what: str) -> list[dict[str, Any]]:
    names, order = COLUMNS[what], "ORDER BY until, id"
    which = f"SELECT {', '.join(names)} FROM {{{what}}} WHERE begins <= now() AND until > now() {order}"  # noqa: S608
    return [dict(zip(names, row, strict=True)) for row in session.rows(which)]


def _as_object(episode: Episode) -> dict[str, Any]:
    document = dataclasses.asdict(episode)
    for own in ("now", "short"):
        del document[own]
    for notice in document["notices"]:
        del notice["subject"], notice["episode"]
    return document | {"seconds": episode.seconds}


_COLOURS: Final = {"critical": "1;31", "warning": "33"}


def _seen(episode: Episode) -> str:
    """Say what was seen, in the order of how many saw it."""
    counts: dict[str, int] = {}
    for seen in episode.seen:
        outcome = str(seen.get("outcome"))
        counts[outcome] = counts.get(outcome, 0) + 1
    outcomes = ", ".join(sorted(counts, key=lambda outcome: -counts[outcome]))
    told = f"{len(episode.seen)} of {episode.voters}: {outcomes}" if episode.seen and episode.voters else outcomes
    error = next((seen["error"] for seen in episode.seen if seen.get("error")), "")
    return "; ".join(part for part in (told, episode.detail or error) if part)


def _told(episode: Episode) -> str:
    told = [channel if state == "sent" else f"{channel} ({state})" for channel, state in episode.told.items()]
    if episode.under is not None:
        told.append(f"with {episode.under[:_SHORT]}")
    elif episode.held:
        told.append(f"held: {episode.held}")
    return ", ".join(told) or "nobody"


def _acknowledged(episode: Episode) -> str:
    if episode.ack_by is None:
        return ""
    return f"{episode.ack_by}: {episode.ack_note}" if episode.ack_note else episode.ack_by


def _end(episode: Episode) -> str:
    if episode.closed is None:
        return ""
    return as_minute(episode.ended or episode.closed) + (f" ({episode.reason})" if episode.reason else "")


_FIRST: Final[tuple[Column[Episode], ...]] = (
    Column("ID", lambda e: e.short),
    Column("SEVERITY", lambda e: e.severity),
    Column("CONDITION", lambda e: e.condition),
    Column("SUBJECT", lambda e: e.subject, is_text=True),
    Column("SINCE", lambda e: as_minute(e.since)),
)
_LAST: Final[tuple[Column[Episode], ...]] = (
    Column("LASTED", lambda e: as_duration(e.seconds), right=True),
    Column("SEEN", _seen, is_text=True),
    Column("TOLD", _told, is_text=True),
    Column("ACKNOWLEDGED", _acknowledged, is_text=True),
)
_OPEN: Final = (*_FIRST, *_LAST)
_ALL: Final = (*_FIRST, Column("ENDED", _end, is_text=True), *_LAST)

_Held = tuple[str, Mapping[str, Any]]
_HELD: Final[tuple[Column[_Held], ...]] = (
    Column("WHY", lambda one: one[0]),
    Column("WHAT", lambda one: str(one[1].get("name") or one[1]["match"]), is_text=True),
    Column("UNTIL", lambda one: as_minute(one[1]["until"])),
    Column("BY", lambda one: str(one[1]["by"]), is_text=True),
    Column("REASON", lambda one: str(one[1]["reason"]), is_text=True),
    Column("ID", lambda one: str(one[1]["id"]), is_text=True),
)
_WAITING: Final[tuple[Column[Notice], ...]] = (
    Column("ID", lambda n: n.id[:_SHORT]),
    Column("STATE", lambda n: n.state),
    Column("CHANNEL", lambda n: n.channel, is_text=True),
    Column("EVENT", lambda n: n.event),
    Column("SUBJECT", lambda n: n.subject or "", is_text=True),
    Column("DUE", lambda n: as_minute(n.due)),
)
