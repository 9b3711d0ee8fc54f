"""A check finds what blackbox_exporter finds, but where docs/differences.md says that it does not, and why."""

import base64
import contextlib
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.blackbox import Blackbox, version
from tests.hostile import HostileServer
from tests.peers.cases import AUTHORITIES, CASES, NAMES, Case
from tests.readme import PAGES
from webmon.check.probe import Probe, utc_now
from webmon.check.resolver import Addresses
from webmon.check.result import CheckResult
from webmon.check.target import BODY_LIMIT, Proxy, Target


class Row(NamedTuple):
    """What the page says of a case: what each of the two finds, and which of their figures differ."""

    webmon: str
    blackbox: str
    differ: str


def _rows() -> dict[str, Row]:
    _, _, section = PAGES["docs/differences.md"].partition("\n## Beside blackbox_exporter\n")
    table = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return {case: Row(webmon.strip("`"), blackbox, differ) for case, webmon, blackbox, differ, _ in table[2:]}


ROWS: Final = _rows()


def test_every_difference_is_of_a_case() -> None:
    assert ROWS
    assert ROWS.keys() - CASES.keys() == set()


@pytest.mark.parametrize("name", CASES)
def test_a_check_finds_what_blackbox_exporter_finds(both: "Both", name: str) -> None:
    result, metrics = both.look(name)
    expected = CASES[name].outcome
    assert result.outcome is expected, result.error
    found = bool(metrics["probe_success"])
    figures = {
        "verdict": (result.outcome.is_up, found),
        "status": (result.http_status, metrics.get("probe_http_status_code") or None),
        "end of the certificate": (_seconds(result.tls_not_after), metrics.get("probe_ssl_earliest_cert_expiry")),
    }
    differ = ", ".join(
        what for what, (ours, theirs) in figures.items() if None not in (ours, theirs) and ours != theirs
    )
    row = Row(expected, "up" if found else "down", differ) if differ else None
    assert row == _known(name), f"{figures}; webmon says: {result.error}"


def _known(name: str) -> Row | None:
    """Give the row of the page; one of another version of blackbox_exporter is none: `up (0.23)`."""
    row = ROWS.get(name)
    if row is None:
        return None
    blackbox, _, only_in = row.blackbox.rstrip(")").partition(" (")
    return row._replace(blackbox=blackbox) if version().startswith(only_in) else None


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


class Both:
    """Both of them, at the servers of all cases."""

    def __init__(self, workspace: Path, stack: ExitStack) -> None:
        self._targets = {name: _target(name, case, stack) for name, case in CASES.items()}
        modules = {name: _module(CASES[name], target) for name, target in self._targets.items()}
        hosts = "".join(f"{address} {name}\n" for name, addresses in NAMES.items() for address in addresses)
        self._blackbox = stack.enter_context(Blackbox(workspace, modules, hosts))
        probe = Probe(agent="here", resolve=_resolve, authorities=(AUTHORITIES,))
        self._probe = stack.enter_context(contextlib.closing(probe))
        self._beside = stack.enter_context(ThreadPoolExecutor(1))

    def look(self, name: str) -> tuple[CheckResult, Mapping[str, float]]:
        """Give what each of them finds, at the same time."""
        target = self._targets[name]
        checked = self._beside.submit(self._probe.check, target, utc_now())
        text = self._blackbox.probe(target.url, name)
        samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return checked.result(), {sample.name: sample.value for sample in samples}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with ExitStack() as stack:
        yield Both(tmp_path_factory.mktemp("blackbox"), stack)


def _resolve(host: str, port: int, timeout: float) -> Addresses:
    if host not in NAMES:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [
        (socket.AF_INET6, (address, port, 0, 0)) if ":" in address else (socket.AF_INET, (address, port))
        for address in NAMES[host]
    ]


def _target(name: str, case: Case, stack: ExitStack) -> Target:
    proxy = None
    if case.proxy is not None:
        told = case.proxy_password and "Basic " + base64.b64encode(f"joe:{case.proxy_password}".encode()).decode()
        proxy = Proxy("127.0.0.1", stack.enter_context(HostileServer(case.proxy)).port, told)
    return Target(name=name, url=case.serve(stack), interval=60, proxy=proxy, **{"timeout": 5} | case.target)


def _module(case: Case, target: Target) -> dict[str, Any]:
    """Say what a target says as blackbox_exporter does."""
    options = {"http": _http}[case.prober](target)
    return {"prober": case.prober, "timeout": f"{target.timeout:g}s", case.prober: options | case.module}


def _http(target: Target) -> dict[str, Any]:
    """Say it as its `http_probe` has it; what it does not say is left to its defaults."""
    expect, tls, headers = target.expect, target.tls, dict(target.headers)
    made: dict[str, Any] = {
        "method": target.method,
        "headers": headers,
        "valid_status_codes": [code for low, high in expect.status for code in range(low, high + 1)],
        "fail_if_body_not_matches_regexp": [expect.body.text] if expect.body else [],
        "fail_if_body_matches_regexp": [expect.body_not.text] if expect.body_not else [],
        "fail_if_header_not_matches": [
            {"header": header, "regexp": pattern.text} for header, pattern in expect.headers
        ],
        "fail_if_header_matches": [
            {"header": header, "regexp": pattern.text, "allow_missing": True} for header, pattern in expect.headers_not
        ],
        "follow_redirects": target.max_redirects is not None,
        "enable_http2": target.http_version != "1.1",
        "tls_config": {
            "ca_file": str(tls.ca or AUTHORITIES),
            "insecure_skip_verify": not tls.verify,
            "min_version": {"1.2": "TLS12", "1.3": "TLS13"}[tls.minimum],
        },
    }
    if tls.certificate is not None:
        made["tls_config"] |= {"cert_file": str(tls.certificate), "key_file": str(tls.key or tls.certificate)}
    if target.body is not None:
        made["body"] = target.body.decode()
    if target.body_limit != BODY_LIMIT:
        made["body_size_limit"] = f"{target.body_limit}B"
    if target.ip_version != "any":
        made |= {"preferred_ip_protocol": f"ip{target.ip_version}", "ip_protocol_fallback": False}
    match headers.pop("Authorization", "").split(" "):
        case ["Basic", told]:
            user, _, password = base64.b64decode(told).decode().partition(":")
            made["basic_auth"] = {"username": user, "password": password}
        case ["Bearer", token]:
            made["bearer_token"] = token
    if (proxy := target.proxy) is not None:
        told = base64.b64decode((proxy.authorization or "").removeprefix("Basic ")).decode()
        made |= {"proxy_url": f"http://{told}{'@' if told else ''}{proxy}", "skip_resolve_phase_with_proxy": True}
    return made
