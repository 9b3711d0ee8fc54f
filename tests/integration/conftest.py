"""The services of the test lab, and a stage of its own for each test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import brokers as brokers_of_the_tests
from tests.integration.brokers import Brokers
from tests.integration.services import Services, find
from tests.integration.stage import Stage

pytest.register_assert_rewrite("tests.contract.sink")


@pytest.fixture(scope="session")
def services() -> Services:
    """A real Kafka with TLS and ACLs, and a real TimescaleDB."""
    return find()


@pytest.fixture(scope="session")
def breakable(services: Services) -> Services:
    """The same with a broker that may be stopped, killed and frozen; who uses this fixture has its stage there."""
    if "WEBMON_TEST_SERVICES" in os.environ:
        return services
    return brokers_of_the_tests.breakable(services)


@pytest.fixture(scope="session")
def brokers(services: Services) -> Brokers:
    """Three brokers of one cluster."""
    return Brokers(services, "cluster")


def pytest_configure(config: pytest.Config) -> None:
    """Let pass the sockets that kafka-python leaves of refused connections, whenever they are found: at the end too."""
    config.addinivalue_line(
        "filterwarnings",
        r"ignore:Exception ignored in. <(socket\.socket|ssl\.SSLSocket) :pytest.PytestUnraisableExceptionWarning",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let tests of the same brokers run one after the other, and beside all others (pytest -n 4 --dist loadgroup)."""
    for fixture in {"breakable", "brokers"} & set(getattr(item, "fixturenames", ())):
        item.add_marker(pytest.mark.xdist_group(fixture))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Delete the hosts of the tests' own brokers, when the last worker has ended."""
    if not hasattr(session.config, "workerinput") and "LAB_NAME" in os.environ:
        brokers_of_the_tests.remove()


@pytest.fixture
def bare_stage(request: pytest.FixtureRequest, services: Services, tmp_path: Path) -> Iterator[Stage]:
    """A stage on which init did not run."""
    stage = Stage(request.getfixturevalue("breakable") if "breakable" in request.fixturenames else services, tmp_path)
    try:
        yield stage
    finally:
        stage.remove()


@pytest.fixture
def stage(bare_stage: Stage) -> Stage:
    """A stage that init prepared."""
    bare_stage.prepare()
    return bare_stage


@pytest.fixture(scope="session")
def shared_stage(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage that init prepared, for tests that change nothing on it."""
    stage = Stage(services, tmp_path_factory.mktemp("shared"))
    try:
        stage.prepare()
        yield stage
    finally:
        stage.remove()
