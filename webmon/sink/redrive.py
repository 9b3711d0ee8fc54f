"""`webmon dead-letters`: list what could not be stored, show it, and send it back to the topic of the results."""

import contextlib
import dataclasses
import sys
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from webmon.errors import UserError
from webmon.kafka import client, reach
from webmon.kafka.decode import Record
from webmon.render import Column, Form, show
from webmon.settings import Kafka, LettersSettings
from webmon.sink.dead_letters import ACKNOWLEDGE_SECS, CUT_FROM, LARGEST, OFFSET, PARTITION, REASON, TOPIC

Id = tuple[int, int]
"""Where a letter stands in the topic of the dead letters: partition and offset."""

SENT_BACK: Final = "webmon-sent-back"
"""The header of a note among the letters: the id of a letter that was sent back. Notes go with the letters' age."""
_ANSWER_SECS: Final = 15.0
_KEY_SHOWN: Final = 40


@dataclasses.dataclass(frozen=True)
class Letter:
    """What stands on an envelope."""

    id: Id
    time: datetime
    """When the sink wrote it."""
    topic: str
    """Where the message stood, with partition and offset."""
    partition: int
    offset: int
    reason: str
    size: int
    """Bytes of the message, or of what was kept of it."""
    cut_from: int | None
    """Bytes that it had, where only its beginning was kept."""
    key: bytes | None
    sent_back: datetime | None = None
    """When it was sent back to the results."""


def print_list(settings: LettersSettings, *, also_sent_back: bool, form: Form) -> None:
    """Print a line for each letter, the oldest first.

    Raises:
        UserError: the topic can't be read.
    """
    with _reading(settings.kafka) as consumer:
        letters = _letters(consumer, settings.kafka)
    seen = [letter for letter in letters if also_sent_back or letter.sent_back is None]
    hidden = len(letters) - len(seen)
    also = f"; {hidden} more were sent back (--all shows them)" if hidden else ""
    title = f"{len(seen)} on {settings.kafka.dead_letter_topic}{also}"
    nothing = f"no dead letters on {settings.kafka.dead_letter_topic}{also}"
    columns = [*_COLUMNS, _SENT_BACK if also_sent_back else dataclasses.replace(_SENT_BACK, head=None)]
    show(form, columns, seen, nothing=nothing, title=title)


def print_letter(settings: LettersSettings, wanted: Id, *, raw: bool) -> None:
    """Print all of one letter; with `raw` the message's bytes alone.

    Raises:
        UserError: no such letter, or the topic can't be read.
    """
    with _reading(settings.kafka) as consumer:
        record = _one(consumer, settings.kafka, wanted)
    value: bytes = record.value or b""
    if raw:
        sys.stdout.buffer.write(value)
        sys.stdout.buffer.flush()
        return
    found = _letter(record)
    if found is None:
        raise UserError(f"{_name(wanted)} is no dead letter of a sink; --raw prints its bytes")
    print(f"letter    {_name(found.id)}, written {_moment(found.time)}")
    print(f"message   {_origin(found)}")
    print(f"reason    {_harmless(found.reason.encode())}")
    print(f"key       {_harmless(found.key)}")
    for name, content in _original_headers(record):
        print(f"header    {_harmless(name.encode())}: {_harmless(content)}")
    cut = "" if found.cut_from is None else f", the beginning of {found.cut_from}"
    print(f"value     {'none' if record.value is None else f'{len(value)} bytes{cut}'}")
    if value:
        print(f"\n{_harmless(value, lines=True)}")


def redrive(settings: LettersSettings, wanted: Sequence[Id] | None) -> bool:
    """Send letters back as they came, a line for each; give whether all could be.

    A letter that was sent back is noted among the letters after Kafka has the message. Between the two a message may
    be sent back once more, which the sink takes as a repeat. Letters that come meanwhile are left alone.

    Args:
        settings: of an administrator.
        wanted: these, or None for every one that was not sent back yet.

    Raises:
        UserError: no such letter, or a topic can't be read or written.
    """
    ours = settings.kafka
    with _reading(ours) as consumer:
        letters = {letter.id: letter for letter in _letters(consumer, ours)}
        if missing := [one for one in wanted or () if one not in letters]:
            raise UserError(
                *(f"{_name(one)}: no such letter on {ours.dead_letter_topic}" for one in missing),
                "`webmon dead-letters list --all` shows those that there are; nothing was sent back",
            )
        chosen = list(wanted) if wanted else [one for one, letter in letters.items() if letter.sent_back is None]
        kept = [one for one in chosen if letters[one].cut_from is not None]
        for one in kept:
            size, whole_size = letters[one].size, letters[one].cut_from
            lost = f"only the first {size} of its {whole_size} bytes were kept"
            if size == whole_size:
                lost = "its key and headers were too large to be kept"
            print(f"{_name(one)} not sent back: {lost}")
        whole = set(chosen) - set(kept)
        refused = _send_back(consumer, ours, whole) if whole else 0
    print(f"{len(whole) - refused} sent back to {ours.topic}, {len(kept) + refused} not")
    return not kept and not refused


