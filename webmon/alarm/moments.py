"""Moments as the log has them, in whole milliseconds since the epoch, and as people and the database have them."""

from datetime import UTC, datetime, timedelta
from typing import Final

LAST: Final = 253_370_764_800_000
"""The year 9999, in milliseconds: what comes after it is no moment to Python."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def as_moment(milliseconds: int) -> datetime:
    """Give milliseconds since the epoch as a moment in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)


def as_milliseconds(moment: datetime) -> int:
    """Give a moment in milliseconds since the epoch, the nearest whole one."""
    return round(moment.timestamp() * 1000)
