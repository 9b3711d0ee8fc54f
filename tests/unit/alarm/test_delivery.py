"""Delivery: one message of a channel at a time, tried again as long as it must be, and no channel waits for another."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.waiting import wait_until
from webmon.alarm.channels import Channel, Mail, Webhook
from webmon.alarm.delivery import Delivery, Done, Errand
from webmon.alarm.notice import Notice
from webmon.alarm.senders.answer import Answer, again, failed, taken
from webmon.settings import Alarm

NOTICE = Notice(
    key="k", episode="e", event="opened", condition="down", severity="critical", target="shop",
    since=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip


class Scripted:
    """A sender that answers as it is told, or waits until it may."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, ...]] = []
        self.may = threading.Event()
        self.may.set()

    def send(self, notice: Notice, only: tuple[str, ...] = ()) -> Answer:  # noqa: ARG002
        self.may.wait(10)
        self.sent.append(only)
        return self.answers.pop(0) if self.answers else taken("ok")

    def close(self) -> None:
        """Nothing."""


class Bench:
    """A delivery with a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.may = True
        self.senders: dict[str, list[Scripted]] = {}
        self.next_sender: Callable[[], Scripted] = Scripted
        settings = Alarm.model_construct()
        self.delivery = Delivery(settings, lambda: self.may, make_sender=self._make, clock=lambda: self.now)

    def _make(self, channel: Channel, settings: Alarm) -> Any:  # noqa: ARG002
        made = self.next_sender()
        self.senders.setdefault(channel.name, []).append(made)
        return made

    def use(self, *names: str) -> None:
        self.delivery.use({name: Channel(name, Webhook("https://hook.example.org/")) for name in names})

    def give(self, name: str, key: str, to: str | None = None) -> None:
        self.delivery.give(Errand(name, key, (key,), (NOTICE,), to=to))

    def done(self) -> Done:
        found: list[Done] = []

        def came() -> bool:
            found.extend(self.delivery.take())
            return bool(found)

        wait_until(came, "an answer", 10)
        return found[0]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.delivery.close()


def test_a_channel_has_one_message_in_hand_and_takes_the_oldest_first(bench: Bench) -> None:
    bench.use("hook")
    assert bench.delivery.next("hook", ["first", "second"]) == "first"
    bench.senders["hook"][0].may.clear()
    bench.give("hook", "first")
    assert bench.delivery.next("hook", ["first", "second"]) is None
    bench.senders["hook"][0].may.set()
    assert bench.done().answer == taken("ok")
    assert bench.delivery.next("hook", ["second"]) == "second"


def test_what_is_not_taken_waits_longer_each_time_up_to_a_minute(bench: Bench) -> None:
    bench.next_sender = lambda: Scripted(*[again("away")] * 20)
    bench.use("hook")
    waits = []
    for _ in range(8):
        bench.give("hook", "one")
        bench.done()
        began = bench.now
        while bench.delivery.next("hook", ["one"]) is None:
            bench.now += 0.1
        waits.append(bench.now - began)
    for wait, most in zip(waits, (2, 4, 8, 16, 32, 60, 60, 60), strict=True):
        assert 0.8 * most - 0.2 <= wait <= most + 0.2


def test_a_receiver_that_asks_to_be_left_alone_is(bench: Bench) -> None:
    bench.next_sender = lambda: Scripted(again("busy", after=300.0))
    bench.use("hook")
    bench.give("hook", "one")
    bench.done()
    bench.now += 299
    assert bench.delivery.next("hook", ["one"]) is None
    bench.now += 1.1
    assert bench.delivery.next("hook", ["one"]) == "one"


def test_a_message_that_a_receiver_dislikes_keeps_no_other_from_it(bench: Bench) -> None:
    bench.next_sender = lambda: Scripted(again("500"), again("500"))
    bench.use("hook")
    for _ in range(2):
        bench.give("hook", "disliked")
        bench.done()
        bench.now += 61
    assert bench.delivery.next("hook", ["disliked", "other"]) == "other"


def test_a_receiver_that_is_back_gets_all_that_waits_at_once(bench: Bench) -> None:
    bench.next_sender = lambda: Scripted(*[again("away")] * 6)
    bench.use("hook")
    for _ in range(5):
        bench.give("hook", "first")
        bench.done()
        bench.now += 61
    bench.give("hook", "second")
    bench.done()
    bench.now += 61
    bench.give("hook", "first")
    assert bench.done().answer == taken("ok")
    assert bench.delivery.next("hook", ["second"]) == "second"


def test_a_channel_that_hangs_delays_no_other(bench: Bench) -> None:
    bench.use("hangs", "hook")
    bench.senders["hangs"][0].may.clear()
    bench.give("hangs", "one")
    bench.give("hook", "one")
    assert bench.done().errand.channel == "hook"
    bench.senders["hangs"][0].may.set()


def test_who_may_not_judge_any_more_sends_nothing(bench: Bench) -> None:
    bench.use("hook")
    bench.may = False
    bench.give("hook", "one")
    assert bench.done().answer is None
    assert bench.senders["hook"][0].sent == []
    bench.may = True
    assert bench.delivery.next("hook", ["one"]) == "one"


def test_only_those_that_it_is_still_due_to_get_it_again(bench: Bench) -> None:
    bench.next_sender = lambda: Scripted(again("greylisted", left=("b@example.org",)))
    bench.use("hook")
    bench.give("hook", "one")
    bench.done()
    bench.now += 61
    bench.give("hook", "one")
    bench.done()
    assert bench.senders["hook"][0].sent == [(), ("b@example.org",)]


def test_an_ending_goes_to_the_addresses_of_the_opening_whatever_the_rules_say_now(bench: Bench) -> None:
    bench.delivery.use({"mail": Channel("mail", Mail(("new@example.org",)))})
    bench.give("mail", "opening")
    assert bench.done().to == "new@example.org"
    bench.give("mail", "ending", to="old@example.org,other@example.org")
    assert bench.done().to == "old@example.org,other@example.org"
    assert [len(sender.sent) for sender in bench.senders["mail"]] == [1, 1]


def test_a_refusal_for_good_is_given_on_and_tried_no_more(bench: Bench) -> None:
    bench.next_sender = lambda: Scripted(failed("550 no such user"))
    bench.use("hook")
    bench.give("hook", "one")
    done = bench.done()
    assert done.answer is not None
    assert done.answer.state == "failed"
    assert bench.delivery.next("hook", ["two"]) == "two"


def test_channels_that_stay_as_they_are_keep_their_thread_through_a_reload(bench: Bench) -> None:
    bench.use("hook", "gone")
    bench.use("hook", "new")
    assert [len(bench.senders[name]) for name in ("hook", "gone", "new")] == [1, 1, 1]
    assert bench.delivery.names() == ["hook", "new"]
    assert "gone" not in bench.delivery
