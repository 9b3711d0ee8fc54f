"""The list of `make mutations` keeps to the code, and a fault that is found is told from one that is not."""

import dataclasses
import re
from pathlib import Path

import pytest

from tests.lab.steps import TOP
from tests.mutations import MUTATIONS, Mutation, judge

FASTEST = next(mutation for mutation in MUTATIONS if mutation.file == "webmon/daemon/outage.py")


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_fault_of_the_list_fits_the_code_and_names_tests_that_are_there(mutation: Mutation, tmp_path: Path) -> None:
    file = tmp_path / mutation.file
    file.parent.mkdir(parents=True)
    before = (TOP / mutation.file).read_text(encoding="utf-8")
    file.write_text(before, encoding="utf-8")
    mutation.apply(tmp_path)
    assert file.read_text(encoding="utf-8") != before
    for test in mutation.tests:
        path, *names = test.split("::")
        code = (TOP / path).read_text(encoding="utf-8")
        assert all(re.search(rf"^\s*(?:def|class) {name}\b", code, re.MULTILINE) for name in names), test


def test_a_fault_whose_place_is_gone_from_the_code_is_a_fault_of_the_list(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("a = 1\na = 1\n", encoding="utf-8")
    for old, times in (("b = 1", 0), ("a = 1", 2)):
        with pytest.raises(ValueError, match=f"stale: its old text stands {times} times in code.py"):
            Mutation("stale", "code.py", old, "c = 1", ()).apply(tmp_path)


def test_a_fault_that_its_tests_find_is_killed() -> None:
    verdict = judge(FASTEST)
    assert (verdict.is_good, verdict.text) == (True, "killed"), verdict.output


def test_a_fault_that_its_tests_do_not_find_survives_and_the_code_stays_as_it_is() -> None:
    before = (TOP / FASTEST.file).read_bytes()
    harmless = dataclasses.replace(FASTEST, new=f"{FASTEST.old}        # nothing else\n")
    verdict = judge(harmless)
    assert (verdict.is_good, verdict.text) == (False, "SURVIVED"), verdict.output
    assert (TOP / FASTEST.file).read_bytes() == before


def test_a_fault_with_which_no_test_runs_is_not_killed() -> None:
    verdict = judge(dataclasses.replace(FASTEST, new="        self.cause = (\n"))
    assert not verdict.is_good
    assert verdict.text == "TESTS DID NOT RUN (pytest: 2)"
