"""The filter `release_trouble`: what is said of a host that does not work with a release, and how it is now."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_RESTARTED: Final = "restarted "
"""So begins a line of the gate that is no trouble."""


def release_trouble(
    host: str,
    to: str,
    init: Mapping[str, Any],
    gate: Mapping[str, Any],
    *,
    back: str = "",
    gate_back: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Say it.

    Args:
        host: which.
        to: the name of the release.
        init: what Ansible has of `webmon init`, where it was run.
        gate: likewise of the gate, where init did not fail.
        back: the name of the release that the host was set back to; empty where it stays.
        gate_back: what Ansible has of the gate with that.

    Returns:
        `lines` of what was seen, and one `end`.
    """
    trouble = f"{host} does not work with release {to}"
    failed = init.get("stderr_lines", []) if init.get("rc", 0) else _said(gate) + gate.get("stderr_lines", [])
    lines = [f"{trouble}:", *failed]
    now = "This run had not changed it, so it stays; playbooks/rollback.yml goes back."
    if back:
        seen = gate_back or {}
        lines += [f"With release {back} again:", *_said(seen)]
        if re.search(r"^changed +schema ", str(init.get("stdout", "")), re.MULTILINE):
            lines.append("The database keeps its new schema, which the init of that release refuses.")
        how = "and works." if seen.get("rc") == 0 else "and does not work with that either."
        now = f"It is back on {back}, {how}"
    others = "The hosts whose turn had not come are as they were."
    return {"lines": lines, "end": f"{trouble}: what it said is above. {now} {others}"}


def _said(gate: Mapping[str, Any]) -> list[str]:
    return [line for line in gate.get("stdout_lines", []) if not line.startswith(_RESTARTED)]


class FilterModule:
    """What Ansible looks for in a filter plugin."""

    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        """Give the filters by name."""
        return {"release_trouble": release_trouble}