def _send_back(consumer: Any, ours: Kafka, wanted: Collection[Id]) -> int:
    """Send letters back; give how many the topic of the results refused."""
    refused = 0
    with contextlib.ExitStack() as undo:
        producer = _producer(ours, undo)
        for record in _records(consumer, ours, wanted):
            one = record.partition, record.offset
            try:
                sent = producer.send(
                    ours.topic, key=record.key, value=record.value, headers=_original_headers(record)
                ).get(timeout=ACKNOWLEDGE_SECS)
            except kafka_errors.MessageSizeTooLargeError:
                print(f"{_name(one)} not sent back: {ours.topic} takes no message of that size (max.message.bytes)")
                refused += 1
                # What an idempotent producer is given after such a refusal it refuses too.
                producer = _producer(ours, undo)
                continue
            except kafka_errors.KafkaError as error:
                raise _fault(error, ours, f"WRITE topic {ours.topic}") from error
            print(f"{_name(one)} sent back to {sent.topic} partition {sent.partition} offset {sent.offset}")
            try:
                producer.send(
                    ours.dead_letter_topic,
                    value=f"{_name(one)} was sent back".encode(),
                    headers=[(SENT_BACK, _name(one).encode())],
                    partition=record.partition,
                ).get(timeout=ACKNOWLEDGE_SECS)
            except kafka_errors.KafkaError as error:
                raise _fault(error, ours, f"WRITE topic {ours.dead_letter_topic}") from error
    return refused


def _producer(ours: Kafka, undo: contextlib.ExitStack) -> Any:
    try:
        made = client.Producer(**client.producer_args(ours), max_request_size=LARGEST)
    except kafka_errors.KafkaError as error:
        raise _fault(error, ours, f"WRITE topic {ours.topic}") from error
    undo.callback(made.abandon, timeout=1)
    return made


@contextlib.contextmanager
def _reading(ours: Kafka) -> Iterator[Any]:
    """Give a consumer that has the topic of the dead letters and is in no group."""
    try:
        reach.check_reachable(ours)
    except reach.KafkaAwayError as error:
        raise UserError(str(error)) from error
    try:
        consumer = KafkaConsumer(**(client.consumer_args(ours) | {"group_id": None}))
        try:
            partitions = consumer.partitions_for_topic(ours.dead_letter_topic)
            if not partitions:
                raise kafka_errors.UnknownTopicOrPartitionError(ours.dead_letter_topic)
            consumer.assign([TopicPartition(ours.dead_letter_topic, number) for number in sorted(partitions)])
            yield consumer
        finally:
            consumer.close()
    except kafka_errors.KafkaError as error:
        raise _fault(error, ours, f"READ topic {ours.dead_letter_topic}") from error


def _fault(error: kafka_errors.KafkaError, ours: Kafka, wanted: str) -> UserError:
    if isinstance(error, kafka_errors.AuthorizationError):
        return UserError(
            f"Kafka does not let {ours.identity} {wanted}: `webmon dead-letters` takes "
            f"an administrator's, as the .env of init has it (READ and WRITE on {ours.dead_letter_topic}, WRITE on "
            f"{ours.topic})"
        )
    return UserError(reach.explain(error, ours, wanted=wanted))


def _records(consumer: Any, ours: Kafka, wanted: Collection[Id] | None = None) -> Iterator[Record]:
    """Read what stands in the topic now, or of that the wanted ones; what comes meanwhile is left out."""
    ends = consumer.end_offsets(list(consumer.assignment()))
    if wanted is None:
        consumer.seek_to_beginning()
    else:
        for partition in ends:
            first = min((offset for number, offset in wanted if number == partition.partition), default=None)
            consumer.seek(partition, ends[partition] if first is None else first)
        lasts = {TopicPartition(ours.dead_letter_topic, number): offset + 1 for number, offset in sorted(wanted)}
        ends = {partition: lasts.get(partition, 0) for partition in ends}
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        got = consumer.poll(timeout_ms=int(_ANSWER_SECS * 1000), max_records=100)
        if not got:
            raise UserError(f"Kafka gives nothing of topic {ours.dead_letter_topic} for {_ANSWER_SECS:g} s")
        for partition, records in got.items():
            for record in records:
                if record.offset < ends[partition] and (wanted is None or (record.partition, record.offset) in wanted):
                    yield record


