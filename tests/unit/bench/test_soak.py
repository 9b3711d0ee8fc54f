"""Whether the soak's slope tells what grows from what goes up and comes back."""

import random

import pytest

from tests.bench.soak import Samples

HALF_AN_HOUR = [20.0 * number for number in range(90)]


def test_what_grows_by_a_little_in_noise_has_its_slope() -> None:
    draw = random.Random(1)
    grows = Samples(HALF_AN_HOUR, [60 + at / 3600 * 12 + draw.uniform(-0.5, 0.5) for at in HALF_AN_HOUR])
    assert grows.slope() == pytest.approx(12, abs=1)


@pytest.mark.parametrize("at", [20, 50, 85])
def test_what_goes_up_and_comes_back_has_none_whenever_it_did(at: int) -> None:
    values = [13.0] * 90
    values[at : at + 5] = [28.0] * 5
    assert Samples(HALF_AN_HOUR, values).slope() == 0


def test_what_goes_up_and_stays_has_one() -> None:
    assert Samples(HALF_AN_HOUR, [13.0] * 60 + [28.0] * 30).slope() > 5


def test_what_was_taken_while_warming_up_does_not_count() -> None:
    assert Samples(HALF_AN_HOUR, [*map(float, range(30)), *[30.0] * 60]).slope() == 0
