"""Names made from POSTGRES_TABLE."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmon.errors import UserError
from webmon.store.names import Tables


def test_a_name_so_long_that_others_made_from_it_would_be_cut_is_refused() -> None:
    Tables("x" * 48)
    with pytest.raises(UserError, match=r"POSTGRES_TABLE .* 49 bytes"):
        Tables("x" * 49)
    with pytest.raises(UserError, match=r"POSTGRES_TABLE .* 60 bytes"):
        Tables("ü" * 30)


@given(st.text(min_size=1, max_size=12))
def test_no_name_made_from_one_that_is_taken_is_cut(name: str) -> None:
    tables = Tables(name)
    assert all(len(made.encode()) <= 63 for made in tables.names.values())


def test_the_names_differ() -> None:
    names = list(Tables("t").names.values())
    assert len(set(names)) == len(names)
