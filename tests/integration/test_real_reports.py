"""What people ask of the store, on a real database, against numbers that are computed by hand or by plain Python."""

import contextlib
import csv
import io
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.integration.stage import Stage, recent
from webmon.check.result import CheckResult, Outcome
from webmon.cli import main
from webmon.sink.writer import Writer
from webmon.store import postgres, rollups
from webmon.store.names import Tables

DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=4)
"""A midnight some days ago."""

UP, SLOW, DOWN, OURS = Outcome.UP, Outcome.SLOW, Outcome.TIMEOUT, Outcome.AGENT_ERROR


def clock(text: str) -> datetime:
    """Give a time of that day: "10:05", or "34:00" for the next day's 10:00."""
    hours, minutes = text.split(":")
    return DAY + timedelta(hours=int(hours), minutes=int(minutes))


def check(
    target: str, agent: str, when: str | datetime, outcome: Outcome = UP, *, interval: float = 60, **changes: Any
) -> CheckResult:
    moment = clock(when) if isinstance(when, str) else when
    failed = outcome not in (UP, SLOW)
    values = {
        "target": target,
        "url": f"https://{target}.example/",
        "agent": agent,
        "time": moment,
        "scheduled_at": moment,
        "interval": float(interval),
        "outcome": outcome,
        "http_status": None if failed else 200,
        "response_time": None if failed else 0.25,
    }
    return recent(**(values | changes))


def put(stage: Stage, results: Sequence[CheckResult]) -> None:
    store = Writer(stage.settings("sink").postgres)
    store.store(results)
    store.close()


def roll_up(stage: Stage) -> None:
    """Do what the worker does, on all that is marked."""
    settings = stage.settings("sink").postgres
    with contextlib.closing(postgres.connect(settings, application="test", autocommit=False)) as connection:
        connection.set_session(isolation_level="READ COMMITTED")
        while rollups.roll_up(
            connection, Tables(stage.table), before=datetime.now(UTC) + timedelta(hours=2), wait=True
        ):
            pass


def answers(stage: Stage, command: str, *arguments: str, since: str, until: str | None = None) -> list[dict[str, Any]]:
    span = ["--since", clock(since).isoformat()]
    span += ["--until", clock(until).isoformat()] if until else []
    out = io.StringIO()
    # In this process, as to start another one takes longer than the question.
    with contextlib.redirect_stdout(out):
        assert main([command, "--env-file", str(stage.env_file("report")), *span, "--json", *arguments]) == 0
    documents: list[dict[str, Any]] = json.loads(out.getvalue())
    return documents


def spread(target: str, agent: str, start: str, every: float, outcomes: Sequence[Outcome]) -> Iterator[CheckResult]:
    for number, outcome in enumerate(outcomes):
        yield check(target, agent, clock(start) + timedelta(seconds=every * number), outcome, interval=every)


def test_uptime_and_coverage_are_those_of_a_calculation_by_hand(stage: Stage) -> None:
    put(
        stage,
        [
            # Two hours of one check in ten minutes. Vantage b is silent for the second hour, and cut off for one check.
            *spread("shop", "a", "10:00", 600, [*[UP] * 8, SLOW, DOWN, DOWN, DOWN]),
            *spread("shop", "b", "10:00", 600, [UP, UP, OURS, UP, UP, UP]),
            # Before and after, which is not in it.
            *(check("shop", agent, when, DOWN, interval=600) for agent in "ab" for when in ("08:00", "12:00")),
            check("quiet", "a", "08:30"),
            # New at 11:00: the hour before was owed by nobody.
            *spread("new", "a", "11:00", 600, [UP] * 6),
        ],
    )

    def by_target() -> dict[str, dict[str, Any]]:
        # The answer is for the whole hours around what is asked.
        found = answers(stage, "uptime", since="10:20", until="11:30")
        assert {(line["since"], line["until"]) for line in found} == {
            (clock("10:00").isoformat(), clock("12:00").isoformat())
        }
        assert [line["target"] for line in found] == ["shop", "new", "quiet"]
        return {line["target"]: line for line in found}

    fresh = by_target()
    shop = fresh["shop"]
    assert shop["uptime"] == pytest.approx((9 + 5) / (12 + 5))
    assert shop["coverage"] == pytest.approx((12 * 600 + 5 * 600) / (2 * 7200))
    counts = {name: shop[name] for name in ("results", "up", "slow", "down", "agent_error")}
    assert counts == {"results": 18, "up": 14, "slow": 1, "down": 3, "agent_error": 1}
    assert shop["response_mean"] == 0.25
    assert (fresh["new"]["uptime"], fresh["new"]["coverage"]) == (1.0, 1.0)
    # Never checked is not 100 %.
    assert (fresh["quiet"]["uptime"], fresh["quiet"]["coverage"], fresh["quiet"]["results"]) == (None, 0.0, 0)

    roll_up(stage)
    assert by_target() == fresh
    # A result that comes late, and an old one again.
    put(stage, [check("shop", "b", "11:00", interval=600), check("shop", "b", "10:00", interval=600)])
    late = by_target()["shop"]
    assert late["uptime"] == pytest.approx((9 + 6) / (12 + 6))
    assert late["coverage"] == pytest.approx((12 * 600 + 6 * 600) / (2 * 7200))
    roll_up(stage)
    assert by_target()["shop"] == late


