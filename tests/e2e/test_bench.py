"""What a person gets of `make bench`, in one of them; whether its bars hold says the machine, so no test looks."""

import os
import subprocess
import sys
from pathlib import Path

from tests.bench import kept
from tests.e2e.lab import ROOT, Lab


def test_a_bench_prints_its_table_and_keeps_it_where_it_is_started(lab: Lab, tmp_path: Path) -> None:
    # As the Makefile has it, but beside what was measured in the checkout.
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "answers"],
        cwd=tmp_path,
        env={**os.environ, "LAB_NAME": lab.name, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=1000,
    )
    assert done.returncode in {0, 1}, done.stderr[-3000:]
    assert done.stdout.endswith("\nkept in build/bench.json\n"), done.stdout
    runs = kept.read(tmp_path / "build/bench.json")
    assert list(runs) == ["answers"]
    assert runs["answers"].figures
    for figure in runs["answers"].figures:
        assert f"answers  {figure.name} " in done.stdout
