"""What Prometheus reads of an agent, over HTTP as it reads it."""

import http.client
import math
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from webmon.agent.metrics import Metrics
from webmon.check.kind import kind_of
from webmon.check.result import CheckResult, Outcome, Phases
from webmon.daemon import listener
from webmon.daemon.listener import Listener
from webmon.daemon.metrics import age, counter, gauge
from webmon.settings import HostPort

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FULL: dict[str, Any] = {
    "http_status": 200,
    "http_version": "1.1",
    "response_time": 0.2,
    "phases": Phases(dns=0.01, connect=0.02, tls=0.03, first_byte=0.04, transfer=0.05),
    "body_bytes": 1234,
    "redirects": 2,
    "remote_ip": "192.0.2.7",
    "tls_version": "TLSv1.3",
    "tls_not_after": NOW + timedelta(days=9),
}


def make_result(
    target: str = "shop", outcome: Outcome = Outcome.UP, url: str = "http://a/", **more: Any
) -> CheckResult:
    return CheckResult(
        target=target, url=url, kind=kind_of(url), agent="here", scheduled_at=NOW, time=NOW + timedelta(seconds=0.03),
        interval=60, outcome=outcome, total_time=0.25, **more,
    )  # fmt: skip


def target_first(label: tuple[str, str]) -> tuple[bool, str]:
    return label[0] != "target", label[0]


class Stage:
    """Metrics behind a listener, and a client."""

    def __init__(self) -> None:
        self.healthy = True
        self.metrics = Metrics("here", lambda: [gauge("webmon_threads", "m", 3), counter("webmon_x_total", "m", 4)])
        self.listener = Listener(HostPort("127.0.0.1", 0), self.metrics, lambda: self.healthy)

    def get(self, path: str) -> tuple[int, str]:
        client = http.client.HTTPConnection("127.0.0.1", self.listener.port, timeout=10)
        client.request("GET", path)
        response = client.getresponse()
        answer = response.status, response.read().decode()
        client.close()
        return answer

    def scrape(self) -> dict[tuple[str, ...], float]:
        """Give the samples by their name and the values of their labels, the target first."""
        status, text = self.get("/metrics")
        assert status == 200
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items(), key=target_first))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    made.metrics.use(["shop", "blog"])
    yield made
    made.listener.close()


OF_BLACKBOX = {
    "probe_dns_lookup_time_seconds",
    "probe_duration_seconds",
    "probe_failed_due_to_regex",
    "probe_http_content_length",
    "probe_http_duration_seconds",
    "probe_http_redirects",
    "probe_http_ssl",
    "probe_http_status_code",
    "probe_http_uncompressed_body_length",
    "probe_http_version",
    "probe_ip_addr_hash",
    "probe_ip_protocol",
    "probe_ssl_earliest_cert_expiry",
    "probe_ssl_last_chain_expiry_timestamp_seconds",
    "probe_ssl_last_chain_info",
    "probe_success",
    "probe_tls_version_info",
}
"""What blackbox_exporter 0.23 answered for an https target."""
NOT_KNOWN = {
    "probe_http_content_length",
    "probe_ssl_last_chain_expiry_timestamp_seconds",
    "probe_ssl_last_chain_info",
}
"""What a result does not hold; the docstring of webmon/agent/metrics.py tells it."""


def test_no_other_name_of_blackbox_exporter_is_missing_and_none_is_made_up(stage: Stage) -> None:
    stage.metrics.note(make_result(**FULL))
    assert {name[0] for name in stage.scrape() if name[0].startswith("probe_")} == OF_BLACKBOX - NOT_KNOWN


def test_an_address_has_the_hash_that_blackbox_exporter_gives_it(stage: Stage) -> None:
    stage.metrics.note(make_result(remote_ip="127.0.0.1"))
    assert stage.scrape()["probe_ip_addr_hash", "shop"] == 3668918509


