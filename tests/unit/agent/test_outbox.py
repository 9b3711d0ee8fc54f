"""The outbox: on disk first, nothing lost by a kill, bounded, and never in the way of the checks."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until
from webmon.agent import outbox as outbox_module
from webmon.agent.outbox import Outbox
from webmon.agent.spool import Disk, Row
from webmon.errors import UserError

LIMIT = 10_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@pytest.fixture
def outbox(path: Path) -> Iterator[Outbox]:
    opened = Outbox(path, LIMIT)
    yield opened
    opened.close(5)


def put(outbox: Outbox, count: int, size: int = 20) -> None:
    for number in range(count):
        outbox.put(b"key", b"%d".ljust(size) % number)


def values(rows: list[Row]) -> list[int]:
    return [int(row.value) for row in rows]


def on_disk(path: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return [int(value) for (value,) in db.execute("SELECT value FROM results ORDER BY id")]


def fill_disk(outbox: Outbox, path: Path, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let the disk be full for an outbox, also when it is opened anew, until the event is cleared."""
    full = threading.Event()
    full.set()
    original = sqlite3.connect

    def connect(database: object, **more: object) -> sqlite3.Connection:
        connection: sqlite3.Connection = original(database, **more)  # type: ignore[call-overload]
        if database == path and full.is_set():
            connection.execute("PRAGMA max_page_count = 1")
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect)
    assert isinstance(outbox._spool, Disk)
    outbox._spool._db.execute("PRAGMA max_page_count = 1")
    return full


def test_what_is_put_is_read_in_its_order(outbox: Outbox) -> None:
    put(outbox, 5)
    wait_until(lambda: len(outbox.read(0, 10)) == 5)
    rows = outbox.read(0, 10)
    assert values(rows) == [0, 1, 2, 3, 4]
    assert values(outbox.read(rows[1].id, 2)) == [2, 3]
    assert rows[0].key == b"key"


def test_what_was_acknowledged_leaves(outbox: Outbox, path: Path) -> None:
    put(outbox, 5)
    wait_until(lambda: len(outbox.read(0, 10)) == 5)
    outbox.remove([row.id for row in outbox.read(0, 3)])
    wait_until(lambda: on_disk(path) == [3, 4])
    assert len(outbox) == 2


