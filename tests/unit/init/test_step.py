"""The lines that people and Ansible read."""

import pytest

from webmon.init.step import Step


@pytest.mark.parametrize("state", ["created", "changed", "unchanged", "not set"])
def test_a_line_begins_with_its_state(state: str) -> None:
    step = Step(state, "topic results")  # type: ignore[arg-type]
    assert str(step) == f"{state}  topic results"
