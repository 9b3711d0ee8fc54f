"""Records of the alarm log as rows: every text has its bound, every time is one that PostgreSQL knows."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg2.extras import Json

from webmon.alarm.moments import LAST, as_moment
from webmon.alarm.records import (
    ID_LIMIT,
    LINE_LIMIT,
    TEXT_LIMIT,
    TITLE_LIMIT,
    Announcement,
    Episode,
    Maintenance,
    Notice,
    Record,
    Seen,
    Silence,
)
from webmon.check.result import ERROR_LIMIT, LABEL_LIMIT, LABELS_LIMIT, NAME_LIMIT, URL_LIMIT

_WORD: Final = 50
_DETAIL: Final = 2_000
_VANTAGES: Final = 100
"""Of how many vantages it is kept what they saw; `voters` still says how many were asked."""
_INTEGER: Final = 2**31 - 1


class Row(NamedTuple):
    """A row and where it goes."""

    table: str
    """As webmon.store.names has it."""
    key: str
    values: tuple[Any, ...]
    """In the order of webmon.store.history.COLUMNS."""


def row_of(record: Record) -> Row:
    """Give a record's row.

    Raises:
        ValueError: an id is none, or a number or a time is none that a table takes.
    """
    match record:
        case Episode():
            values = _episode(record)
            table = "episodes"
        case Notice():
            values = _notice(record)
            table = "notices"
        case Silence(begins=begins, until=until):
            values = (
                *(_name(record.id), _text(record.match, URL_LIMIT), moment(begins), moment(until)),
                *(_text(record.by, NAME_LIMIT), _text(record.reason, LINE_LIMIT)),
            )
            table = "silences"
        case Maintenance(begins=begins, until=until):
            values = (
                *(_name(record.id), _text(record.name, LINE_LIMIT), _text(record.match, URL_LIMIT)),
                *(moment(begins), moment(until), _text(record.by, NAME_LIMIT), _text(record.reason, LINE_LIMIT)),
                record.public,
            )
            table = "maintenance"
        case Announcement(begins=begins, until=ends):
            values = (
                *(_name(record.id), _text(record.title, TITLE_LIMIT), _text(record.text, TEXT_LIMIT)),
                *(moment(begins), _moment_or_none(ends), _text(record.by, NAME_LIMIT), _id_or_none(record.episode)),
            )
            table = "announcements"
    return Row(table, str(values[0]), values)


def moment(milliseconds: int) -> datetime:
    """Give a time of the log as PostgreSQL takes it, UTC.

    Raises:
        ValueError: no calendar has it.
    """
    if not 0 <= milliseconds <= LAST:
        raise ValueError(f"{milliseconds} is no time")
    return as_moment(milliseconds)


def _episode(episode: Episode) -> tuple[Any, ...]:
    ack = episode.ack
    return (
        _id(episode.id),
        _text(episode.condition.value, _WORD),
        _text(episode.subject, URL_LIMIT),
        _text(episode.severity.value, _WORD),
        moment(episode.since),
        moment(episode.opened),
        _moment_or_none(episode.ended),
        _moment_or_none(episode.closed),
        _text(episode.reason, LINE_LIMIT),
        _text(episode.url, URL_LIMIT),
        Json(_labels(episode.labels)),
        _text(episode.detail, _DETAIL),
        Json([_seen(seen) for seen in episode.seen[:_VANTAGES]]),
        _number(episode.voters),
        None if episode.days is None else _number(episode.days),
        _moment_or_none(episode.not_after),
        _text(episode.held, _WORD),
        _id_or_none(episode.under),
        episode.late,
        None if ack is None else _text(ack.by, NAME_LIMIT),
        None if ack is None else moment(ack.at),
        None if ack is None else _text(ack.note, LINE_LIMIT),
    )


def _notice(notice: Notice) -> tuple[Any, ...]:
    return (
        _id(notice.id),
        _id(notice.episode),
        _text(notice.channel, NAME_LIMIT),
        _text(notice.event, _WORD),
        _number(notice.step),
        moment(notice.made),
        moment(notice.due),
        _text(notice.state, _WORD),
        _moment_or_none(notice.at),
    )


def _seen(seen: Seen) -> dict[str, Any]:
    return {
        "vantage": _text(seen.vantage, NAME_LIMIT),
        "outcome": _text(seen.outcome, _WORD),
        "error": None if seen.error is None else _text(seen.error, ERROR_LIMIT),
        "http_status": None if seen.http_status is None else _number(seen.http_status),
    }


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {_text(key, NAME_LIMIT): _text(value, LABEL_LIMIT) for key, value in list(labels.items())[:LABELS_LIMIT]}


def _text(value: str, most: int) -> str:
    # PostgreSQL stores no NUL, and no half of a pair.
    return value[:most].replace("\0", "").encode("utf-8", "replace").decode()


def _name(value: str) -> str:
    """Take an id that a person's order has; one that is cut would be another's."""
    if not 0 < len(value) <= ID_LIMIT or _text(value, ID_LIMIT) != value:
        raise ValueError(f"an id is empty, or longer than {ID_LIMIT} characters, or no text")
    return value


def _id(value: str) -> str:
    return str(uuid.UUID(value))


def _id_or_none(value: str) -> str | None:
    """Take what may name an episode; a text that names none refers to nothing."""
    try:
        return _id(value)
    except ValueError:
        return None


def _number(value: int) -> int:
    if not -_INTEGER <= value <= _INTEGER:
        raise ValueError(f"{value} is too large")
    return value


def _moment_or_none(milliseconds: int | None) -> datetime | None:
    return None if milliseconds is None else moment(milliseconds)
