"""`webmon alarms` on a real database: what is open, who was told, what is in force, and what nobody took."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.integration.stage import Stage
from webmon.alarm.conditions import Condition, Severity
from webmon.alarm.records import Ack, Episode, Maintenance, Notice, Seen, Silence, make_id
from webmon.report.alarms import shortest

NOW = round(datetime.now(UTC).timestamp() * 1000)
HOUR = 3_600_000


@pytest.fixture(scope="module", autouse=True)
def _now() -> None:
    """A module is read long before its tests run."""
    globals()["NOW"] = round(datetime.now(UTC).timestamp() * 1000)


def episode(subject: str, hours: float = 1, **changes: Any) -> Episode:
    since = NOW - round(hours * HOUR)
    given: dict[str, Any] = {"condition": Condition.DOWN, "severity": Severity.CRITICAL, "since": since}
    return Episode(**(given | {"id": make_id(subject), "subject": subject, "opened": since} | changes))


def notice(of: Episode, channel: str, state: str, event: str = "opened", **changes: Any) -> Notice:
    given: dict[str, Any] = {"made": of.opened, "due": of.opened, "group": "g", "state": state, "event": event}
    number = make_id("notice", of.id, channel, event)
    return Notice(**(given | {"id": number, "episode": of.id, "channel": channel} | changes))


@pytest.fixture
def told(stage: Stage) -> Stage:
    shop = episode(
        "shop",
        labels={"team": "a"},
        url="https://shop.example/",
        seen=[Seen("one", "timeout", "no answer"), Seen("two", "timeout", "none"), Seen("three", "dns_error")],
        voters=3,
        ack=Ack(by="ada", at=NOW, note="restarting it"),
    )
    evil = episode("\x1b[31mevil\n", 2, condition=Condition.SLOW, severity=Severity.WARNING, held="maintenance")
    child = episode("child", 0.5, under=shop.id)
    over = episode("over", 30, ended=NOW - 29 * HOUR, closed=NOW - 29 * HOUR)
    old = episode("old", 300, ended=NOW - 299 * HOUR, closed=NOW - 299 * HOUR)
    stage.remember(
        [
            *(shop, evil, child, over, old),
            *(notice(shop, "ops-mail", "sent"), notice(shop, "am", "sent")),
            notice(shop, "pager", "waiting", due=NOW - 60_000, step=1),
            notice(shop, "later", "waiting", due=NOW + HOUR, step=2),
            notice(over, "ops-mail", "sent"),
            notice(over, "ops-mail", "failed", "ended", due=NOW - 20 * HOUR),
            notice(old, "ops-mail", "failed", "ended"),
            Silence(id="s1", match="db-*", begins=NOW - HOUR, until=NOW + HOUR, by="ada", reason="noise"),
            Silence(id="s2", match="gone", begins=NOW - 2 * HOUR, until=NOW - HOUR),
            Maintenance(id="m1", name="backups", match="x", begins=NOW - HOUR, until=NOW + HOUR),
            Maintenance(id="m2", match="to come", begins=NOW + HOUR, until=NOW + 2 * HOUR),
        ]
    )
    return stage


def test_open_ones_come_with_who_was_told_and_who_has_them_in_hand_and_nothing_steers_a_terminal(told: Stage) -> None:
    text = told.answer("alarms")
    assert "\x1b" not in text
    title, _, head, *lines = text.splitlines()
    assert title.startswith("3 open; as of ")
    assert head.split() == [
        *("ID", "SEVERITY", "CONDITION", "SUBJECT", "SINCE", "LASTED", "SEEN", "TOLD", "ACKNOWLEDGED")
    ]
    child, shop, evil = lines[:3]
    assert shop.startswith(f"{make_id('shop')[:8]}  critical  down ")
    assert "3 of 3: timeout, dns_error; no answer" in shop
    # Whom it was due to and who does not have it yet stands with what became of it.
    assert "am, ops-mail, pager (waiting), later (waiting)" in shop
    assert shop.endswith("ada: restarting it")
    assert f"with {make_id('shop')[:8]}" in child
    assert evil.startswith(f"{make_id(chr(27) + '[31mevil' + chr(10))[:8]}  warning   slow ")
    assert "held: maintenance" in evil
    rest = "\n".join(lines[3:])
    assert "silence      db-*" in rest
    assert "maintenance  backups" in rest
    assert "gone" not in rest
    assert "to come" not in rest
    _, undelivered = rest.split("messages that no receiver took:")
    assert [line.split()[1:3] for line in undelivered.splitlines()[3:]] == [
        ["failed", "ops-mail"],
        ["waiting", "pager"],
    ]


def test_all_has_what_is_over_of_the_last_week_or_since_a_time(told: Stage) -> None:
    assert "  over  " not in told.answer("alarms").split("messages that")[0]
    of_a_week = told.answer("alarms", "--all")
    assert "  over  " in of_a_week.split("messages that")[0]
    assert "  old  " not in of_a_week
    assert "ENDED" in of_a_week
    document = json.loads(told.answer("alarms", "--since", "30d", "--json"))
    assert [one["subject"] for one in document["episodes"]] == ["child", "shop", "\x1b[31mevil\n", "over", "old"]
    assert sorted(document) == ["episodes", "epoch", "maintenance", "silences", "undelivered", "written"]
    shop = document["episodes"][1]
    assert (shop["id"], shop["ack_by"], shop["voters"]) == (make_id("shop"), "ada", 3)
    assert {(one["channel"], one["state"]) for one in shop["notices"]} >= {("am", "sent"), ("pager", "waiting")}
    assert shop["seconds"] == pytest.approx(3600, abs=120)
    assert document["silences"][0]["match"] == "db-*"
    assert document["undelivered"][0]["subject"] == "over"


def test_nothing_open_and_no_judge_yet_are_each_a_friendly_line(stage: Stage) -> None:
    assert stage.answer("alarms") == "no judge has told the database of anything yet: does `webmon alarm` run?\n"
    assert json.loads(stage.answer("alarms", "--json"))["episodes"] == []
    stage.remember([])
    assert stage.answer("alarms").startswith("nothing is open; as of ")


def test_an_id_is_shown_as_long_as_it_must_be() -> None:
    one, other = "12345678-1234-5000-8000-000000000000", "12345678-1235-5000-8000-000000000000"
    assert shortest(one, [one, make_id(1)]) == "12345678"
    assert shortest(one, [one, other]) == "12345678-1234"
