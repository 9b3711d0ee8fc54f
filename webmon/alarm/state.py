"""How the judge is: its loop tells it, and systemd, the log, /healthz and Prometheus are told of it."""

import logging
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from webmon import __version__
from webmon.daemon.metrics import counter, gauge, histogram, outages
from webmon.daemon.outage import Outage
from webmon.daemon.systemd import notify
from webmon.kafka import certificate

_log = logging.getLogger(__name__)

_SUMMARY_SECS: Final = 60.0
_STUCK_SECS: Final = 60.0
"""A loop that has not turned for so long hangs; systemd's watchdog is set to the same."""
_NOTIFY_SECS: Final = 1.0
_DELAYS: Final = (0.1, 0.25, 0.5, 1.0, 1.5, 3.0, 10.0, 30.0, 60.0, 300.0, 3600.0)


class State(Collector):
    """One thread tells it; any thread may ask."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a clock in seconds."""
        self.kafka = Outage("waiting for Kafka", "no longer waiting for Kafka", clock=clock)
        self.outages: dict[str, Outage] = {"kafka": self.kafka}
        """What is waited for, by its label."""
        self.judging = False
        self.epoch = 0
        self.is_held = False
        """Whether nothing is sent now, as it is not sure that we still judge."""
        self.lag = float("nan")
        """Seconds that the results which are judged are behind."""
        self.results = 0
        self.unreadable = 0
        self.orders = 0
        self.sends: Counter[tuple[str, str]] = Counter()
        """By channel and what became of it."""
        self.open: Mapping[str, int] = {}
        """Open episodes by their condition."""
        self.waiting: Mapping[str, int] = {}
        """Notices that are due, by channel."""
        self.log_written: Callable[[], int] = lambda: 0
        self.log_waiting: Callable[[], int] = lambda: 0
        self.heartbeats: Callable[[], int] = lambda: 0
        self.certificate_ends: Callable[[], datetime | None] = lambda: None
        self._delays = [0] * (len(_DELAYS) + 1)
        self._delays_sum = 0.0
        self._clock = clock
        self._turned = clock()
        self._ready = False
        self._notified = float("-inf")
        self._summary_at = clock() + _SUMMARY_SECS

    def tick(self) -> None:
        """Show that the loop turns; nothing else feeds the watchdog."""
        self._turned = self._clock()
        if self._turned - self._notified >= _NOTIFY_SECS:
            self._notified = self._turned
            notify("WATCHDOG=1", f"STATUS={self.summary()}")
        if self._turned >= self._summary_at:
            self._summary_at = self._turned + _SUMMARY_SECS
            _log.info("%s", self.summary())

    def ready(self) -> None:
        """Tell systemd once that the start is over."""
        if not self._ready:
            self._ready = True
            notify("READY=1", f"STATUS={self.summary()}")

    def note_delay(self, seconds: float) -> None:
        """Take how long it was from a message's being due to its being taken."""
        self._delays[bisect_left(_DELAYS, seconds)] += 1
        self._delays_sum += max(0.0, seconds)

    def still_secs(self) -> float:
        """Give the seconds since the loop turned last."""
        return self._clock() - self._turned

    def is_alive(self) -> bool:
        """Tell whether the loop turns: one that stands by or waits for a neighbour lives."""
        return self.still_secs() < _STUCK_SECS

    def waits_for(self) -> str:
        """Say what is waited for and why, in one line; nothing where nothing is."""
        return "; ".join(filter(None, map(str, list(self.outages.values()))))

    def summary(self) -> str:
        """Say in one line how it is."""
        if self.judging:
            what = f"judging, {self.results} results, {sum(self.open.values())} open, {self.lag:.0f} s behind"
            if self.is_held:
                what += "; nothing is sent until it is sure that nobody else judges"
        else:
            what = "standing by"
        return "; ".join([what, *filter(None, [self.waits_for()])])

    def collect(self) -> Iterator[Metric]:
        """Give everything, as prometheus_client asks for it."""
        info = GaugeMetricFamily("webmon_alarm_info", "1, and which webmon this is", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield gauge("webmon_alarm_judging", "1 where this one judges, 0 where it stands by", self.judging)
        yield gauge("webmon_alarm_epoch", "The judge's number in the alarm log", self.epoch)
        yield gauge("webmon_alarm_held", "1 while nothing is sent, as another may judge", self.is_held)
        yield gauge("webmon_alarm_lag_seconds", "How far what is judged is behind the clock", self.lag)
        yield counter("webmon_alarm_results_total", "Results that were judged", self.results)
        yield counter("webmon_alarm_unreadable_total", "Messages that are no result we believe", self.unreadable)
        yield counter("webmon_alarm_orders_total", "Orders that were taken", self.orders)
        opened = GaugeMetricFamily("webmon_alarm_episodes", "Episodes that are open", labels=["condition"])
        for condition, count in sorted(self.open.items()):
            opened.add_metric([condition], count)
        waiting = GaugeMetricFamily("webmon_alarm_notices_waiting", "Notices that are due", labels=["channel"])
        for channel, count in sorted(self.waiting.items()):
            waiting.add_metric([channel], count)
        sends = CounterMetricFamily(
            "webmon_alarm_sends_total", "Messages by what became of them", labels=["channel", "answer"]
        )
        for (channel, answer), count in sorted(dict(self.sends).items()):
            sends.add_metric([channel, answer], count)
        yield from (opened, waiting, sends)
        meaning = "From a message that was due to its being taken"
        yield histogram("webmon_alarm_delay_seconds", meaning, _DELAYS, list(self._delays), self._delays_sum)
        yield counter("webmon_alarm_log_records_total", "Records that the alarm log took", self.log_written())
        yield gauge("webmon_alarm_log_waiting", "Records that the alarm log is still to take", self.log_waiting())
        yield counter("webmon_alarm_heartbeats_total", "Heartbeats that were answered", self.heartbeats())
        ends = certificate.as_metric(self.certificate_ends())
        yield gauge("webmon_alarm_kafka_certificate_expiry_timestamp_seconds", certificate.EXPIRY_MEANING, ends)
        yield gauge("webmon_alarm_turn_age_seconds", "Time since the main loop last ran", self.still_secs())
        yield from outages("webmon_alarm", dict(sorted(dict(self.outages).items())))
