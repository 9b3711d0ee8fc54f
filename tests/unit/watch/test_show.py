"""What stands on a terminal and in a pipe, of sites that a test is."""

import json
import logging
import os
import re

import pytest

from tests.unit.alarm.world import SECOND, START, result
from webmon.alarm.conditions import Step
from webmon.alarm.ruleset import Route, Ruleset
from webmon.check.result import Outcome, decode
from webmon.check.target import Target
from webmon.render import columns_of
from webmon.watch.memory import Memory, Turn
from webmon.watch.show import Json, Lines, Table

EVIL = "\x1b[2J\x9b1mgone\r\nUP  all is well\u202e\x00"


class Terminal:
    """What was written on one of 80 columns and 24 lines; `size` changes that."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._text = self.errors = ""

    def text(self) -> str:
        """Give all that was written since it was wiped."""
        out, self.errors = self._capsys.readouterr()
        self._text += out
        return self._text

    def wipe(self) -> None:
        self.text()
        self._text = ""

    def screen(self) -> list[str]:
        """Give the lines of the last drawing, without colours."""
        drawn = self.text().rpartition("\033[H")[2].removesuffix("\033[J")
        return [re.sub(r"\033\[[\d;]*m", "", line.removesuffix("\033[K")) for line in drawn.split("\r\n")]


@pytest.fixture
def terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    size(monkeypatch, 80, 24)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal(capsys)


def size(monkeypatch: pytest.MonkeyPatch, columns: int, lines: int) -> None:
    monkeypatch.setattr("webmon.watch.show.os.get_terminal_size", lambda: os.terminal_size((columns, lines)))


def turn(*failing: str, names: tuple[str, ...] = ("shop", "news"), error: str = "refused") -> Turn:
    """Give a second in which all was checked for the third time, and these failed each time."""
    targets = [
        Target(name=name, url=f"https://{n}.example.org/", interval=10, timeout=5) for n, name in enumerate(names)
    ]
    seen = Memory(targets, Ruleset(routes=(Route((Step(0.0, ("mail",)),)),)), now=START)
    for at in (START + SECOND, START + 11 * SECOND, START + 21 * SECOND):
        outcomes = {name: Outcome.CONNECT_ERROR if name in failing else Outcome.UP for name in names}
        checks = [
            (result(name, "here", outcome, at=at, interval=10, error=None if outcome is Outcome.UP else error), at)
            for name, outcome in outcomes.items()
        ]
        last = seen.turn(checks, at)
    return last


def test_the_most_urgent_stands_at_the_top_with_what_an_alarm_would_say_below(terminal: Terminal) -> None:
    Table().show(turn("news"))
    assert terminal.screen() == [
        "2 targets: 1 DOWN, 1 up; 6 checks in 21 s, 1 alarm",
        "",
        "STATE   FOR  RESPONSE      UP  ALARM  TARGET  ERROR",
        "DOWN   20 s         -  0.00 %  down   news    refused",
        "up     20 s         -   100 %         shop",
        "",
        "alarm  2027-01-15 08:00:21 UTC  DOWN news: connect_error (1 of 1 vantage)",
    ]


def test_a_state_has_its_colour_unless_nobody_wants_any(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    Table().show(turn("news"))
    assert "\033[1;31mDOWN\033[0m" in terminal.text()
    monkeypatch.setenv("NO_COLOR", "1")
    terminal.wipe()
    Table().show(turn("news"))
    assert "\033[1;31m" not in terminal.text()
    assert "DOWN" in terminal.text()


@pytest.mark.parametrize("columns", [200, 80, 72, 71, 40, 20, 8, 1])
@pytest.mark.parametrize("lines", [50, 24, 12, 11, 5, 1])
def test_nothing_is_wider_or_higher_than_the_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, columns: int, lines: int
) -> None:
    names = ("x" * 3000, "名前" * 50, "e\u0301" * 80, *(f"site-{number}" for number in range(40)))
    size(monkeypatch, columns, lines)
    Table().show(turn("site-7", names=names, error="long " * 90))
    drawn = terminal.screen()
    assert len(drawn) <= lines
    # The headline and what stands below are cut by the terminal, which was told not to wrap.
    table = [line for line in drawn[2:] if not line.startswith(("alarm", "... and"))]
    assert [line for line in table if columns_of(line) > columns] == []


def test_a_narrow_terminal_shows_state_name_and_error(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    size(monkeypatch, 40, 24)
    Table().show(turn("news"))
    assert terminal.screen()[2:5] == ["STATE  TARGET  ERROR", "DOWN   news    refused", "up     shop"]


def test_more_targets_than_lines_are_counted_and_those_that_fail_are_seen(terminal: Terminal) -> None:
    Table().show(turn("site-499", names=tuple(f"site-{number}" for number in range(500))))
    drawn = terminal.screen()
    assert drawn[0] == "500 targets: 1 DOWN, 499 up; 1500 checks in 21 s, 1 alarm"
    assert "site-499" in drawn[3]
    assert drawn[-3:-1] == ["... and 482 more", ""]
    assert len(drawn) == 24


def test_a_name_that_is_written_from_the_right_stands_behind_the_numbers(terminal: Terminal) -> None:
    Table().show(turn("חנות", names=("חנות", "shop")))
    row = terminal.screen()[3]
    assert row.index("0.00 %") < row.index("down") < row.index("חנות") < row.index("refused")


def test_what_is_logged_stands_below_and_is_told_at_the_end(terminal: Terminal) -> None:
    table, last = Table(), turn()
    table.handle(logging.LogRecord("x", logging.WARNING, "x", 1, f"3 slots were missed{EVIL}", (), None))
    table.show(last)
    assert terminal.screen()[-1].startswith("note   3 slots were missed [2J 1mgone")
    table.end(last)
    terminal.wipe()
    assert "3 slots were missed" in terminal.errors


def test_the_terminal_is_given_back_with_what_there_was(terminal: Terminal) -> None:
    table, last = Table(), turn("news")
    assert terminal.text() == "\033[?1049h\033[?7l"
    table.show(last)
    terminal.wipe()
    table.end(last)
    before, _, after = terminal.text().partition("\033[?7h\033[?1049l")
    assert before == ""
    assert after.splitlines()[0] == "2027-01-15 08:00:21 UTC  an alarm would tell mail:"
    assert after.splitlines()[-1] == "DOWN   20 s         -  0.00 %  down   news    refused"


@pytest.mark.parametrize("view", [Table, Lines, Json])
def test_what_a_site_or_a_file_says_steers_no_terminal_and_begins_no_line(
    view: type[Table | Lines], terminal: Terminal
) -> None:
    last = turn(f"shop{EVIL}", names=(f"shop{EVIL}", "news"), error=f"refused{EVIL}")
    shown = view()
    shown.show(last)
    shown.end(last)
    text = re.sub(r"\033\[(H|K|J|[\d;]*m|\?1049[hl]|\?7[hl])", "", terminal.text())
    assert {char for char in text if not char.isprintable()} <= {"\n", "\r"}
    assert not any(line.startswith("UP") for line in text.splitlines())


def test_lines_tell_changes_and_whole_messages(terminal: Terminal) -> None:
    targets = [Target(name="shop", url="https://shop.example.org/", interval=10, timeout=5)]
    seen = Memory(targets, Ruleset(), now=START)
    lines = Lines()
    for at, outcome in ((1, Outcome.UP), (11, Outcome.TIMEOUT), (21, Outcome.TIMEOUT)):
        now = START + at * SECOND
        error = None if outcome is Outcome.UP else "no answer"
        lines.show(seen.turn([(result(at=now, outcome=outcome, interval=10, error=error), now)], now))
    assert terminal.text().splitlines() == [
        "2027-01-15 08:00:01 UTC  up         shop",
        "2027-01-15 08:00:11 UTC  DOWN       shop: no answer",
    ]
    lines.show(turn("shop"))
    assert "2027-01-15 08:00:21 UTC  an alarm would tell mail:\n    DOWN shop: connect_error" in terminal.text()


def test_a_summary_has_what_was_not_always_up_and_leaves_the_rest_to_the_count(terminal: Terminal) -> None:
    Lines().end(turn())
    assert terminal.text() == "\n2 targets: 2 up; 6 checks in 21 s, 0 alarms\n"
    terminal.wipe()
    Lines().end(turn("news"))
    assert terminal.text().splitlines()[1:] == [
        "2 targets: 1 DOWN, 1 up; 6 checks in 21 s, 1 alarm",
        "",
        "STATE   FOR  RESPONSE      UP  ALARM  TARGET  ERROR",
        "DOWN   20 s         -  0.00 %  down   news    refused",
    ]


def test_json_has_the_messages_of_the_topic_and_the_alarms(terminal: Terminal) -> None:
    last = turn("news")
    Json().show(last)
    Json().end(last)
    first, second, third = terminal.text().splitlines()
    assert [decode(first.encode()), decode(second.encode())] == last.results
    alarm = json.loads(third)["alarm"]
    assert alarm["at"] == "2027-01-15T08:00:21Z"
    assert alarm["channels"] == ["mail"]
    assert alarm["text"].startswith("DOWN news: connect_error (1 of 1 vantage)\n\nwhat          news\n")
