"""What Prometheus asks of an agent: the last result of each target, and how the agent itself is.

Names and meaning of `probe_*` are blackbox_exporter's, so that its dashboards and alerts go on; the label `target` is
what `instance` is there. A check that failed for our own sake says nothing of its target, so it has no `probe_*`.
What it has and a result has not is left out: probe_http_content_length, probe_http_last_modified_timestamp_seconds,
probe_ssl_last_chain_*, the phase `setup` and the hop limit of an ICMP reply, the numbers of a DNS answer, probe_grpc_*.
"""

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from webmon import __version__
from webmon.check.kind import HTTP, kind_of
from webmon.check.result import CheckResult, Outcome

_LATENESS_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0)
_HTTP_VERSIONS: Final = {"1.0": 1.0, "1.1": 1.1, "2": 2.0, "3": 3.0}

_Value = Callable[[CheckResult], float | None]

_PROBES: Final[dict[str, tuple[str, _Value]]] = {
    "probe_success": ("Whether the target answered as expected", lambda r: float(r.outcome.is_up)),
    "probe_duration_seconds": ("The whole check", lambda r: r.total_time),
    "probe_dns_lookup_time_seconds": ("Time to resolve names", lambda r: r.phases.dns),
    "probe_ssl_earliest_cert_expiry": (
        "When the certificate ends, in Unix time",
        lambda r: r.tls_not_after.timestamp() if r.tls_not_after else None,
    ),
    "probe_ip_protocol": (
        "4 or 6",
        lambda r: _address(r.remote_ip).version if r.remote_ip else None,
    ),
    "probe_ip_addr_hash": (
        "A number that changes when the address does",
        lambda r: _fnv1a(_address(r.remote_ip).packed) if r.remote_ip else None,
    ),
}
"""Metrics of a target that have no other label: what each means, and its value; None where there is none."""

_PROBES_OF_HTTP: Final[dict[str, tuple[str, _Value]]] = {
    "probe_http_status_code": ("Status of the last response, 0 for none", lambda r: r.http_status or 0),
    "probe_http_version": ("Version of HTTP", lambda r: _HTTP_VERSIONS.get(r.http_version or "")),
    "probe_http_redirects": ("Redirects that were followed", lambda r: r.redirects),
    "probe_http_ssl": ("Whether the last connection was encrypted", lambda r: float(r.tls_version is not None)),
    "probe_http_uncompressed_body_length": ("Bytes of the body that were read", lambda r: r.body_bytes),
    "probe_failed_due_to_regex": (
        "Whether a pattern made it fail",
        lambda r: float(r.outcome in (Outcome.BODY_MISMATCH, Outcome.HEADER_MISMATCH)),
    ),
}
"""Those that only HTTP has."""

_PHASES: Final[dict[str, tuple[str, frozenset[str], dict[str, _Value]]]] = {
    "probe_http_duration_seconds": (
        "Time by phase, summed over redirects",
        HTTP,
        {
            "resolve": lambda r: r.phases.dns,
            "connect": lambda r: r.phases.connect,
            "tls": lambda r: r.phases.tls,
            "processing": lambda r: r.phases.first_byte,
            "transfer": lambda r: r.phases.transfer,
        },
    ),
    "probe_icmp_duration_seconds": (
        "Time by phase",
        frozenset({"icmp"}),
        # Not phases.first_byte, which without a reply is how long one was waited for.
        {"resolve": lambda r: r.phases.dns, "rtt": lambda r: r.response_time},
    ),
    "probe_dns_duration_seconds": (
        "Time by phase",
        frozenset({"dns"}),
        {
            "resolve": lambda r: r.phases.dns,
            "connect": lambda r: r.phases.connect,
            "request": lambda r: r.phases.first_byte,
        },
    ),
}
"""Metrics of kinds with a label `phase`: what each means, the kinds, and the seconds of each phase; 0 for None."""


