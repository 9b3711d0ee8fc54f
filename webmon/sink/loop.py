"""The sink's loop: results from the topic into the database, the rest to the dead letters, and only then the offsets.

Whatever goes wrong between a batch and its offsets, the batch stays in hand until it is stored, or is given back with
the end of the process: the next sink reads it anew, and what was stored of it is a repeat.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final, Protocol, TypeVar

from kafka import errors as kafka_errors

from webmon.check.result import CheckResult
from webmon.daemon.outage import Outage
from webmon.errors import UserError
from webmon.kafka import reach
from webmon.kafka.agents import Agents
from webmon.kafka.decode import Read, Record, Unreadable, read
from webmon.kafka.reach import KafkaAwayError
from webmon.kafka.still import StoodStillError
from webmon.settings import Kafka
from webmon.sink.consumer import BatchConsumer, explain
from webmon.sink.in_hand import InHand
from webmon.sink.state import State
from webmon.sink.writer import Stored
from webmon.store.postgres import DatabaseAwayError

_log = logging.getLogger(__name__)
T = TypeVar("T")

_LOOK_SECS: Final = 10.0
"""How often the way to a silent broker is looked at."""
_LOOK_TIMEOUT_SECS: Final = 2.0
_REST_SECS: Final = 0.5
"""How long nothing is done between two signs of life."""
_TOLD_A_BATCH: Final = 5
"""Dead letters that are logged one by one; a topic full of them must not flood the journal."""


class StoppedError(Exception):
    """The sink is to stop while it waits for a neighbour."""


class Rows(Protocol):
    """Where results go; webmon.sink.writer has it."""

    def check(self) -> None:
        """See that it is there and fits; may raise UserError and DatabaseAwayError."""

    def store(self, results: Sequence[CheckResult]) -> Stored:
        """Add what is new; may raise UserError and DatabaseAwayError."""


class Letters(Protocol):
    """Where goes what is no result; webmon.sink.dead_letters has it."""

    def send(self, unreadable: Sequence[Unreadable]) -> None:
        """Send all, or raise UserError or KafkaAwayError."""


class Loop:
    """Turns until the stop, in one thread."""

    def __init__(
        self,
        kafka: Kafka,
        state: State,
        *,
        join: Callable[[Callable[[], None]], BatchConsumer],
        rows: Rows,
        letters: Letters,
        stop: threading.Event,
        in_hand: InHand | None = None,
        agents: Agents | None = None,
        note: Callable[[Sequence[CheckResult], Sequence[Unreadable], datetime], None] = lambda *_: None,
        look: Callable[..., None] = reach.check_reachable,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the parts; nothing is done yet.

        Args:
            kafka: which topic and group, for what is told of them.
            state: is told all that is done.
            join: makes us a member of the group, and calls what it is given while that lasts; webmon.sink.consumer.
            rows: takes the results.
            letters: takes what is none.
            stop: set when the loop is to end.
            in_hand: is told what is in hand, for the next process.
            agents: whom we believe; None for anybody who may write the topic.
            note: is told of each batch that is in its place: its results, what became dead letters, and when.
            look: raises UserError or KafkaAwayError where no broker can be reached; webmon.kafka.reach.
            clock: gives seconds that only grow.
        """
        self._kafka = kafka
        self._state = state
        self._join = join
        self._rows = rows
        self._letters = letters
        self._stop = stop
        self._in_hand = in_hand or InHand()
        self._agents = agents
        self._note = note
        self._look = look
        self._clock = clock
        self._consumer: BatchConsumer | None = None
        self._look_at = 0.0

    def start(self) -> None:
        """Wait for both sides and join the group.

        Raises:
            UserError: what only a person can mend.
            StoppedError: it is to stop.
        """
        state = self._state
        self._wait_for(state.broker, lambda: self._look(self._kafka), refusals_end=True)
        self._wait_for(state.database, self._rows.check, refusals_end=True)
        self._consumer = self._wait_for(state.broker, lambda: self._join(self._tick_or_stop), refusals_end=True)
        self._note_place(self._consumer)
        state.ready()

    def run(self) -> None:
        """Turn until the stop.

        Raises:
            StoppedError: it came while a neighbour was waited for; what was in hand is given back.
        """
        while not self._stop.is_set():
            self.step()

    def step(self) -> None:
        """Wait for records, half a second at most; see a batch that they close to its end."""
        assert self._consumer is not None
        self._state.tick()
        for piece in self._in_hand.pieces(self._read(self._consumer)):
            if piece:
                self._in_hand.take(piece)
                try:
                    self._put_away(piece)
                except StoppedError:
                    self._in_hand.lay_down()
                    raise
                self._in_hand.lay_down()
                self._commit(self._consumer, piece)

    def close(self) -> None:
        """Leave the group."""
        if self._consumer is not None:
            try:
                self._consumer.close()
            except kafka_errors.KafkaError as error:
                _log.debug("the consumer did not close cleanly: %s", error)

    def _read(self, consumer: BatchConsumer) -> list[Record]:
        try:
            batch = consumer.poll()
        except kafka_errors.KafkaError as error:
            self._refused(error)
            self._pause(self._state.reading.next_wait())
            return []
        except StoodStillError as error:
            self._join_anew(error)
            return []
        self._state.reading.ends()
        self._note_place(consumer)
        if batch:
            self._state.broker.ends()
            self._look_at = self._clock() + _LOOK_SECS
        elif self._clock() >= self._look_at:
            self._look_for_broker()
        return batch

    def _join_anew(self, error: StoodStillError) -> None:
        """Go on with another consumer; what the group was not told of comes again."""
        _log.warning("%s; joining the group anew", error)
        self.close()
        self._consumer = None
        self._consumer = self._wait_for(self._state.broker, lambda: self._join(self._tick_or_stop))

    def _put_away(self, batch: list[Record]) -> None:
        """Store a batch, and send what is no result to the dead letters; it ends when all is in its place."""
        began = self._clock()
        unreadable = self._in_hand.what_ended_us(batch)
        readable: list[Read] = []
        if not unreadable:
            readable, unreadable = read(batch, now=datetime.now(UTC), agents=self._agents)
        results = [result for _, result in readable]
        stored = self._wait_for(self._state.database, lambda: self._rows.store(results))
        committed = datetime.now(UTC)
        unreadable += [Unreadable(readable[place].record, reason) for place, reason in stored.refused]
        if unreadable:
            self._wait_for(self._state.broker, lambda: self._letters.send(unreadable))
            _tell_dead(unreadable)
        took = self._clock() - began
        self._state.metrics.note_batch(
            results,
            rows=stored.added,
            repeats=stored.repeats,
            dead_letters=len(unreadable),
            seconds=took,
            now=committed,
        )
        self._note(results, unreadable, committed)
        _log.debug("batch of %d: %d new, in %.3f s", len(batch), stored.added, took)

    def _commit(self, consumer: BatchConsumer, batch: list[Record]) -> None:
        try:
            consumer.commit(batch)
        except kafka_errors.KafkaError as error:
            # The consumer keeps the offsets and tells them before it reads on.
            self._refused(error)
            self._pause(self._state.reading.next_wait())

    def _look_for_broker(self) -> None:
        """Name the cause of silence: kafka-python gives no records and no error while a broker is away."""
        try:
            self._look(self._kafka, timeout=_LOOK_TIMEOUT_SECS)
        except UserError as error:
            self._state.broker.begins(str(error), lasting=True)
        except KafkaAwayError as error:
            self._state.broker.begins(str(error))
        else:
            self._state.broker.ends()
        self._look_at = self._clock() + _LOOK_SECS

    def _refused(self, error: kafka_errors.KafkaError) -> None:
        """Take an error that the consumer raised; of a broker that is merely away it mostly raises none."""
        if isinstance(error, (kafka_errors.SaslAuthenticationFailedError, kafka_errors.KafkaConnectionError)):
            # Raised for a moment now and then, by each broker at its own time; the way to them tells it once.
            self._look_for_broker()
            return
        cause = explain(error, self._kafka)
        self._state.reading.begins(cause, lasting=isinstance(error, reach.REFUSALS))

    def _wait_for(self, neighbour: Outage, action: Callable[[], T], *, refusals_end: bool = False) -> T:
        """Do what needs a neighbour, again and again while it is away.

        Raises:
            UserError: a refusal, where those end it: at start.
            StoppedError: the sink is to stop.
        """
        while True:
            try:
                done = action()
            except UserError as error:
                if refusals_end:
                    raise
                neighbour.begins(str(error), lasting=True)
            except (DatabaseAwayError, KafkaAwayError) as error:
                neighbour.begins(str(error))
            except kafka_errors.KafkaError as error:
                # None is expected here; but a batch that is in hand must not be lost by it.
                neighbour.begins(f"{type(error).__name__}: {error}")
            else:
                neighbour.ends()
                return done
            # To systemd a sink that waits is up: it does what it can, and a start that times out helps nobody.
            self._state.ready()
            self._pause(neighbour.next_wait())

    def _pause(self, seconds: float) -> None:
        """Let time pass as a member of the group."""
        until = self._clock() + seconds
        while self._clock() < until:
            self._tick_or_stop()
            if self._consumer is None:
                self._stop.wait(_REST_SECS)
            else:
                self._idle(self._consumer)

    def _idle(self, consumer: BatchConsumer) -> None:
        try:
            consumer.idle()
        except kafka_errors.KafkaError as error:
            self._refused(error)
            self._stop.wait(_REST_SECS)
        self._note_place(consumer)

    def _note_place(self, consumer: BatchConsumer) -> None:
        # Kept for the thread that answers Prometheus: the consumer is this thread's alone.
        self._state.lags = consumer.lags()
        self._state.partitions = consumer.partitions()

    def _tick_or_stop(self) -> None:
        self._state.tick()
        if self._stop.is_set():
            raise StoppedError


def _tell_dead(unreadable: list[Unreadable]) -> None:
    for record, reason in unreadable[:_TOLD_A_BATCH]:
        _log.warning(
            "dead letter: %(topic)s partition %(partition)d offset %(offset)d: %(cause)s",
            {"topic": record.topic, "partition": record.partition, "offset": record.offset, "cause": reason},
        )
    if len(unreadable) > _TOLD_A_BATCH:
        _log.warning("dead letters: %d more of the same batch", len(unreadable) - _TOLD_A_BATCH)
