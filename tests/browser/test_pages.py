"""Every kind of page in a browser: for everybody, in light and dark, on a phone and on a wide screen."""

import itertools
from collections.abc import Callable
from typing import Any, Final

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from tests.browser.faces import Faces
from tests.unit.page import fakes
from webmon.alarm.match import Match
from webmon.page.file import Group
from webmon.page.file_model import Show

Opened = Callable[..., Page]
Started = Callable[..., Faces]

PUBLIC: Final = (
    "/",
    "/g/services",
    "/t/service-001",
    "/t/service-002",
    "/incidents",
    "/maintenance",
    "/nope",
    "INCIDENT",
)
OPERATOR: Final = (
    "/",
    "/target?name=service-001",
    "/episodes",
    "EPISODE",
    "/plans",
    "/fleet",
    "/acts/silence?match=api-*",
    "/acts/maintenance",
    "/acts/announcement",
    "/sent/ack",
    "/nope",
)
RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
VIOLATIONS: Final = """async rules => {
  const found = await axe.run({runOnly: {type: "tag", values: rules}, resultTypes: ["violations"]});
  return found.violations.flatMap(one => one.nodes.map(node => [one.id, node.html, node.failureSummary].join(" ")));
}"""
"""What passed is as long as the page, and nobody reads it: asked for, it takes most of the time."""


def busy() -> dict[str, Any]:
    """Give a snapshot that has something for each part of each page."""
    snapshot = fakes.many(12, "one down")
    assert snapshot.history
    snapshot.history.maintenance += [
        fakes.maintenance("service-003", name="New disks"),
        fakes.maintenance("service-004", begins=86_400),
        fakes.maintenance("service-005", begins=-200_000),
    ]
    snapshot.history.silences.append(fakes.silence("service-006"))
    snapshot.history.announcements.append(fakes.announcement("We move to another provider", ago=60))
    everything: frozenset[Show] = frozenset({"response", "vantages", "certificate", "url", "address", "error"})
    file = fakes.page_file(Group("Services", "services", match=Match(("*",)), show=everything))
    return {"snapshot": snapshot, "file": file}


def places(faces: Faces) -> dict[str, str]:
    history = faces.shown.look.snapshot and faces.shown.look.snapshot.history
    assert history
    return {"INCIDENT": f"/incidents/{history.episodes[0].id}", "EPISODE": f"/episode/{history.episodes[0].id}"}


def scrolls_sideways(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def check(page: Page) -> None:
    """Look at a page light and dark, on a wide screen and on a phone; and whether it fits there."""
    page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
    page.evaluate(AXE_SCRIPT)
    for width, scheme in itertools.product((1280, 320), ("light", "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        # A link takes a moment to its new colour, where motion is not unwelcome.
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
        assert page.evaluate(VIOLATIONS, RULES) == [], f"{width} px, {scheme}"
        assert not scrolls_sideways(page), f"{width} px, {scheme}"


@pytest.mark.parametrize("path", PUBLIC)
def test_a_public_page_is_for_everybody(faces: Started, opened: Opened, path: str) -> None:
    ours = faces("busy", busy)
    check(opened(ours.public + places(ours).get(path, path)))


@pytest.mark.parametrize("path", OPERATOR)
def test_an_operators_page_is_for_everybody(faces: Started, opened: Opened, path: str) -> None:
    ours = faces("busy", busy)
    check(opened(ours.operator + places(ours).get(path, path)))


def test_four_requests_load_50_targets_none_of_them_elsewhere_and_in_1500_elements(
    faces: Started, opened: Opened
) -> None:
    ours = faces("fifty", lambda: {"snapshot": fakes.many(50, "one down")})
    asked: list[str] = []
    page = opened(ours.public, asked=asked)
    assert 3 <= len(asked) <= 4  # without a window nobody asks for the tab's icon
    assert page.evaluate("document.querySelectorAll('*').length") <= 1500


@pytest.mark.parametrize("face", ["public", "operator"])
def test_strange_names_break_nothing(faces: Started, opened: Opened, face: str) -> None:
    ours = faces("strange", lambda: {"snapshot": fakes.strange()})
    page = opened(getattr(ours, face))
    assert page.evaluate("document.querySelectorAll('script').length") == 1
    assert "<script>alert(1)</script>" in page.inner_text("main")
    check(page)


def test_without_javascript_the_content_is_the_same(faces: Started, opened: Opened) -> None:
    ours = faces("busy", busy)
    plain = opened(ours.public, java_script_enabled=False)
    scripted = opened(ours.public)
    rows = [page.inner_text("main table tbody") for page in (plain, scripted)]
    assert rows[0] == rows[1]
    assert plain.is_hidden("#pause")
    assert scripted.is_visible("#pause")
    plain.click("text=Load anew")
    assert "All but" in plain.inner_text("main")


def test_times_are_the_visitors_and_tell_utc_to_who_asks(faces: Started, opened: Opened) -> None:
    ours = faces("busy", busy)
    page = opened(ours.public, timezone_id="Asia/Tokyo")
    time = page.locator(".say time").first
    assert time.inner_text() == "28 Nov 2026, 23:02"
    assert time.get_attribute("title") == "28 Nov 2026, 14:02 UTC"


def test_a_printed_page_has_no_buttons_and_no_navigation(faces: Started, opened: Opened) -> None:
    page = opened(faces("busy", busy).public)
    page.emulate_media(media="print")
    for hidden in ("nav", "footer", "#pause"):
        assert page.is_hidden(hidden)
    assert page.is_visible("table")


def test_states_are_told_apart_without_colours(faces: Started, opened: Opened) -> None:
    page = opened(faces("busy", busy).public)
    shapes = page.eval_on_selector_all(
        ".st", "all => all.map(one => one.querySelector('use').getAttribute('href') + one.innerText)"
    )
    assert {"#down Down", "#up Up", "#maintenance Maintenance"} <= set(shapes)
