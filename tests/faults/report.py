"""The table of the faults: printed, kept as JSON, and for people in docs/faults.md."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests import markdown
from tests.faults.case import Result
from tests.lab.steps import TOP

MEASURED: Final = TOP / "build/faults.json"
DOCUMENT: Final = TOP / "docs/faults.md"
RUNS: Final = DOCUMENT.with_suffix(".json")
COLUMNS: Final = (
    *("case", "result", "made", "rows", "missing", "repeated", "wrongly down", "longest gap", "recovered"),
    *("messages", "wrongly told", "untold", "vantages told", "seed", "scale", "took"),
)
_INTRO: Final = """\
# Faults

What webmon promises: every result that an agent took into its outbox has exactly one row, rollups agree with the rows,
no site is called down because of us, and people are told right. Each line below is a fault on hosts that boot systemd,
with three brokers, two sinks, two judges and agents that check sites of ours, while a recorder beside each agent notes
what it took, and a receiver of alarms what was told. The table is written from [faults.json](faults.json), the last run
of each case with its seed and scale:

```sh
make faults                              # all cases, on a lab of its own; CASE=n SEED=s SCALE=x for one
.venv/bin/python -m tests.faults --document    # from build/faults.json, where runs leave what they saw, into docs/
```

"Made" is what the recorders noted, "longest gap" the time without a check of a target beyond its interval, "recovered"
the time from the end of the fault to fresh rows of every agent. "Wrongly told" are notices that call a site down that
was up, "untold" openings and endings of sites that the case took down which one of two channels was not told of.
"Vantages told" had a fault of their own, and were told by name, each once; a fault may be too short for it. SCALE 1 is
as long as the title says.

"""

_Row = Mapping[str, Any]


def keep(results: Sequence[Result]) -> None:
    """Add results to those that are kept."""
    _write(MEASURED, _merged(_read(MEASURED), map(dataclasses.asdict, results)))


def document() -> list[Path]:
    """Take what was seen into docs/; give the files that were written."""
    runs = _merged(_read(RUNS), _read(MEASURED))
    _write(RUNS, runs)
    DOCUMENT.write_text(text(runs), encoding="utf-8")
    return [RUNS, DOCUMENT]


def text(runs: Iterable[_Row]) -> str:
    """Give docs/faults.md."""
    rows = [(*_cells(run), run["at"], "; ".join((*run["problems"], *run["notes"]))) for run in runs]
    return _INTRO + markdown.table((*COLUMNS, "at", "seen"), rows)


def table(results: Sequence[Result]) -> str:
    """Give the table for people: one line a case, and below it what was wrong."""
    cells = [COLUMNS, *(_cells(dataclasses.asdict(result)) for result in results)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(COLUMNS))]
    lines = [
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    told = [f"{result.case}: {problem}" for result in results for problem in result.problems]
    return "\n".join([*lines, *(["", *told] if told else [])])


def _read(file: Path) -> list[_Row]:
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def _write(file: Path, runs: list[_Row]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


def _merged(had: Iterable[_Row], new: Iterable[_Row]) -> list[_Row]:
    """Give of each case the last run for each scale and seed."""
    runs = {(run["case"], run["scale"], run["seed"]): run for run in (*had, *new)}
    return [runs[place] for place in sorted(runs)]


def _cells(run: _Row) -> list[str]:
    verdict: _Row = run["verdict"] or {}
    # Runs from before there were alarms have none.
    told: _Row = run.get("told") or {}
    vantages = [f"{what}{f' ({count} times)' if count > 1 else ''}" for what, count in told.get("vantages", {}).items()]

    def number(name: str) -> str:
        return str(verdict.get(name, "-"))

    def seconds(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f} s"

    return [
        f"{run['case']} {run['title']}",
        "FAILED" if run["problems"] else "ok",
        *map(number, ("made", "rows", "missing", "repeated", "wrongly_down")),
        seconds(verdict.get("longest_gap")),
        seconds(run["recovered"]),
        *(str(told.get(name, "-")) for name in ("messages", "wrong", "untold")),
        ", ".join(vantages) or "-",
        str(run["seed"]),
        f"{run['scale']:g}",
        f"{run['seconds']:.0f} s",
    ]
