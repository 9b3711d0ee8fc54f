"""The services of the test lab, and a stage of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.services import Services, find
from tests.integration.stage import Stage


@pytest.fixture(scope="session")
def services() -> Services:
    """A real Kafka with TLS and ACLs, and a real TimescaleDB."""
    return find()


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
def shared_stage(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage that init prepared, for tests that change nothing on it."""
    stage = Stage(services, tmp_path_factory.mktemp("shared"))
    try:
        stage.init()
        yield stage
    finally:
        stage.remove()
