"""A notice as people read it: what stands where, and that nothing of a site's is more than text."""

from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webmon.alarm.notice import Notice, Seen
from webmon.alarm.senders import message

HOSTILE = "a\r\nBcc: x@y.z\0\x1b[31m\u202e<script>alert(1)</script>\u2028\"'>&"


def test_a_message_says_everything_in_its_order(notice: Notice) -> None:
    assert message.text(notice) == (
        "DOWN shop: timeout (3 of 3 vantages)\n"
        "\n"
        "what          shop\n"
        "url           https://shop.example.org/health\n"
        "since         2026-11-28 14:00:03 UTC\n"
        "seen          helsinki: timeout: not done within 4 s: waiting for the first byte\n"
        "              oslo: timeout: not done within 4 s: waiting for the first byte\n"
        "              riga: connect_error: connecting: Connection refused\n"
        "vantages      3 of 3\n"
        "before        up for 3 d 4 h\n"
        "labels        team: shop\n"
        "              tier: gold\n"
        "page          https://webmon.example.org/alarms/b54adc00\n"
        "acknowledge   webmon alarms ack b54adc00 --by NAME\n"
    )


def test_an_ending_says_how_long_it_lasted(notice: Notice) -> None:
    ended = replace(notice, event="ended", until=notice.since + timedelta(seconds=723), failing=0)
    assert message.subject(ended) == "UP shop: was down for 12 min 3 s"
    assert "until         2026-11-28 14:12:06 UTC, after 12 min 3 s\n" in message.text(ended)


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"event": "reminder"}, "STILL DOWN shop: timeout (3 of 3 vantages)"),
        ({"condition": "partial", "failing": 1}, "PARTLY DOWN shop: timeout (1 of 3 vantages)"),
        ({"condition": "certificate", "what": "ends in 7 d", "vantages": 0}, "CERTIFICATE shop: ends in 7 d"),
        ({"condition": "vantage_silent", "target": "oslo", "seen": (), "vantages": 0}, "VANTAGE SILENT oslo"),
        ({"failing": 1, "vantages": 1}, "DOWN shop: timeout (1 of 1 vantage)"),
        ({"seen": (Seen("a", "tls_error"), Seen("b", "up")), "failing": 1}, "DOWN shop: tls_error (1 of 3 vantages)"),
        ({"event": "test", "what": "a try", "vantages": 0}, "TEST shop: a try"),
    ],
)
def test_the_subject_says_what_it_is(changes: dict[str, object], subject: str, notice: Notice) -> None:
    assert message.subject(replace(notice, **changes)) == subject  # type: ignore[arg-type]


def test_what_was_over_before_it_could_be_told_has_both_times(notice: Notice) -> None:
    late = replace(notice, event="over", late=True, until=notice.since + timedelta(minutes=5))
    assert message.subject(late) == "WAS DOWN shop: for 5 min, timeout (3 of 3 vantages)"
    assert (
        "since         2026-11-28 14:00:03 UTC\nuntil         2026-11-28 14:05:03 UTC, after 5 min\n"
        in message.text(late)
    )
    assert "told late: nobody judged meanwhile" in message.text(late)


def test_all_targets_are_told_as_such_and_an_ending_does_not_count_what_still_fails_as_back(notice: Notice) -> None:
    many = replace(
        notice, condition="many_down", target="*", what="5 of 10 targets failed within 60 s: a, b", vantages=0
    )
    assert message.subject(many) == "MANY DOWN all targets: 5 of 10 targets failed within 60 s: a, b"
    left = tuple(replace(notice, target=name) for name in ("a", "b"))
    ended = replace(many, event="ended", until=notice.since + timedelta(seconds=53), others=left)
    assert message.subject(ended) == "MOST UP all targets: was down for 53 s; still failing: a, b"
    assert "what          all targets\n" in message.text(ended)


def test_a_group_names_all_of_it(notice: Notice) -> None:
    others = tuple(replace(notice, target=f"site-{number}") for number in range(60))
    group = replace(notice, others=others)
    assert message.subject(group) == "DOWN shop and 60 others: timeout (3 of 3 vantages)"
    assert message.text(group).count("DOWN site-") == 50
    assert "\n              and 10 more\n" in message.text(group)


@pytest.mark.parametrize("place", ["target", "url", "what", "before", "link", "acknowledge", "seen", "labels"])
def test_nothing_of_a_site_is_a_line_a_header_or_markup(place: str, notice: Notice) -> None:
    value: object = HOSTILE
    if place == "seen":
        value = (Seen(HOSTILE, HOSTILE, HOSTILE),)
    elif place == "labels":
        value = {HOSTILE: HOSTILE}
    hostile = replace(notice, **{place: value})  # type: ignore[arg-type]
    plain, page = message.text(hostile), message.html_of(hostile)
    assert message.subject(hostile).isprintable()
    assert all(line.isprintable() for line in plain.split("\n"))
    assert not any(line.startswith("Bcc") for line in plain.splitlines())
    assert "<script" not in page
    assert "\x1b" not in page
    assert _tags(page) <= {"html", "head", "meta", "title", "body", "p", "strong", "table", "tr", "td", "a"}


@pytest.mark.parametrize("link", ["javascript:alert(1)", 'https://a/"onclick="x', "https://a/ b", "data:text/html,x"])
def test_only_http_can_be_clicked_on(link: str, notice: Notice) -> None:
    page = message.html_of(replace(notice, url=None, link=link))
    hrefs = [dict(attributes).get("href") for tag, attributes in _read(page) if tag == "a"]
    assert hrefs in ([], [link])
    assert all(set(dict(attributes)) <= {"href", "charset", "cellpadding"} for _, attributes in _read(page))
    assert hrefs == [] or link.startswith("https://")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=300))
def test_a_subject_is_one_bounded_line_whatever_a_target_is_called(text: str, notice: Notice) -> None:
    subject = message.subject(replace(notice, target=text, what=text))
    assert subject.isprintable()
    assert len(subject) <= 200


def _read(page: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    found: list[tuple[str, list[tuple[str, str | None]]]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.append((tag, attrs))

    Reader().feed(page)
    return found


def _tags(page: str) -> set[str]:
    return {tag for tag, _ in _read(page)}
