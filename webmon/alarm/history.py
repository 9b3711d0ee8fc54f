"""The history: what the alarm log says, written into PostgreSQL, with the place in the log in the same transaction.

A thread of the judge's process, and nothing waits for it: while the database is away, alarms go on, and what was missed
is read from the log afterwards. What the log forgets, history keeps. Where two write, each transaction looks whether
the place is still its own.
"""

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
import psycopg2
from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extras import execute_values

from webmon.alarm import log, records
from webmon.alarm.history_rows import Row, moment, row_of
from webmon.daemon.outage import Outage
from webmon.errors import UserError
from webmon.kafka import client, reach
from webmon.kafka.decode import Record
from webmon.kafka.reach import KafkaAwayError
from webmon.settings import Kafka, Postgres
from webmon.store import history, postgres, version
from webmon.store.names import Tables
from webmon.store.postgres import DatabaseAwayError

_log = logging.getLogger(__name__)

_POLL_MS: Final = 500
_AT_ONCE: Final = 2_000
"""Records of one transaction."""
_IDLE_SECS: Final = 30.0
"""After so long without a word to the database a session that is lost is made anew, and nothing is told of it."""
_SESSION: Final = "SET statement_timeout = '30s'; SET TIME ZONE 'UTC'"
_WHERE: Final = "SELECT topic_id::text, next_offset, epoch FROM {alarm_position}"
_NEW_LOG: Final = """
UPDATE {episodes} SET closed = now(), reason = 'the alarm log was made anew' WHERE closed IS NULL;
UPDATE {notices} SET state = 'dropped', at = now() WHERE state = 'waiting';
UPDATE {silences} SET until = now() WHERE until > now();
UPDATE {maintenance} SET until = now() WHERE until > now();
UPDATE {announcements} SET until = now() WHERE until IS NULL OR until > now();
UPDATE {alarm_position} SET topic_id = %(topic_id)s, next_offset = 0, epoch = 0, written = now();
"""
# Its last record was removed from the log before it was read here: the database was away for days.
_FORGOTTEN: Final = """
UPDATE {episodes} AS e SET closed = greatest(gone.at, e.opened), reason = 'not known'
FROM (VALUES %s) AS gone (id, at) WHERE e.id = gone.id::uuid AND e.closed IS NULL
"""
_MOVE: Final = """
UPDATE {alarm_position} SET topic_id = %s, next_offset = %s, epoch = %s, written = now()
"""


class _Place(NamedTuple):
    """Up to where the log is in the tables."""

    topic_id: str | None
    next_offset: int
    epoch: int


class _MovedError(Exception):
    """Another history has written since, or the log is another: to be looked at anew."""


