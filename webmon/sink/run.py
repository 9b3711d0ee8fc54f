"""`webmon sink`: one thread that takes batches from the topic, stores them and commits their offsets."""

import contextlib
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, TypeVar

from kafka import errors as kafka_errors
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from webmon.daemon import log
from webmon.daemon.listener import Listener
from webmon.daemon.metrics import age, counter, gauge
from webmon.daemon.systemd import notify
from webmon.errors import UserError
from webmon.kafka import reach
from webmon.kafka.reach import KafkaAwayError
from webmon.settings import SinkSettings
from webmon.sink.consumer import BatchConsumer
from webmon.sink.dead_letters import DeadLetters
from webmon.sink.decode import Record, Unreadable, read
from webmon.sink.metrics import Metrics
from webmon.sink.outage import Outage
from webmon.sink.rollups import Rollups
from webmon.sink.writer import STATEMENT_SECS, Writer
from webmon.store.postgres import DatabaseAwayError

_log = logging.getLogger(__name__)
T = TypeVar("T")

STOP_SECS: Final = 15.0
"""How long the batch in hand may take after SIGTERM; after that it is given back."""
_SUMMARY_SECS: Final = 60.0
_PROBE_SECS: Final = 10.0
"""How often the way to a silent broker is tried."""
_JOIN_SECS: Final = 30.0
_STUCK_SECS: Final = 60.0
"""A loop that has not turned for so long hangs; systemd's watchdog is set to the same."""
_UNCOLLECTED: Final = 50_000
"""Objects that set off the garbage collector. At Python's own 700 it runs forty times a batch and finds nothing, for
three tenths of our CPU: records and results are freed when the last who knows them lets go."""
_SILENT_SECS: Final = STATEMENT_SECS + 10.0
"""A database that says nothing for so long is stopped: it would have ended the statement itself."""
_TOLD_A_BATCH: Final = 5
"""Dead letters that are logged one by one; a topic full of them must not flood the journal."""


def run(settings: SinkSettings) -> int:
    """Store results until SIGTERM or SIGINT.

    Raises:
        UserError: something that waiting will not mend, found at start.
    """
    log.configure(settings.common.log_level)
    # What is loaded stays, and is not looked through again and again.
    gc.freeze()
    gc.set_threshold(_UNCOLLECTED)
    stop = _stop_on_signals()
    sink = _Sink(settings, stop)
    threading.Thread(target=sink.watch_database, name="database", daemon=True).start()
    listener = _listen(settings.sink.metrics_address, sink)
    try:
        sink.start()
        while not stop.is_set():
            sink.step()
    except _StoppedError:
        pass
    finally:
        notify("STOPPING=1")
        if listener is not None:
            listener.close()
        sink.close()
    _log.info("stopped: %s", sink.summary())
    return 0


def _listen(address: str, sink: "_Sink") -> Listener | None:
    if address == "off":
        return None
    host, _, port = address.rpartition(":")
    try:
        return Listener(host.strip("[]"), int(port), sink.metrics, sink.is_alive, sink.waits_for)
    except OSError as error:
        # Results must not go unstored for that.
        why = error.strerror or error
        _log.error("no metrics: SINK_METRICS_ADDRESS is %s: %s", address, why)
        return None


def _stop_on_signals() -> threading.Event:
    """Turn SIGTERM and SIGINT into an event, and into an end where the main thread does not see it in time.

    A thread waits for them, as the main one may be inside the database driver, where Python runs no handlers. The end
    by force loses nothing: the server undoes the statement, and the offsets were not committed.
    """
    stop = threading.Event()
    signals = {signal.SIGTERM, signal.SIGINT}
    # Before any other thread is made, so that all of them leave these signals to the one that waits.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    def wait() -> None:
        signal.sigwait(signals)
        stop.set()
        time.sleep(STOP_SECS)
        _log.warning("the batch in hand did not end within %.0f s and is given back", STOP_SECS)
        os._exit(0)

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return stop


class _StoppedError(Exception):
    """The sink is to stop while it waits for a neighbour."""


