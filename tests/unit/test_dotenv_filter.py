"""What Ansible writes into a .env comes back unchanged, whatever it is."""

import pytest
from dotenv import dotenv_values
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.filters import load

plugin = load("dotenv")
# No surrogates: a file cannot hold them. No NUL and CR: refused, see below.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"))
# The characters that some rule of the format treats apart, much denser than chance would have them.
HARD_TEXT = st.text(st.sampled_from("$${{}}\\\\''\"#:-= \n\taA"), max_size=30)


@settings(max_examples=500, deadline=None)
@given(value=ANY_TEXT | HARD_TEXT)
@example(value="pa$$w'or\"d #1 \\ ${HOME} $HOME ${A:-b}")
@example(value="$${")
@example(value="\\'")
@example(value="ends in a backslash\\")
@example(value=" spaces around ")
def test_a_value_comes_back_unchanged_and_disturbs_no_neighbour(
    value: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "a.env"
    path.write_text(f"BEFORE='1'\nVALUE={plugin.dotenv(value)}\nAFTER='2'\n", encoding="utf-8")
    assert dotenv_values(path) == {"BEFORE": "1", "VALUE": value, "AFTER": "2"}


@pytest.mark.parametrize(("value", "text"), [(True, "True"), (False, "False"), (9093, "9093"), (0.5, "0.5")])
def test_other_types_are_written_as_python_prints_them(value: object, text: str) -> None:
    assert plugin.FilterModule().filters()["dotenv"](value) == f"'{text}'"


@pytest.mark.parametrize("value", ["secret\0", "secret\rline"])
def test_what_no_file_can_hold_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ValueError, match="carriage return") as raised:
        plugin.dotenv(value)
    assert "secret" not in str(raised.value)
