"""The clock of this host against another: results carry the time of their vantage."""

import time
from typing import Final

from webmon.doctor.finding import Finding, failed, ok, warning

_MOST_SECS: Final = 5.0
"""Off by more, a result can fall into another slot than it was checked in; Kafka itself refuses an hour."""
_FAIL_SECS: Final = 60.0


def examine(reference: float, *, now: float | None = None) -> Finding:
    """Compare with a clock that was read a moment ago, in seconds since the epoch."""
    offset = (time.time() if now is None else now) - reference
    side = "ahead of" if offset > 0 else "behind"
    text = f"this host's clock is {abs(offset):.1f} s {side} the one it was compared with"
    if abs(offset) > _FAIL_SECS:
        return failed("clock", f"{text}: set it, and keep it right with NTP (systemd-timesyncd, chrony)")
    if abs(offset) > _MOST_SECS:
        return warning("clock", f"{text}: is NTP on (timedatectl)?")
    return ok("clock", text)
