"""What Prometheus reads of a sink."""

import math
from datetime import UTC, datetime, timedelta

from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from webmon.check.result import CheckResult, Outcome
from webmon.sink.metrics import Metrics

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ended_before(seconds: float) -> CheckResult:
    """Make a result of a check of one second that ended so many seconds before NOW."""
    began = NOW - timedelta(seconds=seconds + 1)
    return CheckResult(
        target="shop", url="http://a/", agent="here", scheduled_at=began, time=began, interval=60,
        outcome=Outcome.UP, total_time=1.0,
    )  # fmt: skip


def scrape(metrics: Metrics) -> dict[str, float]:
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(generate_latest(metrics).decode())
        for sample in family.samples
    }


def test_freshness_counts_every_row_once_in_its_bucket() -> None:
    metrics = Metrics(list)
    metrics.note_batch(
        [ended_before(age) for age in (0.1, 0.25, 0.3, 0.9, 5000, 100_000)],
        rows=5, repeats=1, dead_letters=2, seconds=0.07, now=NOW,
    )  # fmt: skip
    metrics.note_batch([ended_before(0.6)], rows=1, repeats=0, dead_letters=0, seconds=0.5, now=NOW)
    seen = scrape(metrics)
    bounds = ("0.25", "0.5", "1.0", "1.5", "3600.0", "86400.0", "+Inf")
    counts = [seen[f"webmon_sink_freshness_seconds_bucket {bound}"] for bound in bounds]
    assert counts == [2, 3, 5, 5, 5, 6, 7]
    assert seen["webmon_sink_freshness_seconds_count"] == 7
    assert math.isclose(seen["webmon_sink_freshness_seconds_sum"], 105_002.15, abs_tol=0.001)
    assert (seen["webmon_sink_rows_total"], seen["webmon_sink_repeats_total"]) == (6, 1)
    assert seen["webmon_sink_dead_letters_total"] == 2
    assert seen["webmon_sink_batch_messages_bucket 10.0"] == 2
    assert seen["webmon_sink_batch_messages_sum"] == 9
    assert seen["webmon_sink_batch_seconds_bucket 0.1"] == 1


def test_the_newest_result_is_the_newest_of_all_batches() -> None:
    metrics = Metrics(list)
    assert math.isnan(scrape(metrics)["webmon_sink_newest_result_timestamp_seconds"])
    for age in (500, 2, 7000):  # an agent that was cut off brings old results
        metrics.note_batch([ended_before(age)], rows=1, repeats=0, dead_letters=0, seconds=0.1, now=NOW)
    newest = scrape(metrics)["webmon_sink_newest_result_timestamp_seconds"]
    assert math.isclose(newest, NOW.timestamp() - 2, abs_tol=0.001)


def test_a_batch_of_dead_letters_alone_has_no_freshness() -> None:
    metrics = Metrics(list)
    metrics.note_batch([], rows=0, repeats=0, dead_letters=3, seconds=0.1, now=NOW)
    seen = scrape(metrics)
    assert seen["webmon_sink_freshness_seconds_count"] == 0
    assert seen["webmon_sink_dead_letters_total"] == 3
    assert math.isnan(seen["webmon_sink_newest_result_timestamp_seconds"])
