"""`python -m tests.bench [--full] [NAME ...]`: measure, print one table, and keep it as build/bench.json.

Each bench is a module of this package that has BENCH (tests/bench/figures.py). Exit status: 0 where every bar holds,
1 where one falls short.
"""

import argparse
import importlib
import importlib.metadata
import json
import os
import pkgutil
import platform
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import tests.bench
from tests.bench.figures import Bench, Figure, number

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
        "load when it began": f"{os.getloadavg()[0]:.2f}",
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


def main() -> int:
    """Run the benches that were named, or all."""
    known = benches()
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"of {', '.join(known)}; all without one")
    parser.add_argument("--full", action="store_true", help="at full size, where a bench has one: many minutes")
    options = parser.parse_args()
    names = options.name or list(known)
    if unknown := set(names) - set(known):
        parser.error(f"no bench is named {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    facts = machine()
    figures: list[tuple[str, Figure]] = []
    for name in names:
        began = time.monotonic()
        bench = known[name]
        measure = (options.full and bench.full) or bench.figures
        for figure in measure():
            figures.append((name, figure))
            sys.stderr.write(f"{name}: {figure.name}: {number(figure.value)} {figure.unit}\n")
        facts |= bench.versions()
        sys.stderr.write(f"{name}: took {time.monotonic() - began:.0f} s\n")
    kept = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "facts": facts,
        "figures": [{"bench": name, **asdict(f), "holds": f.holds} for name, f in figures],
    }
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(kept, indent=2) + "\n")
    print(f"\n{show(facts, figures)}\n\nkept as {OUTPUT}")
    return int(any(f.holds is False for _, f in figures))


if __name__ == "__main__":
    sys.exit(main())
