"""What the doctor says of a clock."""

from webmon.doctor import clock
from webmon.doctor.finding import Finding


def examine(before: float, theirs: float, after: float) -> Finding:
    return clock.examine(before, theirs, after, whose="the database's")


def test_a_clock_is_right_off_or_wrong() -> None:
    assert str(examine(1000.0, 1004.0, 1009.0)) == "ok       clock: agrees with the database's"
    assert str(examine(1001.0, 1000.0, 1002.0)).startswith("ok       clock: is 1.0 s ahead of the database's")
    assert str(examine(999.0, 1020.0, 1000.0)).startswith("warning  clock: is 20.0 s behind the database's")
    assert str(examine(4600.0, 1000.0, 4600.5)).startswith("FAILED   clock: is 3600.0 s ahead of the database's")
