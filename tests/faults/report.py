"""The table of the faults: printed, and kept as JSON and Markdown."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.faults.case import Result

COLUMNS: Final = (
    *("case", "result", "made", "rows", "missing", "repeated", "wrongly down", "longest gap", "recovered"),
    *("seed", "scale", "took"),
)


def keep(results: Sequence[Result], directory: Path) -> None:
    """Add results to those that are kept: of a case the last for each seed and scale."""
    directory.mkdir(exist_ok=True)
    file = directory / "faults.json"
    had: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    both = {_place(each): each for each in (*had, *map(dataclasses.asdict, results))}
    kept = [both[place] for place in sorted(both)]
    file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    rows = [f"| {' | '.join(_cells(each))} |\n" for each in kept]
    head = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"
    (directory / "faults.md").write_text(head + "".join(rows), encoding="utf-8")


def _place(result: Mapping[str, Any]) -> tuple[int, float, int]:
    return result["case"], result["scale"], result["seed"]


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


def _cells(result: Mapping[str, Any]) -> list[str]:
    verdict: Mapping[str, Any] = result["verdict"] or {}

    def number(name: str) -> str:
        return str(verdict.get(name, "-"))

    def seconds(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f} s"

    return [
        f"{result['case']} {result['title']}",
        "FAILED" if result["problems"] else "ok",
        *map(number, ("made", "rows", "missing", "repeated", "wrongly_down")),
        seconds(verdict.get("longest_gap")),
        seconds(result["recovered"]),
        str(result["seed"]),
        f"{result['scale']:g}",
        f"{result['seconds']:.0f} s",
    ]
