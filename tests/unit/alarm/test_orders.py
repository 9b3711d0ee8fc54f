"""Orders: what goes onto the topic comes off it, and what is none is refused in one line."""

import json
from typing import Any

import pytest

from webmon.alarm import orders, records

ALL = [
    orders.Ack(episode="e1", by="ann", at=5, note="on it"),
    orders.Resend(notice="n1", by="ann", at=5),
    orders.Silence(id="s1", match="team=shop", begins=1, until=2, by="ann", reason="known"),
    orders.Maintenance(id="m1", match="db-*", begins=1, until=2, by="ann", public=True),
    orders.Announcement(id="a1", title="Slow today", begins=1, by="ann", text="two\nlines", episode="e1"),
]


@pytest.mark.parametrize("order", ALL, ids=lambda order: type(order).__name__)
def test_an_order_comes_off_the_topic_as_it_went_on(order: orders.Order) -> None:
    value = orders.encode(order)
    assert json.loads(value)["order"] == type(order).__name__.lower()
    assert orders.decode(value) == order


@pytest.mark.parametrize("order", ALL[2:], ids=lambda order: type(order).__name__)
def test_what_the_log_keeps_of_an_order_is_its_record(order: Any) -> None:
    record = order.record()
    assert record.key.partition("/")[0] == type(order).__name__.lower()
    ((read),) = records.read([(record.key, records.encode(record))])
    assert read == record


def order(**changes: object) -> bytes:
    whole = {"order": "ack", "episode": "e1", "by": "ann", "at": 5, **changes}
    return json.dumps({key: value for key, value in whole.items() if value is not None}).encode()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "no value"),
        (b"\xff", "invalid"),
        (b"[1]", "Expected `object`"),
        (b"[" * 90_000, "."),
        (order(order="reboot"), "reboot"),
        (order(episode=None), "episode"),
        (order(by=7), "by"),
        (order(by="x" * 201), "by"),
        (order(by="ann\x1b[2J"), "by"),
        (order(note="two\nlines"), "note"),
        (order(episode="a b"), "episode"),
        (order(at=-1), "at"),
        (order(at=10**15), "at"),
        (order(note="x" * 100_000), "more than 100000"),
    ],
)
def test_what_is_no_order_is_refused_in_one_line(value: bytes | None, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        orders.decode(value)
    told = str(refused.value)
    assert told.isprintable()
    assert len(told) <= 300


def test_what_the_topic_would_not_take_is_not_sent() -> None:
    with pytest.raises(ValueError, match="by"):
        orders.encode(orders.Ack(episode="e1", by="\x07", at=5))
