"""Brings messages to their receivers: a thread a channel, so that one that hangs delays no other.

A message waits in the alarm log, not here: each turn the judge's thread says what is due, and each channel has one
message in hand at most. What is tried again waits 2 s, doubling to a minute, or for as long as the receiver asks.
"""

import logging
import queue
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from webmon.alarm.channels import Alertmanager, Channel, Mail
from webmon.alarm.notice import Notice
from webmon.alarm.senders.alertmanager import AlertmanagerSender
from webmon.alarm.senders.answer import Answer, Sender, again
from webmon.alarm.senders.make import make
from webmon.daemon import threads
from webmon.settings import Alarm

_log = logging.getLogger(__name__)

FIRST_WAIT: Final = 2.0
LONGEST_WAIT: Final = 60.0


class Errand(NamedTuple):
    """One send."""

    channel: str
    key: str
    """Of the message."""
    ids: tuple[str, ...]
    """The notices that it tells."""
    notices: tuple[Notice, ...]
    """One; for an Alertmanager all that it is told."""
    to: str | None = None
    """Whom an earlier message of it went to: this one goes there, whatever the rules say now."""
    only: tuple[str, ...] = ()
    """Recipients that it is still due to; none: all."""
    watchdog: bool = False
    due: int = 0
    """When it was due, in milliseconds since the epoch."""


class Done(NamedTuple):
    """What became of an errand."""

    errand: Errand
    answer: Answer | None
    """None: it was not sent, as we may not judge any more, or do not know yet."""
    to: str | None
    """Whom it was sent to, for the ending."""


@dataclass
class _Tries:
    """How often something was tried in vain, and when it is tried again."""

    count: int = 0
    at: float = 0.0
    """Of the monotonic clock."""
    only: tuple[str, ...] = ()

    def again(self, now: float, answer: Answer) -> None:
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(self.count, 10))
        # Down from it, so that a minute is the longest.
        wait = max(wait * random.uniform(0.8, 1.0), answer.after or 0.0)  # noqa: S311 - nothing secret
        self.count += 1
        self.at = now + wait
        self.only = answer.left


@dataclass
class _Way:
    """A channel, its thread and how it fares."""

    channel: Channel
    courier: "_Courier"
    tries: _Tries = field(default_factory=_Tries)
    """Of the channel: its receiver may be away."""
    messages: dict[str, _Tries] = field(default_factory=dict)
    """Of a message, by its key: a receiver may dislike that one."""
    in_hand: str | None = None


