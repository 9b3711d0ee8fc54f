"""The running service, as it answers on its own address: /healthz and /metrics."""

import http.client
import re
from typing import Final

from webmon.doctor.finding import Finding, failed, ok, warning
from webmon.settings import HostPort

_ASK_SECS: Final = 5.0
_SUBJECT: Final = "service"


def ask(address: HostPort | None, variable: str, unit: str) -> tuple[Finding, str | None]:
    """Ask a component whether it is well.

    Args:
        address: where it answers; None where that is off.
        variable: what sets that address.
        unit: its name to systemd.

    Returns:
        how it is, and its metrics in Prometheus' text format; None where it does not answer.
    """
    if address is None:
        return warning(_SUBJECT, f"{variable} is off, so the running {unit} can't be asked how it is"), None
    try:
        status, said = _get(address, "/healthz")
        metrics = _get(address, "/metrics")[1]
    except (OSError, http.client.HTTPException) as error:
        return failed(_SUBJECT, f"nothing answers at {address} ({error}): see systemctl status {unit}"), None
    if status != http.client.OK:
        return failed(_SUBJECT, f"{unit} says: {' '.join(said.split())}; see journalctl -u {unit}"), metrics
    return ok(_SUBJECT, f"{unit} says that it is well"), metrics


def value(metrics: str, name: str) -> float | None:
    """Read a metric that has no label of a target from Prometheus' text format."""
    found = re.search(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", metrics, re.MULTILINE)
    return float(found[1]) if found else None


def _get(address: HostPort, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*address, timeout=_ASK_SECS)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()
