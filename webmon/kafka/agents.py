"""Whom a reader believes: the file of SINK_AGENTS_PATH or ALARM_AGENTS_PATH, with the keys of the agents.

A line is `NAME KEY`, or `NAME KEY UNSIGNED`. NAME is the agent's name in its results, with a blank, a % or a # in it as
%20, %25 and %23 (RFC 3986, 2.1). UNSIGNED is a moment (2026-06-01T12:00:00Z): what Kafka got before it needs no MAC,
as the agent had no key then; or it is `always`, for an agent that has none yet.
An agent may have several lines, while its key is changed: any of its keys is right. A name that is not listed and ends
in -NUMBER is one of several agents on a host, which share a key, that of the name without the number.
"""

import dataclasses
import math
import re
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from webmon import files
from webmon.check.result import NAME_LIMIT, UnreadableResultError
from webmon.errors import UserError
from webmon.kafka.mac import Signer
from webmon.settings import AN_AGENTS_KEY, is_agents_key

ALWAYS: Final = "always"
_NUMBERED: Final = re.compile(r"(.+)-\d{1,4}")
_SHOWN: Final = 80
"""Characters of a name that a message claims, where it is told."""


@dataclasses.dataclass
class _Agent:
    signers: list[Signer]
    unsigned_before: float = -math.inf
    """Milliseconds since the epoch: what Kafka got before needs no MAC."""


class Agents:
    """The agents of an installation, and how each proves that a message is its own."""

    def __init__(self, agents: dict[str, _Agent], variable: str) -> None:
        """Take what `read` has found, and the variable that names the file."""
        self._agents = agents
        self._variable = variable

    def __len__(self) -> int:
        """Give how many are listed."""
        return len(self._agents)

    def without_key(self) -> list[str]:
        """Give those of whom results without a MAC are taken for good."""
        return sorted(name for name, agent in self._agents.items() if agent.unsigned_before == math.inf)

    def see_origin(self, name: str, key: bytes | None, value: bytes, signed: bytes | None, received: float) -> None:
        """See that a message is of the agent that it names.

        Args:
            name: that agent.
            key: the record's.
            value: the record's.
            signed: its MAC; None where it has none.
            received: when Kafka got it, in milliseconds since the epoch.

        Raises:
            UnreadableResultError: it is not, or nobody can tell.
        """
        agent = self._agents.get(name) or self._of_several(name)
        if agent is None:
            raise UnreadableResultError(
                f"agent {_shown(name)} is not in {self._variable}: it was taken out, or is not known here yet"
            )
        if signed is None:
            if received < agent.unsigned_before:
                return
            raise UnreadableResultError(f"the message has no MAC, but agent {_shown(name)}, which it names, signs")
        for signer in agent.signers:
            if signer.fits(signed, key, value):
                return
        raise UnreadableResultError(
            f"the MAC does not fit agent {_shown(name)}, which the message names: another wrote it, or it was signed "
            "with a key that is no longer right, or is not known here yet"
        )

    def _of_several(self, name: str) -> _Agent | None:
        numbered = _NUMBERED.fullmatch(name)
        return self._agents.get(numbered[1]) if numbered else None


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN else name[: _SHOWN - 1] + "…")


def read(path: Path, variable: str) -> Agents:
    """Read the file that a variable names.

    Raises:
        UserError: a line for each fault, with its place in the file; none of them shows a key.
    """
    try:
        text = files.read(path, most=files.LIST).data.decode()
    except OSError as error:
        raise UserError(f"{variable}: {path}: {error.strerror}; right would be a readable file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{variable}: {path}: is not UTF-8 text") from error
    return _parse(path, variable, text.split("\n"))


def _parse(path: Path, variable: str, lines: Iterable[str]) -> Agents:
    agents: dict[str, _Agent] = {}
    faults: list[str] = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if fault := _take(words, agents):
            faults.append(f"{variable}: {path}:{number}: {fault}")
    if faults:
        raise UserError(*faults)
    return Agents(agents, variable)


def _take(words: list[str], agents: dict[str, _Agent]) -> str | None:
    """Take a line; give what is wrong with it."""
    if len(words) not in (2, 3):
        return f"has {len(words)} words; right would be NAME KEY, or NAME KEY UNSIGNED"
    name = unquote(words[0])
    if not 1 <= len(name) <= NAME_LIMIT:
        return f"the name has {len(name)} characters; right would be {NAME_LIMIT} at most"
    if not is_agents_key(words[1]):
        return f"the key of {_shown(name)} is not right; right would be {AN_AGENTS_KEY}"
    unsigned = _moment(words[2]) if len(words) == 3 else -math.inf
    if unsigned is None:
        return f"the third word is {words[2]!r}; right would be a moment in UTC such as 2026-06-01T12:00:00Z, or always"
    agent = agents.setdefault(name, _Agent([]))
    agent.signers.append(Signer(words[1]))
    agent.unsigned_before = max(agent.unsigned_before, unsigned)
    return None


def _moment(text: str) -> float | None:
    if text == ALWAYS:
        return math.inf
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() * 1000 if moment.tzinfo is not None else None