def test_the_last_result_stands_under_the_names_of_blackbox_exporter(stage: Stage) -> None:
    stage.metrics.note(make_result(outcome=Outcome.TIMEOUT))
    stage.metrics.note(make_result(**FULL))
    seen = stage.scrape()
    assert {name[0]: value for name, value in seen.items() if name[1:] == ("shop",)} == {
        "probe_success": 1,
        "probe_duration_seconds": 0.25,
        "probe_dns_lookup_time_seconds": 0.01,
        "probe_http_status_code": 200,
        "probe_http_version": 1.1,
        "probe_http_redirects": 2,
        "probe_http_ssl": 1,
        "probe_http_uncompressed_body_length": 1234,
        "probe_failed_due_to_regex": 0,
        "probe_ssl_earliest_cert_expiry": (NOW + timedelta(days=9)).timestamp(),
        "probe_ip_protocol": 4,
        "probe_ip_addr_hash": 1936431214,
        "webmon_last_check_timestamp_seconds": (NOW + timedelta(seconds=0.03)).timestamp(),
    }
    assert {name[2]: value for name, value in seen.items() if name[0] == "probe_http_duration_seconds"} == {
        "resolve": 0.01,
        "connect": 0.02,
        "tls": 0.03,
        "processing": 0.04,
        "transfer": 0.05,
    }
    assert seen["probe_tls_version_info", "shop", "TLS 1.3"] == 1
    assert seen["webmon_outcome", "shop", "up"] == 1
    assert ("webmon_outcome", "shop", "timeout") not in seen
    assert seen["webmon_target_info", "shop", "http", "http://a/"] == 1
    assert not any(name[0] == "webmon_answer_info" for name in seen)


@pytest.mark.parametrize(
    ("outcome", "success", "regex"),
    [(Outcome.SLOW, 1, 0), (Outcome.TIMEOUT, 0, 0), (Outcome.BODY_MISMATCH, 0, 1), (Outcome.HEADER_MISMATCH, 0, 1)],
)
def test_a_failure_is_told_with_its_kind(stage: Stage, outcome: Outcome, success: int, regex: int) -> None:
    stage.metrics.note(make_result(outcome=outcome))
    seen = stage.scrape()
    assert seen["probe_success", "shop"] == success
    assert seen["probe_failed_due_to_regex", "shop"] == regex
    assert seen["probe_http_status_code", "shop"] == 0
    assert ("probe_ssl_earliest_cert_expiry", "shop") not in seen


@pytest.mark.parametrize(("version", "number"), [("1.0", 1.0), ("1.1", 1.1), ("2", 2.0), ("3", 3.0)])
def test_the_version_of_http_is_a_number(stage: Stage, version: str, number: float) -> None:
    stage.metrics.note(make_result(**FULL | {"http_version": version}))
    assert stage.scrape()["probe_http_version", "shop"] == number


OF_EVERY_KIND = {
    "probe_dns_lookup_time_seconds",
    "probe_duration_seconds",
    "probe_ip_addr_hash",
    "probe_ip_protocol",
    "probe_success",
}
OF_TLS = {"probe_ssl_earliest_cert_expiry", "probe_tls_version_info"}


