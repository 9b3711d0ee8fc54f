"""Patterns, and bytes that are no text."""

import pytest

from webmon.check.pattern import compile_pattern
from webmon.check.reading import texts


@pytest.mark.parametrize(
    ("pattern", "page"),
    [
        ("^220 .*ESMTP", b"220 M\xfcller ESMTP Postfix\r\n"),
        (r"(?s)8\.0.*mysql_native", b"J\0\0\0\n8.0.36\0\xff\xff\x02\0mysql_native_password\0"),
        ("^OK.*fine$", b"OK - 20\xb0C fine"),
        ("^a[^b]b$", b"a\xe9b"),
        (r"^a\Wb$", b"a\xe9b"),
        (r"^a\x{fffd}b$", b"a\xe9b"),
        ("^M\u00fc.*r$", "M\u00fcller \u00e9".encode() + b"\xe9r"),
        ("^.{3}$", b"\xe2\x82x"),
        ("^.{2}$", b"x\xe2"),
    ],
)
def test_a_byte_that_is_no_utf_8_is_a_character_that_no_pattern_names(pattern: str, page: bytes) -> None:
    assert compile_pattern(pattern).found_in(page)


@pytest.mark.parametrize("pattern", [r"a\wb", "a\u00e9b", "a[[:ascii:]]b", "ab", r"a[\x00-\x{ff}]b", "a..b"])
def test_a_byte_that_is_no_utf_8_is_no_other_character(pattern: str) -> None:
    assert not compile_pattern(pattern).found_in(b"a\xe9b")


@pytest.mark.parametrize(
    ("pattern", "is_there"),
    [
        ("^.{6}$", True),
        ("^.{7}$", False),
        ("(?i)M\u00dcLLER", True),
        (r"M\pLller", True),
        (r"M\b\u00fc".replace(r"\u00fc", "\u00fc"), True),
        ("M[\u00e0-\u00ff]ller", True),
        (r"M\C\Cller", True),
    ],
)
def test_what_is_utf_8_is_read_by_its_characters(pattern: str, is_there: bool) -> None:
    assert compile_pattern(pattern).found_in("M\u00fcller".encode()) is is_there


def test_a_pattern_for_single_bytes_finds_them() -> None:
    assert compile_pattern(r"^a\Cb$").found_in(b"a\xe9b")
    assert compile_pattern(r"^a\Cb").end_in(b"a\xe9bc") == 3


def test_where_a_match_ends_is_counted_in_the_bytes_that_came() -> None:
    came = b"220 M\xfcller \xe2\x82 \xc3\xbc here\r\nmore"
    for pattern in ("^220 .*", "(?m)^220 .*here.?$", "M.ller .. .*\r"):
        assert compile_pattern(pattern).end_in(came) == came.index(b"\n"), pattern
    assert compile_pattern("^221").end_in(came) is None


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"plain", 1),
        ("M\u00fcller".encode(), 1),
        ("M\u00fcller".encode() + b"\xe2\x82", 1),
        ("\ufffd in the page itself".encode(), 1),
        (b"M\xfcller", 2),
    ],
)
def test_a_page_is_looked_through_once_more_only_where_bytes_in_it_are_none_of_its_charset(
    body: bytes, count: int
) -> None:
    assert len(list(texts(body, "text/html; charset=utf-8"))) == count
