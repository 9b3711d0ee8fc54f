"""Log lines for people, on stderr; where the journal reads them, with fields for machines too.

A line whose arguments are a mapping gives each of them to the journal as a field: `log.error("%(count)d of %(target)s",
{"count": 3, "target": "shop"})` is the line "3 of shop" with WEBMON_COUNT=3 and WEBMON_TARGET=shop.
"""

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from typing import Final

_PRIORITY: Final = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}
"""syslog(3)'s numbers."""
_SOCKET: Final = "/run/systemd/journal/socket"


class JournalHandler(logging.Handler):
    """Sends each line as an entry with fields (https://systemd.io/JOURNAL_NATIVE_PROTOCOL)."""

    def __init__(self, address: str = _SOCKET) -> None:
        """Connect.

        Raises:
            OSError: no journald listens there.
        """
        super().__init__()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise

    def emit(self, record: logging.LogRecord) -> None:
        """Send an entry; to stderr, without fields, what journald does not take, as it is too long."""
        text = self.format(record)
        try:
            self._socket.send(b"".join(_encoded(name, value) for name, value in _fields(record, text)))
        except OSError:
            prefix = f"<{_PRIORITY.get(record.levelno, 6)}>"  # sd-daemon(3): journald takes it from each line
            sys.stderr.write("".join(f"{prefix}{line}\n" for line in text.splitlines()))

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()
        super().close()


def _fields(record: logging.LogRecord, text: str) -> Iterator[tuple[str, str]]:
    yield "MESSAGE", text
    yield "PRIORITY", str(_PRIORITY.get(record.levelno, 6))
    yield "SYSLOG_IDENTIFIER", "webmon"
    yield "LOGGER", record.name
    yield "CODE_FUNC", record.funcName or ""
    if isinstance(record.args, Mapping):
        for name, value in record.args.items():
            yield f"WEBMON_{name.upper()}", str(value)


def _encoded(name: str, value: str) -> bytes:
    data = value.encode(errors="backslashreplace")
    if b"\n" in data:
        return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
    return name.encode() + b"=" + data + b"\n"


def _stderr_is_the_journal() -> bool:
    """Tell whether the journal reads our stderr: JOURNAL_STREAM goes on to programs whose stderr is another."""
    stderr = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


def _handler() -> logging.Handler:
    if _stderr_is_the_journal():
        with contextlib.suppress(OSError):
            journal = JournalHandler()
            journal.setFormatter(logging.Formatter("%(message)s"))
            return journal
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(message)s"))
    return stream


def configure(level: str) -> None:
    """Send log lines to the journal, or to stderr.

    Args:
        level: the least level that is shown: DEBUG, INFO, WARNING, ERROR or FATAL.
    """
    logging.basicConfig(level=level, handlers=[_handler()], force=True)
    # The Kafka client logs each attempt to connect, many a second while a broker is away, and at ERROR too. What
    # matters of it is told by webmon in one line, so its own is for those who debug.
    if level != "DEBUG":
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        logging.getLogger("urllib3").setLevel(logging.CRITICAL)
