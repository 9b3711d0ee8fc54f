"""A target's state from what its vantages saw, and the table for people."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from webmon.check.result import Outcome
from webmon.render import as_csv, as_json, lines
from webmon.report import status as status_module
from webmon.report.status import COLUMNS, State, TargetStatus, Vantage


def make_vantage(outcome: Outcome = Outcome.UP, agent: str = "a", age: float = 10, **changes: Any) -> Vantage:
    values: dict[str, Any] = {
        "agent": agent,
        "time": datetime(2026, 1, 1, tzinfo=UTC),
        "interval": 60.0,
        "outcome": outcome,
        "http_status": 200,
        "answer": None,
        "response_time": 0.125,
        "error": None,
        "age": age,
    }
    return Vantage(**(values | changes))


def make_status(*vantages: Vantage, target: str = "shop", url: str = "https://shop.example/") -> TargetStatus:
    return TargetStatus(target, url, {}, vantages)


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ([], State.NO_DATA),
        ([Outcome.UP], State.UP),
        ([Outcome.UP, Outcome.UP], State.UP),
        ([Outcome.TIMEOUT], State.DOWN),
        ([Outcome.TIMEOUT, Outcome.DNS_ERROR], State.DOWN),
        ([Outcome.UP, Outcome.TIMEOUT], State.DEGRADED),
        ([Outcome.SLOW], State.DEGRADED),
        ([Outcome.UP, Outcome.AGENT_ERROR], State.UP),
        ([Outcome.TIMEOUT, Outcome.AGENT_ERROR], State.DOWN),
        ([Outcome.AGENT_ERROR], State.NO_DATA),
        ([Outcome.AGENT_ERROR, Outcome.AGENT_ERROR], State.NO_DATA),
    ],
)
def test_the_state_weighs_the_vantages_and_our_own_fault_is_never_down(outcomes: list[Outcome], state: State) -> None:
    assert make_status(*(make_vantage(outcome) for outcome in outcomes)).state is state


def test_a_vantage_that_is_silent_for_two_and_a_half_intervals_says_nothing_of_the_present() -> None:
    assert make_status(make_vantage(age=149)).state is State.UP
    assert make_status(make_vantage(age=151)).state is State.STALE
    assert make_status(make_vantage(Outcome.TIMEOUT, age=151), make_vantage(agent="b")).state is State.UP


def test_response_time_and_error_come_from_vantages_that_are_not_silent() -> None:
    status = make_status(
        make_vantage(agent="a", response_time=0.5),
        make_vantage(Outcome.TIMEOUT, agent="b", age=20, response_time=None, error="older"),
        make_vantage(Outcome.TIMEOUT, agent="c", age=15, response_time=None, error="newer"),
        make_vantage(Outcome.TIMEOUT, agent="d", age=500, response_time=9.0, error="long ago"),
    )
    assert status.response_time == 0.5
    assert status.error == "newer"
    assert status.age == 10


def test_the_table_is_aligned_and_plain() -> None:
    table = lines(
        COLUMNS,
        [
            make_status(make_vantage(Outcome.TIMEOUT, error="no answer", response_time=None), target="a-long-name"),
            make_status(make_vantage(age=200, agent="vantage")),
            make_status(),
        ],
    )
    assert table == [
        "STATE    TARGET       RESPONSE  AGE    VANTAGES            ERROR",
        "DOWN     a-long-name         -  10 s   a timeout           no answer",
        "stale    shop                -  3 min  vantage up (stale)",
        "no data  shop                -  -      -",
    ]


def test_what_a_target_sent_cannot_steer_the_terminal() -> None:
    (_, line) = lines(COLUMNS, [make_status(make_vantage(Outcome.BODY_MISMATCH, error="a\033[2Jb\r\nc"))])
    assert "a [2Jb  c" in line


def test_json_has_every_vantage() -> None:
    status = make_status(make_vantage(), make_vantage(Outcome.TIMEOUT, agent="b", age=200))
    (document,) = json.loads(as_json(COLUMNS, [status]))
    assert document["state"] == "up"
    assert [(vantage["agent"], vantage["stale"]) for vantage in document["vantages"]] == [("a", False), ("b", True)]


def test_json_has_the_kind_and_what_came_where_http_has_the_status() -> None:
    came = make_vantage(http_status=None, answer="220 mail.example ESMTP")
    documents = json.loads(
        as_json(COLUMNS, [make_status(came, url="SMTP://mail.example"), make_status(make_vantage())])
    )
    assert [document["kind"] for document in documents] == ["smtp", "https"]
    told = [(vantage["http_status"], vantage["answer"]) for document in documents for vantage in document["vantages"]]
    assert told == [(None, "220 mail.example ESMTP"), (200, None)]


def test_csv_has_a_line_for_each_target() -> None:
    head, line = as_csv(COLUMNS, [make_status(make_vantage(), make_vantage(agent="b"))]).splitlines()
    assert head == "target,url,labels,state,response_time,age,error,vantages,kind"
    assert line.startswith('shop,https://shop.example/,,up,0.125,10,,"[{""agent"": ""a"", ""time"": ""2026-01-01T00:')


@pytest.mark.parametrize(
    ("longest", "back"),
    [
        (None, timedelta(hours=25)),
        (60.0, timedelta(hours=25)),
        (86_400.0, timedelta(days=20)),
        (1e12, timedelta(days=20)),
        (3e38, timedelta(days=20)),
        (float("inf"), timedelta(days=20)),
        (float("nan"), timedelta(days=20)),
    ],
)
def test_no_interval_that_was_stored_breaks_the_look_back(longest: float | None, back: timedelta) -> None:
    asked = []

    class Session:
        def rows(self, statement: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
            if "interval_secs) FROM" in statement:
                return [(None, longest)]
            asked.append(values)
            return []

    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert status_module._newest(cast("Any", Session()), now, []) == {}
    assert asked[0] is not None
    assert asked[0]["since"] == now - back


def test_a_vantage_as_far_behind_as_it_may_be_is_seen_whenever_the_newest_result_came() -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)
    at = {"nyc": now - timedelta(hours=30), "fra": now - timedelta(hours=30) - timedelta(days=9)}
    day = 86_400.0

    class Session:
        def rows(self, statement: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
            if "interval_secs) FROM" in statement:
                return [(None, day)]
            if values is None or "since" not in values:
                return []
            return [
                (7, agent, moment, day, 1, 200, None, 0.1, None)
                for agent, moment in at.items()
                if values["since"] <= moment < values["until"]
            ]

    found = status_module._newest(cast("Any", Session()), now, [7])
    assert [vantage.agent for vantage in status_module._present(found[7])] == ["fra", "nyc"]


def test_what_is_found_twice_is_one_vantage() -> None:
    older, newer = make_vantage(age=20.0), make_vantage(age=10.0)
    assert status_module._of_each([newer, older, newer]) == [newer]
