"""Orders: what people want of the judge, as messages of the orders topic, each one JSON object.

Written by the commands `webmon alarms ...` and by the operators' page; the same id again replaces what it names, and an
`until` of now ends it. Whoever may write the topic can order: what comes is bounded, and is text wherever it is shown.
"""

from typing import Annotated, Final

import msgspec
from kafka import errors as kafka_errors
from msgspec import Meta

from webmon.alarm import records
from webmon.alarm.moments import LAST
from webmon.check.result import NAME_LIMIT, URL_LIMIT
from webmon.errors import UserError
from webmon.kafka import client, reach
from webmon.kafka.reach import KafkaAwayError
from webmon.settings import Kafka

LARGEST: Final = 100_000
"""Bytes of an order."""
ACKNOWLEDGE_SECS: Final = 15.0
_LINE: Final = r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z"

Id = Annotated[str, Meta(min_length=1, max_length=records.ID_LIMIT, pattern=r"\A[A-Za-z0-9._:-]+\Z")]
Who = Annotated[str, Meta(min_length=1, max_length=NAME_LIMIT, pattern=_LINE)]
Match = Annotated[str, Meta(min_length=1, max_length=URL_LIMIT, pattern=_LINE)]
Line = Annotated[str, Meta(max_length=records.LINE_LIMIT, pattern=_LINE)]
Title = Annotated[str, Meta(min_length=1, max_length=records.TITLE_LIMIT, pattern=_LINE)]
Text = Annotated[str, Meta(max_length=records.TEXT_LIMIT)]
"""May have several lines."""
Milliseconds = Annotated[int, Meta(ge=0, le=LAST)]
"""Since the epoch."""


class Ack(msgspec.Struct, omit_defaults=True, kw_only=True, frozen=True, tag_field="order", tag="ack"):
    """Somebody has an episode in hand."""

    episode: Id
    by: Who
    at: Milliseconds
    note: Line = ""


class Resend(msgspec.Struct, omit_defaults=True, kw_only=True, frozen=True, tag_field="order", tag="resend"):
    """A notice is to be sent once more."""

    notice: Id
    by: Who
    at: Milliseconds


class Silence(msgspec.Struct, omit_defaults=True, kw_only=True, frozen=True, tag_field="order", tag="silence"):
    """Some targets are not told of until a time: records.Silence."""

    id: Id
    match: Match
    begins: Milliseconds
    until: Milliseconds
    by: Who
    reason: Line = ""

    def record(self) -> records.Silence:
        """Give it as the log holds it."""
        return msgspec.convert(self, records.Silence, from_attributes=True)


class Maintenance(msgspec.Struct, omit_defaults=True, kw_only=True, frozen=True, tag_field="order", tag="maintenance"):
    """Some targets are worked on until a time: records.Maintenance."""

    id: Id
    match: Match
    begins: Milliseconds
    until: Milliseconds
    by: Who
    reason: Line = ""
    public: bool = False
    name: Line = ""

    def record(self) -> records.Maintenance:
        """Give it as the log holds it."""
        return msgspec.convert(self, records.Maintenance, from_attributes=True)


class Announcement(
    msgspec.Struct, omit_defaults=True, kw_only=True, frozen=True, tag_field="order", tag="announcement"
):
    """What readers of the page are told: records.Announcement."""

    id: Id
    title: Title
    begins: Milliseconds
    by: Who
    text: Text = ""
    until: Milliseconds | None = None
    episode: Annotated[str, Meta(max_length=records.ID_LIMIT, pattern=r"\A[!-~]*\Z")] = ""

    def record(self) -> records.Announcement:
        """Give it as the log holds it."""
        return msgspec.convert(self, records.Announcement, from_attributes=True)


Order = Ack | Resend | Silence | Maintenance | Announcement

_encoder: Final = msgspec.json.Encoder()
_decoder: Final[msgspec.json.Decoder[Order]] = msgspec.json.Decoder(Order)


def encode(order: Order) -> bytes:
    """Give an order's message.

    Raises:
        ValueError: a field of it is not what the topic takes: too long, or a control character in it.
    """
    value = _encoder.encode(order)
    decode(value)
    return value


def decode(value: bytes | None) -> Order:
    """Read a message of the topic.

    Raises:
        ValueError: it is no order, and why, in one line.
    """
    if value is None or len(value) > LARGEST:
        size = "no value" if value is None else f"{len(value)} bytes, more than {LARGEST}"
        raise ValueError(f"it has {size}")
    try:
        return _decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split())[:300]) from None


def send(kafka: Kafka, *orders: Order) -> None:
    """Send orders, and wait until Kafka has them.

    Raises:
        ValueError: one of them is not what the topic takes.
        UserError: no such topic, no right to write it, or no broker that takes them.
    """
    values = [encode(order) for order in orders]
    wanted = f"WRITE topic {kafka.orders_topic}"
    try:
        reach.check_reachable(kafka)
        producer = client.Producer(**client.producer_args(kafka))
        try:
            for waiting in [producer.send(kafka.orders_topic, value=value) for value in values]:
                waiting.get(timeout=ACKNOWLEDGE_SECS)
        finally:
            producer.abandon(timeout=1)
    except KafkaAwayError as error:
        raise UserError(str(error)) from error
    except kafka_errors.KafkaError as error:
        raise UserError(reach.explain(error, kafka, wanted=wanted)) from error
