"""What a replay of 30 days costs the one who asks: 1,000 targets, one check a minute, 3 vantages.

The store is that of the bench `answers`, of 30 days and with the rollups of every hour: a target is down for an hour on
one day of a hundred. Rows stand around these failures, as a replay reads no others.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.bench import answers
from tests.bench.figures import Figure
from tests.integration.services import find
from tests.integration.stage import Stage

DAYS: Final = 30
_RULES: Final = """
channels:
  operators: {webhook: {url: "http://127.0.0.1:9/"}}
routes:
  - to: [operators]
"""


def figures() -> Iterator[Figure]:
    """Measure the command, start of Python included."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        stage = Stage(find(), directory)
        try:
            stage.init(**stage.with_alarms)
            answers.fill(stage, DAYS, every_hour=True)
            rules = directory / "alarm.yml"
            rules.write_text(_RULES, encoding="utf-8")
            env_file = stage.env_file("report")
            yield from _replayed(rules, env_file)
        finally:
            stage.remove()


def _replayed(rules: Path, env_file: Path) -> Iterator[Figure]:
    program = str(Path(sys.executable).with_name("webmon"))
    asked = ["alarm", "replay", "--since", f"{DAYS}d", "--file", str(rules), "--env-file", str(env_file)]
    began = time.monotonic()
    done = subprocess.run([program, *asked], capture_output=True, text=True, check=True)
    secs = time.monotonic() - began
    judged = re.search(r"^(\d+) results were judged", done.stderr, re.MULTILINE)
    told = re.search(r"would have told (\d+) things", done.stdout)
    assert judged, done.stderr
    assert told, done.stdout[:500]
    note = f"{judged[1]} results were judged, and {told[1]} things told"
    name = f"replay of {DAYS} days, {answers.TARGETS} targets by {answers.VANTAGES} vantages"
    yield Figure(name, secs, "s", at_most=60, note=note)
