"""The recorder, on an agent's host: it knows what the agent acknowledged to itself, whatever becomes of the agent.

    recorder.py run OUTBOX LEDGER      until ended
    recorder.py waiting OUTBOX PREFIX  print how many results wait of targets whose names begin so
    recorder.py dump OUTBOX LEDGER     print all that was recorded: agent, target, time, scheduled_at, outcome, by tabs

A trigger in the outbox's file notes each result in the very transaction that puts it there; every second what it noted
is moved to the ledger, a file that is only ever added to. Standard library only: it runs on the host's own Python.
"""

import contextlib
import json
import os
import sqlite3
import sys
import time
from pathlib import Path
from typing import TextIO

EVERY_SECS = 1.0
LOCK_SECS = 20.0
INSTALL = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS fault_ledger (value BLOB NOT NULL);
CREATE TRIGGER IF NOT EXISTS fault_ledger AFTER INSERT ON results BEGIN
    INSERT INTO fault_ledger VALUES (NEW.value);
END;
COMMIT;
"""


class Recorder:
    """Watches one outbox; another file under the same name is another outbox."""

    def __init__(self, outbox: Path, ledger: Path) -> None:
        """Take the paths; nothing is opened yet."""
        self._outbox = outbox
        self._ledger = ledger
        self._db: sqlite3.Connection | None = None
        self._file = 0

    def step(self) -> None:
        """Move what was noted to the ledger.

        Raises:
            sqlite3.Error, OSError: the file is not there, is busy or broken; the next step begins anew.
        """
        inode = self._outbox.stat().st_ino
        if self._db is None or inode != self._file:
            self.close()
            self._db = sqlite3.connect(self._outbox, isolation_level=None, timeout=LOCK_SECS)
            self._db.executescript(INSTALL)
            self._file = inode
        noted = self._db.execute("SELECT rowid, value FROM fault_ledger ORDER BY rowid").fetchall()
        if not noted:
            return
        with self._ledger.open("a", encoding="utf-8") as out:
            for _, value in noted:
                out.write(line(value))
            out.flush()
            os.fsync(out.fileno())
        # A crash in between writes some of them twice; who reads takes each once.
        self._db.execute("DELETE FROM fault_ledger WHERE rowid <= ?", (noted[-1][0],))

    def close(self) -> None:
        """Let go of the outbox."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
        self._db = None


def line(value: bytes) -> str:
    """Give the ledger's line of a message."""
    result = json.loads(value)
    return "\t".join(result[name] for name in ("agent", "target", "time", "scheduled_at", "outcome")) + "\n"


def dump(outbox: Path, ledger: Path, out: TextIO) -> None:
    """Print the ledger, and what the trigger noted since."""
    with contextlib.suppress(FileNotFoundError):
        out.write(ledger.read_text(encoding="utf-8"))
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(outbox, timeout=LOCK_SECS)) as db:
        noted = db.execute("SELECT value FROM fault_ledger ORDER BY rowid").fetchall()
        out.writelines(line(value) for (value,) in noted)


def waiting(outbox: Path, prefix: str) -> int:
    """Count the results that wait of targets whose names begin so; the key of a result is its target."""
    with contextlib.closing(sqlite3.connect(outbox, timeout=LOCK_SECS)) as db:
        query = "SELECT count(*) FROM results WHERE instr(CAST(key AS TEXT), ?) = 1"
        return int(db.execute(query, (prefix,)).fetchone()[0])


def main() -> None:
    """Do what the arguments say."""
    what, outbox, ledger = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if what == "waiting":
        print(waiting(outbox, sys.argv[3]))
        return
    if what == "dump":
        dump(outbox, ledger, sys.stdout)
        return
    recorder = Recorder(outbox, ledger)
    told = ""
    while True:
        try:
            recorder.step()
            told = ""
        except (sqlite3.Error, OSError) as error:
            recorder.close()
            if str(error) != told:
                told = str(error)
                print(told, file=sys.stderr, flush=True)
        time.sleep(EVERY_SECS)


if __name__ == "__main__":
    main()
