"""`webmon alarm`: the process around the judge, from its signals to its listener."""

import contextlib
import functools
import gc
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from kafka import errors as kafka_errors

from webmon.alarm import rules as rules_file
from webmon.alarm.around import Around
from webmon.alarm.delivery import Delivery
from webmon.alarm.heartbeat import Heartbeat
from webmon.alarm.history import History
from webmon.alarm.judge import Listed
from webmon.alarm.log import Membership, SupersededError, explain
from webmon.alarm.own import Own
from webmon.alarm.reader import Reader
from webmon.alarm.ruleset import Ruleset
from webmon.alarm.session import Parts, Session
from webmon.alarm.state import State
from webmon.alarm.writer import LogWriter
from webmon.daemon import log, threads
from webmon.daemon.listener import listen
from webmon.daemon.signals import Signals
from webmon.daemon.systemd import notify
from webmon.errors import UserError
from webmon.kafka import agents as agents_file
from webmon.kafka import reach
from webmon.kafka.agents import Agents
from webmon.kafka.reach import KafkaAwayError
from webmon.settings import AlarmSettings
from webmon.targets import file as targets_file

_log = logging.getLogger(__name__)
T = TypeVar("T")

STOP_SECS: Final = 15.0
"""How long the end may take after SIGTERM."""
_SEND_SECS: Final = 5.0
"""How long a message that is being sent may take then."""
_UNCOLLECTED: Final = 50_000
"""Objects that set off the garbage collector: records and results are freed when the last who knows them lets go."""
_REST_SECS: Final = 0.5
_REST_AFTER_SECS: Final = 2.0

Environment = Callable[[], Mapping[str, str]]
"""Reads the variables of the .env and the process environment, where the channels' secrets are."""


class StoppedError(Exception):
    """It is to stop while a neighbour is waited for."""


def run(settings: AlarmSettings, environment: Environment) -> int:
    """Judge, or stand by, until SIGTERM or SIGINT.

    Args:
        settings: what it reads at its start.
        environment: where the channels' secrets are; asked at each reading of the rules, and may raise UserError.

    Raises:
        UserError: something that waiting will not mend, found at start.
    """
    log.configure(settings.common.log_level)
    signals = Signals(hears_hangup=True, at_stop=_end_by_force)
    daemon = Daemon(settings, environment)
    gc.freeze()
    gc.set_threshold(_UNCOLLECTED)
    daemon.run(signals)
    return threads.exit_status()


