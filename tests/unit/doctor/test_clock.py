"""What the doctor says of a clock."""

from webmon.doctor import clock


def test_a_clock_is_right_off_or_wrong() -> None:
    assert str(clock.examine(1000.0, now=1002.0)).startswith("ok       clock: this host's clock is 2.0 s ahead of")
    assert str(clock.examine(1000.0, now=980.0)).startswith("warning  clock: this host's clock is 20.0 s behind")
    assert str(clock.examine(1000.0, now=4600.0)).startswith("FAILED   clock: this host's clock is 3600.0 s ahead of")
