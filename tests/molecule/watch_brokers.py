"""Watch brokers from outside while they are restarted, as a client that goes on writing records.

    watch_brokers.py DIRECTORY BROKER...      each HOST:PORT

DIRECTORY has ca.pem, cert.pem and key.pem of a certificate that may do all. The watcher makes the file `watching` in
it once every copy is there and records are acknowledged, and ends when it finds a file `end`. It prints what it saw,
and ends with 1 where copies of two brokers were missing at a time, where one broker's went before another's were back,
where a broker's never went, as nothing restarted it, or where an acknowledged record is not to be found afterwards.
"""

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import NewTopic

TOPIC: Final = "molecule-watched"
PARTITIONS: Final = 6
SAMPLE_SECS: Final = 0.1
WRITE_SECS: Final = 0.01
TRIED_SECS: Final = 30.0
T = TypeVar("T")

Missing = frozenset[int]
"""The ids of the brokers that lack a copy of any partition, at one moment."""


def main() -> int:
    """Watch until told to end; 0 where all went well."""
    directory, brokers = Path(sys.argv[1]), sys.argv[2:]
    client: dict[str, Any] = {
        "bootstrap_servers": brokers,
        "security_protocol": "SSL",
        "ssl_cafile": str(directory / "ca.pem"),
        "ssl_certfile": str(directory / "cert.pem"),
        "ssl_keyfile": str(directory / "key.pem"),
        "request_timeout_ms": 2000,
        "reconnect_backoff_max_ms": 500,
    }
    insist(lambda: make_topic(client, len(brokers)))
    writer = Writer(client)
    writer.start()
    samples: list[Missing] = []
    is_begun = False
    for sample in watch(client):
        if not is_begun and writer.acknowledged and not sample:
            is_begun = True
            (directory / "watching").touch()
        if is_begun:  # brokers that have just started lack copies
            samples.append(sample)
        if (directory / "end").exists():
            break
    writer.end()
    phases = [phase for phase, _ in itertools.groupby(samples)]
    lost = writer.acknowledged - insist(lambda: read_all(client))
    print(f"{len(samples)} samples; lacking copies, one after the other:", *([*phase] for phase in phases))
    print(f"{len(writer.acknowledged)} records acknowledged, {len(lost)} of them lost")
    faults = [*faults_of(phases, len(brokers)), *(["acknowledged records are lost"] if lost else [])]
    print(*faults, sep="\n", end="")
    return 1 if faults else 0


def insist(do: Callable[[], T]) -> T:
    """Do something, again for half a minute where brokers are too busy to answer in time."""
    until = time.monotonic() + TRIED_SECS
    while True:
        try:
            return do()
        except kafka_errors.KafkaError:
            if time.monotonic() > until:
                raise
            time.sleep(SAMPLE_SECS)


def make_topic(client: dict[str, Any], copies: int) -> None:
    """Make the topic anew."""
    admin = KafkaAdminClient(**client)
    if TOPIC in admin.list_topics():
        admin.delete_topics([TOPIC])
        while TOPIC in admin.list_topics():
            time.sleep(SAMPLE_SECS)
    admin.create_topics([NewTopic(TOPIC, PARTITIONS, copies)])
    admin.close()


def watch(client: dict[str, Any]) -> Iterator[Missing]:
    """Tell again and again which brokers lack copies, by whichever broker answers."""
    admin = None
    while True:
        time.sleep(SAMPLE_SECS)
        try:
            admin = admin or KafkaAdminClient(**client)
            topics = admin.describe_topics()
        except kafka_errors.KafkaError:  # it asks any of them, also one that is just being restarted
            if admin:
                admin.close()
            admin = None
            continue
        partitions = [partition for topic in topics for partition in topic["partitions"]]
        yield frozenset(
            node for partition in partitions for node in {*partition["replica_nodes"]} - {*partition["isr_nodes"]}
        )


def faults_of(phases: list[Missing], brokers: int) -> Iterator[str]:
    """Tell what was not as it should be, by the samples without those that repeat the one before."""
    for before, phase in itertools.pairwise([Missing(), *phases, Missing()]):
        if len(phase) > 1:
            yield f"copies of brokers {[*phase]} were missing at a time"
        elif before and phase:
            yield f"copies of broker {[*phase]} went before those of {[*before]} were back"
    if len(frozenset[int]().union(*phases)) != brokers:
        yield f"of {brokers} brokers only {sorted({node for phase in phases for node in phase})} were restarted"


class Writer(threading.Thread):
    """Writes records, and remembers those that were acknowledged."""

    def __init__(self, client: dict[str, Any]) -> None:
        """Connect."""
        super().__init__()
        self.acknowledged: set[int] = set()
        self._over = threading.Event()
        self._producer = KafkaProducer(**client, acks="all", enable_idempotence=True, delivery_timeout_ms=600_000)

    def run(self) -> None:
        """Write until the end."""
        for number in itertools.count():
            if self._over.wait(WRITE_SECS):
                return
            sent = self._producer.send(TOPIC, str(number).encode(), partition=number % PARTITIONS)
            sent.add_callback(lambda _, number=number: self.acknowledged.add(number))

    def end(self) -> None:
        """Write no more, and wait for what is under way."""
        self._over.set()
        self.join()
        self._producer.flush(60)
        self._producer.close()


def read_all(client: dict[str, Any]) -> set[int]:
    """Give the numbers of all records of the topic."""
    consumer = KafkaConsumer(**client, group_id=None, auto_offset_reset="earliest")
    partitions = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    found: set[int] = set()
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        for records in consumer.poll(1000).values():
            found.update(int(record.value) for record in records)
    consumer.close()
    return found


if __name__ == "__main__":
    sys.exit(main())