def test_uptime_of_many_days_is_that_of_a_plain_count_whatever_is_marked(stage: Stage) -> None:
    chance = random.Random(5)
    results = [
        check(target, agent, DAY + timedelta(minutes=30 * slot), chance.choice([UP, UP, UP, SLOW, DOWN, OURS]))
        for target in ("one", "two")
        for agent in ("a", "b")
        for slot in range(2 * 24 * 3)
        if chance.random() < 0.9
    ]
    chance.shuffle(results)
    put(stage, results[:-60])
    roll_up(stage)
    # Three days are marked again, by few results each.
    put(stage, results[-60:])
    for since, until in (("0:00", "72:00"), ("5:00", "50:00"), ("24:00", "48:00"), ("23:00", "25:00"), ("3:00", None)):
        counted: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for result in results:
            if clock(since) <= result.time < (clock(until) if until else datetime.now(UTC)):
                kinds = (True, result.outcome.is_up, result.outcome.is_down, result.outcome is OURS)
                counted[result.target] = [old + kind for old, kind in zip(counted[result.target], kinds, strict=True)]
        found = answers(stage, "uptime", since=since, until=until)
        names = ("results", "up", "down", "agent_error")
        assert {line["target"]: [line[name] for name in names] for line in found} == counted


def test_uptime_by_agent_and_by_label_and_of_chosen_targets(stage: Stage) -> None:
    moved: dict[str, Any] = {"url": "https://new-address.example/", "labels": {"team": "b"}}
    put(
        stage,
        [
            check("shop", "a", "10:00", labels={"team": "a"}),
            check("cart", "a", "10:00", DOWN, labels={"team": "a"}),
            check("cart", "b", "10:01", labels={"team": "a"}),
            # Moved to another address and another team: it is still one target, with its newest labels.
            check("docs", "a", "10:00", DOWN, labels={"team": "a"}),
            check("docs", "a", "10:01", **moved),
            check("100%_sure", "a", "10:00"),
            check("elsewhere", "away", "3:00"),
        ],
    )
    span = {"since": "10:00", "until": "11:00"}

    def found(*arguments: str, key: str) -> list[tuple[str | None, int, float | None]]:
        return [(line[key], line["results"], line["uptime"]) for line in answers(stage, "uptime", *arguments, **span)]

    assert found("--by", "agent", key="agent") == [("a", 5, 0.6), ("b", 1, 1.0), ("away", 0, None)]
    teams = found("--by", "label=team", key="label")
    assert teams == [("b", 2, 0.5), ("a", 3, pytest.approx(2 / 3)), (None, 1, 1.0)]
    assert found("--target", "docs", key="target") == [("docs", 2, 0.5)]
    assert found("--target", "*s", "--target", "c?rt", key="target") == [("cart", 2, 0.5), ("docs", 2, 0.5)]
    assert found("--target", "100%_sure", key="target") == [("100%_sure", 1, 1.0)]
    unknown = stage.ask("uptime", "--target", "shpo")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("webmon: --target: no target is called 'shpo'; there are such as shop")
    assert len(unknown.stderr.splitlines()) == 1


