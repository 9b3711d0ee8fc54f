"""`webmon alarm replay` on a real database: what is passed over there changes nothing of what is told."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.stage import Stage, recent
from webmon.alarm.past import Past, Span
from webmon.alarm.records import Notice, make_id
from webmon.alarm.replay import Replay, Told
from webmon.alarm.rules import load
from webmon.check.result import CheckResult, Outcome
from webmon.sink.writer import Writer
from webmon.store.names import Tables
from webmon.store.reader import look
from webmon.store.rollups import roll_up

UNTIL = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
BEGIN = UNTIL - timedelta(hours=20)
SINCE = BEGIN + timedelta(hours=4)
RULES = "routes: [{to: [mail]}]\nchannels: {mail: {webhook: {url: 'http://localhost:1/'}}}\n"


class Everything(Past):
    """The same, and nothing is passed over."""

    def eventful(self, since: datetime, until: datetime) -> dict[int, list[Span]]:
        return {target: [Span(since, until)] for target in self.targets}


def results() -> list[CheckResult]:
    chosen = random.Random(11)
    blips = {(chosen.randrange(4), chosen.randrange(3), chosen.randrange(300, 1200)) for _ in range(40)}
    renewed = UNTIL + timedelta(days=90)
    made = []
    for target in range(4):
        for vantage in range(3):
            for minute in range(20 * 60):
                outcome, ends = Outcome.UP, UNTIL + timedelta(days=6, hours=30)
                if target == 0 and minute > 1000:
                    ends = renewed
                if (target, vantage, minute) in blips or (target == 1 and 500 <= minute < 530):
                    outcome = Outcome.TIMEOUT
                elif target == 2 and 700 <= minute < 730:
                    outcome = Outcome.SLOW
                elif vantage == 2 and 800 <= minute < 830:
                    outcome = Outcome.AGENT_ERROR
                elif (target == 3 and 900 <= minute < 960) or (vantage == 0 and 1080 <= minute < 1100):
                    continue
                moment = BEGIN + timedelta(minutes=minute, seconds=20 * vantage + target)
                error = None if outcome.is_up else f"{outcome} at {minute}"
                shown = ends if target == 0 else None
                at = {"time": moment, "scheduled_at": moment, "outcome": outcome, "error": error}
                made.append(
                    recent(target=f"site{target}", agent=chr(97 + vantage), tls_not_after=shown, **at, url="https://x/")
                )
    return made


@pytest.fixture(scope="module")
def stored(services: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    stage = Stage(services, tmp_path_factory.mktemp("replay"))
    try:
        stage.init(**stage.with_alarms)
        store = Writer(stage.settings("sink").postgres)
        every = results()
        for start in range(0, len(every), 5000):
            assert store.store(every[start : start + 5000]).refused == []
        store.close()
        yield stage
    finally:
        stage.remove()


def rules_file(stage: Stage) -> Path:
    path = stage.directory / "rules.yml"
    path.write_text(RULES)
    return path


def told(stage: Stage, kind: type[Past]) -> tuple[list[Told], int]:
    with look(stage.settings("report"), "test") as session:
        replay = Replay(load(rules_file(stage)), kind(session), since=SINCE, until=UNTIL)
        return replay.run(), replay.judged


def about(found: Sequence[Told]) -> list[tuple[str, str, str, datetime]]:
    return sorted((one.event, one.condition, one.subject, one.since) for one in found)


def test_what_is_passed_over_changes_nothing_rolled_up_or_not(stored: Stage) -> None:
    expected, of_all = told(stored, Everything)
    assert {(one.condition, one.subject) for one in expected} >= {
        ("down", "site1"),
        ("slow", "site2"),
        ("no_data", "site3"),
        ("vantage_silent", "a"),
        ("vantage_at_fault", "c"),
        ("certificate", "site0"),
    }
    for _ in range(2):
        found, judged = told(stored, Past)
        assert about(found) == about(expected)
        by_id = {one.id: one.at for one in expected}
        assert [one for one in found if abs(one.at - by_id[one.id]) > timedelta(seconds=41)] == []
        assert judged < of_all * 0.7
        with stored.database() as cursor:
            while roll_up(cursor.connection, Tables(stored.table), before=UNTIL + timedelta(days=1)):
                pass


def test_the_answer_stands_beside_what_was_told(stored: Stage) -> None:
    (down,) = (one for one in told(stored, Past)[0] if (one.event, one.condition) == ("opened", "down"))
    at = round(down.at.timestamp() * 1000)
    given: dict[str, Any] = {"channel": "mail", "made": at, "due": at, "group": "g", "state": "sent"}
    from tests.integration.test_real_alarms_list import episode  # noqa: PLC0415

    was = episode("site1", id=make_id("site1", "down", round(down.since.timestamp() * 1000)))
    stored.remember(
        [
            was,
            Notice(id=down.id, episode=was.id, event="opened", at=at + 2_000, **given),
            Notice(id=make_id("gone"), episode=was.id, event="reminder", at=at + 3_600_000, **given),
        ]
    )
    done = stored.ask("alarm", "replay", "--since", "19h", "--file", str(rules_file(stored)), "--json")
    assert done.returncode == 0, done.stderr
    lines = {(one["event"], one["condition"], one["subject"]): one for one in json.loads(done.stdout)}
    opened = lines["opened", "down", "site1"]
    assert opened["verdict"] == "both"
    assert opened["would"] == down.at.isoformat()
    assert lines["reminder", "down", "site1"]["verdict"] == "gone"
    assert lines["ended", "down", "site1"]["verdict"] == "new"
    text = stored.answer("alarm", "replay", "--since", "19h", "--file", str(rules_file(stored)))
    assert "these rules would have told" in text.splitlines()[0]
    assert "; 2 were told" in text.splitlines()[0]


def test_a_fault_of_the_rules_or_of_the_span_is_a_line(stored: Stage) -> None:
    wrong = stored.directory / "wrong.yml"
    wrong.write_text("routes: [{to: [nobody]}]\nchannels: {mail: {mail: {to: [a@b.example]}}}\n")
    done = stored.ask("alarm", "replay", "--file", str(wrong))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "nobody" in done.stderr
    done = stored.ask("alarm", "replay", "--file", str(rules_file(stored)), "--since", "2099-01-01")
    assert done.returncode == 2
    assert "is not past" in done.stderr
