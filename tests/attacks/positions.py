"""From where webmon is attacked; each test of an attack names one."""

from typing import Final

import pytest

STRANGER: Final = pytest.mark.attack("a stranger on the network")
LOCAL_USER: Final = pytest.mark.attack("a local user of a host")
TAKEN_AGENT: Final = pytest.mark.attack("a taken agent")
TAKEN_SINK: Final = pytest.mark.attack("a taken sink")
TAKEN_READER: Final = pytest.mark.attack("a taken reader")
HOSTILE_SITE: Final = pytest.mark.attack("a hostile site")
OPERATOR: Final = pytest.mark.attack("an operator's mistake")

LONG: Final = pytest.mark.long
"""An attack that takes so long that `make attacks` alone runs it."""
