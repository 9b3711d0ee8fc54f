"""The lab that `make demo` made."""

import os

import pytest

from tests.e2e.lab import Lab


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab named by LAB_NAME: `make test` names its own, so that a demo beside it is left alone."""
    name = os.environ.get("LAB_NAME")
    if not name:
        pytest.fail("LAB_NAME is not set: `make test` runs these tests on the lab that it makes")
    return Lab(name)
