"""From the outbox to Kafka: in bursts, bounded in flight, and out of the outbox only when acknowledged.

kafka-python's producer can die for good and has no bound of memory. So what is in flight is bounded here, and when no
acknowledgement comes the producer is given up and another one begins again with all that the outbox still holds. What
was sent twice by that, the sink's unique key absorbs.
"""

import functools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from kafka import errors as kafka_errors
from pydantic import SecretStr

from webmon.agent.outbox import Outbox
from webmon.agent.spool import Row
from webmon.check.result import headers
from webmon.daemon import threads
from webmon.daemon.outage import Outage
from webmon.errors import UserError
from webmon.kafka import client, mac, reach
from webmon.settings import Kafka

_log = logging.getLogger(__name__)

MOST_IN_FLIGHT: Final = 2000
"""Records that wait for their acknowledgement; kafka-python needs 2 KB for each."""
STALL_SECS: Final = 30.0
"""Without an acknowledgement for so long, the producer counts as dead."""
_LOOK_SECS: Final = 10.0
"""Without one for so long, the way to Kafka is looked at: a broker that is away is told sooner than a dead producer."""
_LONGEST_SECS: Final = 120.0
"""How long a record may wait while others are acknowledged: a partition can hang alone."""
_BURST_SECS: Final = 0.2
"""Pause between two bursts: a record costs a quarter in a burst of what it costs alone. A row can be seen within half a
second and what the sink's batch waits, and this is part of that half second."""
_CLOSE_SECS: Final = 5.0

_TURN_SECS: Final = 300.0
"""How long one turn of the thread may take before it counts as standing still: a host without a resolver that works
spends half a minute on the name of each broker."""

_REFUSED_FOR_EVER: Final = (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError)
"""What is wrong with the record itself; to send it again would block all those behind it.

InvalidRecordError is none of them: it is what kafka-python makes of several timestamps that are out of range, and they
are good again when the clock is.
"""


class _StalledError(Exception):
    """No acknowledgement came for too long."""