def incidents(stage: Stage, *arguments: str, since: str = "0:00", until: str | None = None) -> list[dict[str, Any]]:
    return answers(stage, "incidents", *arguments, since=since, until=until)


def short(found: dict[str, Any]) -> tuple[Any, ...]:
    """Give target, state, beginning, end and vantages of an incident."""
    ended = found["ended"] and datetime.fromisoformat(found["ended"])
    return (found["target"], found["state"], datetime.fromisoformat(found["began"]), ended, found["vantages"])


def test_incidents_are_what_vantages_saw_together_from_true_beginning_to_true_end(stage: Stage) -> None:
    dns = Outcome.DNS_ERROR
    put(
        stage,
        [
            # Seen by two of three; the third answered meanwhile.
            *(check("seen", "a", when, *rest) for when, *rest in (("10:04",), ("10:05", DOWN), ("10:07",))),
            check("seen", "a", "10:06", DOWN, error="later words"),
            *(check("seen", "b", when, *rest) for when, *rest in (("10:05",), ("10:06", dns), ("10:08",))),
            *(check("seen", "c", when) for when in ("10:05", "10:06", "10:07")),
            # An agent_error is no end, nor a beginning.
            *(
                check("ours", "a", when, outcome)
                for when, outcome in (("11:00", OURS), ("11:01", DOWN), ("11:02", OURS), ("11:03", DOWN), ("11:04", UP))
            ),
            # Silent since: how long it went on is unknown.
            *(
                check("silent", "b", when, outcome)
                for when, outcome in (("13:57", UP), ("13:58", DOWN), ("13:59", DOWN))
            ),
            # What comes and goes is as many incidents.
            *(
                check("flaps", "a", when, outcome)
                for when, outcome in (("14:00", DOWN), ("14:01", UP), ("14:02", DOWN), ("14:03", UP))
            ),
            # Ends hours later, after silence; and up in an hour without a failure ends it too.
            *(
                check("gaps", "a", when, outcome, interval=3600)
                for when, outcome in (("15:59", DOWN), ("18:30", UP), ("21:05", UP), ("21:10", DOWN), ("22:10", UP))
            ),
            # Down in hour after hour, over midnight, with silence between.
            *(
                check("night", "a", when, outcome, interval=3600)
                for when, outcome in (("21:30", UP), ("22:30", DOWN), ("23:30", DOWN), ("25:30", DOWN), ("26:30", UP))
            ),
        ],
    )
    expected = [
        ("night", "ended", clock("22:30"), clock("26:30"), ["a"]),
        ("gaps", "ended", clock("21:10"), clock("22:10"), ["a"]),
        ("gaps", "ended", clock("15:59"), clock("18:30"), ["a"]),
        ("flaps", "ended", clock("14:02"), clock("14:03"), ["a"]),
        ("flaps", "ended", clock("14:00"), clock("14:01"), ["a"]),
        ("silent", "unknown", clock("13:58"), None, ["b"]),
        ("ours", "ended", clock("11:01"), clock("11:04"), ["a"]),
        ("seen", "ended", clock("10:05"), clock("10:08"), ["a", "b"]),
    ]
    fresh = incidents(stage)
    assert [short(found) for found in fresh] == expected
    seen = fresh[-1]
    assert (seen["watching"], seen["outcomes"], seen["seconds"]) == (["a", "b", "c"], ["dns_error", "timeout"], 180.0)
    assert seen["error"] is None
    (silent,) = (found for found in fresh if found["state"] == "unknown")
    assert (datetime.fromisoformat(silent["last_failure"]), silent["seconds"]) == (clock("13:59"), 60.0)
    roll_up(stage)
    assert incidents(stage) == fresh
    # A span chooses incidents and does not cut them.
    for since, until in (("23:45", "24:10"), ("25:15", "25:45")):
        assert [short(found) for found in incidents(stage, since=since, until=until)] == expected[:1]
    assert [short(found) for found in incidents(stage, since="10:07", until="10:30")] == expected[-1:]
    assert incidents(stage, since="10:09", until="11:01") == []
    assert [short(found) for found in incidents(stage, "--target", "fl*")] == expected[3:5]


