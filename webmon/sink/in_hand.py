"""What a sink has in hand, told on disk: one that was ended by it knows that when it starts again.

A message may end the process in a way that nothing in it can catch: memory, a fault in a library of C, a loop without
end that the watchdog ends. Read again, it would end it again, for ever. So where the process was ended twice with the
same messages in hand they are taken one by one, and the one that ends it once more is set aside, by its place alone.
"""

import fcntl
import itertools
import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from webmon.kafka.client import Withheld
from webmon.kafka.decode import Record, Unreadable

_log = logging.getLogger(__name__)

_ENDS: Final = 2
"""How often a process may end with the same messages in hand before they are suspected: once, it was something else."""

Range = tuple[int, int]
"""The first offset and the last."""


def directory() -> Path | None:
    """Give the directory that systemd made for our state; None where it did not start us."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(given) if given else None


class InHand:
    """One process's note; several on a host have one each."""

    def __init__(self, directory: Path | None = None) -> None:
        """Read the note of who was here before; without a directory nothing is kept.

        What can't be read or written is told and done without: the note helps only where a process was ended.
        """
        self.number = 1
        """Ours among the sinks that share the directory at this time, from 1."""
        self._ends = 0
        self._suspects: dict[tuple[str, int], Range] = {}
        self._file = -1
        if directory is not None:
            try:
                self._file, self.number = _own_file(directory)
                self._read(os.pread(self._file, 1_000_000, 0))
            except OSError as error:
                self._give_up(error)

    def pieces(self, batch: list[Record]) -> Iterator[list[Record]]:
        """Cut a batch: those that are suspected one by one, all in the order of the topic."""
        if self._ends < _ENDS:
            yield batch
            return
        for is_suspect, group in itertools.groupby(batch, self._is_suspect):
            records = list(group)
            yield from ([record] for record in records) if is_suspect else [records]

    def take(self, piece: Sequence[Record]) -> None:
        """Note what is in hand from now on."""
        if self._file < 0:
            return
        ranges: dict[tuple[str, int], Range] = {}
        lasts = {record.partition: record for record in piece}
        for first in {record.partition: record for record in reversed(piece)}.values():
            ranges[first.topic, first.partition] = (first.offset, lasts[first.partition].offset)
        ends = self._ends if self._suspects and any(map(self._is_suspect, piece)) else 0
        self._write(json.dumps({"ends": ends, "in_hand": [[*place, *found] for place, found in ranges.items()]}))

    def lay_down(self) -> None:
        """Note that nothing is in hand: it is in its place, or given back."""
        self._write("")

    def what_ended_us(self, piece: Sequence[Record]) -> list[Unreadable]:
        """Give the message that ends the process each time, with its place alone; nothing where there is none such."""
        if len(piece) != 1 or self._ends < _ENDS or not self._is_suspect(piece[0]):
            return []
        record = piece[0]
        first, last = self._suspects[record.topic, record.partition]
        if len(self._suspects) > 1 or first != last:
            return []
        value = Withheld()
        value.first, value.size, value.reason = first, len(record.value or b""), "it ended the sink"
        reason = f"it ended the sink {self._ends} times, so that it is not looked at any more"
        _log.error(
            "%(topic)s partition %(partition)d offset %(offset)d is set aside: %(cause)s",
            {"topic": record.topic, "partition": record.partition, "offset": record.offset, "cause": reason},
        )
        place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
        return [Unreadable(SimpleNamespace(**place, key=None, value=value, headers=[]), reason)]

    def close(self) -> None:
        """Let the next have the note."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _is_suspect(self, record: Record) -> bool:
        first, last = self._suspects.get((record.topic, record.partition), (0, -1))
        return bool(first <= record.offset <= last)

    def _read(self, text: bytes) -> None:
        if not text:
            return
        try:
            found: Any = json.loads(text)
            suspects = {(str(topic), int(number)): (int(a), int(b)) for topic, number, a, b in found["in_hand"]}
            ends = int(found["ends"]) + 1
        except (ValueError, TypeError, KeyError):
            # Written in part, as the process was ended in the middle of it.
            return
        self._suspects, self._ends = suspects, ends
        if ends >= _ENDS:
            _log.error(
                "ended %(times)d times with these in hand, which are taken one by one now: %(in_hand)s",
                {
                    "times": ends,
                    "in_hand": "; ".join(
                        f"{topic} {number}: {a} to {b}" for (topic, number), (a, b) in suspects.items()
                    ),
                },
            )

    def _write(self, text: str) -> None:
        if self._file < 0:
            return
        try:
            # Not forced to the disk: it is for the end of a process, not of a host.
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, text.encode(), 0)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        _log.warning("what is in hand is not noted: %s", error)
        self.close()


def _own_file(directory: Path) -> tuple[int, int]:
    """Open the first note that no other process has; give it, and its number."""
    number = 1
    while True:
        file = os.open(directory / f"in-hand-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            number += 1
        except OSError:
            os.close(file)
            raise
        else:
            return file, number
