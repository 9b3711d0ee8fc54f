"""One time of judging: from the log that became ours to the moment when it is ours no more.

A turn reads what came, judges it, gives what changed to the log and what is due to the channels. Nothing is sent
before the log has it, unless the log can't be written: an alarm matters more than its record.

Whether we judge is asked anew where it may have changed: after a pause of ours, as a frozen host makes it, or when the
group has lost us. Until the answer nothing is written or sent.
"""

import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
from kafka import errors as kafka_errors

from webmon.alarm import log, orders, planned, records
from webmon.alarm.around import Around
from webmon.alarm.conditions import Condition
from webmon.alarm.delivery import Delivery, Done, Errand
from webmon.alarm.desk import Message
from webmon.alarm.judge import Judge, Listed
from webmon.alarm.log import Membership, SupersededError
from webmon.alarm.moments import as_moment
from webmon.alarm.notices import Notices
from webmon.alarm.own import OF_A_CHANNEL, Own
from webmon.alarm.partitions import OF_A_PARTITION
from webmon.alarm.reader import Pairs, Reader, apply
from webmon.alarm.records import Change
from webmon.alarm.ruleset import Ruleset
from webmon.alarm.senders.alertmanager import ENDED_SECS, EVERY_SECS
from webmon.alarm.state import State
from webmon.alarm.writer import LogWriter
from webmon.daemon.outage import Outage
from webmon.kafka import decode
from webmon.kafka.agents import Agents
from webmon.kafka.decode import Record
from webmon.kafka.reach import KafkaAwayError
from webmon.settings import Alarm

_log = logging.getLogger(__name__)

PAUSE_SECS: Final = 3.0
"""A turn is shorter; after a longer one we may have been frozen, and another may judge."""
_UNKNOWN_SECS: Final = 45.0
"""Where Kafka does not tell for so long whether we judge, what is due is told all the same."""
_ELSEWHERE_SECS: Final = 12.0
"""Where the group gives the log to nobody of ours for so long, another has it."""
LOG_PATIENCE: Final = 5.0
"""Seconds that a message waits for the log to have it."""
_WELL_LAG: Final = 30_000
_WELL_WAIT: Final = 300_000
_IDLE_SECS: Final = 0.2
_BUSY_SECS: Final = 0.02
_MEMBER_SECS: Final = 0.5
_POSITION_SECS: Final = 10.0
_PLANNED_SECS: Final = 3600.0
_TOPIC_SECS: Final = 60.0
_AN_HOUR: Final = 3_600_000
_ALL: Final = "all"
"""The key of what an Alertmanager is told."""


@dataclass
class Parts:
    """What a session works with; all of it outlives it."""

    settings: Alarm
    reader: Reader
    membership: Membership
    writer: LogWriter
    delivery: Delivery
    around: Around
    state: State
    rules: Ruleset
    listed: list[Listed] | None
    agents: Agents | None
    own: Own


