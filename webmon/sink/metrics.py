"""What Prometheus asks of a sink: what it did, how far behind it is, and what it waits for."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from prometheus_client import Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from webmon import __version__
from webmon.check.result import CheckResult
from webmon.daemon.metrics import counter, gauge, histogram

_MESSAGES: Final = (1, 10, 100, 500, 1000, 2500, 5000, 10_000, 25_000)
_BATCH_SECS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
_FRESHNESS_SECS: Final = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 60.0, 600.0, 3600.0, 86_400.0)


class Metrics(Collector):
    """Counts what becomes of batches; one thread tells it, and each scrape reads it."""

    def __init__(self, own: Callable[[], Iterable[Metric]]) -> None:
        """Take what gives the metrics of the sink's state at each scrape."""
        self._own = own
        self.rows = self.repeats = self.dead_letters = 0
        self.newest_end = float("nan")
        """When the newest check ended that was stored since the start, in Unix time."""
        self._freshness = [0] * (len(_FRESHNESS_SECS) + 1)
        self._freshness_sum = 0.0
        self._messages = Histogram(
            "webmon_sink_batch_messages", "Messages of a batch", registry=None, buckets=_MESSAGES
        )
        self._seconds = Histogram(
            "webmon_sink_batch_seconds",
            "From a batch that is whole to its rows and dead letters in their places, outages included",
            registry=None,
            buckets=_BATCH_SECS,
        )

    def note_batch(
        self,
        results: Sequence[CheckResult],
        *,
        rows: int,
        repeats: int,
        dead_letters: int,
        seconds: float,
        now: datetime,
    ) -> None:
        """Count a batch.

        Args:
            results: what was read of it.
            rows: how many of them are new in the database.
            repeats: how many were there.
            dead_letters: how many of its messages went to the dead letters.
            seconds: what it took.
            now: when its rows were committed.
        """
        self.rows += rows
        self.repeats += repeats
        self.dead_letters += dead_letters
        self._messages.observe(rows + repeats + dead_letters)
        self._seconds.observe(seconds)
        if not results:
            return
        # A histogram's observe() for each row would cost a tenth of the sink's rate; sorted ages cost a hundredth.
        moment = now.timestamp()
        ages = sorted(max(0.0, moment - result.time.timestamp() - result.total_time) for result in results)
        below = 0
        for place, bound in enumerate((*_FRESHNESS_SECS, float("inf"))):
            up_to = bisect_right(ages, bound)
            self._freshness[place] += up_to - below
            below = up_to
        self._freshness_sum += sum(ages)
        if not self.newest_end >= moment - ages[0]:
            self.newest_end = moment - ages[0]

    def collect(self) -> Iterator[Metric]:
        """Give everything, as prometheus_client asks for it."""
        info = GaugeMetricFamily("webmon_sink_info", "1, and which webmon this is", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield counter("webmon_sink_rows_total", "Rows added to the database", self.rows)
        yield counter("webmon_sink_repeats_total", "Results that were there already", self.repeats)
        yield counter("webmon_sink_dead_letters_total", "Messages that could not be stored", self.dead_letters)
        newest = "When the newest check ended that was stored since the start"
        yield gauge("webmon_sink_newest_result_timestamp_seconds", newest, self.newest_end)
        yield from self._messages.collect()
        yield from self._seconds.collect()
        meaning = "From the end of a check to its row in the database, of all rows"
        counts = list(self._freshness)
        yield histogram("webmon_sink_freshness_seconds", meaning, _FRESHNESS_SECS, counts, self._freshness_sum)
        yield from self._own()
