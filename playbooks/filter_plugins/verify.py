"""The filter `verify_summary`: what the doctors of all hosts found, and whether anything of it has failed."""

from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, Final

_CLOCK_SECS: Final = 2.0
"""Off by more, a result can look like another slot's."""
_MOST_TOLD: Final = 400


def verify_summary(
    hosts: list[str], variables: Mapping[str, Mapping[str, Any]], looked: Container[str]
) -> dict[str, Any]:
    """Sum up.

    Args:
        hosts: whom it is about.
        variables: of each host: `_verify_findings` of its doctor, `timescaledb_findings` of backups,
            `_verify_clock_off` in seconds, and `_release_behind` where it runs another release; and what looking at it
            gave, `_verify_clock` and `_verify_first`.
        looked: those that were looked over to the end.

    Returns:
        `lines` for people, and whether something has `failed`.
    """
    told = [(level, line) for host in hosts for level, line in _of_host(host, variables[host], looked)]
    return {"lines": [line for _, line in told], "failed": any(level == "FAILED" for level, _ in told)}


def _of_host(host: str, variables: Mapping[str, Any], looked: Container[str]) -> Iterator[tuple[str, str]]:
    """Give each line with its level."""
    findings = [*variables.get("_verify_findings", []), *variables.get("timescaledb_findings", [])]
    yield "ok", f"{host}: {sum(one['level'] == 'ok' for one in findings)} of {len(findings)} well"
    for one in findings:
        if one["level"] != "ok":
            yield one["level"], f"{host} {one['component']}: {one['level']} {one['subject']}: {one['text']}"
    if "_release_behind" in variables:
        yield "warning", f"{host}: warning release: {variables['_release_behind']}"
    off = float(variables.get("_verify_clock_off", 0))
    if off > _CLOCK_SECS:
        yield "FAILED", f"{host}: FAILED clock: is {off:.1f} s off the controller's; set it, and keep it right with NTP"
    if host not in looked:
        yield "FAILED", f"{host}: FAILED: not looked over: {_why(variables)}"


def _why(variables: Mapping[str, Any]) -> str:
    """Say why a host was not looked over to the end, by the last thing that was asked of it."""
    asked = [variables[name] for name in ("_verify_first", "_verify_clock") if name in variables]
    if not asked:
        return "it did not answer before, or something failed on it: see above"
    result = asked[0]
    told = " ".join(str(result.get("stderr") or result.get("msg") or "").split())[:_MOST_TOLD]
    shown = told.encode("unicode_escape").decode() or "see above why"
    return f"it did not answer ({shown})" if result.get("unreachable") else shown


class FilterModule:
    """What Ansible looks for in a filter plugin."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        """Give the filters by name."""
        return {"verify_summary": verify_summary}
