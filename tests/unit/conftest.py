"""What holds for every unit test."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests import process_state
from webmon.daemon import threads

# That an example takes long says how busy the machine is.
settings.register_profile("webmon", deadline=None)
settings.load_profile("webmon")


@pytest.fixture(autouse=True)
def _process_as_it_was() -> Iterator[None]:
    with process_state.kept():
        yield


@pytest.fixture(autouse=True)
def _a_dead_thread_fails_the_test_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_again(name: str) -> None:
        raise  # noqa: PLE0704 (it is called where an exception is handled), and pytest fails a test whose thread raised

    monkeypatch.setattr(threads, "end_process", raise_again)
