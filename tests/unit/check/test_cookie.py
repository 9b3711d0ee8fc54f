"""Cookies end when they do for browsers, in whatever form their servers write dates."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmon.check.cookie import ended, moment, of_line

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 1970),
        ("Thu, 01-Jan-70 00:00:01 GMT", 1970),
        ("Thursday, 01-Jan-70 00:00:01 GMT", 1970),
        ("Wed, 31-Dec-69 23:59:59 GMT", 1969),
        ("Fri, 01-Jan-99 00:00:00 GMT", 1999),
        ("Mon, 01-Jan-68 00:00:00 GMT", 2068),
        ("Thu Jan 01 1970 00:00:00 GMT+0000 (UTC)", 1970),
        ("Thu Jan  1 00:00:00 1970", 1970),
        ("1 January 1970 00:00:00", 1970),
        ("Do, 01 Jan 1970 00:00:00 GMT", 1970),
        ("jeu., 01 janv. 1970 00:00:00 GMT", 1970),
        ("Thu, 01 Jan 1970 00:00:00.000 GMT", 1970),
        ("Thu, 01 Jan 1970 00:00:00 AM GMT", 1970),
        ("Thu, 01 Jan 1970 01:00:00 +01:00", 1970),
        ("Thu, 1 Jan 1970 0:0:0 GMT", 1970),
        ('"Thu, 01/JAN/1970 00:00:00 GMT"', 1970),
        ("Mon, 01-Jan-0001 00:00:00 GMT", 2001),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 9999),
        ("Fri, 31 Dec 1600 00:00:00 GMT", None),
        ("Thu, 01 Jan 1970", None),
        ("Thu, 01 Jan 1970 00:00 GMT", None),
        ("Thu, 01 Jan 1970 24:00:00 GMT", None),
        ("Wed, 31 Feb 2005 00:00:00 GMT", None),
        ("Thu, 01 Jan 19700 00:00:00 GMT", None),
        ("1970-01-01T00:00:00Z", None),
        ("Thu,01Jan1970 00:00:00 GMT", None),
        ("Fri, \u0663 Jan 1970 00:00:00", None),
        ("0", None),
        ("", None),
    ],
)
def test_a_date_is_read_as_by_browsers(text: str, year: int | None) -> None:
    found = moment(text)
    assert (found.year if found else None) == year


@given(st.text(st.sampled_from("0123456789: -,/JanFeb\xa0\t")))
def test_nonsense_is_no_date_and_nothing_worse(text: str) -> None:
    moment(text)


OLD = "Expires=Thu, 01-Jan-70 00:00:01 GMT"


@pytest.mark.parametrize(
    ("headers", "gone"),
    [
        ([f"a=1; Path=/; {OLD}"], {("a", "1", "shop.example", "")}),
        ([f" a = ;{OLD.lower()}; Secure"], {("a", "", "shop.example", "/in")}),
        ([f"a=b=c;{OLD}; Path=/Out/"], {("a", "b=c", "shop.example", "/out")}),
        ([f"a=;{OLD}; Path=out"], {("a", "", "shop.example", "")}),
        (["a=1; Expires=Thu, 01-Jan-30 00:00:01 GMT", "b=1", "c=1; Expires=never"], set()),
        ([f"a=1; Max-Age=60; {OLD}"], set()),
        ([f"a=1; {OLD}; Expires=Thu, 01-Jan-30 00:00:01 GMT"], set()),
        ([f"a=1; {OLD}", "a=1"], set()),
        (["a=1", f"a=1; {OLD}", "a=2"], {("a", "1", "shop.example", "/in")}),
        (["a=1", f"a=1; Domain=example; {OLD}"], {("a", "1", ".example", "/in")}),
        ([f"a=1; domain= .Example; Domain=; {OLD}"], {("a", "1", ".example", "/in")}),
        (["a=1; Path=/", f"a=1; Path=/old; {OLD}"], {("a", "1", "shop.example", "/old")}),
    ],
)
def test_a_cookie_has_ended_by_the_last_word_of_its_response(
    headers: list[str], gone: set[tuple[str, str, str, str]]
) -> None:
    assert ended(headers, "/in/page?of=/x/y", "shop.example", NOW) == gone


@pytest.mark.parametrize("host", ["192.0.2.1", "intranet", "github.io"])
def test_a_cookie_whose_domain_is_the_host_may_be_of_the_host_alone(host: str) -> None:
    assert ended([f"a=1; Domain={host}; {OLD}"], "/", host, NOW) == {("a", "1", host, ""), ("a", "1", f".{host}", "")}


def test_a_line_of_libcurl_says_which_cookie_it_is() -> None:
    line = b"#HttpOnly_.shop.example\tTRUE\t/%7Ex/\tFALSE\t3155760001\ta\t\xe9"
    assert of_line(line) == ("a", "\xe9", ".shop.example", "/%7ex")
