"""Log lines for people, on stderr: short ones in a terminal, with their priority where the journal reads them."""

import logging
import os
import sys
from typing import Final

_PRIORITY: Final = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""syslog(3)'s numbers; journald takes `<N>` at the start of a line for the priority (sd-daemon(3))."""


class _JournalFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITY.get(record.levelno, 6)}>"
        # Each line of a traceback is an entry of its own in the journal, so each carries the priority.
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def configure(level: str) -> None:
    """Send log lines to stderr.

    Args:
        level: the least level that is shown: DEBUG, INFO, WARNING, ERROR or FATAL.
    """
    handler = logging.StreamHandler(sys.stderr)
    if "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(_JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # The Kafka client logs each attempt to connect, many a second while a broker is away, and at ERROR too. What
    # matters of it is told by webmon in one line, so its own is for those who debug.
    if level != "DEBUG":
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        logging.getLogger("urllib3").setLevel(logging.CRITICAL)
