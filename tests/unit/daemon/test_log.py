"""What the journal gets of a log line: the text that a person reads, and fields that a machine reads."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from webmon.daemon.log import JournalHandler


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
    """A logger whose lines go there."""
    logger = logging.getLogger("webmon.test")
    handler = JournalHandler(journald.address)
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
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
        log.exception("webmon's own fault")
    message = journald.entry()["MESSAGE"]
    assert message.startswith("webmon's own fault\nTraceback")
    assert message.endswith("ValueError: could not convert string to float: 'wrong'")


def test_what_journald_does_not_take_goes_to_stderr_with_its_priority(
    log: logging.Logger, capfd: pytest.CaptureFixture[str]
) -> None:
    log.error("%s", "a" * 10_000_000 + "\nend")
    lines = capfd.readouterr().err.splitlines()
    assert [line[:4] for line in lines] == ["<3>a", "<3>e"]
