"""What the judge wrote into the database: episodes, notices undelivered, silences, maintenance, announcements."""

from datetime import timedelta
from typing import Final

import msgspec

from webmon.errors import UserError
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

_HISTORY_SCHEMA: Final = 8
"""From when on the store has it."""
_MOST_RECORDS: Final = 5000
"""Of each kind."""


def read_history(session: Session, basis: Basis) -> History | None:
    """Give it; None where the schema is older.

    Raises:
        UserError: it holds what can't be read.
    """
    if basis.schema < _HISTORY_SCHEMA:
        return None
    asked = {
        "bars": basis.now - timedelta(days=BARS),
        "year": basis.now - timedelta(days=max(WINDOWS) + 1),
        "most": _MOST_RECORDS,
    }
    ((written, *texts),) = session.rows(sql.HISTORY, asked)
    try:
        episodes, notices, silences, maintenance, announcements = texts
        history = History(
            as_of=written,
            episodes=msgspec.json.decode(episodes, type=list[Episode]),
            notices=msgspec.json.decode(notices, type=list[Notice]),
            silences=msgspec.json.decode(silences, type=list[Silence]),
            maintenance=msgspec.json.decode(maintenance, type=list[Maintenance]),
            announcements=msgspec.json.decode(announcements, type=list[Announcement]),
        )
    except msgspec.DecodeError as error:
        raise UserError(f"the history of alarms holds what can't be read: {error}") from None
    history.episodes.sort(key=lambda episode: episode.since, reverse=True)
    return history