def _letters(consumer: Any, ours: Kafka) -> list[Letter]:
    letters: dict[Id, Letter] = {}
    sent_back: dict[Id, datetime] = {}
    for record in _records(consumer, ours):
        note = dict(record.headers).get(SENT_BACK)
        found = _letter(record)
        if found is not None:
            letters[found.id] = found
        elif note is not None:
            number, _, offset = note.decode("ascii", "replace").partition(":")
            if number.isdecimal() and offset.isdecimal():
                sent_back[int(number), int(offset)] = _time(record)
    return [dataclasses.replace(letter, sent_back=sent_back.get(one)) for one, letter in sorted(letters.items())]


def _one(consumer: Any, ours: Kafka, wanted: Id) -> Record:
    partition = TopicPartition(ours.dead_letter_topic, wanted[0])
    there = list(consumer.assignment())
    if partition in there:
        begin, end = consumer.beginning_offsets(there)[partition], consumer.end_offsets(there)[partition]
        if begin <= wanted[1] < end:
            for record in _records(consumer, ours, {wanted}):
                return record
    raise UserError(
        f"{_name(wanted)}: no such letter on {ours.dead_letter_topic}; `webmon dead-letters list --all` shows those "
        "that there are"
    )


def _letter(record: Record) -> Letter | None:
    """Read an envelope; None where no sink wrote it."""
    # Ours stand last: a message may come with headers of the same names.
    said = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
    partition, offset = said.get(PARTITION, ""), said.get(OFFSET, "")
    cut_from = said[CUT_FROM] if _is_cut(record) else None
    if not (partition.isdecimal() and offset.isdecimal() and TOPIC in said and REASON in said):
        return None
    return Letter(
        id=(record.partition, record.offset),
        time=_time(record),
        topic=said[TOPIC],
        partition=int(partition),
        offset=int(offset),
        reason=said[REASON],
        size=len(record.value or b""),
        cut_from=int(cut_from) if cut_from is not None and cut_from.isdecimal() else None,
        key=record.key,
    )


def _is_cut(record: Record) -> bool:
    return bool(record.headers) and record.headers[-1][0] == CUT_FROM


def _original_headers(record: Record) -> list[tuple[str, bytes]]:
    """Give the headers that the message came with: ours stand behind them."""
    ours = 5 if _is_cut(record) else 4
    return list(record.headers[:-ours])


def _time(record: Record) -> datetime:
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)


def _name(one: Id) -> str:
    return f"{one[0]}:{one[1]}"


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _origin(letter: Letter) -> str:
    return f"{letter.topic} partition {letter.partition} offset {letter.offset}"


def _harmless(content: bytes | None, *, lines: bool = False) -> str:
    """Give bytes as text for a terminal: what is no printable UTF-8 stands in it as an escape."""
    if content is None:
        return "-"
    text = content.decode("utf-8", "backslashreplace")
    return "".join(
        char if char.isprintable() or (lines and char == "\n") else char.encode("unicode_escape").decode()
        for char in text
    )


def _key_text(letter: Letter) -> str:
    text = _harmless(letter.key)
    return text if len(text) <= _KEY_SHOWN else text[: _KEY_SHOWN - 1] + "…"


_COLUMNS: Final[list[Column[Letter]]] = [
    Column("ID", lambda one: _name(one.id), "id", lambda one: _name(one.id)),
    Column("WRITTEN (UTC)", lambda one: f"{one.time:%Y-%m-%d %H:%M:%S}", "time", lambda one: one.time),
    Column(
        "MESSAGE",
        lambda one: f"{one.topic} {one.partition}:{one.offset}",
        "message",
        lambda one: {"topic": one.topic, "partition": one.partition, "offset": one.offset},
    ),
    Column(
        "BYTES",
        lambda one: str(one.size) if one.cut_from is None else f"{one.size} of {one.cut_from}",
        "bytes",
        lambda one: one.size,
        right=True,
    ),
    Column(name="cut_from", value=lambda one: one.cut_from),
    Column("KEY", _key_text, "key", lambda one: None if one.key is None else _harmless(one.key), is_text=True),
    Column("REASON", lambda one: one.reason, "reason", lambda one: one.reason, is_text=True),
]
_SENT_BACK: Final[Column[Letter]] = Column(
    "SENT BACK (UTC)",
    lambda one: "-" if one.sent_back is None else f"{one.sent_back:%Y-%m-%d %H:%M:%S}",
    "sent_back",
    lambda one: one.sent_back,
)
