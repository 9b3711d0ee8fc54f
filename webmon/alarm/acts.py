"""What people order of the judge by the command line: acknowledge, silence, maintenance, announce, send again, end.

An order goes onto its topic and is taken by whoever judges; what it names is looked up first, in the alarm log and in
the list of targets, so that a slip of the pen is told at once.
"""

import os
import pwd
import sys
import time
import uuid
from collections.abc import Mapping
from typing import Final

import msgspec
import psycopg2
from kafka import errors as kafka_errors

from webmon.alarm import orders, records
from webmon.alarm.log import explain
from webmon.alarm.moments import as_moment
from webmon.alarm.quiet import matches
from webmon.alarm.reader import Reader
from webmon.check.result import NAME_LIMIT
from webmon.errors import UserError
from webmon.kafka import reach
from webmon.kafka.reach import KafkaAwayError
from webmon.render import printable
from webmon.settings import AlarmSettings, Kafka
from webmon.store import postgres as store
from webmon.store.names import Tables
from webmon.store.postgres import DatabaseAwayError
from webmon.targets import file as targets_file

_SHOWN: Final = 5
_TARGETS: Final = "SELECT target, labels FROM {targets}"


def who() -> str:
    """Give who calls: the user before sudo, else the one who is logged in."""
    name = os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    return printable(name)[:NAME_LIMIT] or "somebody"


def acknowledge(settings: AlarmSettings, number: str, *, by: str, note: str) -> None:
    """Say that somebody has an episode in hand.

    Args:
        settings: how Kafka is reached.
        number: the episode's id, or how it begins.
        by: who.
        note: what is to be known of it.

    Raises:
        UserError: the log has no such episode, or Kafka is away.
    """
    episodes = {one.id: one for one in _log(settings.kafka) if isinstance(one, records.Episode)}
    episode = episodes[_one(number, list(episodes), "episode")]
    if not episode.is_open:
        raise UserError(f"{episode.id}: {episode.condition} of {printable(episode.subject)} is over already")
    if episode.ack is not None:
        raise UserError(f"{episode.id}: {printable(episode.ack.by)} has acknowledged it already")
    _send(settings.kafka, orders.Ack(episode=episode.id, by=by, note=note, at=_now()))
    print(f"acknowledged: {episode.condition} of {printable(episode.subject)}, by {printable(by)}")


def resend(settings: AlarmSettings, number: str, *, by: str) -> None:
    """Have a notice sent once more.

    Raises:
        UserError: the log has no such notice, it waits anyway, or Kafka is away.
    """
    notices = {one.id: one for one in _log(settings.kafka) if isinstance(one, records.Notice)}
    notice = notices[_one(number, list(notices), "notice")]
    if notice.state == "waiting":
        raise UserError(f"{notice.id}: it waits to be sent by channel {printable(notice.channel)} anyway")
    _send(settings.kafka, orders.Resend(notice=notice.id, by=by, at=_now()))
    print(f"to be sent again: {notice.event} by channel {printable(notice.channel)}")


def silence(settings: AlarmSettings, match: str, *, seconds: float, by: str, reason: str) -> None:
    """Have nothing told of some targets for a while.

    Raises:
        UserError: the match matches nothing, or Kafka is away.
    """
    count = _matched(settings, match)
    now = _now()
    order = orders.Silence(
        id=str(uuid.uuid4()), match=match, begins=now, until=_after(now, seconds), by=by, reason=reason
    )
    _send(settings.kafka, order)
    print(f"silence {order.id}: {printable(match)}{count}, until {_moment(order.until)}")


def maintain(settings: AlarmSettings, match: str, *, seconds: float, by: str, reason: str, public: bool) -> None:
    """Say that some targets are worked on for a while.

    Raises:
        UserError: the match matches nothing, or Kafka is away.
    """
    count = _matched(settings, match)
    now = _now()
    order = orders.Maintenance(
        id=str(uuid.uuid4()), match=match, begins=now, until=_after(now, seconds), by=by, reason=reason, public=public
    )
    _send(settings.kafka, order)
    print(f"maintenance {order.id}: {printable(match)}{count}, until {_moment(order.until)}")