class History:
    """Writes the log into the database, in a thread, from `start` to `stop`, and again from the next `start` on.

    What it waits for stands in `outages`, by name, as everything that the judge waits for.
    """

    def __init__(
        self,
        kafka: Kafka,
        settings: Postgres,
        *,
        make_client: Callable[..., Any] = KafkaConsumer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the settings; nothing is connected yet."""
        self._kafka = kafka
        self._settings = settings
        self._tables = Tables(settings.table)
        self._make_client = make_client
        self._clock = clock
        self._partition = TopicPartition(kafka.alarm_topic, 0)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._spoke = clock()
        self.outages: Mapping[str, Outage] = {
            "database": Outage(
                "waiting for the database to take the history of alarms",
                "no longer waiting for the database to take the history of alarms",
                clock=clock,
            ),
            "history": Outage(
                "waiting for Kafka to give the history its alarm log",
                "no longer waiting for Kafka to give the history its alarm log",
                clock=clock,
            ),
        }
        self.written = 0
        """Records that became rows."""
        self.skipped = 0
        """Records that are none."""
        self.waiting: int | None = None
        """Offsets of the log that are not in the database yet; None while that is not known."""

    def start(self) -> None:
        """Begin."""
        self._stopping = threading.Event()
        # Not one of those whose death ends the process: alarms go on without a history.
        self._thread = threading.Thread(target=self._run, args=(self._stopping,), name="history", daemon=True)
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Let it end, and wait so long at most; the next one goes on from the place that is stored."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(seconds)
        for outage in self.outages.values():
            outage.ends()
        self.waiting = None

    def _run(self, stopping: threading.Event) -> None:
        database, of_kafka = self.outages["database"], self.outages["history"]
        while not stopping.is_set():
            outage, lasting = database, False
            try:
                self._session(stopping)
                continue
            except _MovedError as error:
                _log.info("the history begins anew: %s", error)
                continue
            except (kafka_errors.KafkaError, KafkaAwayError) as error:
                is_client = isinstance(error, kafka_errors.KafkaError)
                cause = log.explain(error, self._kafka) if is_client else str(error)
                outage, lasting = of_kafka, isinstance(error, reach.REFUSALS)
            except psycopg2.Error as error:
                if self._clock() - self._spoke > _IDLE_SECS:
                    self._spoke = self._clock()
                    continue
                explained = postgres.explain(error, self._settings)
                cause, lasting = str(explained), isinstance(explained, UserError)
            except (UserError, DatabaseAwayError) as error:
                cause, lasting = str(error), isinstance(error, UserError)
            except Exception as error:  # noqa: BLE001
                # Whatever it is, it must not end alarms; and it is tried again, as nothing else brings these rows.
                if not database.lasts:
                    _log.exception("a bug in webmon keeps the history of alarms from being written")
                cause = f"a bug in webmon: {type(error).__name__}: {error}"
            if stopping.is_set():
                return
            self.waiting = None
            outage.begins(cause, lasting=lasting)
            stopping.wait(outage.next_wait())

    def _session(self, stopping: threading.Event) -> None:
        """Write until something is in the way, or until it is to stop.

        Raises:
            UserError: waiting will not mend it.
            DatabaseAwayError, KafkaAwayError: not there now.
            psycopg2.Error: a statement was refused, or the session was lost.
            kafka.errors.KafkaError: the log can't be read.
            _MovedError: another wrote.
        """
        with contextlib.ExitStack() as held:
            connection = held.enter_context(
                contextlib.closing(
                    postgres.connect(self._settings, application="webmon-alarm-history", autocommit=False)
                )
            )
            with connection, connection.cursor() as cursor:
                version.require(cursor, self._tables, self._settings)
                cursor.execute(_SESSION)
            self._spoke = self._clock()
            reader = self._read(held)
            place = self._begin(connection, reader)
            self.outages["history"].ends()
            while not stopping.is_set():
                got = reader.poll(timeout_ms=_POLL_MS, max_records=_AT_ONCE).get(self._partition, [])
                if self._id_of(reader) not in (None, place.topic_id):
                    raise _MovedError("the alarm log was made anew")
                if got:
                    place = self._write(connection, place, got)
                    self._spoke = self._clock()
                end = reader.highwater(self._partition)
                self.waiting = None if end is None else max(0, end - place.next_offset)
                # Not before a write came through: a right may lack.
                if got or self.waiting == 0:
                    self.outages["database"].ends()

    def _read(self, held: contextlib.ExitStack) -> Any:
        reach.check_reachable(self._kafka)
        reader = self._make_client(**client.consumer_args(self._kafka) | {"group_id": None})
        held.callback(reader.close, autocommit=False, timeout_ms=1_000)
        reader.assign([self._partition])
        if not reader.partitions_for_topic(self._kafka.alarm_topic):
            raise kafka_errors.UnknownTopicOrPartitionError(self._kafka.alarm_topic)
        return reader

    def _id_of(self, reader: Any) -> str | None:
        found: uuid.UUID | None = client.topic_id(reader, self._kafka.alarm_topic)
        return None if found is None else str(found)

    def _begin(self, connection: Connection, reader: Any) -> _Place:
        """Find the place to go on from; where the log is another than before, that is its beginning."""
        topic_id = self._id_of(reader)
        with connection, connection.cursor() as cursor:
            place = self._place(cursor)
            if place.topic_id is None or topic_id is None:
                place = place._replace(topic_id=place.topic_id or topic_id)
            elif place.topic_id != topic_id:
                _log.warning(
                    "the alarm log was made anew: what was open or ordered by the one before is over in the history"
                )
                cursor.execute(self._tables.fill(_NEW_LOG, with_values=True), {"topic_id": topic_id})
                place = _Place(topic_id, 0, 0)
        reader.seek(self._partition, place.next_offset)
        return place

    def _place(self, cursor: Cursor, *, lock: bool = False) -> _Place:
        cursor.execute(self._tables.fill(_WHERE + (" FOR UPDATE" if lock else "")))
        row = cursor.fetchone()
        if row is None:
            raise UserError(f"table {self._tables.name('alarm_position')} is empty; right would be its one row")
        return _Place(*row)

    def _write(self, connection: Connection, place: _Place, came: Sequence[Record]) -> _Place:
        """Write what came, in one transaction; give the place after it."""
        batch = _Batch(place.epoch)
        for record in came:
            batch.take(record)
        after = _Place(place.topic_id, came[-1].offset + 1, batch.epoch)
        with connection, connection.cursor() as cursor:
            now = self._place(cursor, lock=True)
            if (now.topic_id or place.topic_id, now.next_offset) != place[:2]:
                raise _MovedError(f"another has written up to offset {now.next_offset}, and not {place.next_offset}")
            self._put(cursor, batch)
            cursor.execute(self._tables.fill(_MOVE, with_values=True), after)
        self.written += sum(len(rows) for rows in batch.rows.values())
        if batch.faults:
            self.skipped += len(batch.faults)
            _log.error(
                "%(count)d records of the alarm log can't be read, and are left out of the history: %(first)s",
                {"count": len(batch.faults), "first": batch.faults[0]},
            )
        return after

    def _put(self, cursor: Cursor, batch: "_Batch") -> None:
        for table, rows in batch.rows.items():
            values = [row.values for row in rows.values()]
            try:
                cursor.execute("SAVEPOINT rows")
                self._upsert(cursor, table, values)
            except psycopg2.Error as error:
                if not postgres.is_content_fault(error):
                    raise
                # A bound of the table that ours does not know: each by itself, so that one costs no other.
                cursor.execute("ROLLBACK TO SAVEPOINT rows")
                for row in rows.values():
                    self._put_alone(cursor, batch, row)
        if batch.forgotten:
            statement = self._tables.fill(_FORGOTTEN, with_values=True)
            execute_values(cursor, statement, list(batch.forgotten.items()))

    def _put_alone(self, cursor: Cursor, batch: "_Batch", row: Row) -> None:
        cursor.execute("SAVEPOINT one")
        try:
            self._upsert(cursor, row.table, [row.values])
        except psycopg2.Error as error:
            if not postgres.is_content_fault(error):
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT one")
            batch.faults.append(f"{row.table} {row.key}: {' '.join(str(error).split())[:300]}")

    def _upsert(self, cursor: Cursor, table: str, values: Sequence[tuple[Any, ...]]) -> None:
        execute_values(cursor, self._tables.fill(history.upsert(table), with_values=True), values)


class _Batch:
    """What some records of the log come to: of each key the last."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.rows: dict[str, dict[str, Row]] = {}
        """By table and key."""
        self.forgotten: dict[str, datetime] = {}
        """Episodes that the log holds no more, and when it was told so."""
        self.faults: list[str] = []

    def take(self, record: Record) -> None:
        """Take a record."""
        try:
            if isinstance(record.value, client.Withheld):
                self._fault(record, record.value.reason)
                return
            self._take(record.key.decode(), record.value, record.timestamp)
        except (ValueError, AttributeError, msgspec.MsgspecError, RecursionError) as error:
            self._fault(record, " ".join(str(error).split())[:300])

    def _fault(self, record: Record, why: str) -> None:
        key = "" if record.key is None else f" ({record.key[:100]!r})"
        self.faults.append(f"offset {record.offset}{key}: {why}")

    def _take(self, key: str, value: bytes | None, timestamp: int) -> None:
        if key == log.EPOCH:
            begun = log.epoch_of(value)
            self.epoch = max(self.epoch, 0 if begun is None else begun.number)
        elif key == log.POSITION:
            pass
        elif value is None:
            kind, _, number = key.partition("/")
            if kind == "episode":
                self.forgotten[str(uuid.UUID(number))] = moment(timestamp)
        else:
            record = records.decode(key, value)
            if isinstance(record, records.Certificates):
                return
            row = row_of(record)
            self.rows.setdefault(row.table, {})[row.key] = row
            self.forgotten.pop(row.key, None)