def _kind(result: CheckResult) -> str:
    return result.kind or kind_of(result.url)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _fnv1a(data: bytes) -> int:
    """Give the 32-bit FNV-1a hash, which is blackbox_exporter's of an address."""
    found = 2166136261
    for byte in data:
        found = (found ^ byte) * 16777619 & 0xFFFFFFFF
    return found


class Metrics(Collector):
    """Keeps the last result of each target; many threads tell it, and each scrape reads it."""

    def __init__(self, agent: str, own: Callable[[], Iterable[Metric]]) -> None:
        """Take the vantage's id, and what gives the metrics of the agent itself at each scrape."""
        self._agent = agent
        self._own = own
        self._last: dict[str, CheckResult] = {}
        self._targets: frozenset[str] = frozenset()
        self._lateness = Histogram(
            "webmon_check_lateness_seconds",
            "How late checks began after their slots",
            registry=None,
            buckets=_LATENESS_BUCKETS,
        )

    def use(self, targets: Iterable[str]) -> None:
        """Forget the results of all but these targets."""
        self._targets = frozenset(targets)
        for name in self._last.keys() - self._targets:
            self._last.pop(name, None)

    def note(self, result: CheckResult) -> None:
        """Keep a result as its target's last."""
        self._lateness.observe(max(0.0, (result.time - result.scheduled_at).total_seconds()))
        if result.target in self._targets:  # a check may end after its target has gone from the list
            self._last[result.target] = result

    def collect(self) -> Iterator[Metric]:
        """Give everything, as prometheus_client asks for it."""
        last = list(self._last.values())
        yield from _probes([result for result in last if result.outcome is not Outcome.AGENT_ERROR])
        outcome = GaugeMetricFamily(
            "webmon_outcome", "1 for the outcome of the last check", labels=["target", "outcome"]
        )
        checked = GaugeMetricFamily(
            "webmon_last_check_timestamp_seconds", "When the last check began", labels=["target"]
        )
        target = GaugeMetricFamily("webmon_target_info", "1, and where the target is", labels=["target", "url", "kind"])
        answer = GaugeMetricFamily(
            "webmon_answer_info", "1, and what came in the last check of a target", labels=["target", "answer"]
        )
        for result in last:
            target.add_metric([result.target, result.url, _kind(result)], 1)
            if result.answer and result.outcome is not Outcome.AGENT_ERROR:
                answer.add_metric([result.target, result.answer], 1)
            outcome.add_metric([result.target, result.outcome.value], 1)
            checked.add_metric([result.target], result.time.timestamp())
        yield target
        yield answer
        yield outcome
        yield checked
        yield from self._lateness.collect()
        info = GaugeMetricFamily("webmon_info", "1, and which webmon this is", labels=["version", "agent"])
        info.add_metric([__version__, self._agent], 1)
        yield info
        yield from self._own()


def _probes(results: list[CheckResult]) -> Iterator[Metric]:
    yield from _values(_PROBES, results)
    yield from _values(_PROBES_OF_HTTP, [result for result in results if _kind(result) in HTTP])
    for name, (meaning, kinds, phases) in _PHASES.items():
        family = GaugeMetricFamily(name, meaning, labels=["target", "phase"])
        for result in results:
            if _kind(result) in kinds:
                for phase, seconds_of in phases.items():
                    family.add_metric([result.target, phase], seconds_of(result) or 0.0)
        yield family
    versions = GaugeMetricFamily("probe_tls_version_info", "1, and the version of TLS", labels=["target", "version"])
    for result in results:
        if result.tls_version is not None:
            versions.add_metric([result.target, result.tls_version.replace("TLSv", "TLS ")], 1)
    yield versions


def _values(probes: dict[str, tuple[str, _Value]], results: list[CheckResult]) -> Iterator[Metric]:
    for name, (meaning, value_of) in probes.items():
        family = GaugeMetricFamily(name, meaning, labels=["target"])
        for result in results:
            value = value_of(result)
            if value is not None:
                family.add_metric([result.target], value)
        yield family
