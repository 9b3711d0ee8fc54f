"""What is shown of a snapshot, at the time of a look."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.unit.page import fakes
from webmon.page.model import State, operator, public
from webmon.page.snapshot import History, Maintenance


@pytest.mark.parametrize("number", [3, 50, 500])
@pytest.mark.parametrize(
    ("state", "code"),
    [("well", "all_up"), ("one down", "some_fail"), ("unknown", "unknown"), ("maintenance", "maintenance")],
)
def test_one_sentence_tells_how_all_are(number: int, state: str, code: str) -> None:
    page = public(fakes.many(number, state), fakes.page_file(), fakes.NOW)
    assert page.sentence.code == code
    assert page.sentence.counts.total == number


def test_a_target_is_unknown_at_the_view_and_never_green_by_default() -> None:
    snapshot = fakes.many(3)
    at = fakes.NOW + timedelta(seconds=287)
    assert public(snapshot, fakes.page_file(), at).groups[0].state is State.UP
    page = public(snapshot, fakes.page_file(), fakes.NOW + timedelta(seconds=288))
    assert page.groups[0].state is State.UNKNOWN
    assert page.sentence.text == "Not known: no data since 2026-11-28 14:01 UTC"
    assert page.is_old


def test_strange_texts_are_carried_as_they_are() -> None:
    snapshot = fakes.strange()
    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=type(snapshot)) == snapshot
    page = public(snapshot, fakes.page_file(), fakes.NOW)
    assert {one.name for one in page.groups[0].targets} <= {one.name for one in snapshot.targets}
    assert operator(fakes.look(snapshot), None, fakes.NOW).targets


def test_what_failed_and_ended_within_maintenance_is_no_incident_as_nobody_was_told() -> None:
    shop, now = fakes.target(), fakes.NOW

    def shown(*work: Maintenance, **changes: Any) -> int:
        history = History(as_of=now, episodes=[fakes.ended(ago=7200, lasted=600, **changes)], maintenance=[*work])
        return len(public(fakes.snapshot([shop], history), fakes.page_file(), now).incidents)

    whole = fakes.maintenance(begins=-7300, lasts=3600)
    assert shown() == 1
    assert shown(whole) == shown(fakes.maintenance("team=shop", begins=-7300, lasts=3600)) == 0
    assert shown(fakes.maintenance("other", begins=-7300, lasts=3600)) == 1
    assert shown(whole, opened=now - timedelta(seconds=7400)) == 1, "it was told before the work began"
    assert shown(fakes.maintenance(begins=-7300, lasts=300)) == 1, "it went on when the work was over"
    parts = [fakes.maintenance(begins=-7300, lasts=300), fakes.maintenance(begins=-7050, lasts=3600)]
    assert shown(*parts) == shown(*reversed(parts)) == 0
