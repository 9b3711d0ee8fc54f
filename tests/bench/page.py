"""What the page costs: visitors without any database, and snapshots of 1,000 targets with 3 vantages and a year.

What visitors cost is tests/bench/page_http.py. The store of the snapshots is that of the bench `answers`. A refresh is
what the collector does each PAGE_REFRESH_SECS; of several, the best counts.
"""

import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.bench import answers, page_http
from tests.bench.figures import Bench, Figure
from tests.integration.services import find
from tests.integration.stage import Stage
from webmon.alarm.match import Match
from webmon.page.cache import Cache
from webmon.page.collect import Collector
from webmon.page.file import Group, Public
from webmon.page.model import public
from webmon.page.snapshot import Look
from webmon.settings import Page, PageSettings, ReportSettings

RUNS: Final = 8


def _figures() -> Iterator[Figure]:
    yield from page_http.figures()
    with tempfile.TemporaryDirectory() as directory:
        stage = Stage(find(), Path(directory))
        try:
            stage.init()
            answers.fill(stage)
            yield from _of_refreshes(stage, Path(directory))
        finally:
            stage.remove()


def _of_refreshes(stage: Stage, directory: Path) -> Iterator[Figure]:
    of_reports: ReportSettings = stage.settings("report")
    page = Page.model_validate({}, context={"workspace": directory})
    collector = Collector(PageSettings(of_reports.common, None, of_reports.postgres, page))
    yield Figure("first snapshot of a start", _refreshed(collector), "s", note="a million rollups are read")
    yield Figure("refresh", min(_refreshed(collector) for _ in range(RUNS)), "s", at_most=1.5)
    began = time.process_time()
    _refreshed(collector)
    yield Figure(
        "CPU of the page for a refresh", (time.process_time() - began) * 1000, "ms", note="the database's aside"
    )
    yield Figure("statements of a refresh", collector.statements, "", at_most=8)
    look = collector.look
    collector.stop()
    yield from _of_views(look, page.cache_path)


def _of_views(look: Look, path: Path) -> Iterator[Figure]:
    assert look.snapshot is not None
    began = time.perf_counter()
    Cache(path).write(look.snapshot)
    yield Figure("snapshot to the disk", (time.perf_counter() - began) * 1000, "ms")
    yield Figure("snapshot on disk", path.stat().st_size / 1e6, "MB")
    file = Public("Status", (Group("All", "all", match=Match(("*",))),))
    began = time.perf_counter()
    public(look.snapshot, file, datetime.now(UTC))
    yield Figure("what is public of a snapshot, made", (time.perf_counter() - began) * 1000, "ms")


def _refreshed(collector: Collector) -> float:
    assert collector.refresh(), collector.look.trouble
    return collector.seconds


BENCH: Final = Bench(_figures, dict)