def test_what_is_not_kept_is_not_taken_for_silence(stage: Stage) -> None:
    put(stage, list(spread("shop", "a", "0:00", 3600, [DOWN, *[UP] * 47])))
    roll_up(stage)
    for kind, when in (("rows", "24:00"), ("hours", "30:00"), ("days", "24:00")):
        stage.sql("INSERT INTO {t_floors} VALUES (%s, %s)", kind, clock(when))
    (line,) = answers(stage, "uptime", since="0:00", until="48:00")
    assert (datetime.fromisoformat(line["since"]), line["coverage"]) == (clock("24:00"), 1.0)
    # The hours before 30:00 may be gone, so that the day is told as a whole.
    (line,) = answers(stage, "uptime", since="27:00", until="48:00")
    assert (datetime.fromisoformat(line["since"]), line["results"]) == (clock("24:00"), 24)
    (line,) = answers(stage, "uptime", since="25:00", until="27:00")
    assert (datetime.fromisoformat(line["until"]), line["results"]) == (clock("48:00"), 24)
    assert incidents(stage) == []
    assert incidents(stage, since="0:00", until="1:00") == []
    text = stage.answer("incidents", "--since", "30d")
    assert f"results from before {clock('24:00'):%Y-%m-%d %H:%M} are not kept any more" in text


def test_an_incident_that_goes_on_is_open_and_its_first_error_is_told(stage: Stage) -> None:
    now = datetime.now(UTC)

    def ago(agent: str, seconds: float, outcome: Outcome, **changes: Any) -> CheckResult:
        return check("now", agent, now - timedelta(seconds=seconds), outcome, interval=600, **changes)

    put(
        stage,
        [
            ago("a", 150, UP),
            ago("a", 90, DOWN, error="first words\033[2J"),
            ago("a", 30, DOWN, error="other words"),
            ago("b", 70, DOWN, error="b's words"),
            ago("b", 10, UP),
        ],
    )
    (found,) = json.loads(stage.answer("incidents", "--json"))
    assert (found["state"], found["ended"], found["error"]) == ("open", None, "first words\033[2J")
    assert 90 <= found["seconds"] < 1500
    text = stage.answer("incidents")
    assert "\033" not in text
    head, line = text.splitlines()[2:]
    assert head.split()[:4] == ["TARGET", "BEGAN", "ENDED", "LASTED"]
    assert re.search(r"  open +[0-9]+ min [0-9 s]+  2 of 2   timeout  first words \[2J$", line)
    (row,) = csv.DictReader(io.StringIO(stage.answer("incidents", "--csv"), newline=""))
    assert (row["vantages"], row["error"]) == ("a, b", "first words [2J")


def test_an_incident_is_told_with_its_true_end_wherever_its_failures_lie(stage: Stage) -> None:
    now = datetime.now(UTC)

    def down(target: str, hours: Sequence[float], interval: float = 3600) -> list[CheckResult]:
        return [check(target, "a", now - timedelta(hours=ago), DOWN, interval=interval) for ago in hours]

    put(
        stage,
        [
            # Checked each day: no failure need be in a span.
            *down("daily", [20], 86400),
            *down("lasts", range(72)),
            *down("over", range(2, 72)),
            check("over", "a", now - timedelta(hours=1), interval=3600),
        ],
    )

    def asked(*span: str) -> dict[str, tuple[str, float, int]]:
        found = json.loads(stage.answer("incidents", *span, "--json"))
        ago = {one["target"]: (now - datetime.fromisoformat(one["last_failure"])).total_seconds() for one in found}
        return {one["target"]: (one["state"], ago[one["target"]], round(one["seconds"] / 3600)) for one in found}

    for _ in range(2):
        assert asked("--since", "12h") == {
            "daily": ("open", 20 * 3600, 20), "lasts": ("open", 0, 71), "over": ("ended", 2 * 3600, 70),
        }  # fmt: skip
        # What lasts on is open, whatever the end of the span.
        until = (now - timedelta(hours=24)).isoformat()
        assert asked("--since", "40h", "--until", until) == {"lasts": ("open", 0, 71), "over": ("ended", 2 * 3600, 70)}
        roll_up(stage)


