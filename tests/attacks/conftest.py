"""The attacks run on the services of the test lab, as tests/integration does, and with agents of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.integration.conftest import bare_stage, services, shared_stage, stage
from tests.kafka_sockets import pytest_configure, pytest_sessionfinish

__all__ = ["bare_stage", "pytest_configure", "pytest_sessionfinish", "services", "shared_stage", "stage"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """See that each attack says from where it comes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and len(list(item.iter_markers("attack"))) != 1:
            raise pytest.UsageError(f"{item.nodeid} names no position, or several (tests/attacks/positions.py)")


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    """An agent that is a process; without a broker, so that its results wait in its outbox."""
    made = AgentProcess(tmp_path)
    yield made
    made.close()
