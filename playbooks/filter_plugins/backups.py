"""The filter `backup_findings`: whether a database could be put back, by what pgBackRest and PostgreSQL told."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

_OLDEST_SECS: Final = 2 * 86_400
"""One is made each day; it may begin late and take its time."""


def backup_findings(
    info: Mapping[str, Any], archiver: Mapping[str, Any], now: float, repository: str
) -> list[dict[str, str]]:
    """Give what there is to say, as the doctor's findings.

    Args:
        info: the result of `pgbackrest --output=json info`.
        archiver: the result of a query for whether the last WAL file could not be archived, and seconds since one was.
        now: seconds of the epoch.
        repository: where the backups should be.
    """
    return [
        {"component": "database", "level": level, "subject": subject, "text": text}
        for level, subject, text in (*_of_backups(info, now, repository), *_of_wal(archiver, repository))
    ]


def _of_backups(info: Mapping[str, Any], now: float, repository: str) -> Iterator[tuple[str, str, str]]:
    try:
        (stanza,) = json.loads(info.get("stdout") or "")
        stops = [float(backup["timestamp"]["stop"]) for backup in stanza["backup"] if not backup.get("error")]
        is_made = stanza["status"]["lock"]["backup"]["held"]
    except (ValueError, KeyError, TypeError):
        said = " ".join(str(info.get("stderr") or info.get("stdout") or info.get("msg")).split())[:300]
        yield "FAILED", "backup", f"pgBackRest does not say what {repository} has: {said}"
        return
    journal = "see journalctl -u 'webmon-backup@*'"
    if not stops:
        if is_made:
            yield "warning", "backup", f"there is none in {repository} yet, the first is being made"
        else:
            yield "FAILED", "backup", f"there is none in {repository}; {journal}, then run playbooks/backup.yml"
        return
    age = now - max(stops)
    told = f"the newest of {len(stops)} in {repository} is {_span(age)} old"
    if age > _OLDEST_SECS and not is_made:
        yield "FAILED", "backup", f"{told}, and one should be made each day; {journal}"
    else:
        yield "ok", "backup", told


def _of_wal(archiver: Mapping[str, Any], repository: str) -> Iterator[tuple[str, str, str]]:
    failing, _, since = str(archiver.get("stdout") or "").strip().partition("|")
    if archiver.get("rc") != 0 or failing not in {"t", "f"}:
        said = " ".join(str(archiver.get("stderr") or archiver.get("msg")).split())[:300]
        yield "FAILED", "WAL", f"PostgreSQL does not say whether its WAL gets to {repository}: {said}"
        return
    last = f"the last came {_span(float(since))} ago" if since else "none has come yet"
    if failing == "t":
        yield "FAILED", "WAL", f"it does not get to {repository} ({last}); the journal of PostgreSQL says why"
    else:
        yield "ok", "WAL", f"it gets to {repository}: {last}"


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


class FilterModule:
    """What Ansible looks for in a filter plugin."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, str]]]]:
        """Give the filters by name."""
        return {"backup_findings": backup_findings}
