"""What holds for every unit test."""

from collections.abc import Iterator

import pytest

from tests import process_state


@pytest.fixture(autouse=True)
def _process_as_it_was() -> Iterator[None]:
    with process_state.kept():
        yield
