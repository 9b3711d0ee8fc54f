"""What Lighthouse says of the public page as a phone loads it: 50 targets, 90 days. A part of the bench `page`.

It comes from npm, of the version and hashes of tests/bench/npm/package-lock.json, into build/, and drives
Debian's Chromium. A machine without npm, node or Chromium goes without these figures, and says so.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.bench.figures import Figure
from tests.browser.images import CHROMIUM

LOCK: Final = Path(__file__).with_name("npm")
PLACE: Final = Path("build/lighthouse")
RUNS: Final = 3
_PARTS: Final = "performance,accessibility"
_CHROMIUM: Final = "--headless=new --no-sandbox --disable-dev-shm-usage"


def figures(url: str) -> Iterator[Figure]:
    """Give the scores of a page, of 100."""
    missing = [name for name in ("node", "npm") if shutil.which(name) is None]
    missing += [] if CHROMIUM.exists() else [str(CHROMIUM)]
    if missing:
        sys.stderr.write(f"page: Lighthouse is left out: no {', '.join(missing)}\n")
        return
    program = _install()
    reports = [_look(program, url) for _ in range(RUNS)]
    version = reports[0]["lighthouseVersion"]
    score = {part: [100 * report["categories"][part]["score"] for report in reports] for part in _PARTS.split(",")}
    note = f"version {version}, mobile; median of {RUNS}"
    yield Figure("Lighthouse, performance", statistics.median(score["performance"]), "of 100", at_least=98, note=note)
    yield Figure(
        "Lighthouse, accessibility",
        min(score["accessibility"]),
        "of 100",
        at_least=100,
        note=f"version {version}; worst of {RUNS}",
    )


def _install() -> Path:
    """Install what the lock names, unless it is there; give the program."""
    program = PLACE.absolute() / "node_modules/.bin/lighthouse"
    PLACE.mkdir(parents=True, exist_ok=True)
    old = PLACE / "package-lock.json"
    if not program.exists() or not old.exists() or old.read_bytes() != (LOCK / old.name).read_bytes():
        for file in LOCK.iterdir():
            shutil.copy(file, PLACE)
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=PLACE, check=True, stdout=sys.stderr)
    return program


def _look(program: Path, url: str) -> dict[str, Any]:
    options = ["--quiet", "--output=json", f"--only-categories={_PARTS}", "--no-enable-error-reporting"]
    done = subprocess.run(
        [program, url, *options, f"--chrome-flags={_CHROMIUM}"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CHROME_PATH": str(CHROMIUM)},
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert "runtimeError" not in report, report["runtimeError"]
    return report
