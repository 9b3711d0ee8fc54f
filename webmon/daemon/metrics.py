"""Metrics of a component itself, as a scrape reads them."""

import time
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from webmon.daemon.outage import Outage


def gauge(name: str, meaning: str, value: float) -> Metric:
    """Give a metric of the component itself that goes up and down."""
    return GaugeMetricFamily(name, meaning, value=value)


def counter(name: str, meaning: str, value: float) -> Metric:
    """Give a metric of the component itself that only grows; its name ends in `_total`."""
    return CounterMetricFamily(name, meaning, value=value)


def counters(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    """Give one that only grows for each value of a label."""
    family = CounterMetricFamily(name, meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def histogram(name: str, meaning: str, bounds: Sequence[float], counts: Sequence[int], total: float) -> Metric:
    """Give one of values that were counted elsewhere.

    Args:
        name: ends in the unit.
        meaning: what the values are.
        bounds: the upper end of each bucket but the last.
        counts: values of each bucket alone, one more than bounds.
        total: the sum of all values.
    """
    below, buckets = 0, []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    family = HistogramMetricFamily(name, meaning)
    family.add_metric([], buckets, total)
    return family


def outages(prefix: str, of: Mapping[str, Outage]) -> Iterator[Metric]:
    """Give what a component waits and waited for, by the label of each neighbour."""
    waiting = GaugeMetricFamily(f"{prefix}_waiting", "1 while a neighbour is waited for", labels=["for"])
    waits = CounterMetricFamily(f"{prefix}_waits_total", "Times that one was waited for", labels=["for"])
    seconds = CounterMetricFamily(f"{prefix}_wait_seconds_total", "Seconds of that", labels=["for"])
    for label, outage in of.items():
        waiting.add_metric([label], outage.lasts)
        waits.add_metric([label], outage.count)
        seconds.add_metric([label], outage.seconds)
    yield from (waiting, waits, seconds)


def age(since: float | None) -> float:
    """Give the seconds since a moment of the monotonic clock; NaN where there was none."""
    return float("nan") if since is None else time.monotonic() - since