def test_slowest_gives_percentiles_within_5_percent_and_the_slowest_first(stage: Stage) -> None:
    chance = random.Random(7)
    times = {
        "quick": [chance.uniform(0.01, 0.1) for _ in range(400)],
        "tail": [*(chance.uniform(0.01, 0.1) for _ in range(370)), *(chance.uniform(1, 4) for _ in range(30))],
        "dead": [],
    }
    put(stage, [check("dead", "a", "10:00", DOWN)])
    put(
        stage,
        [
            check(
                target,
                "ab"[n % 2],
                clock("10:00") + timedelta(seconds=25 * n),
                SLOW if seconds > 2 else UP,
                response_time=seconds,
            )
            for target, all_times in times.items()
            for n, seconds in enumerate(all_times)
        ],
    )

    def as_it_should_be() -> None:
        found = answers(stage, "slowest", since="10:00", until="13:00")
        assert [line["target"] for line in found] == ["tail", "quick"]
        for line in found:
            exact = sorted(times[line["target"]])
            assert line["responses"] == 400
            assert line["slow"] == sum(seconds > 2 for seconds in exact)
            assert line["response_max"] == pytest.approx(exact[-1])
            for share in (50, 95, 99):
                assert line[f"response_p{share}"] == pytest.approx(exact[400 * share // 100 - 1], rel=0.05)

    as_it_should_be()
    roll_up(stage)
    as_it_should_be()
    (first,) = answers(stage, "slowest", "--limit", "1", "--by", "agent", since="10:00")
    assert first["responses"] == 400
    assert "the first 1 of 2" in stage.answer("slowest", "--since", "30d", "--limit", "1")


def test_status_finds_what_fell_silent_long_ago_and_leaves_out_vantages_that_are_gone(stage: Stage) -> None:
    now = datetime.now(UTC)

    def ago(target: str, agent: str, days: float, outcome: Outcome = UP) -> CheckResult:
        return check(target, agent, now - timedelta(days=days), outcome, error="long ago" if outcome is DOWN else None)

    put(
        stage,
        [
            ago("alive", "a", 0.0001),
            ago("alive", "gone", 40),
            ago("stopped", "a", 60.0001, DOWN),
            ago("stopped", "gone", 61),
            ago("stopped", "b", 60),
        ],
    )
    for _ in range(2):
        found = {line["target"]: line for line in json.loads(stage.status("--json"))}
        assert [vantage["agent"] for vantage in found["alive"]["vantages"]] == ["a"]
        assert [vantage["agent"] for vantage in found["stopped"]["vantages"]] == ["a", "b"]
        assert found["stopped"]["vantages"][0]["error"] == "long ago"
        assert (found["alive"]["state"], found["stopped"]["state"]) == ("up", "stale")
        roll_up(stage)
        put(stage, [ago("alive", "a", 0.00005)])


@pytest.mark.parametrize("command", ["status", "uptime", "incidents", "slowest"])
def test_an_empty_store_is_a_friendly_line_and_an_empty_list(shared_stage: Stage, command: str) -> None:
    text = shared_stage.answer(command)
    assert len(text.splitlines()) == 1
    assert text.startswith("no ")
    assert json.loads(shared_stage.answer(command, "--json")) == []
    assert len(shared_stage.answer(command, "--csv").splitlines()) == 1


def test_a_schema_that_is_too_old_says_what_to_run(stage: Stage) -> None:
    stage.sql(
        "UPDATE {t_migrations} SET version = version - 10 WHERE version = (SELECT max(version) FROM {t_migrations})"
    )
    for command in ("status", "uptime", "incidents", "slowest"):
        done = stage.ask(command)
        assert done.returncode == 2
        assert "run `webmon init` of this release" in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["uptime", "--since", "yesterday"], "argument --since: 'yesterday' is no time; right would be 90m, 12h"),
        (["uptime", "--since", "1d", "--until", "2d"], "is not before --until"),
        (["slowest", "--by", "team"], "argument --by: 'team'; right would be target, agent or label=KEY"),
        (["slowest", "--limit", "0"], "argument --limit: '0'; right would be a whole number above 0"),
        (["incidents", "--json", "--csv"], "not allowed with argument"),
    ],
)
def test_a_mistake_in_the_question_is_told_with_status_2(shared_stage: Stage, arguments: list[str], said: str) -> None:
    done = shared_stage.ask(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
