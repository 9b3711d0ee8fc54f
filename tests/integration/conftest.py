"""The services of the test lab, and a stage of its own for each test."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.brokers import Brokers
from tests.integration.services import Services, find
from tests.integration.stage import Stage
from tests.kafka_sockets import pytest_configure, pytest_sessionfinish

__all__ = ["pytest_configure", "pytest_sessionfinish"]

pytest.register_assert_rewrite("tests.contract.sink")


@pytest.fixture(scope="session")
def services() -> Services:
    """A real Kafka with TLS and ACLs, and a real TimescaleDB."""
    return find()


@pytest.fixture(scope="session")
def brokers_on_their_way(
    services: Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Brokers, "subprocess.Popen[bytes]", Path]]:
    """Three brokers that are being installed; who has to wait anyway asks for them before they are needed."""
    if "WEBMON_TEST_SERVICES" in os.environ:
        pytest.fail("the three brokers stand in the test lab: LAB_NAME, not WEBMON_TEST_SERVICES", pytrace=False)
    brokers = Brokers(services)
    log = tmp_path_factory.mktemp("brokers") / "log"
    installing = brokers.install(log)
    try:
        yield brokers, installing, log
    finally:
        installing.terminate()
        installing.wait(60)
        brokers.remove()


@pytest.fixture(scope="session")
def brokers(brokers_on_their_way: tuple[Brokers, "subprocess.Popen[bytes]", Path]) -> Brokers:
    """Three brokers of one cluster."""
    made, installing, log = brokers_on_their_way
    assert installing.wait(300) == 0, log.read_text(encoding="utf-8")
    return made


@pytest.fixture
def bare_stage(services: Services, tmp_path: Path) -> Iterator[Stage]:
    """A stage on which init did not run."""
    stage = Stage(services, tmp_path)
    try:
        yield stage
    finally:
        stage.remove()


@pytest.fixture
def stage(bare_stage: Stage) -> Stage:
    """A stage that init prepared."""
    bare_stage.init()
    return bare_stage


@pytest.fixture(scope="session")
def alarm_stage(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage that init prepared for alarms, too, for tests that change nothing on it."""
    stage = Stage(services, tmp_path_factory.mktemp("alarms"))
    try:
        stage.init(**stage.with_alarms)
        yield stage
    finally:
        stage.remove()


@pytest.fixture(scope="session")
def judged_stage(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage that init prepared for alarms, for tests that judge targets of their own."""
    stage = Stage(services, tmp_path_factory.mktemp("judged"))
    try:
        stage.init(**stage.with_alarms)
        yield stage
    finally:
        stage.remove()


@pytest.fixture(scope="session")
def shared_stage(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage that init prepared, for tests that change nothing on it."""
    stage = Stage(services, tmp_path_factory.mktemp("shared"))
    try:
        stage.init()
        yield stage
    finally:
        stage.remove()
