"""Metrics of a component itself, as a scrape reads them."""

import time
from collections.abc import Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


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


def age(since: float | None) -> float:
    """Give the seconds since a moment of the monotonic clock; NaN where there was none."""
    return float("nan") if since is None else time.monotonic() - since
