"""The condition `monitor`: what is wrong with webmon itself, judged of what is seen around; pure."""

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from webmon.alarm.around import Seen
from webmon.alarm.partitions import OF_A_PARTITION, SilentPartition
from webmon.render import as_duration

AWAY: Final = 60_000
"""Milliseconds without a word of Kafka."""
BEHIND: Final = 30_000
_BEHIND_FOR: Final = 15_000
"""A judge that begins catches up first."""
UNSTORED: Final = 60.0
"""Seconds."""
UNDELIVERED: Final = 300_000
LETTERS_FOR: Final = 600.0
"""Seconds without a new dead letter that end it."""
CERTIFICATE_DAYS: Final = 7
OF_A_CHANNEL: Final = "channel "
_KEPT: Final = 40


class Trouble(NamedTuple):
    """Something of ours, and what is wrong with it; nothing: it is well."""

    name: str
    detail: str


class Own:
    """Looks once a second. Times are milliseconds since the epoch unless they say otherwise."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._before: deque[Seen] = deque(maxlen=_KEPT)
        self._dead: int | None = None
        self._letters = 0
        self._letters_at = float("-inf")
        self._behind_since: int | None = None

    def look(
        self,
        now: int,
        *,
        silent: int,
        lag: int,
        seen: Seen | None,
        undelivered: Mapping[str, int],
        refused: Mapping[str, str],
        certificate_ends: datetime | None,
        rollups: str | None,
        topic: str,
        silent_partitions: Mapping[int, SilentPartition],
    ) -> Iterator[Trouble]:
        """Give how each part of ours is.

        Args:
            now: the clock.
            silent: for how long Kafka was not heard of.
            lag: how far the judge is behind.
            seen: what Kafka said last.
            undelivered: by channel, when the oldest message that it was not brought to was due; 0: there is none.
            refused: by channel, what a receiver refused for good since it last took a message; empty: nothing.
            certificate_ends: when our certificate for Kafka ends.
            rollups: what is wrong with the rollups; None: not to be seen.
            topic: that of the results.
            silent_partitions: of it, in which nothing comes though it does in others.
        """
        is_away = silent >= AWAY
        yield Trouble("kafka", f"Kafka was not heard of for {as_duration(silent / 1000)}" if is_away else "")
        yield Trouble("judge", self._behind(now, lag, is_away=is_away))
        if seen is not None and (not self._before or self._before[-1].at != seen.at):
            self._before.append(seen)
            self._count_letters(seen)
        if not is_away and (unstored := self._unstored(seen)) is not None:
            yield Trouble("results", unstored)
        if self._dead is not None:
            yield Trouble("dead letters", self._growing(now / 1000))
        for channel in {**undelivered, **refused}:
            due = undelivered.get(channel, 0)
            waits = now - due if due else 0
            text = refused.get(channel, "")
            if waits >= UNDELIVERED:
                text = f"a message was not delivered for {as_duration(waits / 1000)}"
            yield Trouble(OF_A_CHANNEL + channel, text)
        if certificate_ends is not None:
            yield Trouble("certificate", _ending(certificate_ends, now))
        if rollups is not None:
            yield Trouble("rollups", rollups)
        for number, silence in silent_partitions.items():
            text = f"nothing comes in partition {number} of topic {topic}, in which {silence.targets} targets are"
            yield Trouble(f"{OF_A_PARTITION}{number}", f"{text}, for {as_duration((now - silence.since) / 1000)}")

    def _behind(self, now: int, lag: int, *, is_away: bool) -> str:
        if lag < BEHIND or is_away:
            self._behind_since = None
            return ""
        if self._behind_since is None:
            self._behind_since = now
        if now - self._behind_since < _BEHIND_FOR:
            return ""
        return f"results are judged {as_duration(lag / 1000)} late"

    def _unstored(self, seen: Seen | None) -> str | None:
        """Tell of results that were there so long ago and are not stored yet; None: it is not known."""
        old = [one for one in self._before if seen is not None and seen.at - one.at >= UNSTORED]
        if seen is None or seen.stored is None or not old:
            return None
        waiting = sum(max(0, end - seen.stored.get(number, 0)) for number, end in old[-1].ends.items())
        return f"{waiting} results are not stored after {UNSTORED:.0f} s: is a sink running?" if waiting else ""

    def _count_letters(self, seen: Seen) -> None:
        if seen.dead is None:
            return
        if self._dead is not None and seen.dead > self._dead:
            if seen.at - self._letters_at > LETTERS_FOR:
                self._letters = 0
            self._letters += seen.dead - self._dead
            self._letters_at = seen.at
        self._dead = seen.dead

    def _growing(self, now: float) -> str:
        if now - self._letters_at > LETTERS_FOR:
            return ""
        return f"{self._letters} new messages there: `webmon dead-letters list` says why"


def _ending(ends: datetime, now: int) -> str:
    left = ends.timestamp() - now / 1000
    if left > CERTIFICATE_DAYS * 86_400:
        return ""
    return f"our certificate for Kafka {'ends in ' + as_duration(left) if left > 0 else 'has ended'}"
