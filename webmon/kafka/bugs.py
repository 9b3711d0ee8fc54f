"""A bug of ours that a message meets: it is told with its traceback, and the message is set aside, not the sink."""

import logging
import traceback
from typing import Final

_log = logging.getLogger(__name__)

_told: Final[set[tuple[str, str, int | None]]] = set()
"""Kind and place of each: as many as there are lines in the program."""
_SHOWN: Final = 200
"""Characters of what an exception says: it may quote the message."""


def tell(error: Exception) -> str:
    """Log a bug where it was not yet; give the reason of the dead letter."""
    frames = traceback.extract_tb(error.__traceback__)
    place = (type(error).__name__, frames[-1].filename, frames[-1].lineno) if frames else (type(error).__name__, "", 0)
    if place not in _told:
        _told.add(place)
        _log.error("a bug in webmon; what meets it becomes a dead letter", exc_info=error)
    said = " ".join(str(error).split())
    return f"a bug in webmon: {type(error).__name__}: {said[:_SHOWN]}"
