"""Where a component answers: what is told when it cannot, and how it ends."""

import http.client
import socket
import time
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tests.waiting import wait_until
from webmon.daemon.listener import Listener, listen
from webmon.settings import HostPort


class Broken(Collector):
    """Metrics that cannot be gathered for a reason that nobody foresaw."""

    def collect(self) -> Iterator[Metric]:
        yield Metric("a", "b", "gauge")
        raise ZeroDivisionError


class Slow(Collector):
    """Families that need so many seconds of work each, by a clock of their own."""

    def __init__(self, *seconds: float) -> None:
        self.seconds = seconds
        self.worked = 0.0

    def collect(self) -> Iterator[Metric]:
        for number, seconds in enumerate(self.seconds):
            self.worked += seconds
            yield GaugeMetricFamily(f"family_{number}", "One of many", value=number)


def listen_at(address: HostPort | None, metrics: Collector | None = None) -> Listener | None:
    return listen(address, "SINK_METRICS_ADDRESS", metrics or Broken(), lambda: True, lambda: "")


def test_an_address_that_cannot_be_had_is_told_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert listen_at(HostPort("127.0.0.1", port)) is None
    assert caplog.messages == [f"no metrics: SINK_METRICS_ADDRESS is 127.0.0.1:{port}: Address already in use"]


def test_off_listens_nowhere_and_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert listen_at(None) is None
    assert caplog.messages == []


def test_a_scrape_gives_way_to_other_threads_after_each_family_for_as_long_as_that_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics, rests = Slow(0.03, 0.002), list[float]()
    monkeypatch.setattr("webmon.daemon.listener.thread_time", lambda: metrics.worked)
    monkeypatch.setattr("webmon.daemon.listener.sleep", rests.append)
    listener = listen_at(HostPort("127.0.0.1", 0), metrics)
    assert listener is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{listener.port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    listener.close()
    assert "family_0 0.0" in text
    assert "family_1 1.0" in text
    assert rests == pytest.approx([0.03, 0.002])


def test_a_request_that_fails_for_our_own_sake_is_logged_and_the_next_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    listener = listen_at(HostPort("127.0.0.1", 0))
    assert listener is not None
    client = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=10)
    client.request("GET", "/metrics")
    with pytest.raises(http.client.RemoteDisconnected):
        client.getresponse()
    wait_until(lambda: caplog.messages == ["a bug in webmon: 127.0.0.1 got no answer"])
    client.request("GET", "/healthz")
    assert client.getresponse().read() == b"ok\n"
    client.close()
    began = time.monotonic()
    listener.close()
    assert time.monotonic() - began < 0.4  # the end is not waited for until the next look, twice a second