class _Session:
    """What one producer has in flight. Its callbacks run in the producer's thread."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.in_flight: dict[int, float] = {}
        """When each row was sent, by id; the oldest first."""
        self.acknowledged: list[int] = []
        self.refused: list[tuple[Row, Exception]] = []
        self.failure: Exception | None = None
        self.progress = time.monotonic()
        """When the last acknowledgement came, or the first record was sent since."""

    def sending(self, row: Row) -> None:
        now = time.monotonic()
        with self.changed:
            if not self.in_flight:
                self.progress = now
            self.in_flight[row.id] = now

    def acknowledge(self, row: Row, _: object) -> None:
        with self.changed:
            self.in_flight.pop(row.id, None)
            self.acknowledged.append(row.id)
            self.progress = time.monotonic()
            self.changed.notify_all()

    def fail(self, row: Row, error: Exception) -> None:
        with self.changed:
            self.in_flight.pop(row.id, None)
            if isinstance(error, _REFUSED_FOR_EVER):
                self.refused.append((row, error))
                self.progress = time.monotonic()
            else:
                self.failure = self.failure or error
            self.changed.notify_all()

    def silent_for(self) -> float:
        """Give the seconds since something was acknowledged, while records wait for it; else 0."""
        with self.changed:
            return time.monotonic() - self.progress if self.in_flight else 0.0

    def oldest_age(self) -> float:
        """Give the seconds that the oldest record waits; 0 where none does."""
        with self.changed:
            return time.monotonic() - next(iter(self.in_flight.values())) if self.in_flight else 0.0


class Publisher:
    """A thread that sends what the outbox holds, for as long as the agent runs."""

    def __init__(
        self,
        settings: Kafka,
        outbox: Outbox,
        *,
        mac_key: SecretStr | None = None,
        stall_secs: float = STALL_SECS,
        make_producer: Callable[..., Any] = client.Producer,
    ) -> None:
        """Take the way to Kafka, the outbox to empty, and the key to sign with, where there is one."""
        self.refused = 0
        """Records that Kafka will never take, dropped since the start."""
        self.acknowledged = 0
        self.errors: Counter[str] = Counter()
        """How often nothing could be sent, by kind: `refused`, `away`, `stalled`, or the name of Kafka's error."""
        self.last_acknowledged: float | None = None
        """On the monotonic clock; None before the first."""
        self._settings = settings
        self._outbox = outbox
        self._signer = mac.Signer(mac_key.get_secret_value()) if mac_key else None
        self._stall_secs = stall_secs
        self._make_producer = make_producer
        self._turned = time.monotonic()
        self._stopping = threading.Event()
        self._outage = Outage("not publishing", "publishing again", beside="; %(waiting)d results wait in the outbox")
        self._thread = threads.Thread("publisher", self._run)

    @property
    def away_cause(self) -> str:
        """Why nothing gets through at the moment; empty while all is well."""
        return self._outage.cause

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread.is_alive()

    def faults(self) -> list[str]:
        """Tell that nobody tries to send any more; that Kafka is away is no fault of this kind."""
        still = time.monotonic() - self._turned
        return [f"publisher: it has not moved for {still:.0f} s"] if still > _TURN_SECS else []

    def stop(self, timeout: float) -> None:
        """Send no more, wait a moment for the acknowledgements still to come; the rest stays in the outbox."""
        self._stopping.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._turned = time.monotonic()
            try:
                self._publish_with_new_producer()
            except UserError as error:
                self._note_away("refused", "; ".join(error.lines), lasting=True)
            except reach.KafkaAwayError as error:
                self._note_away("away", str(error))
            except _StalledError as error:
                self._note_away("stalled", str(error))
            except kafka_errors.KafkaError as error:
                cause = reach.explain(error, self._settings, wanted=f"WRITE topic {self._settings.topic}")
                self._note_away(type(error).__name__, cause)
            # A fault that nobody foresaw must not end the sending for good.
            except Exception as error:  # noqa: BLE001
                if self._outage.cause != (cause := f"a bug in webmon: {error}"):
                    _log.exception("publisher: a bug in webmon")
                self._note_away("fault", cause)
            self._stopping.wait(self._outage.next_wait())

    def _publish_with_new_producer(self) -> None:
        # The producer would say "unable to bootstrap" for any of a dozen causes, so look at the way first.
        reach.check_reachable(self._settings)
        producer = self._make_producer(**client.producer_args(self._settings))
        session = _Session()
        try:
            self._publish(producer, session)
            end = time.monotonic() + _CLOSE_SECS
            with session.changed:
                while session.in_flight and session.failure is None and time.monotonic() < end:
                    session.changed.wait(0.1)
        finally:
            producer.abandon(timeout=_CLOSE_SECS)
            self._settle(session)

    def _publish(self, producer: Any, session: _Session) -> None:
        """Send until it is time to stop.

        Raises:
            UserError, KafkaAwayError, kafka_errors.KafkaError, _StalledError: this producer is of no more use.
        """
        opened, sent_up_to = self._outbox.opened, 0
        looked_at: float | None = None
        while not self._stopping.is_set():
            self._turned = time.monotonic()
            if self._outbox.opened != opened:
                opened, sent_up_to = self._outbox.opened, 0
            free = MOST_IN_FLIGHT - len(session.in_flight)
            rows = self._outbox.read(sent_up_to, free) if free else []
            for row in rows:
                if session.failure is not None:
                    break
                sent_up_to = row.id
                if row.id not in session.in_flight:
                    self._send(producer, session, row)
            self._wait(session, all_sent=len(rows) < free)
            self._settle(session)
            if session.failure is not None:
                raise session.failure
            silent = session.silent_for()
            if silent > self._stall_secs:
                raise _StalledError(
                    f"nothing acknowledged for {self._stall_secs:g} s: {reach.why_silent(self._settings)}"
                )
            if session.oldest_age() > _LONGEST_SECS:
                raise _StalledError(
                    f"a result not acknowledged for {_LONGEST_SECS:g} s, others are: {reach.why_silent(self._settings)}"
                )
            if silent > _LOOK_SECS and looked_at != session.progress:
                looked_at = session.progress
                reach.check_reachable(self._settings)

    def _send(self, producer: Any, session: _Session, row: Row) -> None:
        self._turned = time.monotonic()
        session.sending(row)
        try:
            future = producer.send(self._settings.topic, key=row.key, value=row.value, headers=self._headers(row))
        except _REFUSED_FOR_EVER as error:
            session.fail(row, error)
            return
        future.add_callback(functools.partial(session.acknowledge, row))
        future.add_errback(functools.partial(session.fail, row))

    def _headers(self, row: Row) -> list[tuple[str, bytes]]:
        # Signed when it is sent: what an outbox holds may be older than the key.
        signed = [(mac.HEADER, self._signer.sign(row.key, row.value))] if self._signer else []
        return headers() + signed

    def _wait(self, session: _Session, *, all_sent: bool) -> None:
        if all_sent:
            self._stopping.wait(_BURST_SECS)
            return
        with session.changed:
            if len(session.in_flight) > MOST_IN_FLIGHT // 2 and session.failure is None:
                session.changed.wait(_BURST_SECS)

    def _settle(self, session: _Session) -> None:
        """Take out of the outbox what Kafka has, and what it will never take."""
        with session.changed:
            acknowledged, session.acknowledged = session.acknowledged, []
            refused, session.refused = session.refused, []
        for row, error in refused:
            self.refused += 1
            _log.error(
                "Kafka refuses a result of %(target)s (%(bytes)d bytes): %(cause)s; dropped",
                {"target": row.key.decode(), "bytes": len(row.value), "cause": error},
            )
        if acknowledged:
            self.acknowledged += len(acknowledged)
            self.last_acknowledged = time.monotonic()
            self._outage.ends(waiting=len(self._outbox))
        if acknowledged or refused:
            self._outbox.remove(acknowledged + [row.id for row, _ in refused])

    def _note_away(self, kind: str, cause: str, *, lasting: bool = False) -> None:
        self.errors[kind] += 1
        self._outage.begins(cause, lasting=lasting, waiting=len(self._outbox), kind=kind)
