"""How a sink is: the loop tells it, and systemd, the log, /healthz and Prometheus are told of it."""

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric

from webmon.daemon.metrics import gauge, outages
from webmon.daemon.outage import Outage
from webmon.daemon.systemd import notify
from webmon.sink.metrics import Metrics

_log = logging.getLogger(__name__)

_SUMMARY_SECS: Final = 60.0
_STUCK_SECS: Final = 60.0
"""A loop that has not turned for so long hangs; systemd's watchdog is set to the same."""


class State:
    """One thread tells it; any thread may ask."""

    def __init__(
        self, others: Callable[[], Iterable[Metric]] = tuple, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take what gives the metrics of the sink's other parts, and a clock in seconds."""
        self.metrics = Metrics(lambda: itertools.chain(self._own_metrics(), others()))
        self.database = _waiting_for("the database", clock)
        self.broker = _waiting_for("Kafka", clock)
        self.reading = _waiting_for("Kafka to let us read", clock)
        self.lags: dict[int, int] | None = None
        """Messages that wait, by partition of ours; None before the sink is a member of its group."""
        self.partitions: list[int] = []
        self._outages = {"database": self.database, "kafka": self.broker, "kafka-rights": self.reading}
        self._clock = clock
        self._turned = clock()
        self._ready = False
        self._summary_at = clock() + _SUMMARY_SECS

    def tick(self) -> None:
        """Show that the loop turns; nothing else feeds the watchdog."""
        self._turned = self._clock()
        notify("WATCHDOG=1", f"STATUS={self.summary()}")
        if self._turned >= self._summary_at:
            self._summary_at = self._turned + _SUMMARY_SECS
            _log.info("%s", self.summary())

    def ready(self) -> None:
        """Tell systemd once that the start is over."""
        if not self._ready:
            self._ready = True
            notify("READY=1", f"STATUS={self.summary()}")

    def still_secs(self) -> float:
        """Give the seconds since the loop turned last."""
        return self._clock() - self._turned

    def is_alive(self) -> bool:
        """Tell whether the loop turns: a sink that waits for a neighbour lives."""
        return self.still_secs() < _STUCK_SECS

    def waits_for(self) -> str:
        """Say what the sink waits for and why, in one line; nothing where it waits for nothing."""
        return "; ".join(filter(None, map(str, self._outages.values())))

    def summary(self) -> str:
        """Give what was done since the start, and what is waited for, in one line."""
        done = self.metrics
        lag = "" if self.lags is None else f", {sum(self.lags.values())} waiting on the topic"
        parts = [f"{done.rows} rows stored, {done.repeats} repeats, {done.dead_letters} dead letters{lag}"]
        return "; ".join([*parts, *filter(None, [self.waits_for()])])

    def _own_metrics(self) -> Iterator[Metric]:
        yield gauge("webmon_sink_partitions", "Partitions of the topic that are ours", len(self.partitions))
        lag = GaugeMetricFamily("webmon_sink_lag", "Messages that wait on a partition of ours", labels=["partition"])
        for partition, waiting in sorted((self.lags or {}).items()):
            lag.add_metric([str(partition)], waiting)
        yield lag
        yield gauge("webmon_sink_turn_age_seconds", "Time since the main loop last ran", self.still_secs())
        yield from outages("webmon_sink", self._outages)


def _waiting_for(what: str, clock: Callable[[], float]) -> Outage:
    return Outage(f"waiting for {what}", f"no longer waiting for {what}", clock=clock)
