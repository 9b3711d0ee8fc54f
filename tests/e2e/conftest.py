"""The lab that `make demo` made."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import more as more_hosts
from tests.e2e.lab import Lab
from tests.kafka_sockets import pytest_configure, pytest_sessionfinish

__all__ = ["pytest_configure", "pytest_sessionfinish"]


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab named by LAB_NAME: `make test` names its own, so that a demo beside it is left alone."""
    name = os.environ.get("LAB_NAME")
    if not name:
        pytest.fail("LAB_NAME is not set: `make test` runs these tests on the lab that it makes")
    return Lab(name)


@pytest.fixture
def targets(lab: Lab) -> Iterator[Path]:
    """The lab's list; put back afterwards."""
    path = lab.directory / "targets.yml"
    before = path.read_text()
    yield path
    path.write_text(before)
    lab.play("playbooks/targets.yml")


@pytest.fixture(scope="session")
def more(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[more_hosts.More]:
    """One more host, with secrets planted on it; test_taking_out.py, the last that has it, takes it out."""
    yield more_hosts.install(lab, tmp_path_factory.mktemp("more"))
    lab.do("down", more_hosts.HOST)
