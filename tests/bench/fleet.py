"""Results of many vantages, sent to the topic as an agent sends them: `python -m tests.bench.fleet ENV_FILE ...`.

A process of its own, so that its CPU is nobody's. `backlog COUNT LAST PART/PARTS` sends its part of the results of a
fleet up to a moment, as fast as it can. `live RATE` sends so many results a second, as of now, until it is told to end
(SIGTERM). Both print at the end how many Kafka acknowledged, `live` also how late its worst burst was.
"""

import argparse
import itertools
import signal
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from kafka import KafkaProducer

from tests.bench.sink import TARGETS, VANTAGES, checks
from webmon import settings
from webmon.check.result import CheckResult, encode, headers
from webmon.kafka import client

_BURST_SECS: Final = 0.2
"""As the agent's publisher has it."""
_UNDER_WAY: Final = 20_000
"""Records that wait for an acknowledgement: kafka-python has no bound of its own."""


def main() -> None:
    """Send."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("env_file", type=Path)
    kinds = parser.add_subparsers(dest="kind", required=True)
    backlog = kinds.add_parser("backlog")
    backlog.add_argument("count", type=int)
    backlog.add_argument("last", type=datetime.fromisoformat)
    backlog.add_argument("part")
    kinds.add_parser("live").add_argument("rate", type=float)
    options = parser.parse_args()
    loaded = settings.load(settings.InitSettings, options.env_file).kafka
    producer = KafkaProducer(**client.producer_args(loaded))
    try:
        if options.kind == "backlog":
            part, parts = map(int, options.part.split("/"))
            _send_all(producer, loaded.topic, checks(options.count, last=options.last, every=parts, first=part))
        else:
            _keep_sending(producer, loaded.topic, options.rate)
    finally:
        producer.close(timeout=5)


def _send(producer: Any, topic: str, result: CheckResult) -> Any:
    return producer.send(topic, key=result.target.encode(), value=encode(result), headers=headers())


def _send_all(producer: Any, topic: str, results: Iterator[CheckResult]) -> None:
    sent = 0
    while futures := [_send(producer, topic, result) for result in itertools.islice(results, _UNDER_WAY)]:
        for future in futures:
            future.get(timeout=60)
        sent += len(futures)
    print(sent, flush=True)


def _keep_sending(producer: Any, topic: str, rate: float) -> None:
    ending = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(True))
    # What differs from one to the next is taken from other results; each gets the time of its burst.
    models = itertools.cycle(list(checks(TARGETS * VANTAGES)))
    interval = TARGETS * VANTAGES / rate
    under_way: deque[Any] = deque()
    sent = 0
    due = late = 0.0
    began = time.monotonic()
    while not ending:
        due += _BURST_SECS
        time.sleep(max(0.0, began + due - time.monotonic()))
        late = max(late, time.monotonic() - began - due)
        for model in itertools.islice(models, round(due * rate) - sent):
            moment = datetime.now(UTC) - timedelta(seconds=model.total_time)
            result = msgspec.structs.replace(model, time=moment, scheduled_at=moment, interval=interval)
            under_way.append(_send(producer, topic, result))
            sent += 1
        while under_way and (len(under_way) > _UNDER_WAY or under_way[0].is_done):
            under_way.popleft().get(timeout=60)
    for future in under_way:
        future.get(timeout=60)
    print(sent, f"{late:.3f}", flush=True)


if __name__ == "__main__":
    main()
