"""What benches measured, as it is kept: one run of each bench, in JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from tests.bench.figures import Figure

LOAD = "load when it began"
"""The fact that is another one for each bench."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one bench."""

    at: str
    """When it ended: a date and a time of UTC."""
    command: str
    """What a person types to make it again."""
    secs: float
    """How long it took."""
    facts: dict[str, str]
    """The machine, the versions, the load when it began."""
    figures: list[Figure]


def read(path: Path) -> dict[str, Run]:
    """Give the last run of each bench; none where the file is not there."""
    if not path.exists():
        return {}
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Run])


def write(path: Path, runs: Mapping[str, Run]) -> None:
    """Keep the runs, and with each figure whether its bar holds."""
    written = {
        name: asdict(run) | {"figures": [asdict(figure) | {"holds": figure.holds} for figure in run.figures]}
        for name, run in sorted(runs.items())
    }
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(written), indent=1) + b"\n")
