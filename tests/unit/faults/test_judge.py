from datetime import UTC, datetime, timedelta
from functools import partial
from operator import eq

from tests.faults.judge import Key, Ledger, Noted, Sites, judge, read_ledger
from webmon.check.result import Outcome

START = datetime(2026, 11, 25, 12, tzinfo=UTC)
KEYS = [Key("agent1", "c01-site", START + timedelta(seconds=3 * place, milliseconds=20)) for place in range(10)]
LEDGER: Ledger = {key: Noted(key.time - timedelta(milliseconds=20), Outcome.UP) for key in KEYS}
ROWS = [(key, Outcome.UP) for key in KEYS]
SITES = Sites(f"{key.time.timestamp():.6f} {key.time.timestamp() + 0.01:.6f} 200 /c01-site 10.0.0.1" for key in KEYS)


def faults(ledger: Ledger, rows: list[tuple[Key, Outcome]], sites: Sites = SITES) -> list[str]:
    return judge(ledger, rows, sites, interval=3, timeout=3).faults({})


def test_every_result_with_its_row_is_well() -> None:
    assert faults(LEDGER, ROWS) == []


def test_a_result_without_a_row_is_missing() -> None:
    assert faults(LEDGER, ROWS[1:]) == ["1 results missing"]


def test_no_more_may_be_missing_than_is_allowed_of_a_case() -> None:
    verdict = judge(LEDGER, ROWS[2:], SITES, interval=3, timeout=3)
    assert verdict.faults({"missing": 2}) == []
    assert verdict.faults({"missing": 1, "repeated": 5}) == ["2 results missing"]


def test_a_second_row_of_a_result_is_a_repeat() -> None:
    assert faults(LEDGER, [*ROWS, ROWS[3]]) == ["1 rows repeated"]


def test_a_row_that_no_agent_made_is_told() -> None:
    other = Key("agent1", "c01-site", START + timedelta(hours=1))
    assert faults(LEDGER, [*ROWS, (other, Outcome.UP)]) == ["1 rows that no agent made"]


def test_a_row_that_calls_a_site_down_while_it_served_is_wrong_whoever_says_so() -> None:
    down = {**LEDGER, KEYS[4]: Noted(KEYS[4].time, Outcome.TIMEOUT)}
    assert faults(down, [*ROWS[:4], (KEYS[4], Outcome.TIMEOUT), *ROWS[5:]]) == ["1 rows that call a healthy site down"]


def test_a_site_that_served_nobody_may_be_called_down() -> None:
    down = {**LEDGER, KEYS[4]: Noted(KEYS[4].time, Outcome.TIMEOUT)}
    assert faults(down, [*ROWS[:4], (KEYS[4], Outcome.TIMEOUT), *ROWS[5:]], Sites([])) == []


def test_a_site_that_the_case_took_down_may_be_called_down_then() -> None:
    down = {**LEDGER, KEYS[4]: Noted(KEYS[4].time, Outcome.STATUS_MISMATCH)}
    rows = [*ROWS[:4], (KEYS[4], Outcome.STATUS_MISMATCH), *ROWS[5:]]
    for then, wrongly in ((KEYS[4], 0), (KEYS[5], 1)):
        verdict = judge(down, rows, SITES, interval=3, timeout=3, was_down=partial(eq, then))
        assert verdict.wrongly_down == wrongly


def test_an_agent_error_calls_no_site_down() -> None:
    cut_off = {**LEDGER, KEYS[4]: Noted(KEYS[4].time, Outcome.AGENT_ERROR)}
    assert faults(cut_off, [*ROWS[:4], (KEYS[4], Outcome.AGENT_ERROR), *ROWS[5:]]) == []


def test_a_row_with_another_outcome_than_its_result_is_told() -> None:
    assert faults(LEDGER, [(KEYS[0], Outcome.SLOW), *ROWS[1:]]) == ["1 rows with another outcome"]


def test_no_result_at_all_is_a_fault_of_the_case() -> None:
    assert faults({}, []) == ["no result was made"]


def test_the_longest_gap_is_what_goes_beyond_the_interval() -> None:
    holed = {key: noted for key, noted in LEDGER.items() if key not in KEYS[3:6]}
    assert judge(holed, [], SITES, interval=3, timeout=3).longest_gap == 9


def test_a_ledger_is_read_by_prefix_once_each_and_without_a_line_that_was_cut_off() -> None:
    line = "agent1\tc01-site\t2026-11-25T12:00:00.02Z\t2026-11-25T12:00:00Z\tup\n"
    assert read_ledger([line, line, line.replace("c01", "c02"), "agent1\tc01-si"], "c01-") == {
        Key("agent1", "c01-site", START + timedelta(milliseconds=20)): Noted(START, Outcome.UP)
    }
