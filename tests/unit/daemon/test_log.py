"""What the journal gets of a log line: the text that a person reads, and fields that a machine reads."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from webmon.daemon.log import Handler, Journal


class Journald:
    """A journald that tells what it was sent."""

    def __init__(self, address: Path) -> None:
        """Listen."""
        self.address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._socket.settimeout(5)

    def entry(self) -> dict[str, str]:
        """Give the fields of the next entry."""
        data, fields = self._socket.recv(1 << 20), {}
        while data:
            line, data = data.split(b"\n", 1)
            name, is_short, value = line.partition(b"=")
            if not is_short:
                length = int.from_bytes(data[:8], "little")
                value, data = data[8 : 8 + length], data[8 + length + 1 :]
            fields[name.decode()] = value.decode()
        return fields

    def close(self) -> None:
        """Be no more."""
        self._socket.close()


@pytest.fixture
def journald(tmp_path: Path) -> Iterator[Journald]:
    """A journald."""
    listening = Journald(tmp_path / "socket")
    yield listening
    listening.close()


@pytest.fixture
def log(journald: Journald) -> Iterator[logging.Logger]:
    """A logger whose lines go there, and nowhere else."""
    logger = logging.Logger("webmon.test")  # noqa: LOG001  one of its own: no handler of pytest sees its lines
    handler = Handler(Journal(journald.address))
    logger.addHandler(handler)
    yield logger
    handler.close()


def test_what_a_line_says_of_whom_is_there_as_fields(journald: Journald, log: logging.Logger) -> None:
    log.error("%(count)d checks of %(target)s failed", {"count": 3, "target": "shop"})
    entry = journald.entry()
    assert entry["MESSAGE"] == "3 checks of shop failed"
    assert entry["PRIORITY"] == "3"
    assert entry["SYSLOG_IDENTIFIER"] == "webmon"
    assert entry["LOGGER"] == "webmon.test"
    assert (entry["WEBMON_COUNT"], entry["WEBMON_TARGET"]) == ("3", "shop")


def test_a_text_of_several_lines_forges_no_field(journald: Journald, log: logging.Logger) -> None:
    log.warning("%(cause)s", {"cause": "refused\nPRIORITY=0\n"})
    entry = journald.entry()
    assert entry["WEBMON_CAUSE"] == entry["MESSAGE"] == "refused\nPRIORITY=0\n"
    assert entry["PRIORITY"] == "4"


def test_a_traceback_is_one_entry_with_its_line(journald: Journald, log: logging.Logger) -> None:
    try:
        float("wrong")
    except ValueError:
        log.exception("a bug in webmon")
    message = journald.entry()["MESSAGE"]
    assert message.startswith("a bug in webmon\nTraceback")
    assert message.endswith("ValueError: could not convert string to float: 'wrong'")


def test_a_line_that_is_far_too_long_is_there_with_both_ends(journald: Journald, log: logging.Logger) -> None:
    log.error("%(cause)s", {"cause": "begin" + "\U0001f980" * 10_000_000 + "end"})
    entry = journald.entry()
    assert entry["MESSAGE"].startswith("begin\U0001f980")
    assert entry["MESSAGE"].endswith("\U0001f980end")
    assert "[... 9983624 characters ...]" in entry["MESSAGE"]
    assert len(entry["MESSAGE"]) + len(entry["WEBMON_CAUSE"]) < 30_000


def test_without_journald_lines_go_to_stderr_with_their_priority_until_there_is_one_again(
    journald: Journald, log: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    journald.close()
    log.error("%s", "first\nsecond")
    assert capfd.readouterr().err == "<3>first\n<3>second\n"
    Path(journald.address).unlink()
    log.error("third")
    assert capfd.readouterr().err == "<3>third\n"
    again = Journald(Path(journald.address))
    log.error("fourth")
    assert again.entry()["MESSAGE"] == "fourth"
    again.close()


class Unwritable:
    """A value that can't be made a text."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError


@pytest.mark.parametrize(
    "arguments", [(1, 2), ({"other": 1},), ({"count": Unwritable(), 3: 4},), ({"count": 1, 3: 4},)]
)
def test_a_line_with_wrong_values_is_told_and_raises_nothing(
    journald: Journald, log: logging.Logger, arguments: tuple[object, ...]
) -> None:
    log.error("%(count)s", *arguments)
    message = journald.entry()["MESSAGE"]
    assert message.startswith(f"a bug in webmon: the log line of {__file__}:")
    assert "Error" in message


def fill(fd: int) -> None:
    """Leave no room in a pipe."""
    os.set_blocking(fd, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(fd, b"x" * 4096)
    os.set_blocking(fd, True)


@contextlib.contextmanager
def stderr_that_nobody_reads() -> Iterator[int]:
    """Make a full pipe the standard error; give its other end."""
    reading, writing = os.pipe()
    fill(writing)
    kept = os.dup(2)
    os.dup2(writing, 2)
    try:
        yield reading
    finally:
        os.dup2(kept, 2)
        for fd in (kept, reading, writing):
            os.close(fd)


def test_where_nobody_reads_lines_are_lost_and_counted_and_hold_up_nobody(
    journald: Journald, log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webmon.daemon.log._WAIT_SECS", 0.05)
    with stderr_that_nobody_reads():
        for number in range(1_000):
            log.error("line %d", number)
    taken: list[str] = []
    while not taken or taken[-1].startswith("line"):
        taken.append(journald.entry()["MESSAGE"])
        if len(taken) == 2:  # there is room for two
            log.error("the last")
    kept = taken[:-1]
    assert kept == [f"line {number}" for number in range(len(kept))]
    assert taken[-1] == f"{1_000 - len(kept)} log lines were lost: nobody took them in time"
    assert journald.entry()["MESSAGE"] == "the last"


def test_a_stderr_that_nobody_reads_any_more_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webmon.daemon.log._WAIT_SECS", 0.05)
    handler = Handler(None)
    with stderr_that_nobody_reads() as reading:
        for _ in range(3):
            handler.handle(logging.makeLogRecord({"msg": "a line"}))
        os.read(reading, 1 << 20)
        handler.handle(logging.makeLogRecord({"msg": "the last", "levelname": "INFO"}))
        lines = os.read(reading, 1 << 20).decode().splitlines()
    assert [line[24:] for line in lines] == [
        "WARNING  3 log lines were lost: nobody took them in time",
        "INFO     the last",
    ]


def test_a_stderr_that_is_closed_costs_no_more_than_the_lines() -> None:
    kept = os.dup(2)
    os.close(2)
    try:
        Handler(None).handle(logging.makeLogRecord({"msg": "a line"}))
    finally:
        os.dup2(kept, 2)
        os.close(kept)
