"""Who is told what of which episode, and when: routes, escalation, reminders, endings.

At most one notice of an episode waits for a channel. A told opening always gets its ending told; what ends before it
was taken becomes one message with both times.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from webmon.alarm.book import Book
from webmon.alarm.conditions import Condition, Conditions
from webmon.alarm.records import Ack, Episode, Event, Held, Notice, make_id
from webmon.alarm.windows import Place, Windows

LATE: Final = 60_000
"""Milliseconds between what was judged and its telling, from which on it is told late."""
_OPENINGS: Final = frozenset({"opened", "changed", "reminder"})
_UNTAKEN: Final = 300_000
"""Milliseconds after which the next step waits no longer for receivers that take nothing: they may be what is down."""
_NO_REMINDER: Final = frozenset({Condition.CERTIFICATE, Condition.FLAPPING})
"""Both say of themselves when there is more to tell."""

Steps = list[tuple[int, list[str]]]


class Message(NamedTuple):
    """What a channel is to be sent now."""

    group: str
    """Its id for the receiver, which knows a repeat by it."""
    channel: str
    notices: tuple[Notice, ...]


class Desk:
    """Makes notices of episodes; pure."""

    def __init__(
        self,
        book: Book,
        *,
        now: int,
        hold: Callable[[Episode, int], tuple[Held, str]],
        gather: Callable[[Episode, int], str],
        routes: Callable[[Episode], Steps],
        conditions: Callable[[Episode], Conditions],
    ) -> None:
        """Take the records, and what the rules say.

        Args:
            book: the records.
            now: the clock, in milliseconds since the epoch.
            hold: tells why an opening is not told now, and under which episode it hangs.
            gather: gives the group's episode that an opening hangs under, which it may just have made.
            routes: whom an episode's opening is told to, after how many milliseconds.
            conditions: of an episode's subject.
        """
        self.now = now
        self._book = book
        self._hold = hold
        self._gather = gather
        self._routes = routes
        self._conditions = conditions
        self._windows = Windows()
        self._held: dict[str, Episode] = {}
        self._told: dict[str, Episode] = {}
        """Open ones of which something was made known."""

    def restore(self) -> None:
        """Go on from the records."""
        for notice in self._book.notices.values():
            episode = self._book.episodes.get(notice.episode)
            if episode is not None:
                self._windows.restore(notice, _kind(episode, notice.event), self._length(episode))
                if episode.is_open:
                    self._told[episode.id] = episode
        for episode in self._book.episodes.values():
            if episode.held or (episode.is_open and episode.id not in self._told):
                self._held[episode.id] = episode
        # A judge may have died between the records of one change: what is missing is made up for.
        for episode in list(self._book.episodes.values()):
            if episode.is_open and episode.id in self._told and not episode.held:
                self._tell_the_rest(episode)
            elif not episode.is_open and not episode.held:
                self.closed(episode, episode.closed or 0)

    # What happens to an episode

    def opened(self, episode: Episode, moment: int) -> None:
        """Tell of an episode that was opened, or hold it back."""
        now = max(self.now, moment)
        held, under = self._why(episode, now)
        self._keep(episode, held, under)
        if not held:
            self._release(episode, now)

    def changed(self, episode: Episode, moment: int) -> None:
        """Tell again of an open episode that got worse, and those who are told of it only now; or hold it back."""
        if episode.held:
            return
        now = max(self.now, moment)
        episode.changed = self._hold_back(episode, now)
        if episode.changed:
            self._book.note(episode)
            return
        episode.steps, episode.next_step = [], 0
        self.plan(episode)
        episode.first_taken = now
        self._book.note(episode)
        first = episode.steps[0][1] if episode.steps else []
        channels = dict.fromkeys([*first, *(notice.channel for notice in self._book.of(episode))])
        for channel in channels:
            waiting = self._waiting(episode, channel)
            if waiting is None:
                was_told = self._last_told(episode, channel) is not None
                self.tell(episode, channel, "changed" if was_told else "opened", now, step=episode.days or 0)

    def closed(self, episode: Episode, moment: int) -> None:
        """Tell the ending to all that were told of the opening, also where nothing else is told now."""
        now = max(self.now, moment)
        if episode.held == "behind":
            return  # it is told with both times as soon as the judge has caught up
        if episode.held:
            episode.held = ""
            self._held.pop(episode.id, None)
            self._book.note(episode)
        self._told.pop(episode.id, None)
        for channel in dict.fromkeys(notice.channel for notice in self._book.of(episode)):
            waiting = self._waiting(episode, channel)
            told = self._last_told(episode, channel)
            if self._is_ended(episode, channel):
                if waiting is not None and waiting.event in _OPENINGS:
                    self._book.settle(waiting, "dropped", now)
            elif told is not None:
                if waiting is not None:
                    self._book.settle(waiting, "dropped", now)
                self.tell(episode, channel, "ended", now, to=told.to)
            elif waiting is not None:
                self._over(episode, waiting, now)

    def hang(self, episode: Episode, under: str, now: int) -> bool:
        """Let an episode hang under another, if no message of it can have gone out; tell whether it does."""
        episode.under = under
        self._book.note(episode)
        notices = self._book.of(episode)
        if any(notice.state != "waiting" or notice.due <= now for notice in notices):
            return False
        for notice in notices:
            self._book.settle(notice, "dropped", now)
        episode.held = "many"
        self._told.pop(episode.id, None)
        self._held[episode.id] = episode
        return True

    def join(self, episode: Episode, messages: Mapping[str, Notice], now: int) -> None:
        """Let an untold open episode be told by the messages that another's notices are a part of, by channel."""
        held, under = self._hold(episode, now)
        if held:
            self._keep(episode, held, under)
        else:
            self._release(episode, now, messages)

    # What receivers and people say

    def sent(self, ids: Iterable[str], at: int, to: str | None = None) -> None:
        """Take in that a receiver took notices."""
        for notice in self._known(ids):
            if notice.state == "sent":
                continue
            episode = self._book.episodes.get(notice.episode)
            self._book.settle(notice, "sent", at)
            notice.to = to if to is not None else notice.to
            if episode is None:
                continue
            episode.told_at = max(at, episode.told_at or 0)
            if notice.event in _OPENINGS:
                if episode.first_taken is None:
                    episode.first_taken = at
                if not episode.is_open:
                    self._end_of_what_was_told_after_all(episode, notice)
            self._book.note(episode)

    def failed(self, ids: Iterable[str], at: int, fallback: str | None = None) -> None:
        """Take in that notices can't be delivered, and tell another channel in its place."""
        for notice in self._known(ids):
            if notice.state != "waiting":
                continue
            self._book.settle(notice, "failed", at)
            episode = self._book.episodes.get(notice.episode)
            if fallback is None or fallback == notice.channel or episode is None:
                continue
            if self._waiting(episode, fallback) is None and not self._knows(episode, fallback, notice):
                place = Place(at, make_id("group", fallback, notice.group), 0)
                self.tell(episode, fallback, notice.event, at, step=notice.step, place=place, instead_of=notice.channel)

    def resend(self, number: str, at: int) -> None:
        """Send a notice once more that failed or was taken."""
        notice = self._book.notices.get(number)
        if notice is None or notice.state == "waiting":
            return
        episode = self._book.episodes.get(notice.episode)
        if episode is not None and self._waiting(episode, notice.channel) is None:
            event: Event = notice.event if episode.is_open or notice.event not in _OPENINGS else "over"
            self.tell(episode, notice.channel, event, at, step=notice.step, place=Place(at, "", 0), to=notice.to)

    def acknowledge(self, number: str, *, by: str, note: str, at: int) -> None:
        """Stop the reminders and the escalation of an episode."""
        episode = self._book.episodes.get(number)
        if episode is None or episode.ack is not None:
            return
        episode.ack = Ack(by, at, note)
        self._book.note(episode)
        for notice in self._book.of(episode):
            goes_on = notice.event == "opened" and notice.step == 0
            if notice.state == "waiting" and episode.is_open and not goes_on and notice.event != "changed":
                self._book.settle(notice, "dropped", at)

    # Time

    def tick(self, now: int) -> None:
        """Let go what is held no more, escalate, remind."""
        self.now = max(self.now, now)
        for episode in list(self._held.values()):
            if episode.id in self._held and not self._hangs(episode):
                self._look_again(episode, now)
        for episode in list(self._told.values()):
            if episode.changed and not self._hold_back(episode, now):
                self.changed(episode, now)
            if episode.ack is None:
                self._escalate(episode, now)
                if episode.first_taken is not None:
                    self._remind(episode, now)

    def due(self, now: int) -> list[Message]:
        """Give what is to be sent, the oldest first."""
        groups: dict[tuple[str, str], list[Notice]] = {}
        for notice in self._book.waiting.values():
            if notice.due <= now:
                groups.setdefault((notice.group, notice.channel), []).append(notice)
        messages = [Message(group, channel, tuple(found)) for (group, channel), found in groups.items()]
        return sorted(messages, key=lambda message: message.notices[0].due)

    def tell(
        self,
        episode: Episode,
        channel: str,
        event: Event,
        now: int,
        *,
        step: int = 0,
        place: Place | None = None,
        to: str | None = None,
        instead_of: str = "",
    ) -> Notice:
        """Make a notice; with a place it waits for nothing else."""
        number = make_id(episode.id, channel, event, step)
        again = 0
        while number in self._book.notices:
            again += 1
            number = make_id(episode.id, channel, event, step, again)
        if episode.condition is Condition.MANY_DOWN and event == "opened":
            place = place or Place(now, number, 0)
        if place is None:
            kind, length = _kind(episode, event), self._length(episode)
            place = self._windows.place(channel, kind, number, now=now, length=length)
        notice = Notice(
            id=number,
            episode=episode.id,
            channel=channel,
            event=event,
            step=step,
            made=now,
            due=place.due,
            group=place.group or number,
            window=place.window,
            to=to,
            instead_of=instead_of,
        )
        self._book.add(notice)
        return notice

    def plan(self, episode: Episode) -> None:
        """Write down whom the rules tell of an episode, where that is not done yet."""
        if not episode.steps:
            episode.steps = self._routes(episode)
        episode.next_step = max(episode.next_step, 1)

    def _length(self, episode: Episode) -> int:
        """Give how long what is told of an episode may be gathered."""
        return round(self._conditions(episode).group_secs * 1000)

    def _why(self, episode: Episode, now: int) -> tuple[Held, str]:
        """Tell why it is not told now, and what it hangs under; it may become one of a group by that."""
        held, under = self._hold(episode, now)
        if held or not episode.is_open:
            return held, under
        under = self._gather(episode, now)
        return ("many", under) if under else ("", "")

    def _keep(self, episode: Episode, held: Held, under: str) -> None:
        if (held, under or episode.under) != (episode.held, episode.under):
            episode.held, episode.under = held, under or episode.under
            self._book.note(episode)
        if held:
            self._held[episode.id] = episode

    def _release(self, episode: Episode, now: int, messages: Mapping[str, Notice] | None = None) -> None:
        """Tell of an open episode now."""
        self._held.pop(episode.id, None)
        episode.held = ""
        self.plan(episode)
        episode.late = episode.judged - episode.opened > LATE
        self._told[episode.id] = episode
        if episode.steps and not episode.steps[0][1] and episode.first_taken is None:
            episode.first_taken = now
        self._book.note(episode)
        for channel in episode.steps[0][1] if episode.steps else ():
            if self._waiting(episode, channel) is None and self._last_told(episode, channel) is None:
                with_it = (messages or {}).get(channel)
                place = Place(with_it.due, with_it.group, with_it.window) if with_it is not None else None
                self.tell(episode, channel, "opened", now, place=place)

    def _hangs(self, episode: Episode) -> bool:
        """Tell whether it hangs under one that goes on, so that nothing needs to be asked."""
        over = self._book.episodes.get(episode.under)
        return episode.held == "many" and episode.is_open and over is not None and over.is_open

    def _look_again(self, episode: Episode, now: int) -> None:
        held, under = self._why(episode, now)
        if episode.is_open:
            self._keep(episode, held, under)
            if not held:
                self._release(episode, now)
        elif held != "behind":
            self._tell_late(episode, now, untold=held in ("maintenance", "silence", "flapping"))

    def _tell_late(self, episode: Episode, now: int, *, untold: bool) -> None:
        """Tell of what began and ended while nobody judged."""
        del self._held[episode.id]
        episode.held = ""
        episode.late = True
        self._book.note(episode)
        if not untold:
            self.plan(episode)
            for channel in episode.steps[0][1] if episode.steps else ():
                self.tell(episode, channel, "over", now)

    def _over(self, episode: Episode, opening: Notice, now: int) -> None:
        """Tell with both times, where and when the opening would have been told."""
        self._book.settle(opening, "dropped", now)
        place = Place(max(opening.due, now), opening.group, opening.window)
        if opening.due <= now:  # a receiver may know that message with another text
            place = Place(now, "", 0)
        self.tell(episode, opening.channel, "over", now, step=opening.step, place=place)

    def _end_of_what_was_told_after_all(self, episode: Episode, opening: Notice) -> None:
        """A receiver took an opening that was given up meanwhile: what it needs is the ending alone."""
        waiting = self._waiting(episode, opening.channel)
        if waiting is not None and waiting.event == "over":
            place = Place(waiting.due, "", 0)
            self._book.settle(waiting, "dropped", opening.at)
            self.tell(episode, opening.channel, "ended", waiting.made, to=opening.to, place=place)
        elif not self._is_ended(episode, opening.channel):
            self.tell(episode, opening.channel, "ended", max(self.now, opening.at or 0), to=opening.to)

    def _escalate(self, episode: Episode, now: int) -> None:
        while episode.next_step < len(episode.steps):
            after, channels = episode.steps[episode.next_step]
            since = episode.first_taken
            if since is None:
                since = min((notice.due for notice in self._book.of(episode)), default=now) + _UNTAKEN
            if now < since + after or self._hold_back(episode, now):
                return
            for channel in channels:
                if self._waiting(episode, channel) is None and self._last_told(episode, channel) is None:
                    self.tell(episode, channel, "opened", now, step=episode.next_step)
            episode.next_step += 1
            self._book.note(episode)

    def _remind(self, episode: Episode, now: int) -> None:
        remind = round(self._conditions(episode).remind * 1000)
        if not remind or episode.condition in _NO_REMINDER or now < (episode.told_at or now) + remind:
            return
        if self._hold_back(episode, now):
            return
        episode.told_at = now
        episode.reminders += 1
        self._book.note(episode)
        for channel in dict.fromkeys(notice.channel for notice in self._book.of(episode)):
            told = self._last_told(episode, channel)
            if told is not None and self._waiting(episode, channel) is None:
                self.tell(episode, channel, "reminder", now, step=episode.reminders, to=told.to)

    def _hold_back(self, episode: Episode, now: int) -> bool:
        """Tell whether what was told already is not to be told of again now."""
        return self._hold(episode, now)[0] in ("maintenance", "silence", "flapping")

    def _waiting(self, episode: Episode, channel: str) -> Notice | None:
        for notice in self._book.of_episode.get(episode.id, {}).values():
            if notice.channel == channel and notice.state == "waiting":
                return notice
        return None

    def _last_told(self, episode: Episode, channel: str) -> Notice | None:
        """Give the last message of its opening that a channel took."""
        told = None
        for notice in self._book.of_episode.get(episode.id, {}).values():
            if notice.channel == channel and notice.state == "sent" and notice.event in _OPENINGS:
                told = notice
        return told

    def _tell_the_rest(self, episode: Episode) -> None:
        told = {notice.channel for notice in self._book.of(episode)}
        for step, (_, channels) in enumerate(episode.steps[: episode.next_step]):
            for channel in channels:
                if channel not in told:
                    told.add(channel)
                    self.tell(episode, channel, "opened", self.now, step=step)

    def _knows(self, episode: Episode, channel: str, notice: Notice) -> bool:
        """Tell whether a channel took the same as a notice of another: two may have one fallback."""
        if notice.event == "opened":
            return self._last_told(episode, channel) is not None
        return any(
            one.channel == channel and one.state == "sent" and (one.event, one.step) == (notice.event, notice.step)
            for one in self._book.of(episode)
        )

    def _is_ended(self, episode: Episode, channel: str) -> bool:
        """Tell whether a channel is or was told the ending."""
        notices = self._book.of_episode.get(episode.id, {}).values()
        return any(n.channel == channel and n.event not in _OPENINGS and n.state != "dropped" for n in notices)

    def _known(self, ids: Iterable[str]) -> list[Notice]:
        return [notice for number in ids if (notice := self._book.notices.get(number)) is not None]


def _kind(episode: Episode, event: Event) -> str:
    """Name the messages that are put together: openings or endings, of targets or of our own."""
    is_of_targets = episode.condition.is_of_a_target or episode.condition is Condition.MANY_DOWN
    whose = "targets" if is_of_targets else "own"
    return f"{whose} {'ended' if event == 'ended' else 'opened'}"
