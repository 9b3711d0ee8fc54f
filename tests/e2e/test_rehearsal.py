"""Check mode on hosts in any state: it never fails, changes nothing and makes no secret.

What is tested before this is tested without one more host, whose results would be counted.
"""

import pytest

from tests.e2e.lab import Lab
from tests.e2e.more import HOST, SITE, More
from tests.lab.demo import recap


def test_it_ends_well_on_a_fresh_and_on_a_half_finished_host(more: More) -> None:
    assert more.checked.keys() == {("fresh", ""), ("fresh", "configure"), ("fresh", "run"), ("half", "")}
    for case, (status, out) in more.checked.items():
        assert status == 0, (case, out[-3000:])
        assert recap(out)[HOST][1:] == (0, 0), case
    assert recap(more.checked["fresh", ""][1])[HOST][0] > 0, "what would be done is told"


def test_it_makes_no_secret_on_the_controller(more: More) -> None:
    assert more.made_by_checks == set()


@pytest.mark.parametrize("tag", ["preflight", "run"])
def test_on_finished_hosts_it_has_nothing_to_change_whatever_the_tag(lab: Lab, tag: str) -> None:
    assert set(lab.play(SITE, "--check", "--diff", "--tags", tag).values()) == {(0, 0, 0)}