class _Sink:
    def __init__(self, settings: SinkSettings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._writer = Writer(settings.postgres, tick=self._tick)
        self._rollups = Rollups(settings.postgres)
        self._dead_letters = DeadLetters(settings.kafka)
        self._consumer: BatchConsumer | None = None
        self._database = Outage("the database")
        self._broker = Outage("Kafka")
        self._leave = Outage("Kafka's leave to read")
        self._outages = {"database": self._database, "kafka": self._broker, "kafka-rights": self._leave}
        self.metrics = Metrics(self._own_metrics)
        self._turned = time.monotonic()
        self._lags: dict[int, int] = {}
        self._partitions = 0
        self._ready = False
        self._summary_at = time.monotonic() + _SUMMARY_SECS
        self._probe_at = 0.0

    def start(self) -> None:
        """Wait for both sides and join the group; what only the user can mend ends it."""
        self._wait_for(self._broker, lambda: reach.check_reachable(self._settings.kafka), refusals_end=True)
        self._wait_for(self._database, self._writer.check, refusals_end=True)
        self._consumer = self._wait_for(self._broker, self._join, refusals_end=True)
        _log.info(
            "storing %s into %s, partitions %s",
            self._settings.kafka.topic,
            self._settings.postgres.table,
            self._consumer.partitions(),
        )
        self._rollups.start()
        self._tell_ready()

    def _join(self) -> BatchConsumer:
        ours = self._settings.kafka
        wanted = f"READ topic {ours.topic} as group {ours.group}"
        try:
            with contextlib.ExitStack() as undo:
                consumer = BatchConsumer(ours, self._settings.sink)
                undo.callback(consumer.close)
                # The first poll tells what we may not do; only then is a topic that we don't see a missing one.
                consumer.idle()
                if not consumer.topic_is_there():
                    raise kafka_errors.UnknownTopicOrPartitionError(ours.topic)
                consumer.join(until=time.monotonic() + _JOIN_SECS, tick=self._tick_or_stop)
                undo.pop_all()
        except kafka_errors.KafkaError as error:
            line = reach.explain(error, ours, wanted=wanted)
            if isinstance(error, (kafka_errors.AuthorizationError, kafka_errors.UnknownTopicOrPartitionError)):
                raise UserError(line) from error
            raise KafkaAwayError(line) from error
        return consumer

    def step(self) -> None:
        """Do one thing: wait for records, store a batch, or look whether a silent broker is there."""
        assert self._consumer is not None
        self._tick()
        try:
            batch = self._consumer.poll()
            if batch:
                self._handle(batch)
                self._consumer.commit(batch)
        except kafka_errors.KafkaError as error:
            self._refused(error)
            self._pause(self._leave.next_wait())
            return
        self._leave.ends()
        if batch:
            self._broker.ends()
            self._probe_at = time.monotonic() + _PROBE_SECS
        elif time.monotonic() >= self._probe_at:
            self._probe()

    def _probe(self) -> None:
        """Name the cause of silence: kafka-python gives no records and no error while a broker is away."""
        try:
            reach.check_reachable(self._settings.kafka, timeout=2.0)
        except (UserError, KafkaAwayError) as error:
            self._broker.begins(str(error))
        else:
            self._broker.ends()
        self._probe_at = time.monotonic() + _PROBE_SECS

    def _handle(self, batch: list[Record]) -> None:
        began = time.monotonic()
        readable, unreadable = read(batch, now=datetime.now(UTC))
        results = [result for _, result in readable]
        stored = self._wait_for(self._database, lambda: self._writer.store(results))
        committed = datetime.now(UTC)
        unreadable += [Unreadable(readable[place].record, reason) for place, reason in stored.refused]
        if unreadable:
            self._wait_for(self._broker, lambda: self._dead_letters.send(unreadable))
            self._tell_dead(unreadable)
        took = time.monotonic() - began
        self.metrics.note_batch(
            results,
            rows=stored.added,
            repeats=stored.repeats,
            dead_letters=len(unreadable),
            seconds=took,
            now=committed,
        )
        _log.debug("batch of %d: %d new, in %.3f s", len(batch), stored.added, took)

    def _tell_dead(self, unreadable: list[Unreadable]) -> None:
        for record, reason in unreadable[:_TOLD_A_BATCH]:
            _log.warning(
                "dead letter: %(topic)s partition %(partition)d offset %(offset)d: %(cause)s",
                {"topic": record.topic, "partition": record.partition, "offset": record.offset, "cause": reason},
            )
        if len(unreadable) > _TOLD_A_BATCH:
            _log.warning("dead letters: %d more of the same batch", len(unreadable) - _TOLD_A_BATCH)

    def _wait_for(self, neighbour: Outage, action: Callable[[], T], *, refusals_end: bool = False) -> T:
        """Do what needs a neighbour, again and again while it is away.

        Raises:
            UserError: a refusal, where those end it: at start.
            _StoppedError: the sink is to stop.
        """
        while True:
            try:
                done = action()
            except UserError as error:
                if refusals_end:
                    raise
                neighbour.begins(str(error))
            except (DatabaseAwayError, KafkaAwayError) as error:
                neighbour.begins(str(error))
            else:
                neighbour.ends()
                return done
            # To systemd a sink that waits is up: it does what it can, and a start that times out helps nobody.
            self._tell_ready()
            self._pause(neighbour.next_wait())

    def _pause(self, seconds: float) -> None:
        """Let time pass as a member of the group."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._tick_or_stop()
            if self._consumer is None:
                self._stop.wait(0.5)
            else:
                self._idle(self._consumer)
        if self._consumer is not None:
            self._consumer.resume()

    def _idle(self, consumer: BatchConsumer) -> None:
        try:
            consumer.idle()
        except kafka_errors.KafkaError as error:
            self._refused(error)
            self._stop.wait(0.5)

    def _refused(self, error: kafka_errors.KafkaError) -> None:
        """Take an error that the consumer raised; of a broker that is merely away it raises none."""
        ours = self._settings.kafka
        self._leave.begins(reach.explain(error, ours, wanted=f"READ topic {ours.topic} as group {ours.group}"))

    def _tell_ready(self) -> None:
        if not self._ready:
            self._ready = True
            notify("READY=1", f"STATUS={self.summary()}")

    def _tick_or_stop(self) -> None:
        self._tick()
        if self._stop.is_set():
            raise _StoppedError

    def _tick(self) -> None:
        """Show that the loop turns; nothing else feeds the watchdog."""
        self._turned = time.monotonic()
        if self._consumer is not None:
            # Kept for the thread that answers Prometheus: the consumer is this thread's alone.
            self._lags = self._consumer.lags()
            self._partitions = len(self._consumer.partitions())
        notify("WATCHDOG=1", f"STATUS={self.summary()}")
        if time.monotonic() >= self._summary_at:
            self._summary_at = time.monotonic() + _SUMMARY_SECS
            _log.info("%s", self.summary())

    def watch_database(self) -> None:
        """Give up the connection of a database that says nothing, so that the loop turns again; runs until the stop."""
        while not self._stop.wait(1.0):
            if time.monotonic() - self._turned > _SILENT_SECS:
                self._writer.interrupt()

    def is_alive(self) -> bool:
        """Tell whether the loop turns: a sink that waits for a neighbour lives."""
        return time.monotonic() - self._turned < _STUCK_SECS

    def waits_for(self) -> str:
        """Name what the sink waits for, in one line; nothing where it waits for nothing."""
        return "; ".join(f"waiting for {outage.name}" for outage in self._outages.values() if outage.lasts)

    def summary(self) -> str:
        """Give what was done since the start, in one line."""
        done = self.metrics
        lag = "" if self._consumer is None else f", {sum(self._lags.values())} waiting on the topic"
        parts = [f"{done.rows} rows stored, {done.repeats} repeats, {done.dead_letters} dead letters{lag}"]
        return "; ".join([*parts, *filter(None, [self.waits_for()])])

    def _own_metrics(self) -> Iterator[Metric]:
        yield gauge("webmon_sink_partitions", "Partitions of the topic that are ours", self._partitions)
        lag = GaugeMetricFamily("webmon_sink_lag", "Messages that wait on a partition of ours", labels=["partition"])
        for partition, waiting in sorted(self._lags.items()):
            lag.add_metric([str(partition)], waiting)
        yield lag
        yield gauge("webmon_sink_turn_age_seconds", "Time since the loop turned last", age(self._turned))
        yield counter("webmon_sink_rollups_total", "Hours of an agent that were rolled up", self._rollups.rolled)
        looked = "Time since the worker last saw to what is to be rolled up"
        yield gauge("webmon_sink_rollups_age_seconds", looked, age(self._rollups.passed_at))
        waiting_now = GaugeMetricFamily("webmon_sink_waiting", "1 while a neighbour is waited for", labels=["for"])
        waits = CounterMetricFamily("webmon_sink_waits_total", "Times that one was waited for", labels=["for"])
        seconds = CounterMetricFamily("webmon_sink_wait_seconds_total", "Seconds of that", labels=["for"])
        for label, outage in self._outages.items():
            waiting_now.add_metric([label], outage.lasts)
            waits.add_metric([label], outage.count)
            seconds.add_metric([label], outage.seconds)
        yield from (waiting_now, waits, seconds)
        yield from self._writer.metrics()

    def close(self) -> None:
        """Leave the group and end the sessions."""
        if self._consumer is not None:
            try:
                self._consumer.close()
            except kafka_errors.KafkaError as error:
                _log.debug("the consumer did not end well: %s", error)
        self._dead_letters.close()
        self._writer.close()
        self._rollups.stop(timeout=2.0)
