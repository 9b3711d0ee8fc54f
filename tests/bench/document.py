"""docs/figures.md: the last run of each bench, for people; `python -m tests.bench --document` writes it."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.bench import kept, scale
from tests.bench.figures import number
from tests.bench.kept import Run
from tests.markdown import table

DOCS: Final = Path(__file__).parents[2] / "docs"
RUNS: Final = DOCS / "figures.json"

_INTRO: Final = """\
# Figures

What the benches of this project measured last, with the bars that they are held to. No number here was typed: all of it
is written from [figures.json](figures.json), and [scale.md](scale.md) is computed from the same. What becomes of
results under faults is in [faults.md](faults.md).

To measure again, on a machine that does nothing else:

```sh
make bench                # all of them; BENCH=NAME for one
make bench FULL=1         # at full size: a day's results of 1,000 targets at 3 vantages, half an hour of soak, ...
.venv/bin/python -m tests.bench --document    # from build/bench.json, where both leave what they measured, into docs/
```
"""


def update(measured: Path) -> list[Path]:
    """Take what was measured into the documents; give the files that were written.

    Raises:
        LookupError: a bench that docs/scale.md is computed from did not run yet.
    """
    runs = kept.read(RUNS) | kept.read(measured)
    written = texts(runs)
    kept.write(RUNS, runs)
    for path, content in written.items():
        path.write_text(content, encoding="utf-8")
    return [RUNS, *written]


def texts(runs: Mapping[str, Run]) -> dict[Path, str]:
    """Give what stands in each document."""
    return {DOCS / "figures.md": text(runs), DOCS / "scale.md": scale.text(runs)}


def text(runs: Mapping[str, Run]) -> str:
    """Give docs/figures.md: what all runs have in common, then a table for each bench."""
    common = dict(set.intersection(*(set(run.facts.items()) for run in runs.values()))) if runs else {}
    order = list(dict.fromkeys(key for run in runs.values() for key in run.facts))
    parts = [_INTRO]
    if common:
        parts.append("## The machine\n\n" + table(("what", "which"), ((k, common[k]) for k in order if k in common)))
    parts += [_section(name, run, common) for name, run in sorted(runs.items())]
    return "\n".join(parts)


def _section(name: str, run: Run, common: Mapping[str, str]) -> str:
    about = (importlib.import_module(f"tests.bench.{name}").__doc__ or "").partition("\n")[0]
    own = ", ".join(f"{key} {value}" for key, value in run.facts.items() if key not in common)
    said = {True: "holds", False: "**falls short**", None: ""}
    rows = ((f.name.strip(), number(f.value), f.unit, f.bar, said[f.holds], f.note) for f in run.figures)
    return (
        f"## {name}\n\n{about}\n\n`{run.command}`, {run.at}, {run.secs:.0f} s{'; ' if own else ''}{own}.\n\n"
        + table(("figure", "value", "unit", "bar", "", "how"), rows, right={"value"})
    )