class Session:
    """The judge at work; one thread turns it."""

    def __init__(
        self,
        parts: Parts,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the parts; nothing is read yet."""
        self._parts = parts
        self._clock = clock
        self._monotonic = monotonic
        self._state = parts.state
        self._reader = parts.reader
        self._judge = Judge(parts.rules, now=self._now())
        self._notices = Notices(self._judge.book, parts.settings.page_url)
        self._epoch = b""
        self._is_ours = False
        """Whether our epoch was read in the log."""
        self._gaps = parts.membership.gaps
        self._turned = monotonic()
        self._held_since: float | None = None
        self._is_active = False
        self._ticked = 0.0
        self._asked_group = 0.0
        self._positioned = 0.0
        self._planned = float("-inf")
        self._looked_at_topic = monotonic()
        self._posted: dict[str, float] = {}
        self._refused: dict[str, str] = {}
        self._outages: dict[str, Outage] = {}
        self.is_well = False
        """Whether results are judged without delay and nothing that is due waits: the heartbeat goes on."""

    def may_act(self) -> bool:
        """Tell whether we judge, as far as can be told now; any thread may ask."""
        return self._is_active and self._held_since is None and self._monotonic() - self._turned < PAUSE_SECS

    def begin(self, tick: Callable[[], None]) -> None:
        """Take over.

        Args:
            tick: called at least every half second while that lasts.

        Raises:
            SupersededError: another was faster.
            UserError: the log can't be written.
            KafkaAwayError: Kafka does not answer.
            kafka.errors.KafkaError: it refuses.
        """
        began = self._monotonic()
        parts, reader = self._parts, self._reader
        values = reader.read_log(tick)
        epoch = log.next_epoch(values, self._now())
        self._epoch = msgspec.json.encode(epoch)
        written = parts.writer.write(log.EPOCH, self._epoch)
        pairs = reader.to_the_end_of_log(tick, least=written + 1)
        self._see_epochs(pairs)
        apply(values, pairs)
        self._restore(values)
        position = log.position_of(values.get(log.POSITION))
        reader.begin(position, now=self._now())
        self._use_targets()
        self._state.judging, self._state.epoch = True, epoch.number
        self._turned = self._monotonic()
        self._is_active = True
        # From here on what comes is judged, by whomever.
        self._write([], self._now(), position=True)
        _log.info(
            "judging %(topic)s as number %(epoch)d: %(episodes)d episodes in the log, read in %(seconds).1f s",
            {
                "topic": reader.topic,
                "epoch": epoch.number,
                "episodes": len(self._judge.book.episodes),
                "seconds": self._monotonic() - began,
            },
        )

    def use(self, rules: Ruleset, listed: list[Listed] | None, agents: Agents | None) -> None:
        """Take other rules, targets and keys of agents; that tells nothing by itself."""
        parts = self._parts
        parts.rules, parts.listed, parts.agents = rules, listed, agents
        self._judge.change_rules(rules)
        self._use_targets()
        self._planned = float("-inf")
        self._refused = {name: why for name, why in self._refused.items() if name in parts.delivery}

    def turn(self) -> None:
        """Judge what came, for a fifth of a second at most, and give it on.

        Raises:
            SupersededError: another judges.
            kafka.errors.KafkaError: above all an AuthorizationError.
        """
        parts = self._parts
        is_busy = parts.delivery.is_busy() or (len(parts.writer) > 0 and not parts.writer.outage.lasts)
        came = self._reader.poll(_BUSY_SECS if is_busy else _IDLE_SECS)
        if self._monotonic() - self._turned > PAUSE_SECS:
            self._hold("we stood still")
        self._turned = self._monotonic()
        self._see_epochs(came.log)
        self._stay_a_member()
        if self._held_since is not None:
            self._ask()
        changes: list[Change] = []
        if came.results:
            self._judge_results(came.results, changes)
        for record in came.orders:
            self._take_order(record, changes)
        now = self._now()
        for done in parts.delivery.take():
            self._note(done, now, changes)
        due = self._by_channel(self._judge.due(now), now, changes)
        if self._monotonic() - self._ticked >= 1.0:
            self._ticked = self._monotonic()
            self._tick(now, due, changes)
        self._write(changes, now)
        if self.may_act():
            self._deliver(due, now)

    def end(self, *, seconds: float) -> None:
        """Judge no more; what is being sent gets so long, and the log what came of it."""
        for done in self._parts.delivery.wait(seconds if self.may_act() else 0.0):
            changes: list[Change] = []
            self._note(done, self._now(), changes)
            self._write(changes, self._now())
        if self.may_act():
            self._write([], self._now(), position=True)
            # So that it is written all the same while the loop turns no more.
            self._turned = self._monotonic()
            self._parts.writer.drain(seconds)
        self._is_active = self.is_well = False
        self._parts.writer.forget()
        self._state.judging, self._state.is_held = False, False
        self._state.open, self._state.waiting = {}, {}

    def _use_targets(self) -> None:
        if self._parts.listed is not None:
            self._judge.list_targets(self._parts.listed, at=self._now())

    # What comes

    def _judge_results(self, came: list[Record], changes: list[Change]) -> None:
        now = datetime.fromtimestamp(self._clock(), UTC)
        readable, unreadable = decode.read(came, now=now, agents=self._parts.agents)
        judge, is_judged, latest = self._judge.result, self._reader.is_judged, self._now()
        for record, result in readable:
            # A timestamp that a producer wrote may be any.
            arrived = min(record.timestamp, latest) if record.timestamp_type != 1 else record.timestamp
            found = judge(result, arrived, partition=record.partition, offset=record.offset, again=is_judged(record))
            if found:
                changes += found
        self._state.results += len(readable)
        self._state.unreadable += len(unreadable)

    def _take_order(self, record: Record, changes: list[Change]) -> None:
        try:
            order = orders.decode(record.value)
        except ValueError as error:
            _log.warning(
                "offset %(offset)d of %(topic)s is no order: %(cause)s",
                {"offset": record.offset, "topic": record.topic, "cause": str(error)},
            )
            return
        self._state.orders += 1
        judge, now = self._judge, self._now()
        match order:
            case orders.Ack():
                if judge.episode(order.episode) is None:
                    _log.warning("%(by)s acknowledges %(episode)s, which is not known", _fields(order))
                changes += judge.acknowledge(order.episode, by=order.by, note=order.note, at=min(order.at, now))
            case orders.Resend():
                changes += judge.resend(order.notice, at=now)
            case _:
                changes += judge.order(order.record())
        _log.info("order: %(order)s of %(by)s", {"order": type(order).__name__.lower(), "by": order.by})

    def _note(self, done: Done, now: int, changes: list[Change]) -> None:
        """Take in what became of a message."""
        errand, answer = done.errand, done.answer
        if answer is None:
            return
        name = errand.channel
        self._state.sends[name, answer.state] += 1
        outage = self._outage(name)
        fields = {"channel": name, "cause": answer.said, "notices": len(errand.ids)}
        if answer.state == "again":
            outage.begins(answer.said)
            return
        outage.ends()
        if answer.state == "taken":
            self._refused[name] = "; ".join(answer.refused)
            changes += self._judge.sent(errand.ids, at=now, to=done.to)
            if errand.ids:
                _log.info("told by %(channel)s: %(notices)d notices: %(cause)s", fields)
                self._state.note_delay((now - errand.due) / 1000)
        else:
            self._fail(name, errand.ids, answer.said, now, changes)

    def _fail(self, name: str, ids: tuple[str, ...], why: str, now: int, changes: list[Change]) -> None:
        """Give up notices; the fallback is told in the channel's place."""
        fallback = self._parts.delivery.fallback(name)
        _log.error(
            "%(channel)s refuses %(notices)d notices for good%(fallback)s: %(cause)s",
            {
                "channel": name,
                "notices": len(ids),
                "cause": why,
                "fallback": f", {fallback} is told" if fallback else "",
            },
        )
        self._refused[name] = f"refused: {why}"
        changes += self._judge.failed(ids, at=now, fallback=fallback)

    # Time

    def _tick(self, now: int, due: Mapping[str, Mapping[str, Message]], changes: list[Change]) -> None:
        parts, state, reader = self._parts, self._state, self._reader
        state.tick()
        seen = parts.around.seen
        if seen is not None:
            reader.hear(round(seen.at * 1000))
        lag = reader.lag(now, seen.ends if seen is not None else {})
        changes += self._judge.tick(now, lag=lag)
        undelivered = {
            name: min((notice.due for message in due.get(name, {}).values() for notice in message.notices), default=0)
            for name in {*parts.delivery.names(), *due}
        }
        looked_at = set()
        for trouble in parts.own.look(
            now,
            silent=reader.silent_ms(now),
            lag=lag,
            seen=seen,
            undelivered=undelivered,
            refused=self._refused,
            certificate_ends=parts.around.certificate_ends,
            rollups=parts.around.rollups,
            topic=reader.topic,
            silent_partitions=self._judge.silent_partitions(),
        ):
            looked_at.add(trouble.name)
            changes += self._judge.monitor(trouble.name, is_open=bool(trouble.detail), detail=trouble.detail, at=now)
        for condition, name in list(self._judge.book.open):
            # Of a channel that the rules have no more, or a partition that gives again.
            is_one_of = name.startswith((OF_A_CHANNEL, OF_A_PARTITION))
            if condition is Condition.MONITOR and is_one_of and name not in looked_at:
                changes += self._judge.monitor(name, is_open=False, detail="", at=now)
        if self._monotonic() - self._planned >= _PLANNED_SECS:
            self._planned = self._monotonic()
            self._plan(changes)
        waits = max((now - at for at in undelivered.values() if at), default=0)
        self.is_well = self.may_act() and lag < _WELL_LAG and waits < _WELL_WAIT
        state.lag = lag / 1000
        state.is_held = self._held_since is not None
        state.open = Counter(episode.condition.value for episode in self._judge.book.open.values())
        state.waiting = {
            name: sum(len(message.notices) for message in messages.values()) for name, messages in due.items()
        }
        if self._monotonic() - self._looked_at_topic >= _TOPIC_SECS and reader.silent_ms(now) < _WELL_LAG:
            self._looked_at_topic = self._monotonic()
            if reader.partitions_changed():
                raise SupersededError("the topic has other partitions now")

    def _plan(self, changes: list[Change]) -> None:
        """Let the log have the planned windows of the rules, and those no more that are not planned any longer."""
        book = self._judge.book
        for order in list(planned.orders(self._parts.rules.maintenance, book.orders, self._now())):
            changes += self._judge.order(order)

    def _write(self, changes: list[Change], now: int, *, position: bool = False) -> None:
        if not changes and not position and self._monotonic() - self._positioned < _POSITION_SECS:
            return
        self._positioned = self._monotonic()
        at = self._reader.position(self._judge.window(), now)
        # Behind all that it stands for.
        self._parts.writer.put([*changes, Change(log.POSITION, msgspec.json.encode(at))])

    # Whether we judge

    def _see_epochs(self, pairs: Pairs) -> None:
        for key, value in pairs:
            if key != log.EPOCH:
                continue
            if value == self._epoch:
                self._is_ours = True
            elif self._is_ours:
                other = log.epoch_of(value)
                who = f"{other.host} judges, as number {other.number}" if other else "another judges"
                raise SupersededError(who)

    def _stay_a_member(self) -> None:
        if self._monotonic() - self._asked_group < _MEMBER_SECS:
            return
        self._asked_group = self._monotonic()
        membership = self._parts.membership
        membership.poll(0.01)
        if membership.gaps != self._gaps or not membership.is_ours:
            self._gaps = membership.gaps
            self._hold("the group lost us")

    def _hold(self, why: str) -> None:
        if self._held_since is None:
            self._held_since = self._monotonic()
            self._state.is_held = True
            _log.warning("%(cause)s: nothing is sent until it is sure that nobody else judges", {"cause": why})

    def _ask(self) -> None:
        """Ask the log and the group whether we judge."""
        assert self._held_since is not None
        membership = self._parts.membership
        is_ours = None
        try:
            membership.poll(0.1)
            self._see_epochs(self._reader.to_the_end_of_log(self._state.tick))
            is_ours = membership.is_ours and membership.ask()
            if is_ours:
                self._gaps = membership.gaps
        except (kafka_errors.AuthorizationError, SupersededError):
            raise
        except (kafka_errors.KafkaError, KafkaAwayError) as error:
            _log.debug("nobody tells whether we judge: %s", error)
        finally:
            self._turned = self._monotonic()
        held = self._monotonic() - self._held_since
        if is_ours or (is_ours is None and held > _UNKNOWN_SECS):
            self._held_since = None
            self._state.is_held = False
            _log.warning("we judge on, after %(seconds).1f s", {"seconds": held})
        elif is_ours is False and held > _ELSEWHERE_SECS:
            raise SupersededError("the group gave the alarm log to another judge")

    # Messages

    def _by_channel(
        self, messages: Iterable[Message], now: int, changes: list[Change]
    ) -> dict[str, dict[str, Message]]:
        """Give what is due by channel and key, the oldest first; what is too old, or has no channel, is given up."""
        found: dict[str, dict[str, Message]] = {}
        most = round(self._parts.settings.retry_hours * _AN_HOUR)
        for message in messages:
            ids = tuple(notice.id for notice in message.notices)
            if message.channel not in self._parts.delivery:
                self._fail(message.channel, ids, "there is no such channel in the rules any more", now, changes)
            elif now - message.notices[0].due > most:
                hours = self._parts.settings.retry_hours
                self._fail(message.channel, ids, f"not delivered for {hours:g} h", now, changes)
            else:
                found.setdefault(message.channel, {})[message.group] = message
        return found

    def _deliver(self, due: Mapping[str, Mapping[str, Message]], now: int) -> None:
        delivery = self._parts.delivery
        alertmanagers = delivery.alertmanagers()
        for name in alertmanagers:
            self._tell_alertmanager(name, due.get(name, {}), now)
        for name, messages in due.items():
            if name in alertmanagers:
                continue
            key = delivery.next(name, messages)
            if key is not None and self._is_written(messages[key]):
                self._send(name, messages[key], now)

    def _send(self, name: str, message: Message, now: int) -> None:
        notice = self._notices.of(message, as_moment(now))
        if notice is None:
            return
        first = message.notices[0]
        ids = tuple(one.id for one in message.notices)
        self._parts.delivery.give(
            Errand(name, message.group, ids, (notice,), to=first.to, due=min(one.due for one in message.notices))
        )

    def _tell_alertmanager(self, name: str, messages: Mapping[str, Message], now: int) -> None:
        delivery = self._parts.delivery
        ready = [message for message in messages.values() if self._is_written(message)]
        is_time = self._monotonic() >= self._posted.get(name, 0.0)
        if not delivery.is_free(name) or not (ready or is_time):
            return
        self._posted[name] = self._monotonic() + EVERY_SECS
        due = [notice for message in ready for notice in message.notices]
        ids = frozenset(notice.id for notice in due)
        lasting = self._notices.lasting(name, ids, as_moment(now), ENDED_SECS)
        if lasting or self.is_well:
            oldest = min((notice.due for notice in due), default=now)
            delivery.give(Errand(name, _ALL, tuple(ids), tuple(lasting), watchdog=self.is_well, due=oldest))

    def _is_written(self, message: Message) -> bool:
        writer = self._parts.writer
        keys = [key for notice in message.notices for key in (notice.key, f"episode/{notice.episode}")]
        return writer.has(keys) or writer.waits_secs() > LOG_PATIENCE

    def _outage(self, channel: str) -> Outage:
        if channel not in self._outages:
            outage = Outage(f"waiting for channel {channel}", f"no longer waiting for channel {channel}")
            self._outages[channel] = self._state.outages[f"channel {channel}"] = outage
        return self._outages[channel]

    def _restore(self, values: Mapping[str, bytes]) -> None:
        """Take the log; a record that can't be read, as of a later release, is left out and told."""
        try:
            self._judge.restore(values.items())
        except msgspec.MsgspecError:
            readable = {}
            for key, value in values.items():
                with contextlib.suppress(msgspec.MsgspecError):
                    records.read([(key, value)])
                    readable[key] = value
            _log.error("%d records of the alarm log can't be read and are left out", len(values) - len(readable))
            self._judge.restore(readable.items())

    def _now(self) -> int:
        return round(self._clock() * 1000)


def _fields(order: orders.Ack) -> dict[str, str]:
    return {"by": order.by, "episode": order.episode}
