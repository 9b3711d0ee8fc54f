"""What verify.yml says of the backups of a database."""

import json
from typing import Any

import pytest

from tests.unit.filters import load

plugin = load("backups")
NOW = 1_800_000_000.0
WELL = {"rc": 0, "stdout": "f|40\n"}


def info(*stops: float, held: bool = False, error: bool = False) -> dict[str, Any]:
    """Give what pgBackRest 2.55 says of one stanza, as far as it is read."""
    backups = [{"timestamp": {"start": stop - 5, "stop": stop}, "error": error} for stop in stops]
    stanza = {"name": "webmon", "backup": backups, "status": {"code": 0, "lock": {"backup": {"held": held}}}}
    return {"rc": 0, "stdout": json.dumps([stanza])}


def findings(told: dict[str, Any], archiver: dict[str, Any] | None = None) -> list[tuple[str, str, str]]:
    found = plugin.backup_findings(told, WELL if archiver is None else archiver, NOW, "/srv/backup")
    assert {one["component"] for one in found} == {"database"}
    return [(one["level"], one["subject"], one["text"]) for one in found]


def test_the_age_of_the_newest_backup_is_told_and_of_the_newest_wal() -> None:
    assert findings(info(NOW - 90_000, NOW - 7_300)) == [
        ("ok", "backup", "the newest of 2 in /srv/backup is 2 h old"),
        ("ok", "WAL", "it gets to /srv/backup: the last came 40 s ago"),
    ]


def test_none_though_asked_for_fails_unless_the_first_is_being_made() -> None:
    (level, _, text), _ = findings(info())
    assert (level, text.partition(";")[0]) == ("FAILED", "there is none in /srv/backup")
    assert findings(info(held=True))[0][0] == "warning"


def test_a_backup_that_ended_with_an_error_counts_for_none() -> None:
    assert findings(info(NOW - 60, error=True))[0][0] == "FAILED"


def test_one_of_three_days_ago_fails_as_one_should_be_made_each_day() -> None:
    (level, _, text), _ = findings(info(NOW - 3 * 86_400))
    assert level == "FAILED"
    assert "is 3 days old, and one should be made each day" in text
    assert findings(info(NOW - 3 * 86_400, held=True))[0][0] == "ok"


def test_wal_that_does_not_get_there_fails() -> None:
    _, (level, subject, text) = findings(info(NOW), {"rc": 0, "stdout": "t|\n"})
    assert (level, subject) == ("FAILED", "WAL")
    assert text.startswith("it does not get to /srv/backup (none has come yet)")


@pytest.mark.parametrize("told", [{"rc": 127, "msg": "no such file"}, {"rc": 0, "stdout": "[]"}, {"stdout": "{"}])
def test_who_says_nothing_fails_with_what_was_said(told: dict[str, Any]) -> None:
    assert findings(told)[0][0] == "FAILED"
    assert findings(info(NOW), {"rc": 2, "stderr": "no server"})[1] == (
        "FAILED",
        "WAL",
        "PostgreSQL does not say whether its WAL gets to /srv/backup: no server",
    )
