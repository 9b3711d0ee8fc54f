"""Secrets in what a server sends: masked as they are, and as a server may have changed them."""

import base64
import contextlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

import pytest

from tests.hostile import HostileServer, answer
from webmon.check.probe import Probe, utc_now
from webmon.check.resolver import resolve_here
from webmon.check.target import Target

SECRET: Final = "s3cr3t/pass word"


def target(secrets: tuple[str, ...] = (), headers: Mapping[str, str] | None = None, **more: Any) -> Target:
    settings: dict[str, Any] = {"name": "t", "url": "http://a.example/", "interval": 60, "timeout": 5}
    return Target(**(settings | more), secrets=secrets, headers=headers or {})


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        SECRET.upper(),
        SECRET.title(),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"joe:" + SECRET.encode()).decode(),
        base64.b64encode(b"ab" + SECRET.encode() + b"zz").decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        quote(SECRET, safe=""),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        " ".join(SECRET),
        repr(SECRET),
    ],
)
def test_a_secret_is_masked_however_a_server_changed_it(form: str) -> None:
    shown = target((SECRET,)).without_secrets(f"it says {form} here")
    assert "***" in shown
    assert not any(form[at : at + 8] in shown for at in range(4, len(form) - 12))
    assert shown.startswith("it says ")
    assert shown.endswith(" here")


def test_a_short_secret_is_masked_as_it_is_and_ordinary_words_stay() -> None:
    masking = target(("Time",))
    assert masking.without_secrets("Time: out of time, t i m e") == "***: out of time, t i m e"


@pytest.mark.parametrize("cut", ["it says S3CR3T/PA…", "it says s 3 c r 3…", "it says s3cr3t%2F…"])
def test_a_line_that_ends_in_a_changed_secret_is_masked(cut: str) -> None:
    assert target((SECRET,)).without_secrets(cut) == "it says ***…"


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("Authorization", "Bearer tok3n-of-mine", "tok3n-of-mine"),
        ("authorization", "Bearer tok3n-of-mine", "TOK3N-OF-MINE"),
        ("Authorization", "Basic am9lOmh1bnRlcjIy", "am9lOmh1bnRlcjIy"),
        ("Authorization", "Basic am9lOmh1bnRlcjIy", "hunter22"),
        ("X-Api-Key", "k3y-of-mine", "k3y-of-mine"),
        ("Cookie", "sid=s3ssion; lang=en", "s3ssion"),
    ],
)
def test_what_lets_us_in_is_masked_though_nobody_called_it_a_secret(name: str, value: str, told: str) -> None:
    assert target(headers={name: value}).without_secrets(f"no {told}!") == "no ***!"


def test_other_headers_and_names_of_schemes_are_no_secrets() -> None:
    shown = target(headers={"Authorization": "Bearer tok3n-of-mine", "Accept": "text/html"}).without_secrets
    assert shown("Bearer text/html") == "Bearer text/html"


def test_no_error_of_a_check_shows_a_secret_in_capitals() -> None:
    said = answer(f"{SECRET.upper()} is not right\r\n\r\n".encode())
    with HostileServer(said) as server, contextlib.closing(Probe(agent="here", resolve=resolve_here)) as probe:
        result = probe.check(target((SECRET,), url=server.url), utc_now())
    assert "***" in (result.error or "")
    assert SECRET.upper() not in (result.error or "")