@pytest.mark.parametrize(
    ("url", "more", "phases"),
    [
        ("tcp://a:25", set(), {}),
        ("tls://a:853", OF_TLS, {}),
        ("wss://a/", OF_TLS, {}),
        ("icmp://a", {"probe_icmp_duration_seconds"}, {"resolve": 0.01, "rtt": 0.2}),
        ("dns://a/b", {"probe_dns_duration_seconds"}, {"resolve": 0.01, "connect": 0.02, "request": 0.04}),
    ],
)
def test_a_kind_has_the_names_of_blackbox_exporter_for_it_and_none_of_http(
    stage: Stage, url: str, more: set[str], phases: dict[str, float]
) -> None:
    secure = more == OF_TLS
    stage.metrics.note(
        make_result(
            url=url,
            answer="220 mail.example ESMTP",
            response_time=0.2,
            phases=Phases(dns=0.01, connect=0.02, first_byte=0.04),
            remote_ip="192.0.2.7",
            tls_version="TLSv1.3" if secure else None,
            tls_not_after=NOW + timedelta(days=9) if secure else None,
        )
    )
    seen = stage.scrape()
    assert {name[0] for name in seen if name[0].startswith("probe_")} == OF_EVERY_KIND | more
    assert {name[2]: value for name, value in seen.items() if name[0] in more - OF_TLS} == phases
    assert seen["webmon_target_info", "shop", kind_of(url), url] == 1
    assert seen["webmon_answer_info", "shop", "220 mail.example ESMTP"] == 1


def test_a_host_that_does_not_reply_has_no_time_of_a_reply(stage: Stage) -> None:
    stage.metrics.note(make_result(outcome=Outcome.TIMEOUT, url="icmp://a", phases=Phases(dns=0.01, first_byte=9.0)))
    seen = stage.scrape()
    assert seen["probe_icmp_duration_seconds", "shop", "rtt"] == 0
    assert seen["probe_success", "shop"] == 0
    assert not any(name[0] == "webmon_answer_info" for name in seen)


def test_a_new_answer_takes_the_place_of_the_one_before(stage: Stage) -> None:
    for answer in ("192.0.2.1", "192.0.2.2"):
        stage.metrics.note(make_result(url="dns://a/b", answer=answer))
    assert [name[2] for name in stage.scrape() if name[0] == "webmon_answer_info"] == ["192.0.2.2"]


def test_our_own_fault_says_nothing_of_the_target(stage: Stage) -> None:
    stage.metrics.note(make_result(outcome=Outcome.AGENT_ERROR, url="tcp://a:25", answer="220 mail"))
    seen = stage.scrape()
    assert seen["webmon_outcome", "shop", "agent_error"] == 1
    assert not any(name[0].startswith(("probe_", "webmon_answer")) for name in seen)


def test_a_target_that_left_the_list_is_forgotten_also_where_its_last_check_ends_later(stage: Stage) -> None:
    stage.metrics.note(make_result("shop"))
    stage.metrics.note(make_result("blog"))
    stage.metrics.use(["blog"])
    stage.metrics.note(make_result("shop"))
    assert {name[1] for name in stage.scrape() if name[0] == "probe_success"} == {"blog"}


def test_the_agents_own_metrics_and_its_lateness_are_there(stage: Stage) -> None:
    stage.metrics.note(make_result())
    seen = stage.scrape()
    assert (seen["webmon_threads",], seen["webmon_x_total",]) == (3, 4)
    assert seen["webmon_check_lateness_seconds_bucket", "0.025"] == 0
    assert seen["webmon_check_lateness_seconds_bucket", "0.05"] == 1
    assert any(name[0] == "webmon_info" and "here" in name for name in seen)


def test_a_name_of_any_letters_is_read_back(stage: Stage) -> None:
    name = 'a "b" \\ ü\n{c}'
    stage.metrics.use([name])
    stage.metrics.note(make_result(name))
    assert stage.scrape()["probe_success", name] == 1


def test_healthz_says_whether_the_agent_is_well(stage: Stage) -> None:
    assert stage.get("/healthz") == (200, "ok\n")
    stage.healthy = False
    assert stage.get("/healthz") == (503, "not well\n")
    assert stage.get("/")[0] == 404


def test_a_client_that_says_nothing_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_CLIENT_SECS", 60.0)
    stage = Stage()
    with socket.create_connection(("127.0.0.1", stage.listener.port)):
        assert stage.get("/healthz")[0] == 200
    stage.listener.close()


def test_an_age_before_the_first_is_no_number() -> None:
    assert math.isnan(age(None))
