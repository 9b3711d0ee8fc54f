"""Batches that overlap, stored by several sinks at once in opposite order."""

import threading
from collections.abc import Sequence
from itertools import chain

from kafka import KafkaConsumer, TopicPartition

from tests.faults.case import Run, case
from tests.faults.lab import CaseError
from webmon.check.result import CheckResult, decode
from webmon.kafka import client
from webmon.settings import SinkSettings
from webmon.sink.writer import Writer
from webmon.store.postgres import DatabaseAwayError

DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'webmon'"


@case(5, "two sinks with overlapping batches in opposite order")
def overlapping(run: Run) -> None:
    """Two stores, the sink's own code, add what the sinks are adding, one forwards and the other backwards.

    Again and again with new targets, so that names, series and contexts are added by all of them too.
    """
    lab = run.lab
    settings: SinkSettings = lab.product.settings("sink", POSTGRES_PASSWORD=lab.password("postgres-sink"))
    consumer = KafkaConsumer(**(client.consumer_args(lab.product.kafka_settings("init")) | {"group_id": None}))
    before, repeats, stores = lab.psql(DEADLOCKS), 0, [Writer(settings.postgres) for _ in range(2)]
    try:
        topic = lab.product.topic
        consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)])
        consumer.seek_to_end()
        last: list[CheckResult] = []
        for turn in range(run.times(100, least=20)):
            if turn % 5 == 0:
                run.names += [f"{run.prefix}{turn}-{number}" for number in range(10)]
                lab.watch(run.names, run.interval)
            batch = [decode(record.value) for record in chain(*consumer.poll(timeout_ms=1500).values())]
            repeats += _store_at_once(run, stores, [*last, *batch])
            last = batch
    finally:
        consumer.close()
        for store in stores:
            store.close()
    run.note(f"{repeats} rows were there already; deadlocks: {int(lab.psql(DEADLOCKS)) - int(before)}")
    run.expect(repeats, "no batches overlapped")


def _store_at_once(run: Run, stores: Sequence[Writer], results: list[CheckResult]) -> int:
    """Store the same results forwards and backwards at once; give how many were there already."""
    repeats: list[int] = []
    faults: list[str] = []

    def add(store: Writer, ordered: list[CheckResult]) -> None:
        try:
            repeats.append(store.store(ordered).repeats)
        except DatabaseAwayError as error:
            faults.append(str(error))

    orders = (results, results[::-1])
    threads = [threading.Thread(target=add, args=pair) for pair in zip(stores, orders, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        if thread.is_alive():
            raise CaseError("a store hangs")
    for fault in faults:
        run.expect(False, f"a store gave up: {fault}")
    return sum(repeats)