class Delivery:
    """The channels; used by the judge's thread."""

    def __init__(
        self,
        settings: Alarm,
        may_send: Callable[[], bool],
        *,
        make_sender: Callable[[Channel, Alarm], Sender] = make,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the settings; there is no channel yet.

        Args:
            settings: the mail server, and whom we trust.
            may_send: whether we judge, as far as can be told now; asked by each thread before it sends.
            make_sender: makes what sends by a channel.
            clock: gives seconds that only grow.
        """
        self._settings = settings
        self._may_send = may_send
        self._make = make_sender
        self._clock = clock
        self._ways: dict[str, _Way] = {}
        self._done: queue.SimpleQueue[Done] = queue.SimpleQueue()

    def use(self, channels: Mapping[str, Channel]) -> None:
        """Send by these channels from now on.

        Raises:
            UserError: a channel needs what is not installed; those before go on.
            OSError: the file of authorities can't be used.
        """
        made = {
            name: self._make(channel, self._settings)
            for name, channel in channels.items()
            if name not in self._ways or self._ways[name].channel != channel
        }
        for name in [name for name in self._ways if name not in channels or name in made]:
            self._ways.pop(name).courier.stop()
        for name, sender in made.items():
            channel = channels[name]

            def send(errand: Errand, channel: Channel = channel, sender: Sender = sender) -> tuple[Answer, str | None]:
                return self._send(channel, sender, errand)

            self._ways[name] = _Way(channel, _Courier(name, send, sender.close, self._may_send, self._done.put))

    def __contains__(self, channel: str) -> bool:
        """Tell whether there is a channel of that name."""
        return channel in self._ways

    def names(self) -> list[str]:
        """Give the channels."""
        return list(self._ways)

    def fallback(self, channel: str) -> str | None:
        """Give the channel that is told in place of one that refused."""
        way = self._ways.get(channel)
        return way.channel.fallback if way is not None else None

    def alertmanagers(self) -> list[str]:
        """Give the channels that are told all that lasts."""
        return [name for name, way in self._ways.items() if isinstance(way.channel.way, Alertmanager)]

    def is_free(self, channel: str) -> bool:
        """Tell whether a channel has nothing in hand, and waits for no receiver that is away."""
        way = self._ways[channel]
        return way.in_hand is None and way.tries.at <= self._clock()

    def next(self, channel: str, keys: Iterable[str]) -> str | None:
        """Give which of the messages that are due a channel takes next, the oldest first; None: none now."""
        way = self._ways.get(channel)
        if way is None or not self.is_free(channel):
            return None
        now = self._clock()
        keys = list(keys)
        for key in way.messages.keys() - keys:
            del way.messages[key]
        # Where the receiver is away each of them finds out; the one that was tried least is not the one it dislikes.
        ready = [key for key in keys if key not in way.messages or way.messages[key].at <= now]
        return min(ready, key=lambda key: way.messages[key].count if key in way.messages else 0, default=None)

    def give(self, errand: Errand) -> None:
        """Send what `next` named."""
        way = self._ways[errand.channel]
        way.in_hand = errand.key
        tries = way.messages.get(errand.key)
        way.courier.give(errand._replace(only=tries.only) if tries is not None else errand)

    def take(self) -> list[Done]:
        """Give what was done since the last time."""
        found: list[Done] = []
        while True:
            try:
                done = self._done.get_nowait()
            except queue.Empty:
                return found
            self._note(done)
            found.append(done)

    def is_busy(self) -> bool:
        """Tell whether a thread has something in hand."""
        return any(way.in_hand is not None for way in self._ways.values())

    def wait(self, seconds: float) -> list[Done]:
        """Wait for what is being sent, so long at most; give what was done."""
        until = self._clock() + seconds
        found = self.take()
        while self.is_busy() and self._clock() < until:
            time.sleep(0.02)
            found += self.take()
        return found

    def close(self) -> None:
        """End the threads; what is being sent is waited for by nobody."""
        for way in self._ways.values():
            way.courier.stop()

    def _send(self, channel: Channel, sender: Sender, errand: Errand) -> tuple[Answer, str | None]:
        """Send, in a channel's thread; give the answer and whom it was sent to."""
        way = channel.way
        if isinstance(sender, AlertmanagerSender):
            return sender.post(errand.notices, watchdog=errand.watchdog), None
        if not isinstance(way, Mail):
            return sender.send(errand.notices[0], errand.only), None
        addresses = tuple(errand.to.split(",")) if errand.to else way.to
        if addresses != way.to:
            sender = self._make(replace(channel, way=replace(way, to=addresses)), self._settings)
        return sender.send(errand.notices[0], errand.only), ",".join(addresses)

    def _note(self, done: Done) -> None:
        errand, answer = done.errand, done.answer
        way = self._ways.get(errand.channel)
        if way is None or way.in_hand != errand.key:  # of a channel that was changed meanwhile
            return
        way.in_hand = None
        if answer is None:
            return
        now = self._clock()
        if answer.state == "again":
            way.tries.again(now, replace(answer, left=()))
            way.messages.setdefault(errand.key, _Tries()).again(now, answer)
            return
        way.messages.pop(errand.key, None)
        if way.tries.count and answer.state == "taken":
            # It is back: nothing waits any longer.
            for tries in way.messages.values():
                tries.at = 0.0
        way.tries = _Tries()


class _Courier:
    """The thread of a channel."""

    def __init__(
        self,
        name: str,
        send: Callable[[Errand], tuple[Answer, str | None]],
        close: Callable[[], None],
        may_send: Callable[[], bool],
        done: Callable[[Done], None],
    ) -> None:
        self._name = name
        self._send = send
        self._close = close
        self._may_send = may_send
        self._done = done
        self._errands: queue.SimpleQueue[Errand | None] = queue.SimpleQueue()
        threads.Thread(f"channel {name}", self._run).start()

    def give(self, errand: Errand) -> None:
        self._errands.put(errand)

    def stop(self) -> None:
        self._errands.put(None)

    def _run(self) -> None:
        while (errand := self._errands.get()) is not None:
            answer, to = None, None
            if self._may_send():
                try:
                    answer, to = self._send(errand)
                except Exception as error:  # noqa: BLE001 - whatever one message does, it stops no other
                    _log.exception("a bug in webmon: channel %(channel)s", {"channel": self._name})
                    answer = again(f"a bug in webmon: {type(error).__name__}")
            self._done(Done(errand, answer, to))
        self._close()