def test_how_many_wait_is_true_while_some_of_them_leave(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    put(outbox, 5)
    wait_until(lambda: len(outbox.read(0, 10)) == 5)
    told: list[int] = []
    # They are in the file no more, and the commit is not done yet.
    monkeypatch.setattr(Disk, "_give_back", lambda _: told.append(len(outbox)))
    outbox.remove([row.id for row in outbox.read(0, 3)])
    assert len(outbox) == 2
    wait_until(lambda: bool(told))
    assert set(told) == {2}


def test_how_many_wait_in_memory_is_true_after_some_of_them_were_sent(
    outbox: Outbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk(outbox, path, monkeypatch)
    put(outbox, 5, size=9000)
    wait_until(lambda: not outbox.is_on_disk and len(outbox.read(0, 9)) == 5)
    outbox.remove([row.id for row in outbox.read(0, 3)])
    assert len(outbox) == 2
    put(outbox, 1)
    wait_until(lambda: len(outbox.read(0, 9)) == 3)
    assert len(outbox) == 3
    # Of what was put since, nothing can be in the file, and nothing need be remembered.
    outbox.remove([outbox.read(0, 9)[-1].id])
    put(outbox, 1)
    wait_until(lambda: len(outbox.read(0, 9)) == 3 and len(outbox._gone) == 3)
    assert len(outbox) == 3


def test_a_stop_leaves_everything_on_disk_for_the_next_start(path: Path) -> None:
    first = Outbox(path, LIMIT)
    put(first, 100)
    first.close(5)
    assert on_disk(path) == list(range(100))
    second = Outbox(path, LIMIT)
    assert values(second.read(0, 200)) == list(range(100))
    assert len(second) == 100
    newest = second.read(0, 200)[-1].id
    second.put(b"key", b"100")
    wait_until(lambda: values(second.read(newest, 10)) == [100])
    second.close(5)


def test_a_kill_loses_nothing_that_was_committed(path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from webmon.agent.outbox import Outbox\n"
        f"box = Outbox(Path({str(path)!r}), {LIMIT})\n"
        "for n in range(1000): box.put(b'key', b'%d' % n)\n"
        "while len(box.read(0, 2000)) < 1000: time.sleep(0.01)\n"
        "print('committed', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"committed\n"
        os.kill(process.pid, signal.SIGKILL)
    again = Outbox(path, LIMIT)
    assert values(again.read(0, 2000)) == list(range(1000))
    again.close(5)


def test_a_commit_is_on_the_platter_before_it_counts_so_that_a_power_cut_loses_none(path: Path) -> None:
    """What SQLite promises for FULL (2) and a WAL: https://www.sqlite.org/pragma.html#pragma_synchronous."""
    disk = Disk(path)
    assert disk._pragma("synchronous") == 2
    assert disk._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    disk.close()


def test_the_bound_is_bytes_and_the_oldest_go_first(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(path, 1_000_000)
    for start in range(0, 4000, 200):
        for number in range(start, start + 200):
            outbox.put(b"key", b"%d".ljust(500) % number)
        wait_until(lambda until=start + 199: values(outbox.read(0, 9999))[-1:] == [until])  # type: ignore[misc]
    outbox.close(5)
    left = on_disk(path)
    assert left == list(range(left[0], 4000))
    assert 1000 < len(left) < 2000
    assert outbox.dropped == 4000 - len(left)
    assert path.stat().st_size < 1_200_000
    assert "is full (MONITORING_OUTBOX_BYTES 1000000): dropped the oldest" in caplog.text


def test_the_file_shrinks_when_a_backlog_has_gone(outbox: Outbox, path: Path) -> None:
    put(outbox, 5000, size=1000)
    wait_until(lambda: len(outbox.read(0, 9999)) == 5000)
    outbox.remove([row.id for row in outbox.read(0, 9999)])
    wait_until(lambda: len(outbox) == 0)

    def shrunk() -> bool:
        put(outbox, 1)
        with contextlib.closing(sqlite3.connect(path)) as db:
            pages: int = db.execute("PRAGMA page_count").fetchone()[0]
        return pages < 600

    wait_until(shrunk, seconds=10)


def test_a_corrupt_file_is_set_aside_and_the_agent_goes_on(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(b"this is no database" * 1000)
    outbox = Outbox(path, LIMIT)
    put(outbox, 3)
    wait_until(lambda: values(outbox.read(0, 9)) == [0, 1, 2])
    outbox.close(5)
    (aside,) = path.parent.glob("outbox.sqlite.corrupt-*")
    assert aside.read_bytes().startswith(b"this is no database")
    assert f"is corrupt (file is not a database): kept as {aside}" in caplog.text


def test_a_file_that_becomes_corrupt_is_set_aside_too(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(path, LIMIT)
    put(outbox, 2000, size=500)
    wait_until(lambda: len(outbox.read(0, 9999)) == 2000)
    outbox.close(5)
    data = bytearray(path.read_bytes())
    data[8192:400_000] = os.urandom(400_000 - 8192)
    path.write_bytes(data)
    outbox = Outbox(path, LIMIT)
    put(outbox, 3)
    wait_until(lambda: values(outbox.read(0, 9)) == [0, 1, 2])
    outbox.close(5)
    assert len(list(path.parent.glob("outbox.sqlite.corrupt-*"))) == 1
    assert "is corrupt" in caplog.text


def test_an_open_file_that_becomes_corrupt_is_set_aside_and_the_outbox_goes_on(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(path, LIMIT)
    put(outbox, 12_000, size=500)  # more than SQLite keeps in memory
    wait_until(lambda: len(outbox.read(0, 99_999)) == 12_000)
    opened = outbox.opened
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))
    wait_until(lambda: outbox.read(0, 99_999) == [])
    put(outbox, 3)
    wait_until(lambda: values(outbox.read(0, 9)) == [0, 1, 2])
    assert outbox.opened > opened  # by which the publisher knows that it has to begin anew
    assert outbox.is_on_disk
    outbox.close(5)
    assert on_disk(path) == [0, 1, 2]
    (aside,) = path.parent.glob("outbox.sqlite.corrupt-????????T??????Z")
    assert aside.stat().st_size > 5_000_000
    assert f"kept as {aside}, going on with an empty one" in caplog.text


def test_a_commit_into_a_corrupt_file_keeps_what_was_put(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(path, LIMIT)
    put(outbox, 12_000, size=500)
    wait_until(lambda: len(outbox.read(0, 99_999)) == 12_000)
    first = [row.id for row in outbox.read(0, 10_000)]
    with outbox._lock, path.open("r+b") as file:
        outbox.remove(first)  # the pages of these are read anew
        outbox.put(b"key", b"after")
        file.write(os.urandom(path.stat().st_size))
    wait_until(lambda: [row.value for row in outbox.read(0, 9)] == [b"after"])
    outbox.close(5)
    assert len(list(path.parent.glob("outbox.sqlite.corrupt-*Z"))) == 1


def test_a_file_that_may_not_grow_stops_nothing_and_loses_nothing(path: Path) -> None:
    """The limit is the system's own, so SQLite meets what it meets on a disk that is full."""
    script = (
        "import logging, resource, sys, time; from pathlib import Path\n"
        "from webmon.agent import outbox; logging.basicConfig(stream=sys.stdout, format='%(message)s')\n"
        "outbox._RETRY_SECS = 0.2\n"
        f"box = outbox.Outbox(Path({str(path)!r}), {LIMIT})\n"
        "def put(start, count):\n"
        "    for n in range(start, start + count): box.put(b'key', (b'%d' % n).ljust(1000))\n"
        "def wait(count):\n"
        "    while len(rows := box.read(0, 9999)) < count: time.sleep(0.01)\n"
        "    assert [int(row.value) for row in rows] == list(range(count)), rows\n"
        "put(0, 100); wait(100)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))\n"
        "put(100, 1000)\n"
        "while box.is_on_disk: time.sleep(0.01)\n"
        "while len(box.read(0, 9999)) < 1000: time.sleep(0.01)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "while not box.is_on_disk: box.put(b'key', b'1100'); time.sleep(0.05)\n"
        "box.close(5); print('dropped', box.dropped)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "can't be used (" in done.stdout
    assert "results wait in memory" in done.stdout
    assert "can be used again" in done.stdout
    assert "dropped 0" in done.stdout
    assert on_disk(path)[:1101] == list(range(1101))


def test_a_full_disk_is_bridged_in_memory_and_left_behind(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_RETRY_SECS", 0.2)
    outbox = Outbox(path, LIMIT)
    put(outbox, 1)
    wait_until(lambda: len(outbox.read(0, 9)) == 1)
    opened = outbox.opened
    full = fill_disk(outbox, path, monkeypatch)
    put(outbox, 300, size=100)
    wait_until(lambda: values(outbox.read(0, 999)) == list(range(300)))
    assert "can't be used (database or disk is full): results wait in memory" in caplog.text
    assert outbox.opened > opened
    full.clear()

    def back() -> bool:
        outbox.put(b"key", b"300")
        return "can be used again" in caplog.text

    wait_until(back)
    outbox.close(5)
    assert on_disk(path)[:301] == [0, *range(300)]
    assert outbox.dropped == 0


@pytest.mark.parametrize("stays_full", [False, True])
def test_what_waits_in_memory_at_a_stop_goes_to_disk_or_is_told_to_be_lost(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, stays_full: bool
) -> None:
    outbox = Outbox(path, LIMIT)
    full = fill_disk(outbox, path, monkeypatch)
    put(outbox, 300, size=100)
    wait_until(lambda: not outbox.is_on_disk and len(outbox.read(0, 999)) == 300)
    if not stays_full:
        full.clear()
    outbox.close(5)
    assert outbox.is_on_disk is not stays_full
    assert on_disk(path) == ([] if stays_full else list(range(300)))
    assert ("its disk failed: 300 results of " in caplog.text) is stays_full


def test_two_agents_do_not_share_a_file(outbox: Outbox, path: Path) -> None:
    with pytest.raises(UserError, match="another agent uses it; each needs its own"):
        Outbox(path, LIMIT)


@pytest.mark.parametrize(
    ("path_of", "fault"),
    [
        ("no/such/outbox.sqlite", "No such file"),
        ("", "is a directory"),
        # As one that is closed to us, which none is to root: it can't even be looked at.
        (f"{'x' * 300}/outbox.sqlite", "File name too long"),
    ],
)
def test_a_place_that_cannot_be_is_a_clear_mistake(path_of: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"MONITORING_OUTBOX_PATH .*{fault}"):
        Outbox(tmp_path / path_of, LIMIT)


def test_nobody_else_may_read_the_file(outbox: Outbox, path: Path) -> None:
    put(outbox, 1)
    wait_until(lambda: len(outbox.read(0, 9)) == 1)
    assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