def announce(
    settings: AlarmSettings, title: str, *, text: str, seconds: float | None, by: str, episode: str | None
) -> None:
    """Tell the readers of the page.

    Raises:
        UserError: the log has no such episode, or Kafka is away.
    """
    about = ""
    if episode is not None:
        about = _one(episode, [one.id for one in _log(settings.kafka) if isinstance(one, records.Episode)], "episode")
    now = _now()
    until = None if seconds is None else _after(now, seconds)
    order = orders.Announcement(
        id=str(uuid.uuid4()), title=title, text=text, begins=now, until=until, by=by, episode=about
    )
    _send(settings.kafka, order)
    print(f"announcement {order.id}: until {'it is ended' if until is None else _moment(until)}")


def end(settings: AlarmSettings, number: str, *, by: str) -> None:
    """End a silence, a maintenance or an announcement now.

    Raises:
        UserError: the log has none of that id, it is over, or Kafka is away.
    """
    kinds = {
        records.Silence: orders.Silence,
        records.Maintenance: orders.Maintenance,
        records.Announcement: orders.Announcement,
    }
    known = {
        one.id: one
        for one in _log(settings.kafka)
        if isinstance(one, records.Silence | records.Maintenance | records.Announcement) and "/" not in one.id
    }
    record = known[_one(number, list(known), "silence, maintenance or announcement")]
    kind = kinds[type(record)]
    now = _now()
    if record.until is not None and record.until <= now:
        raise UserError(f"{record.id}: it is over already")
    values = msgspec.structs.asdict(record) | {"until": now, "by": record.by or by}
    _send(settings.kafka, kind(**values))
    print(f"ended: {kind.__name__.lower()} {record.id}")


def _log(kafka: Kafka) -> list[records.AnyRecord]:
    """Read the alarm log.

    Raises:
        UserError: Kafka is away, or does not let us.
    """
    try:
        reach.check_reachable(kafka)
        reader = Reader(kafka)
        try:
            return records.read(reader.read_log(lambda: None).items())
        finally:
            reader.close()
    except KafkaAwayError as error:
        raise UserError(str(error)) from error
    except kafka_errors.KafkaError as error:
        raise UserError(explain(error, kafka)) from error


def _one(begin: str, known: list[str], what: str) -> str:
    """Give the id that begins so.

    Raises:
        UserError: none does, or several do.
    """
    found = [one for one in known if one.startswith(begin)]
    if begin in known:
        return begin
    if len(found) == 1:
        return found[0]
    if not found:
        raise UserError(f"no {what} has the id {printable(begin)!r}; right would be one that the alarm log holds")
    shown = ", ".join(sorted(found)[:_SHOWN])
    raise UserError(f"{len(found)} of them begin with {printable(begin)!r}; right would be one of {shown}")


def _matched(settings: AlarmSettings, match: str) -> str:
    """Say how many targets a match names: of the list, or else of the database.

    Raises:
        UserError: none.
    """
    path = settings.alarm.targets_path
    if path is not None:
        where = str(path)
        targets: list[tuple[str, Mapping[str, str]]] = [(one.name, one.labels) for one in targets_file.listed(path)]
    else:
        where = "the database"
        try:
            with (
                store.session(settings.postgres, application="webmon-alarms", autocommit=True) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute(Tables(settings.postgres.table).fill(_TARGETS))
                targets = [(name, labels or {}) for name, labels in cursor.fetchall()]
        except (psycopg2.Error, DatabaseAwayError, UserError) as error:
            # It may be the very reason of the silence.
            print(f"webmon: not looked up whether it matches a target: {error}", file=sys.stderr)
            return ""
    count = sum(matches(match, name, labels) for name, labels in targets)
    if not count:
        raise UserError(
            f"{printable(match)!r} matches no target of {where}; right would be a whole name, a pattern such as "
            "'db-*', or label=value"
        )
    return f" ({count} {'target' if count == 1 else 'targets'})"


def _send(kafka: Kafka, order: orders.Order) -> None:
    try:
        orders.send(kafka, order)
    except ValueError as error:
        raise UserError(f"that is no order: {error}") from error


def _after(now: int, seconds: float) -> int:
    return now + max(1, round(seconds * 1000))


def _now() -> int:
    return round(time.time() * 1000)


def _moment(milliseconds: int) -> str:
    return f"{as_moment(milliseconds):%Y-%m-%d %H:%M:%S} UTC"
