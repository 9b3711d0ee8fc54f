"""The collector: whatever the database does, the last snapshot stays, with the reason that there is no newer one."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from tests.unit.page import fakes
from tests.waiting import wait_until
from webmon.errors import UserError
from webmon.page.collect import SLOW_SECS, Collector
from webmon.page.kept import Kept
from webmon.page.snapshot import History, Snapshot
from webmon.settings import Common, Page, PageSettings, Postgres
from webmon.store.postgres import DatabaseAwayError


@pytest.fixture
def settings(tmp_path: Path) -> PageSettings:
    page = Page.model_validate({"PAGE_REFRESH_SECS": 1}, context={"workspace": tmp_path})
    way = {"POSTGRES_HOST": "db.invalid", "POSTGRES_USER": "reader", "POSTGRES_PASSWORD": "secret-word"}
    return PageSettings(Common(), None, Postgres.model_validate(way), page)


def reads(collector: Collector, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> None:
    """Have it read these, one after the other: a snapshot, or what is raised."""
    left = list(answers)

    def read() -> Snapshot:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            answer = answer()
        assert isinstance(answer, Snapshot)
        return answer

    monkeypatch.setattr(collector, "_read", read)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (UserError("PostgreSQL refuses the role"), "PostgreSQL refuses the role"),
        (DatabaseAwayError("PostgreSQL: connection refused"), "PostgreSQL: connection refused"),
        (psycopg2.OperationalError("server closed\nthe connection"), "server closed the connection"),
        (ZeroDivisionError("x"), "a bug in webmon: ZeroDivisionError"),
    ],
)
def test_a_refresh_that_fails_leaves_the_snapshot_and_tells_why_once(
    settings: PageSettings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: Exception,
    told: str,
) -> None:
    collector = Collector(settings)
    reads(collector, monkeypatch, fakes.many(3), fault, fault, fakes.many(50))
    assert collector.look.snapshot is None
    assert collector.refresh()
    assert not collector.refresh()
    look = collector.look
    assert (look.snapshot, look.number, look.from_disk) == (fakes.many(3), 1, False)
    assert told in look.trouble
    assert "\n" not in look.trouble
    assert look.trouble_since is not None
    assert not collector.refresh()
    assert collector.look.trouble_since == look.trouble_since
    assert len([r for r in caplog.records if "no new snapshot" in r.getMessage()]) == 1
    assert collector.refresh()
    look = collector.look
    assert (look.snapshot, look.trouble, look.trouble_since, look.number) == (fakes.many(50), "", None, 2)
    assert (collector.refreshes, collector.failures) == (4, 2)


def test_a_start_without_the_database_shows_the_snapshot_of_the_disk(
    settings: PageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = Collector(settings)
    reads(before, monkeypatch, fakes.many(3))
    assert before.refresh()
    collector = Collector(settings)
    reads(collector, monkeypatch, DatabaseAwayError("away"))
    collector.start()
    try:
        wait_until(lambda: collector.look.trouble == "away", "the trouble is told")
        assert collector.look.from_disk
        assert collector.look.snapshot == fakes.many(3)
        assert collector.is_alive()
    finally:
        collector.stop()


def test_the_newest_snapshot_is_on_disk_after_a_stop(settings: PageSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    collector = Collector(settings)
    reads(collector, monkeypatch, fakes.many(3), fakes.many(4))
    collector.start()
    wait_until(lambda: collector.refreshes >= 2, "a second snapshot is read")
    collector.stop()
    again = Collector(settings)
    again.recall()
    assert again.look.snapshot == fakes.many(4)


def test_what_of_the_history_cannot_be_read_is_told_to_operators(
    settings: PageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector(settings)
    reads(collector, monkeypatch, fakes.snapshot(history=History(fault="maintenance: no time")), fakes.many(3))
    assert collector.refresh()
    assert collector.look.trouble == "the history of alarms holds what can't be read: maintenance: no time"
    assert collector.refresh()
    assert collector.look.trouble == ""


def test_a_large_snapshot_is_written_seldom(settings: PageSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    collector = Collector(settings, clock=lambda: now)
    small, large = fakes.many(3), fakes.many(500)
    reads(collector, monkeypatch, small, large, small, large, small)
    path = settings.page.cache_path
    written = []
    # Half a minute after a small one, and later after one of megabytes.
    for secs in (0, 10, 20, 40, 80):
        now += secs
        assert collector.refresh()
        written.append(path.stat().st_size > 1_000_000)
    assert written == [False, False, False, True, True]
    now += 300
    assert collector.refresh()
    assert path.stat().st_size < 1_000_000


def test_a_refresh_that_hangs_is_told_while_it_lasts(settings: PageSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    collector = Collector(settings, clock=lambda: now)
    goes_on = threading.Event()

    def hangs() -> Snapshot:
        goes_on.wait(10)
        return fakes.many(3)

    reads(collector, monkeypatch, fakes.many(3), hangs)
    assert collector.refresh()
    thread = threading.Thread(target=collector.refresh)
    thread.start()
    wait_until(lambda: collector._began is not None, "the refresh began")
    assert collector.look.trouble == ""
    now += SLOW_SECS + 5
    assert collector.look.trouble.startswith("PostgreSQL at db.invalid:5432 (POSTGRES_HOST, POSTGRES_PORT): no answer")
    assert "for 15 s" in collector.look.trouble
    assert collector.look.snapshot == fakes.many(3)
    goes_on.set()
    thread.join(5)
    assert collector.look.trouble == ""


def test_a_database_that_is_away_is_no_reason_for_a_restart_and_a_thread_that_hangs_is(
    settings: PageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    collector = Collector(settings, clock=lambda: now)
    reads(collector, monkeypatch, DatabaseAwayError("away"))
    assert not collector.is_alive()
    collector.start()
    try:
        wait_until(lambda: collector.refreshes >= 1, "it was tried")
        assert collector.is_alive()
        monkeypatch.setattr(collector, "turned_at", now - 3600)
        monkeypatch.setattr(collector, "refresh", lambda: False)
        assert not collector.is_alive()
    finally:
        collector.stop()


def test_no_password_stands_in_a_trouble_or_a_log(settings: PageSettings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    collector = Collector(settings)
    assert not collector.refresh()
    assert "db.invalid" in collector.look.trouble
    assert "secret-word" not in collector.look.trouble + caplog.text


def kept(*keys: str) -> tuple[Kept[int], Callable[..., list[Any]]]:
    """Give a memory that holds these, and what asks it and puts what it wants."""
    memory: Kept[int] = Kept()
    number = 0

    def ask(keys: str, marked: str = "", again: int = 0, fails: bool = False) -> list[Any]:
        nonlocal number
        number += 1
        wanted = memory.wanted(list(keys), list(marked), again)
        for key in [] if fails else wanted:
            memory.put(key, 1, number)
        return wanted

    ask("".join(keys))
    return memory, ask


def test_what_is_kept_is_read_again_while_it_is_marked_and_once_after() -> None:
    _, ask = kept("a", "b", "c")
    assert ask("abc") == []
    assert ask("abc", marked="b") == ["b"]
    assert ask("abc") == ["b"]
    assert ask("abc") == []


def test_what_is_asked_for_is_read_whatever_is_known_of_it() -> None:
    memory, _ = kept("a", "b")
    assert memory.wanted(["a", "b"], [], 0, ["b"]) == ["b"]


def test_a_snapshot_that_fails_forgets_no_mark() -> None:
    _, ask = kept("a", "b")
    assert ask("ab", marked="b", fails=True) == ["b"]
    assert ask("ab", fails=True) == ["b"]
    assert ask("ab") == ["b"]
    assert ask("ab") == []


def test_all_that_is_kept_is_read_again_in_turns_and_what_is_not_needed_goes() -> None:
    memory, ask = kept("a", "b", "c", "d")
    assert [*ask("abcd", again=2), *ask("abcd", again=2)] == ["a", "b", "c", "d"]
    version = memory.version
    assert ask("bcde", again=0) == ["e"]
    assert memory.version > version
    assert ask("abcde") == ["a"]
