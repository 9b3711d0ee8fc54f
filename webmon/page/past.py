"""What the judge wrote into the database: episodes, notices undelivered, silences, maintenance, announcements."""

from datetime import timedelta
from typing import Final, TypeVar

import msgspec

from webmon.page import collect_sql as sql
from webmon.page.scene import Basis
from webmon.page.snapshot import (
    BARS,
    WINDOWS,
    Announcement,
    Episode,
    History,
    Maintenance,
    Notice,
    Silence,
)
from webmon.store.reader import Session

R = TypeVar("R", Episode, Notice, Silence, Maintenance, Announcement)

_HISTORY_SCHEMA: Final = 8
"""From when on the store has it."""
_MOST_RECORDS: Final = 5000
"""Of each kind."""


def read_history(session: Session, basis: Basis) -> History | None:
    """Give it; None where the schema is older. What can't be read of it is told in it, and stops nothing else."""
    if basis.schema < _HISTORY_SCHEMA:
        return None
    asked = {
        "bars": basis.now - timedelta(days=BARS),
        "year": basis.now - timedelta(days=max(WINDOWS) + 1),
        "most": _MOST_RECORDS,
    }
    ((written, episodes, notices, silences, maintenance, announcements),) = session.rows(sql.HISTORY, asked)
    faults: list[str] = []
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
    return found


def _read(text: str, kind: type[R], faults: list[str]) -> list[R]:
    try:
        return msgspec.json.decode(text, type=list[kind])  # type: ignore[valid-type]
    except msgspec.DecodeError as error:
        faults.append(f"{kind.__name__.lower()}: {error}")
        return []
