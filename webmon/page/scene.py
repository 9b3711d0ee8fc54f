"""What all the rest of a snapshot is read with: its moment, what is marked, what is kept, and the names."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from webmon.alarm.quiet import matches
from webmon.errors import UserError
from webmon.page import collect_sql as sql
from webmon.page import spans
from webmon.page.snapshot import History
from webmon.page.spans import Floors, Times
from webmon.report.status import Back, look_back
from webmon.store.reader import Session

LEAST_SCHEMA: Final = 7
"""Of the store, so that it can be read."""


class Basis(NamedTuple):
    now: datetime
    schema: int
    marked: frozenset[datetime]
    waiting: int
    floors: Floors
    back: Back


class Named(NamedTuple):
    name: str
    first_seen: datetime


class Described(NamedTuple):
    name: str
    url: str
    labels: dict[str, str]
    first_seen: datetime


class Scene(NamedTuple):
    """The moment, and what there is."""

    basis: Basis
    targets: Mapping[int, Described]
    agents: Mapping[int, Named]
    off: Mapping[int, Times]
    """When targets were in maintenance, until now."""


def read_basis(session: Session) -> Basis:
    ((now, schema, marked, waiting, floors, longest),) = session.rows(sql.BASIS)
    if schema is None or schema < LEAST_SCHEMA:
        raise UserError(
            f"the schema of the store is at version {schema}, and the page needs {LEAST_SCHEMA}: run `webmon init`"
        )
    kept = {kind: datetime.fromisoformat(text) for kind, text in json.loads(floors).items()}
    return Basis(
        now,
        schema,
        frozenset(marked),
        waiting,
        Floors(kept.get("rows"), kept.get("hours"), kept.get("days")),
        look_back(now, min(marked, default=None), longest),
    )


def read_names(session: Session) -> tuple[dict[int, Described], dict[int, Named]]:
    targets, agents = {}, {}
    for number, name, url, labels, first_seen in session.each(sql.NAMES):
        if number > 0:
            targets[number] = Described(name, url, labels, first_seen)
        else:
            agents[-number] = Named(name, first_seen)
    return targets, agents


def maintenance(history: History | None, targets: Mapping[int, Described], basis: Basis) -> dict[int, Times]:
    """Give when each target was in maintenance until now."""
    found: dict[int, list[tuple[datetime, datetime]]] = {}
    for work in history.maintenance if history else ():
        if work.begins >= basis.now:
            continue
        for number, target in targets.items():
            if matches(work.match, target.name, target.labels):
                found.setdefault(number, []).append((work.begins, min(work.until, basis.now)))
    return {number: times for number, ours in found.items() if (times := spans.merged(ours))}
