from tests.faults import report
from tests.faults.case import Result
from tests.faults.told import Told


def result(told: Told | None) -> Result:
    return Result(
        case=19,
        title="cut off",
        seed=1,
        scale=0.2,
        verdict=None,
        told=told,
        recovered=None,
        problems=[],
        notes=[],
        seconds=143.0,
        at="2026-11-28 22:00 UTC",
    )


def test_the_table_says_what_was_told_and_of_whom() -> None:
    told = Told(messages=4, wrong=0, untold=2, again=0, doubled=0, vantages={"agent1 silent": 2})
    heading, row = report.table([result(told)]).splitlines()
    assert heading.split("  ")[-1].strip() == "took"
    assert " ".join(row.split()) == "19 cut off ok - - - - - - - 4 0 2 agent1 silent (2 times) 1 0.2 143 s"


def test_a_case_that_did_not_come_so_far_has_no_figures_of_what_was_told() -> None:
    row = report.table([result(None)]).splitlines()[1]
    assert " ".join(row.split()) == "19 cut off ok - - - - - - - - - - - 1 0.2 143 s"
