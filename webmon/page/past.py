"""What is in the database beside results: what the judge wrote, and what agents and sinks say of themselves."""

from datetime import timedelta
from typing import Final, NamedTuple, TypeVar

import msgspec

from webmon.page import collect_sql as sql
from webmon.page.scene import Basis
from webmon.page.snapshot import (
    BARS,
    WINDOWS,
    AgentSaid,
    Announcement,
    Episode,
    History,
    Maintenance,
    Notice,
    Silence,
    Sink,
)
from webmon.store.reader import Session

R = TypeVar("R", Episode, Notice, Silence, Maintenance, Announcement, AgentSaid, Sink)

_HISTORY_SCHEMA: Final = 8
_FLEET_SCHEMA: Final = 9
"""From when on the store has them."""
_MOST_RECORDS: Final = 5000
"""Of each kind."""


class Written(NamedTuple):
    history: History | None
    """None: the schema is older."""
    agents: dict[str, AgentSaid]
    """By name."""
    sinks: list[Sink] | None
    """By name; None: the schema is older."""


def read_written(session: Session, basis: Basis) -> Written:
    """Give it, in one statement. What can't be read of it is told in the history, and stops nothing else."""
    if basis.schema < _HISTORY_SCHEMA:
        return Written(None, {}, None)
    asked = {
        "bars": basis.now - timedelta(days=BARS),
        "year": basis.now - timedelta(days=max(WINDOWS) + 1),
        "most": _MOST_RECORDS,
    }
    has_fleet = basis.schema >= _FLEET_SCHEMA
    ((written, episodes, notices, silences, maintenance, announcements, *fleet),) = session.rows(
        sql.HISTORY_AND_FLEET if has_fleet else sql.HISTORY, asked
    )
    faults: list[str] = []
    agents, sinks = fleet or ("[]", "[]")
    said = {one.name: one for one in _read(agents, AgentSaid, faults)}
    ours = sorted(_read(sinks, Sink, faults), key=lambda sink: sink.name)
    found = History(
        as_of=written,
        episodes=_read(episodes, Episode, faults),
        notices=_read(notices, Notice, faults),
        silences=_read(silences, Silence, faults),
        maintenance=_read(maintenance, Maintenance, faults),
        announcements=_read(announcements, Announcement, faults),
        fault="; ".join(faults),
    )
    found.episodes.sort(key=lambda episode: episode.since, reverse=True)
    return Written(found, said, ours if has_fleet else None)


def _read(text: str, kind: type[R], faults: list[str]) -> list[R]:
    try:
        return msgspec.json.decode(text, type=list[kind])  # type: ignore[valid-type]
    except msgspec.DecodeError as error:
        faults.append(f"{kind.__name__.lower()}: {error}")
        return []
