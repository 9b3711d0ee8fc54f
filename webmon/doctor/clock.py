"""The clock of this host against another: results carry the time of their vantage."""

from typing import Final

from webmon.doctor.finding import Finding, failed, ok, warning

_MOST_SECS: Final = 2.0
"""Off by more, a result can look like another slot's."""
_FAIL_SECS: Final = 60.0
"""Kafka itself refuses what is an hour ahead."""


def examine(before: float, theirs: float, after: float, *, whose: str) -> Finding:
    """Compare two clocks, in seconds since the epoch: theirs was read between two readings of ours.

    `whose` names theirs for people.
    """
    ahead, behind = before - theirs, theirs - after
    if max(ahead, behind) <= 0:
        return ok("clock", f"agrees with {whose}")
    side = "ahead of" if ahead > behind else "behind"
    text = f"is {max(ahead, behind):.1f} s {side} {whose}"
    if max(ahead, behind) > _FAIL_SECS:
        return failed("clock", f"{text}: set it, and keep it right with NTP (systemd-timesyncd, chrony)")
    if max(ahead, behind) > _MOST_SECS:
        return warning("clock", f"{text}: is NTP on (timedatectl), here and there?")
    return ok("clock", text)