class Daemon:
    """The parts, and who of several judges."""

    def __init__(self, settings: AlarmSettings, environment: Environment) -> None:
        """Read all files; nothing is connected yet.

        Raises:
            UserError: a line for each fault of them.
        """
        self._settings = settings
        self._environment = environment
        self._state = State()
        self._session: Session | None = None
        self._writer = LogWriter(settings.kafka, may_write=self._may_act)
        self._delivery = Delivery(settings.alarm, self._may_act)
        self._history = History(settings.kafka, settings.postgres)
        self._rules, self._listed, self._agents = self._read()
        self._own = Own()

    def run(self, signals: Signals) -> None:
        """Judge whenever the log is ours, until the stop.

        Raises:
            UserError: something that waiting will not mend, found at start.
        """
        settings, state, stop = self._settings, self._state, signals.stop
        around = Around(settings.kafka, settings.postgres, stop)
        heartbeat = self._heartbeat(stop)
        state.log_written, state.log_waiting = lambda: self._writer.written, lambda: len(self._writer)
        state.certificate_ends = lambda: around.certificate_ends
        state.outages |= {"alarm log": self._writer.outage, **self._history.outages}
        address = settings.alarm.metrics_address
        listener = listen(address, "ALARM_METRICS_ADDRESS", state, state.is_alive, state.waits_for)
        self._writer.start()
        if heartbeat is not None:
            state.outages["heartbeat"], state.heartbeats = heartbeat.outage, lambda: heartbeat.sent
            heartbeat.start()
        membership = None
        try:
            tick = functools.partial(self._tick_or_stop, stop)
            self._wait(lambda: reach.check_reachable(settings.kafka), tick, refusals_end=True)
            membership = self._wait(self._join, tick, refusals_end=True)
            state.ready()
            around.start()
            while True:
                self._stand_by(membership, signals, tick)
                self._judge(membership, around, signals, tick)
        except StoppedError:
            pass
        finally:
            notify("STOPPING=1")
            if listener is not None:
                listener.close()
            self._delivery.close()
            self._writer.close()
            if membership is not None:
                _close(membership.close)
        _log.info("stopped: %s", state.summary())

    def _may_act(self) -> bool:
        session = self._session
        return session is not None and session.may_act()

    def _is_well(self) -> bool:
        session = self._session
        return session is not None and session.is_well and session.may_act()

    def _heartbeat(self, stop: threading.Event) -> Heartbeat | None:
        alarm = self._settings.alarm
        if alarm.heartbeat_url is None:
            return None
        url = alarm.heartbeat_url.get_secret_value()
        return Heartbeat(url, alarm.heartbeat_secs, self._is_well, stop, alarm.ca_certificates)

    def _read(self) -> tuple[Ruleset, list[Listed] | None, Agents | None]:
        """Read rules, targets and the agents' keys, and make the channels; all of them, or a UserError."""
        alarm = self._settings.alarm
        faults: list[str] = []
        agents = listed = None
        try:
            rules = rules_file.of_settings(alarm, self._environment())
            if alarm.targets_path is not None:
                targets = targets_file.listed(alarm.targets_path)
                listed = [Listed(one.name, one.url, one.labels, one.interval) for one in targets]
        except UserError as error:
            faults += error.lines
        try:
            if alarm.agents_path is not None:
                agents = agents_file.read(alarm.agents_path, "ALARM_AGENTS_PATH")
        except UserError as error:
            faults += error.lines
        if faults:
            raise UserError(*faults)
        try:
            self._delivery.use(rules.channels)
        except OSError as error:
            raise UserError(f"ALARM_CA_CERTIFICATES {alarm.ca_certificates}: {error}") from error
        return rules, listed, agents

    def _join(self) -> Membership:
        with contextlib.ExitStack() as undo:
            membership = Membership(self._settings.kafka)
            undo.callback(_close, membership.close)
            # The first poll tells what we may not do; only then is a topic that we don't see a missing one.
            membership.poll(_REST_SECS)
            if not membership.topic_is_there():
                raise kafka_errors.UnknownTopicOrPartitionError(self._settings.kafka.alarm_topic)
            undo.pop_all()
        return membership

    def _stand_by(self, membership: Membership, signals: Signals, tick: Callable[[], None]) -> None:
        """Wait until the log is ours."""
        if not membership.is_ours:
            _log.info("standing by: another judges, or is about to")
        while not membership.is_ours:
            tick()
            self._hear(signals)
            try:
                membership.poll(_REST_SECS)
            except kafka_errors.KafkaError as error:
                refused = isinstance(error, reach.REFUSALS)
                self._state.kafka.begins(explain(error, self._settings.kafka), lasting=refused)
                self._pause(self._state.kafka.next_wait(), tick)
            else:
                self._state.kafka.ends()

    def _judge(self, membership: Membership, around: Around, signals: Signals, tick: Callable[[], None]) -> None:
        """Judge until another does."""
        reader = self._wait(lambda: Reader(self._settings.kafka), tick)
        session = Session(
            Parts(
                settings=self._settings.alarm,
                reader=reader,
                membership=membership,
                writer=self._writer,
                delivery=self._delivery,
                around=around,
                state=self._state,
                rules=self._rules,
                listed=self._listed,
                agents=self._agents,
                own=self._own,
            )
        )
        self._session = session
        try:
            session.begin(tick)
            self._history.start()
            self._state.kafka.ends()
            while not signals.stop.is_set():
                if self._hear(signals):
                    session.use(self._rules, self._listed, self._agents)
                session.turn()
        except SupersededError as error:
            _log.warning("judging no more: %(cause)s", {"cause": str(error)})
            # Two that are not of one group would take it from each other without a pause.
            self._pause(_REST_AFTER_SECS, tick)
        except (UserError, KafkaAwayError, kafka_errors.KafkaError) as error:
            cause = explain(error, self._settings.kafka) if isinstance(error, kafka_errors.KafkaError) else str(error)
            self._state.kafka.begins(cause, lasting=isinstance(error, (UserError, *reach.REFUSALS)))
            self._pause(self._state.kafka.next_wait(), tick)
        finally:
            session.end(seconds=_SEND_SECS)
            self._session = None
            self._history.stop()
            _close(reader.close)
        if signals.stop.is_set():
            raise StoppedError

    def _hear(self, signals: Signals) -> bool:
        """Take SIGHUP; tell whether files were read anew."""
        if signals.wait(0) != signal.SIGHUP:
            return False
        # MONOTONIC_USEC tells systemd which reload this answers (Type=notify-reload).
        notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        taken = False
        try:
            self._rules, self._listed, self._agents = self._read()
        except UserError as error:
            for line in error.lines:
                _log.error("%s", line)
            _log.error("the reload is refused: the old rules and targets go on")
        except Exception:  # noqa: BLE001 (whatever a file does to us, it takes nobody's alarms away)
            _log.exception("a bug in webmon: the reload is refused, the old rules and targets go on")
        else:
            taken = True
            _log.info("rules, targets and agents were read anew")
        notify("READY=1", f"STATUS={self._state.summary()}")
        return taken

    def _wait(self, action: Callable[[], T], tick: Callable[[], None], *, refusals_end: bool = False) -> T:
        """Do what needs Kafka, again and again while it is away.

        Raises:
            UserError: a refusal, where those end it: at start.
            StoppedError: it is to stop.
        """
        outage, kafka = self._state.kafka, self._settings.kafka
        while True:
            try:
                done = action()
            except UserError as error:
                if refusals_end:
                    raise
                outage.begins(str(error), lasting=True)
            except KafkaAwayError as error:
                outage.begins(str(error))
            except kafka_errors.KafkaError as error:
                line = explain(error, kafka)
                if refusals_end and isinstance(error, reach.REFUSALS):
                    raise UserError(line) from error
                outage.begins(line, lasting=isinstance(error, reach.REFUSALS))
            else:
                outage.ends()
                return done
            # To systemd one that waits is up: it does what it can, and a start that times out helps nobody.
            self._state.ready()
            self._pause(outage.next_wait(), tick)

    def _pause(self, seconds: float, tick: Callable[[], None]) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            tick()
            time.sleep(min(left, _REST_SECS))

    def _tick_or_stop(self, stop: threading.Event) -> None:
        self._state.tick()
        if stop.is_set():
            raise StoppedError


def _close(close: Callable[[], None]) -> None:
    try:
        close()
    except kafka_errors.KafkaError as error:
        _log.debug("a client of Kafka did not close cleanly: %s", error)


def _end_by_force() -> None:
    """End a process that does not stop in time; what it was sending is due to the next judge."""
    time.sleep(STOP_SECS)
    _log.warning("not done within %.0f s; the next judge sends what was in hand again", STOP_SECS)
    os._exit(threads.exit_status())
