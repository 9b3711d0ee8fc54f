"""`webmon drain`: send what the outbox of an agent that is no more still holds, and remove it."""

import os
import time
from pathlib import Path
from typing import Final

from webmon.agent.outbox import Outbox
from webmon.agent.publisher import Publisher
from webmon.agent.spool import is_outbox
from webmon.daemon import log
from webmon.errors import UserError
from webmon.settings import AgentSettings

_LOOK_SECS: Final = 0.1
_STOP_SECS: Final = 15.0
_MOMENT: Final = "%Y-%m-%d %H:%M:%S"


def run(settings: AgentSettings, path: Path | None, seconds: float) -> int:
    """Send what waits in an outbox; give the exit status: 0 where it is empty now and removed, 1 where it is not.

    Args:
        settings: those of the agent that it was.
        path: its outbox; None is that of the settings.
        seconds: how long to try.

    Raises:
        UserError: there is no such outbox, it is damaged, or an agent uses it.
    """
    log.configure(settings.common.log_level)
    path = path or settings.monitoring.outbox_path
    if not os.access(path, os.F_OK):
        raise UserError(f"{path}: there is no such file; right would be the outbox of an agent that does not run")
    if not is_outbox(path):
        raise UserError(f"{path}: is no outbox, or is damaged, and was left as it is: move it away, or name another")
    outbox = Outbox(path, settings.monitoring.outbox_bytes)
    publisher = Publisher(settings.kafka, outbox, mac_key=settings.monitoring.mac_key)
    left = 1
    try:
        found = len(outbox)
        left = _empty(outbox, publisher, seconds)
        span = outbox.span()
    finally:
        publisher.stop(_STOP_SECS)
        outbox.close(_STOP_SECS, remove_empty=not left)
    left = max(left, len(outbox))  # the file may have come back at the close
    if left or not outbox.is_on_disk:
        why = publisher.away_cause or ("not done in time" if outbox.is_on_disk else "the file can't be read")
        when = f" (of {span[0]:{_MOMENT}} to {span[1]:{_MOMENT}} UTC)" if span else ""
        print(f"{path}: {left} of {found} results{when} are left: {why}; nothing is lost, try again later")
        return 1
    if outbox.aside:
        print(f"{path}: is damaged; what could not be read of it is in {outbox.aside[-1]}")
        return 1
    refused = f", {publisher.refused} of them refused by Kafka" if publisher.refused else ""
    print(f"{path}: {found} results sent{refused}; it is empty and removed")
    return 0


def _empty(outbox: Outbox, publisher: Publisher, seconds: float) -> int:
    """Publish until nothing is left or the time is over; give how many results are left."""
    publisher.start()
    end = time.monotonic() + seconds
    # What stands in for a file that can't be used now is empty; it is tried again and again.
    while (len(outbox) or not outbox.is_on_disk) and time.monotonic() < end:
        time.sleep(_LOOK_SECS)
    return len(outbox)
