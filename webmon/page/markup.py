"""Pages made from templates: every value is text, whatever stands in it, and is escaped where it is put in."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from webmon.alarm.records import LINE_LIMIT, TEXT_LIMIT, TITLE_LIMIT
from webmon.check.result import NAME_LIMIT, URL_LIMIT
from webmon.page import bars_svg
from webmon.page.bars import Bar, bars
from webmon.page.model import OperatorTarget, PublicTarget
from webmon.page.texts import ALL, Texts
from webmon.render import printable

MOST_IN_GROUP: Final = 100
"""Targets of one group on the page of all; past it those come that do not work, and a link to the others."""
_NAMES: Final = 6
"""Of the targets that a maintenance is for."""


def iso(at: datetime) -> str:
    """Give a time as `<time datetime>` has it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_element(t: Texts, at: datetime) -> Markup:
    """Give a time that a script may show in the visitor's zone."""
    return Markup('<time datetime="{}">{}</time>').format(iso(at), t.minute(at))


def with_times(t: Texts, text: str, *times: datetime) -> Markup:
    """Put times into the places of a text that are marked by a NUL."""
    first, *rest = text.split("\0")
    return escape(first) + Markup("").join(
        time_element(t, at) + escape(part) for at, part in zip(times, rest, strict=True)
    )


def bars_said(shown: Sequence[Bar], t: Texts) -> str:
    """Say in words what the bars of some days show."""
    if not any(bar.is_known for bar in shown):
        return t("nothing_watched")
    bad = sum(bar.down > 0 for bar in shown)
    return t("bars_say" if bad else "bars_say_none", count=len(shown), bad=bad)


def day_said(bar: Bar, t: Texts) -> str:
    """Say in words what the bar of a day shows."""
    if not bar.is_known:
        return t("bar_says", day=t.date(bar.day), uptime=t("none").lower(), watched=t("watched", share=t.about(0)))
    numbers = bar.numbers
    told = t("bar_says", day=t.date(bar.day), uptime=t.percent(numbers.uptime), watched=_watched(t, numbers.watched))
    return f"{told}, {t('maintenance').lower()} {t.about(numbers.maintenance)}" if numbers.maintenance else told


def _watched(t: Texts, hundredths: int) -> str:
    return t("watched", share=t.about(hundredths))


def _some(targets: Sequence[PublicTarget]) -> Sequence[PublicTarget]:
    if len(targets) <= MOST_IN_GROUP:
        return targets
    worst_first = sorted(targets, key=lambda one: one.state == "up")
    return worst_first[:MOST_IN_GROUP]


def _concerned(names: Sequence[str], t: Texts) -> str:
    shown = ", ".join(names[:_NAMES])
    if len(names) > _NAMES:
        shown = t("and_more", names=shown, count=len(names) - _NAMES)
    return t("concerns", names=shown)


class _Barred(NamedTuple):
    bars: list[Bar]


def _with_bars(one: OperatorTarget, as_of: datetime) -> _Barred:
    return _Barred(bars(one.target, as_of))


def _response(one: OperatorTarget) -> float | None:
    """Give the seconds that the slowest vantage waited, of those that are not silent."""
    return max(
        (v.vantage.response for v in one.vantages if not v.is_silent and v.vantage.response is not None), default=None
    )


@functools.cache
def static(name: str) -> bytes:
    """Give a file that pages load."""
    return (resources.files("webmon.page") / "static" / name).read_bytes()


def static_path(name: str) -> str:
    """Give where it is: the name has its hash, so that it can be kept for ever."""
    stem, _, kind = name.rpartition(".")
    return f"static/{stem}.{hashlib.blake2b(static(name), digest_size=5).hexdigest()}.{kind}"


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("webmon.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
    made.filters.update(
        iso=iso,
        paths=bars_svg.paths,
        share=lambda hundredths, t: t.percent(hundredths),
        said=bars_said,
        day_said=day_said,
        some=_some,
        concerned=_concerned,
        lasted=ALL["en"].duration,
        printable=printable,
        words=lambda text: str(text).replace("_", " "),
        short=lambda text, most: text if len(text) <= most else f"{text[: most - 1]}…",
        day=lambda one, t: t.percent(next((span.uptime for span in one.uptimes if span.days == 1), None)),
        response=_response,
        with_bars=_with_bars,
    )
    made.globals.update(style=static_path("style.css"), script=static_path("page.js"), most=MOST_IN_GROUP)
    # Characters of what is written into a form.
    made.globals["limit"] = {
        "name": NAME_LIMIT,
        "match": URL_LIMIT,
        "line": LINE_LIMIT,
        "title": TITLE_LIMIT,
        "text": TEXT_LIMIT,
    }
    return made


ENVIRONMENT: Final = _environment()


def render(template: str, t: Texts, link: Callable[..., str], **values: Any) -> bytes:
    """Make a page.

    Args:
        template: its file.
        t: the language.
        link: gives the address of a page from this one.
        values: what the template shows.
    """
    made = ENVIRONMENT.get_template(template)
    return made.render(t=t, link=link, with_times=functools.partial(with_times, t), **values).encode(errors="replace")
