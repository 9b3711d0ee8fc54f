"""What comes by the topic."""

import os
from datetime import UTC, datetime, timedelta

from kafka import KafkaConsumer, TopicPartition

from tests.faults.case import Run, case
from tests.faults.lab import Lab, await_
from tests.integration.stage import recent
from webmon.check.result import encode
from webmon.kafka import client


def poison(mark: str) -> list[bytes | None]:
    """Give messages that cannot be stored, each for another reason; those with a value hold the mark."""
    now = datetime.now(UTC)
    good = encode(recent(1, target=mark, time=now, scheduled_at=now))
    old = now - timedelta(days=800)
    return [
        None,
        f"no JSON {mark}".encode(),
        mark.encode() + b"\xff\xfe\x00",
        good[:-20],
        f'{{"mark": "{mark}"}}'.encode(),
        f'[["{mark}"]]'.encode(),
        (f'{{"target": "{mark}", "x": ' + "[" * 50_000).encode(),
        good.replace(b'"up"', b'"splendid"'),
        good.replace(b'"http_status":200', b'"http_status":20000'),
        good.replace(b'"interval":60.0', b'"interval":-1'),
        good.replace(mark.encode(), f"{mark}\\u0000".encode()),
        encode(recent(1, target=mark, time=old, scheduled_at=old)),
        encode(recent(1, target=mark, time=now + timedelta(hours=3), scheduled_at=now)),
        f"{mark} ".encode() * 20_000,
        # Longer than an index takes, of noise, or the server would press it into a short one.
        encode(recent(1, target=mark + os.urandom(10_000).hex(), time=now, scheduled_at=now)),
    ]


@case(10, "poison messages inside good batches")
def poisoned(run: Run) -> None:
    lab = run.lab
    mark = f"{run.prefix}poison"
    # Tombstones bear no mark; where the topic of the letters ends now, ours begin.
    began = _ends(lab)
    producer, sent = lab.product.producer(), 0
    try:
        for turn in range(run.times(20, least=5)):
            messages = poison(f"{mark}-{turn}")
            run.random.shuffle(messages)
            for message in messages:
                lab.product.publish([message], producer=producer)
                run.at_random(0.1)
            sent += len(messages)
    finally:
        producer.close(timeout=5)

    def letters() -> int:
        return sum(end - began[partition] for partition, end in _ends(lab).items())

    await_(lambda: letters() >= sent, f"{sent} dead letters", 60)
    run.note(f"{sent} poison messages, {letters()} dead letters")
    run.expect(letters() == sent, f"{letters()} dead letters of {sent} poison messages")
    run.expect(not lab.rows(mark), "a poison message has a row")


def _ends(lab: Lab) -> dict[int, int]:
    """Give the ends of the dead letters' topic."""
    ours = lab.product.kafka_settings("init")
    consumer = KafkaConsumer(**(client.consumer_args(ours) | {"group_id": None}))
    try:
        topic = ours.dead_letter_topic
        ends = consumer.end_offsets([TopicPartition(topic, at) for at in consumer.partitions_for_topic(topic)])
        return {at.partition: end for at, end in ends.items()}
    finally:
        consumer.close()
