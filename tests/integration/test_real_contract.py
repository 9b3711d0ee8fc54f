"""The sink's contract on a real broker and a real database."""

import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime

import pytest
from kafka import KafkaConsumer

from tests.contract.faults import Faulty, Plan
from tests.contract.sink import Pair, SinkContract
from tests.integration.stage import Stage
from webmon.check.result import CheckResult
from webmon.settings import Sink, SinkSettings
from webmon.sink.consumer import BatchConsumer
from webmon.sink.dead_letters import DeadLetters
from webmon.sink.writer import Writer


class RealPair(Pair):
    """A stage's topic and tables."""

    clock = staticmethod(time.monotonic)

    def __init__(self, stage: Stage) -> None:
        """Take the stage, on which init ran."""
        settings: SinkSettings = stage.settings("sink")
        self.kafka = settings.kafka
        self._postgres = settings.postgres
        self._stage = stage
        self._producer = stage.producer()
        self._made: list[Writer | DeadLetters] = []

    def publish(self, values: Sequence[CheckResult | bytes]) -> None:
        self._stage.publish(values, producer=self._producer)

    def stop(self) -> threading.Event:
        return threading.Event()

    def consumer(self, plan: Plan, *, batch_size: int) -> BatchConsumer:
        return BatchConsumer(
            self.kafka,
            Sink.model_construct(batch_size=batch_size, batch_secs=1.0),
            make_client=lambda **arguments: Faulty(KafkaConsumer(**arguments), plan),
        )

    def rows(self) -> Writer:
        self._made.append(made := Writer(self._postgres))
        return made

    def letters(self) -> DeadLetters:
        self._made.append(made := DeadLetters(self.kafka))
        return made

    def stored(self) -> list[tuple[str, datetime]]:
        return [(target, moment) for target, moment in self._stage.sql("SELECT target, time FROM {t_view}")]

    def committed(self) -> int:
        return self._stage.committed()

    def dead(self, count: int) -> list[bytes | None]:
        return [letter.value for letter in self._stage.dead_letters(count)]

    def close(self) -> None:
        """End all sessions."""
        for made in self._made:
            made.close()


class TestOnBrokerAndDatabase(SinkContract):
    """The suite."""

    @pytest.fixture
    def pair(self, stage: Stage) -> Iterator[RealPair]:
        """A topic and tables of this test."""
        pair = RealPair(stage)
        yield pair
        pair.close()
