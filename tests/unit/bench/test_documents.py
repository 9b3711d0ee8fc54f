"""The pages that programs write into docs/, from figures that benches gave and from what faults showed."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from tests.bench import document, kept, scale
from tests.bench.__main__ import benches
from tests.bench.figures import Figure
from tests.bench.kept import Run
from tests.faults import report


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    figure = Figure("lost", 3.5, "rows", at_most=0, note="of many")
    run = Run("2026-11-25 01:00 UTC", "make bench BENCH=load", 12, {"cpu": "2 x Fast"}, [figure])
    path = tmp_path / "made" / "bench.json"
    kept.write(path, {"load": run})
    assert kept.read(path) == {"load": run}
    assert '"holds": false' in path.read_text()
    assert kept.read(path.with_name("other.json")) == {}


def test_the_documents_are_what_the_programs_make_of_the_figures_and_the_faults() -> None:
    expected = document.texts(kept.read(document.RUNS))
    expected[report.DOCUMENT] = report.text(json.loads(report.RUNS.read_text(encoding="utf-8")))
    assert {path: path.read_text(encoding="utf-8") for path in expected} == expected


def test_each_run_says_how_to_get_it() -> None:
    known = benches()
    for name, run in kept.read(document.RUNS).items():
        assert name in known
        assert re.fullmatch(rf"make bench BENCH={name}( FULL=1)?", run.command)
        assert f"`{run.command}`, {run.at}" in document.text({name: run})


def test_a_bar_that_is_not_kept_is_seen_in_the_document() -> None:
    run = Run("2026-11-25 01:00 UTC", "make bench BENCH=load", 12, {"cpu": "2 x Fast", "load": "1"}, [])
    slow, fast = Figure("rate", 10, "rows/s", at_least=20), Figure("  ratio", 0.5, "ratio", at_most=1, note="a|b")
    text = document.text(
        {
            "load": dataclasses.replace(run, figures=[slow, fast]),
            "soak": dataclasses.replace(run, facts=run.facts | {"load": "2"}),
        }
    )
    assert "| cpu | 2 x Fast |\n" in text
    assert "| rate | 10 | rows/s | >= 20 | **falls short** |  |\n" in text
    assert "| ratio | 0.5 | ratio | <= 1 | holds | a/b |\n" in text
    assert "`make bench BENCH=load`, 2026-11-25 01:00 UTC, 12 s; load 1." in text


_MEASURED = scale.Measured(
    check_cpu=0.002,
    agent_memory=100e6,
    agent_targets=5000,
    sink_rows=40_000,
    sink_rows_looked_up=20_000,
    sink_cpu=20e-6,
    sink_memory=100e6,
    message=200,
    broker_cpu=50e-6,
    database_rows=120_000,
    database_cpu=15e-6,
    row=120,
    wal=300,
    hourly=250,
    daily=300,
)


def test_needs_are_what_a_person_computes_by_hand() -> None:
    large = scale.Needs(_MEASURED, 10_000_000)
    assert round(large.rate) == 166_667
    assert large.agents == 667  # 333 cores, of which each process has half of one
    assert large.sinks_that_know == 9  # 20,000 rows a second of each
    assert large.sinks == 17  # which know no more than 100,000 names: half as many
    assert large.partitions == large.connections == 34
    assert large.databases_by_rate == 3
    assert round(large.rows / 1e12, 1) == 155.5
    assert round(large.rollups / 1e12, 1) == 54.8
    assert large.databases_by_disk == 38  # of 5.6 TB
    assert large.brokers == 22  # 60 TB of log, three copies and 2.8 TB of each disk
    small = scale.Needs(_MEASURED, 100_000)
    assert (small.brokers, small.sinks, small.partitions) == (3, 1, 6)


def test_the_limit_that_is_reached_first_stands_first() -> None:
    found = scale.limits(_MEASURED)
    assert [limit.targets for limit in found] == sorted(limit.targets for limit in found)
    assert (found[0].what, found[0].targets) == ("an agent process, by its core", 15_000)


@pytest.mark.parametrize(("value", "written"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (155.52e12, "156 TB")])
def test_sizes_are_written_as_disks_are_sold(value: float, written: str) -> None:
    assert scale.size(value) == written


def test_a_figure_that_is_missing_is_named_with_the_bench_to_run() -> None:
    with pytest.raises(LookupError, match=r"'CPU of the broker, coming in' of the bench load: make bench BENCH=load"):
        scale.measured({})
