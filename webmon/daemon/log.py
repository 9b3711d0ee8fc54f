"""Log lines for people, on stderr; where the journal reads them, with fields for machines too.

A line whose arguments are a mapping gives each of them to the journal as a field: `log.error("%(count)d of %(target)s",
{"count": 3, "target": "shop"})` is the line "3 of shop" with WEBMON_COUNT=3 and WEBMON_TARGET=shop.

A line never harms who logs it: it raises nothing, and what nobody takes in time is lost, counted, and told of later.
"""

import abc
import contextlib
import logging
import os
import select
import socket
import time
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
WARNING: Final = "<4>"
"""How a line of a warning begins where the journal reads it from stderr: sd-daemon(3)."""
_SOCKET: Final = "/run/systemd/journal/socket"
_STDERR: Final = 2
_WAIT_SECS: Final = 1.0
"""How long a line may wait for room; those after one that had to go do not wait at all."""
_MOST_OF_LINE: Final = 16_384
_MOST_OF_FIELD: Final = 4_096
"""Characters; so that an entry fits into a datagram of Linux (212,992 bytes)."""
_CHUNK: Final = 4_096
"""Bytes that a pipe or socket that poll(2) calls writable takes without a wait."""


class _Way(abc.ABC):
    """Where lines go. Who is slow is waited for once; from then on no more, until something can be sent again."""

    def __init__(self) -> None:
        self._wait_secs = _WAIT_SECS

    def send(self, data: bytes) -> bool:
        """Send it if that can be done in time, and tell whether it was."""
        sent = False
        with contextlib.suppress(OSError, ValueError):  # poll(2) has a ValueError for what is closed
            sent = self._send(data, time.monotonic() + self._wait_secs)
        self._wait_secs = _WAIT_SECS if sent else 0.0
        return sent

    @abc.abstractmethod
    def _send(self, data: bytes, until: float) -> bool: ...


class Journal(_Way):
    """The journal's own socket (https://systemd.io/JOURNAL_NATIVE_PROTOCOL)."""

    def __init__(self, address: str = _SOCKET) -> None:
        """Connect.

        Raises:
            OSError: no journald listens there.
        """
        super().__init__()
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise

    def _send(self, data: bytes, until: float) -> bool:
        if not _has_room(self._socket.fileno(), until):
            return False
        try:
            self._socket.send(data)
        except OSError:  # another journald listens there by now
            self._socket.connect(self._address)
            self._socket.send(data)
        return True

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()


class _Stderr(_Way):
    """The process's standard error: a terminal, a file, a pipe, or the journal's stream."""

    def _send(self, data: bytes, until: float) -> bool:
        while data:
            if not _has_room(_STDERR, until):
                return False
            data = data[os.write(_STDERR, data[:_CHUNK]) :]
        return True


def _has_room(fd: int, until: float) -> bool:
    waiting = select.poll()
    waiting.register(fd, select.POLLOUT)
    return bool(waiting.poll(max(0.0, until - time.monotonic()) * 1000))


class Handler(logging.Handler):
    """Sends each line to the journal if there is one, else to stderr."""

    def __init__(self, journal: Journal | None) -> None:
        """Take the way to the journal, which is closed with the handler."""
        super().__init__()
        self._journal = journal
        self._stderr = _Stderr()
        self._lost = 0
        form = "%(asctime)s %(levelname)-8s %(message)s" if journal is None else "%(message)s"
        self.setFormatter(logging.Formatter(form))

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line; first how many were lost before it."""
        if self._lost and self._sent(_record(logging.WARNING, _LOST, {"count": self._lost})):
            self._lost = 0
        if not self._sent(record):
            self._lost += 1

    def _sent(self, record: logging.LogRecord) -> bool:
        text, fields = self._told(record)
        if self._journal is not None:
            entry = b"".join(_encoded(name, value) for name, value in (("MESSAGE", text), *fields.items()))
            if self._journal.send(entry):
                return True
            prefix = f"<{fields['PRIORITY']}>"  # sd-daemon(3): journald takes it from each line
            text = "\n".join(f"{prefix}{line}" for line in text.splitlines())
        return self._stderr.send(f"{text}\n".encode(errors="backslashreplace"))

    def _told(self, record: logging.LogRecord) -> tuple[str, dict[str, str]]:
        try:
            return _cut(self.format(record), _MOST_OF_LINE), dict(_fields(record))
        except Exception as error:  # noqa: BLE001  the values of a line may do anything when they are made a text
            values = {"place": f"{record.pathname}:{record.lineno}", "cause": type(error).__name__}
            unwritable = _record(logging.ERROR, _UNWRITABLE, values)
            return self.format(unwritable), dict(_fields(unwritable))

    def close(self) -> None:
        """Disconnect."""
        if self._journal is not None:
            self._journal.close()
        super().close()


_LOST: Final = "%(count)d log lines were lost: nobody took them in time"
_UNWRITABLE: Final = "a bug in webmon: the log line of %(place)s can't be written: %(cause)s"


def _record(level: int, text: str, values: Mapping[str, object]) -> logging.LogRecord:
    return logging.LogRecord(__name__, level, __file__, 0, text, (values,), None)


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, str]]:
    yield "PRIORITY", str(_PRIORITY.get(record.levelno, 6))
    yield "SYSLOG_IDENTIFIER", "webmon"
    yield "LOGGER", record.name
    yield "CODE_FUNC", record.funcName or ""
    if isinstance(record.args, Mapping):
        for name, value in record.args.items():
            yield f"WEBMON_{name.upper()}", _cut(str(value), _MOST_OF_FIELD)


def _cut(text: str, most: int) -> str:
    """Leave the middle out: of a long traceback both ends count."""
    if len(text) <= most:
        return text
    return f"{text[: most // 2]} [... {len(text) - most} characters ...] {text[-most // 2 :]}"


def _encoded(name: str, value: str) -> bytes:
    data = value.encode(errors="backslashreplace")
    if b"\n" in data:
        return name.encode() + b"\n" + len(data).to_bytes(8, "little") + data + b"\n"
    return name.encode() + b"=" + data + b"\n"


def stderr_is_the_journal() -> bool:
    """Tell whether the journal reads our stderr: JOURNAL_STREAM goes on to programs whose stderr is another."""
    stderr = os.fstat(_STDERR)
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


def _journal() -> Journal | None:
    if stderr_is_the_journal():
        with contextlib.suppress(OSError):
            return Journal()
    return None


def configure(level: str) -> None:
    """Send log lines to the journal, or to stderr.

    Args:
        level: the least level that is shown: DEBUG, INFO, WARNING, ERROR or FATAL.
    """
    logging.basicConfig(level=level, handlers=[Handler(_journal())], force=True)
    # The Kafka client logs each attempt to connect, many a second while a broker is away, and at ERROR too. What
    # matters of it is told by webmon in one line, so its own is for those who debug.
    if level != "DEBUG":
        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        logging.getLogger("urllib3").setLevel(logging.CRITICAL)
