"""A primary that dies under load and a standby that takes over: the sink goes on, nothing is lost, nothing is twice."""

import threading
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.integration.services import Services
from tests.integration.stage import Program, recent
from tests.integration.two_databases import PairStage, TwoDatabases
from tests.waiting import wait_until
from webmon.check.result import CheckResult

PER_SECOND = 200


class Load:
    """Results that are published as long as it lasts."""

    def __init__(self, stage: PairStage) -> None:
        self.sent: list[CheckResult] = []
        self._stage = stage
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    def _publish(self) -> None:
        producer = self._stage.producer()
        while not self._over.wait(0.1):
            some = [_result(len(self.sent) + number) for number in range(PER_SECOND // 10)]
            self._stage.publish(some, producer=producer)
            self.sent += some

    def end(self) -> None:
        """Publish no more."""
        self._over.set()
        self._thread.join(30)


@pytest.fixture(scope="module")
def pair(services: Services) -> Iterator[TwoDatabases]:
    made = TwoDatabases(services)
    try:
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def stage(pair: TwoDatabases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PairStage]:
    made = PairStage(pair.services, tmp_path_factory.mktemp("pair"))
    try:
        made.init()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def sink(stage: PairStage) -> Program:
    return stage.start_sink()


def _result(number: int, agent: str = "load") -> CheckResult:
    return recent(number % 3600, agent=f"{agent}{number // 3600}")


def _stored(stage: PairStage) -> list[tuple[str, str, datetime]]:
    return [(target, agent, time) for target, agent, time in stage.sql("SELECT target, agent, time FROM {t_view}")]


def test_a_standby_that_takes_over_under_load_costs_no_result_and_doubles_none(
    pair: TwoDatabases, stage: PairStage, sink: Program
) -> None:
    first, second = pair.addresses["first"], pair.addresses["second"]
    load = Load(stage)
    try:
        wait_until(lambda: stage.count() > PER_SECOND, "rows under load", 90)
        pair.kill_first()
        sink.wait_for_line("waiting for the database")
        told = (
            f"{second}: is a standby, or takes no writes now; {first}: connection refused; nothing listens on that port"
        )
        assert told in stage.doctor("sink").stdout
        # Reports ask whoever is there.
        assert "site1" in stage.status()
        assert f"the session is at {second}, a standby" in stage.doctor("report").stdout
        pair.promote_second()
        sink.wait_for_line("no longer waiting for the database")
    finally:
        load.end()
    wait_until(lambda: stage.committed() == len(load.sent), "all read", 30)
    stored = _stored(stage)
    assert len(stored) == len(set(stored)) == len(load.sent)
    assert set(stored) == {(one.target, one.agent, one.time) for one in load.sent}
    assert "WARNING  dead letter" not in sink.said()
    assert f"the session is at {second}, the primary" in stage.doctor("sink").stdout


def test_a_server_that_takes_no_writes_any_more_is_waited_for_and_no_batch_is_to_blame(
    pair: TwoDatabases, stage: PairStage, sink: Program
) -> None:
    before = stage.count()
    pair.sql("second", "ALTER SYSTEM SET default_transaction_read_only = on")
    pair.sql("second", "SELECT pg_reload_conf()")
    stage.publish([_result(number, "later") for number in range(20)])
    sink.wait_for_line("read-only transaction")
    pair.sql("second", "SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only")
    pair.sql("second", "SELECT pg_reload_conf()")
    wait_until(lambda: stage.count() == before + 20, "the batch", 30)
    assert "WARNING  dead letter" not in sink.said()
