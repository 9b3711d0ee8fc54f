"""Sockets that kafka-python leaves to the garbage collector, for who has its clients in the process of the tests."""

import gc
import warnings
from typing import Final

import pytest

_MESSAGE: Final = r"unclosed <(socket\.socket|ssl\.SSLSocket) fd=[0-9]+, family=[0-9]+, type=1, proto=6"
"""How the warning of one begins. kafka-python 3.0.12 closes none whose connecting fails, or is under way when a client
is closed (net/inet.py, net/manager.py); they are closed a moment later, in the midst of any test."""


def pytest_configure(config: pytest.Config) -> None:
    """Let no test fail for them; a conftest.py has these hooks by its import."""
    config.addinivalue_line("filterwarnings", f"ignore:{_MESSAGE}:ResourceWarning")


def pytest_sessionfinish() -> None:
    """Let those of the last tests go, as what is found behind this is held against the whole run."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", _MESSAGE, ResourceWarning)
        gc.collect()
