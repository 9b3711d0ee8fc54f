"""Windows of maintenance: when they hold, also in the nights when clocks are changed."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmon.alarm.maintenance import Maintenance, Once, every
from webmon.alarm.match import Match

HELSINKI = ZoneInfo("Europe/Helsinki")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def window(text: str, hours: float, zone: ZoneInfo = HELSINKI) -> Maintenance:
    return Maintenance("m", every(text, timedelta(hours=hours), zone))


def holds(window: Maintenance, moment: str) -> bool:
    return window.covers("shop", {}, at(moment))


def test_a_window_holds_from_its_begin_to_its_end_in_the_time_of_its_place() -> None:
    backups = window("Sun 02:00", 2)
    assert not holds(backups, "2026-11-28 23:59:59")  # 01:59:59 there, on Sunday
    assert holds(backups, "2026-11-29 00:00")
    assert holds(backups, "2026-11-29 01:59:59")
    assert not holds(backups, "2026-11-29 02:00")
    assert not holds(backups, "2026-11-30 00:00")
    assert backups.ends_after(at("2026-11-29 01:00")) == at("2026-11-29 02:00")
    # Where none holds, it is the next one's.
    assert backups.ends_after(at("2026-11-29 03:00")) == at("2026-12-06 02:00")


def test_a_time_that_the_clocks_skip_takes_the_offset_before_the_gap() -> None:
    # 2026-03-29: at 03:00 it becomes 04:00. 03:30 of UTC+2 is 01:30 UTC, which clocks show as 04:30.
    night = window("daily 03:30", 1)
    assert not holds(night, "2026-03-29 01:29:59")
    assert holds(night, "2026-03-29 01:30")
    assert night.ends_after(at("2026-03-29 01:30")) == at("2026-03-29 02:30")
    # The day before and the day after it is 03:30 as clocks show it.
    assert holds(night, "2026-03-28 01:30")
    assert holds(night, "2026-03-30 00:30")


def test_a_time_that_comes_twice_is_the_first() -> None:
    # 2026-10-25: at 04:00 it becomes 03:00 again. The first 03:30 is 00:30 UTC, the second 01:30.
    night = window("Sun 03:30", 0.5)
    assert holds(night, "2026-10-25 00:30")
    assert not holds(night, "2026-10-25 01:00")
    assert not holds(night, "2026-10-25 01:30")


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_how_long_it_lasts_is_time_that_passes(day: str) -> None:
    night = window("daily 02:00", 4)
    begin = datetime.fromisoformat(f"{day} 02:00").replace(tzinfo=HELSINKI).astimezone(UTC)
    assert night.covers("shop", {}, begin)
    assert night.ends_after(begin) - begin == timedelta(hours=4)
    assert not night.covers("shop", {}, begin - timedelta(seconds=1))
    assert not night.covers("shop", {}, begin + timedelta(hours=4))


def test_a_month_without_the_day_has_no_window() -> None:
    monthly = window("day 31 01:00", 3, ZoneInfo("UTC"))
    assert holds(monthly, "2026-01-31 02:00")
    assert not any(holds(monthly, f"2026-02-{day:02} 02:00") for day in range(1, 29))
    assert not holds(monthly, "2026-03-01 02:00")
    assert not holds(monthly, "2026-03-03 02:00")
    assert holds(monthly, "2026-03-31 02:00")


def test_a_window_may_last_over_midnight_and_over_days() -> None:
    assert holds(window("23:30", 1), "2026-11-28 22:15")  # 00:15 there
    weekend = window("Fri 18:00", 60)
    assert holds(weekend, "2026-11-28 12:00")
    assert weekend.ends_after(at("2026-11-28 12:00")) == at("2026-11-30 04:00")
    assert not holds(weekend, "2026-11-30 04:00")


def test_far_from_greenwich_days_are_those_of_the_place() -> None:
    auckland, honolulu = ZoneInfo("Pacific/Auckland"), ZoneInfo("Pacific/Honolulu")
    assert holds(window("Sun 01:00", 1, auckland), "2026-11-28 12:30")
    assert holds(window("Sun 23:00", 1, honolulu), "2026-11-30 09:30")


def test_a_window_that_comes_once_is_between_its_times() -> None:
    once = Maintenance(
        "m",
        Once(datetime.fromisoformat("2026-12-01T02:00+02:00"), datetime.fromisoformat("2026-12-01T04:00+02:00")),
        Match(("db-*",), {"tier": "gold"}),
    )
    assert once.covers("db-1", {"tier": "gold", "team": "a"}, at("2026-12-01 00:00"))
    assert not once.covers("db-1", {"tier": "gold"}, at("2026-12-01 02:00"))
    assert not once.covers("my-db-1", {"tier": "gold"}, at("2026-12-01 00:00"))
    assert not once.covers("db-1", {}, at("2026-12-01 00:00"))
    assert once.ends_after(at("2026-11-01 00:00")) == at("2026-12-01 02:00")
    assert once.ends_after(at("2026-12-01 02:00")) == at("2026-12-01 02:00")


@given(
    moment=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 (it gets its zone below)
    text=st.sampled_from(["daily 02:30", "00:00", "Sun 03:15", "day 31 23:45", "day 1 03:30"]),
    zone=st.sampled_from(["Europe/Helsinki", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    hours=st.floats(0.1, 22),
)
def test_what_holds_ends_and_no_later_than_it_lasts(moment: datetime, text: str, zone: str, hours: float) -> None:
    moment, night = moment.replace(tzinfo=UTC), window(text, hours, ZoneInfo(zone))
    end = night.ends_after(moment)
    if night.covers("a", {}, moment):
        assert moment < end <= moment + timedelta(hours=hours)
        assert not night.covers("a", {}, end)
    else:
        assert moment < end <= moment + timedelta(days=63)
        assert night.covers("a", {}, end - timedelta(microseconds=1))
        assert night.ends_after(end - timedelta(microseconds=1)) == end
