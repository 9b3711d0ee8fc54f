"""`python -m tests.bench [--full] [NAME ...]`: measure, print one table, and keep it in build/bench.json.

Each bench is a module of this package that has BENCH (tests/bench/figures.py). `--document` measures nothing: it writes
docs/ from what is kept. Exit status: 0 where every bar holds, 1 where one falls short.
"""

import argparse
import importlib
import importlib.metadata
import os
import pkgutil
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import tests.bench
from tests.bench import document, kept
from tests.bench.figures import Bench, Figure, number
from tests.bench.kept import LOAD, Run

OUTPUT: Final = Path("build/bench.json")


def benches() -> dict[str, Bench]:
    """Give every bench by the name of its module."""
    modules = {
        module.name: importlib.import_module(f"tests.bench.{module.name}")
        for module in pkgutil.iter_modules(tests.bench.__path__)
        if not module.name.startswith("_")
    }
    return {name: module.BENCH for name, module in sorted(modules.items()) if hasattr(module, "BENCH")}


def machine() -> dict[str, str]:
    """Give what the numbers were measured on."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": f"{os.cpu_count()} x {cpu[1] if cpu else platform.machine()}",
        "memory": f"{memory / 2**30:.0f} GiB",
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}",
        "python": platform.python_version(),
        "webmon": importlib.metadata.version("webmon"),
    }


def table(rows: Sequence[Sequence[str]], right: int) -> str:
    """Lay out rows in columns; column number `right` has numbers."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column == right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def show(facts: Mapping[str, str], figures: Sequence[tuple[str, Figure]]) -> str:
    """Write the machine, the versions and one table of all figures."""
    said = {True: "holds", False: "FALLS SHORT", None: ""}
    rows = [("bench", "figure", "value", "unit", "bar", "", "")]
    rows += [(name, f.name, number(f.value), f.unit, f.bar, said[f.holds], f.note) for name, f in figures]
    head = table([(f"{key}:", value) for key, value in facts.items()], right=-1)
    return f"{head}\n\n{table(rows, right=2)}"


def run(name: str, bench: Bench, *, full: bool) -> Run:
    """Run a bench, and tell each figure as it comes."""
    facts = machine() | {LOAD: f"{os.getloadavg()[0]:.2f}"}
    began = time.monotonic()
    figures = []
    for figure in ((full and bench.full) or bench.figures)():
        figures.append(figure)
        sys.stderr.write(f"{name}: {figure.name}: {number(figure.value)} {figure.unit}\n")
    facts |= bench.versions()
    secs = time.monotonic() - began
    sys.stderr.write(f"{name}: took {secs:.0f} s\n")
    command = f"make bench BENCH={name}" + (" FULL=1" if full and bench.full else "")
    return Run(datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), command, round(secs), facts, figures)


def main() -> int:
    """Run the benches that were named, or all."""
    known = benches()
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of {', '.join(known)}; all without one")
    parser.add_argument("--full", action="store_true", help="at full size, where a bench has one: many minutes")
    parser.add_argument(
        "--document", action="store_true", help="write docs/ from what was measured, and measure nothing"
    )
    options = parser.parse_args()
    if options.document:
        try:
            print("\n".join(str(path) for path in document.update(OUTPUT)))
        except LookupError as error:
            parser.error(str(error))
        return 0
    names = options.name or list(known)
    if unknown := set(names) - set(known):
        parser.error(f"no bench is named {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    runs = {}
    for name in names:
        runs[name] = run(name, known[name], full=options.full)
        # One that fails later takes nothing away.
        kept.write(OUTPUT, kept.read(OUTPUT) | {name: runs[name]})
    facts = {key: value for run in runs.values() for key, value in run.facts.items() if key != LOAD}
    loads = ", ".join(f"{name} {run.facts[LOAD]}" for name, run in runs.items())
    figures = [(name, figure) for name, run in runs.items() for figure in run.figures]
    print(f"\n{show(facts | {LOAD: loads}, figures)}\n\nkept in {OUTPUT}")
    return int(any(figure.holds is False for _, figure in figures))


if __name__ == "__main__":
    sys.exit(main())
