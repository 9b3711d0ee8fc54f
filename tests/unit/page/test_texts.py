"""The words of the public page."""

import re
import string
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from webmon.page import texts
from webmon.page.model import State
from webmon.page.texts import ALL, LANGUAGES, chosen

_FORMATTER = string.Formatter()


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in _FORMATTER.parse(text) if name is not None}


@pytest.mark.parametrize("key", sorted(texts._TEXTS))
def test_each_text_is_there_in_each_language_with_the_same_places(key: str) -> None:
    versions = texts._TEXTS[key]
    assert len(versions) == len(LANGUAGES)
    assert all(text.strip() for text in versions)
    assert len({frozenset(places(text)) for text in versions}) == 1


def test_each_state_has_its_word() -> None:
    for state in State:
        assert len({ALL["en"](other) for other in State}) == len(State)
        assert all(ALL[language](state) for language in LANGUAGES)


def test_no_text_is_there_that_nothing_shows() -> None:
    room = Path(texts.__file__).parent
    code = "".join(file.read_text() for file in (*room.glob("*.py"), *(room / "templates").glob("*.html")))
    made = {f"{begin}_{kind}" for begin in ("is", "was") for kind in ("down", "partial", "slow")}
    made |= {f"also_{kind}" for kind in ("partial", "slow", "unknown", "maintenance")}
    made |= {f"span_{days}" for days in (1, 7, 30, 90, 365)} | {state.value for state in State}
    unused = [key for key in texts._TEXTS if key not in made and len(re.findall(rf"""["']{key}["']""", code)) < 2]
    assert unused == []


@given(some.integers(0, 10_000))
def test_a_percentage_never_reads_as_100_where_something_failed(hundredths: int) -> None:
    for t in ALL.values():
        assert (t.percent(hundredths).startswith("100")) == (hundredths == 10_000)
        assert float(t.percent(hundredths).split("\u202f")[0].replace(",", ".")) == hundredths / 100


@given(some.text(max_size=200))
def test_no_accept_language_whatever_breaks_the_choice(accept: str) -> None:
    assert chosen(accept).language in LANGUAGES


def test_days_and_durations_are_written_as_the_language_has_them() -> None:
    at = datetime(2026, 3, 1, 9, 5, tzinfo=UTC)
    assert [ALL[language].minute(at) for language in LANGUAGES] == [
        "1 Mar 2026, 09:05 UTC",
        "1. März 2026, 09:05 UTC",
        "1 mars 2026, 09:05 UTC",
        "1 mar 2026, 09:05 UTC",
    ]
    assert ALL["de"].duration(90_000) == "1\u202fT 1\u202fh"
    assert ALL["en"].duration(0) == "0\u202fs"
