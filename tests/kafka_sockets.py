"""Sockets that kafka-python leaves to the garbage collector, for who has its clients in the process of the tests."""

from typing import Final

import pytest

_LEFT: Final = (
    r"ignore:unclosed <(socket\.socket|ssl\.SSLSocket) fd=[0-9]+, family=[0-9]+, type=1, proto=6:ResourceWarning"
)
"""A filter of warnings. kafka-python 3.0.12 closes none whose connecting or TLS handshake fails, or is under way when
the client is closed (net/inet.py, net/manager.py); they are closed a moment later, in the midst of any test."""


def pytest_configure(config: pytest.Config) -> None:
    """Let no test fail for them; a conftest.py has this hook by its import."""
    config.addinivalue_line("filterwarnings", _LEFT)
