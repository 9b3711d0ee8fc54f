"""The hosts of the lab that Kafka and the database run on: CPU of their units, bytes of their directories.

What a bench wants of them it can have on the lab alone, not on services that WEBMON_TEST_SERVICES names.
"""

import os
import subprocess
from typing import Final

from tests.integration.services import ROOT

BROKER: Final = ("kafka1", "kafka")
DATABASE: Final = ("db1", "postgresql@17-main")
WAL: Final = ("db1", "/var/lib/postgresql/17/main/pg_wal")


def cpu_secs(unit: tuple[str, str]) -> float:
    """Give the CPU seconds of a unit of a host so far, of all its processes."""
    host, name = unit
    return int(_on(host, "systemctl", "show", "--property=CPUUsageNSec", "--value", name)) / 1e9


def used_bytes(place: tuple[str, str]) -> int:
    """Give the bytes that the files of a directory of a host have."""
    host, directory = place
    return int(_on(host, "du", "--summarize", "--bytes", directory).split()[0])


def _on(host: str, *command: str) -> str:
    if "LAB_NAME" not in os.environ:
        raise LookupError("this bench measures the lab's hosts: LAB_NAME names the lab")
    told = subprocess.run(
        [str(ROOT / "tests/lab/lab"), "sh", host, *command], capture_output=True, text=True, check=True
    )
    return told.stdout.strip()
