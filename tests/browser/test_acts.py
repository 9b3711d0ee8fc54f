"""What people do on the pages: acts, also by keyboard alone and without JavaScript; and pages that renew themselves."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.faces import Faces
from tests.unit.page import fakes
from tests.waiting import wait_until

Opened = Callable[..., Page]


@pytest.fixture
def ours() -> Iterator[Faces]:
    snapshot = fakes.many(6, "one down")
    assert snapshot.history
    snapshot.history.silences.append(fakes.silence("service-006"))
    faces = Faces(snapshot)
    yield faces
    faces.close()


def orders_of(faces: Faces) -> list[Any]:
    return list(faces.orders)


@pytest.mark.parametrize("scripted", [True, False])
def test_an_episode_is_acknowledged(ours: Faces, opened: Opened, scripted: bool) -> None:
    page = opened(ours.operator, java_script_enabled=scripted)
    page.click("text=Acknowledge")
    page.fill(".acts input[name=by]", "kim")
    page.fill("input[name=note]", "looking")
    page.click("text=I have it in hand")
    assert "You have it in hand" in page.inner_text("main")
    (order,) = orders_of(ours)
    assert (order.by, order.note) == ("kim", "looking")


def test_an_episode_is_acknowledged_by_keyboard_alone(ours: Faces, opened: Opened) -> None:
    page = opened(ours.operator)
    wanted = iter(["To the content", "Acknowledge"])
    text = next(wanted)
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.evaluate("document.activeElement.innerText")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", focused
        if focused == text:
            text = next(wanted, "")
            if not text:
                break
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("kim")
    page.keyboard.press("Tab")
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sent/ack")
    (order,) = orders_of(ours)
    assert (order.by, order.note) == ("kim", "by hand")


def test_targets_are_silenced_from_their_page_and_the_silence_is_ended(ours: Faces, opened: Opened) -> None:
    page = opened(f"{ours.operator}/target?name=service-002")
    page.click("text=Silence >> nth=-1")
    assert page.input_value("input[name=match]") == "service-002"
    page.fill("input[name=by]", "kim")
    page.select_option("select[name=hours]", "4")
    page.click("text=Silence them")
    page.goto(f"{ours.operator}/plans")
    page.fill("input[name=by]", "kim")
    page.click("text=End it now")
    begun, ended = orders_of(ours)
    assert (begun.match, begun.until - begun.begins) == ("service-002", 4 * 3_600_000)
    assert ended.id == "silence-service-006"


def test_maintenance_is_planned_and_readers_are_told(ours: Faces, opened: Opened) -> None:
    page = opened(f"{ours.operator}/plans")
    page.click("text=Plan maintenance")
    page.fill("input[name=match]", "team=shop")
    page.fill("input[name=begins]", "2026-12-01T22:00")
    page.check("input[name=public]")
    page.fill("input[name=by]", "kim")
    page.click("text=Plan it")
    page.goto(ours.operator)
    page.click("text=Announce")
    page.fill("input[name=title]", "We are looking")
    page.fill("textarea[name=text]", "Two\nlines")
    page.fill("input[name=by]", "kim")
    page.click("text=Publish it")
    planned, told = orders_of(ours)
    assert (planned.public, planned.match) == (True, "team=shop")
    assert told.text == "Two\nlines"
    assert told.episode


def test_a_message_is_sent_again(ours: Faces, opened: Opened) -> None:
    page = opened(f"{ours.operator}/episodes")
    page.fill("td input[name=by]", "kim")
    page.click("text=Send again")
    assert [order.by for order in orders_of(ours)] == ["kim"]


def test_a_page_renews_itself_without_a_jump_and_its_tab_tells_the_state(ours: Faces, opened: Opened) -> None:
    ours.shown.look = fakes.look(fakes.many(6), number=1)
    page = opened(ours.public, height=400)
    page.clock.install()
    page.reload()
    assert page.title() == "Everything works · Example status"
    page.focus("text=service-005")
    page.mouse.wheel(0, 200)
    ours.shown.look = fakes.look(fakes.many(6, "one down"), number=2)
    page.clock.run_for(11_000)
    wait_until(lambda: page.title() == "All but 1 of 6 work · Example status")
    assert page.evaluate("document.querySelector('link[rel=icon]').getAttribute('href')") == "icon/down.svg"
    assert "Down" in page.inner_text("main")


def test_a_page_that_is_paused_stays_as_it_is(ours: Faces, opened: Opened) -> None:
    ours.shown.look = fakes.look(fakes.many(6), number=1)
    page = opened(ours.public)
    page.clock.install()
    page.reload()
    page.click("#pause")
    assert page.inner_text("#pause") == "Go on updating"
    ours.shown.look = fakes.look(fakes.many(6, "one down"), number=2)
    page.clock.run_for(60_000)
    assert page.title() == "Everything works · Example status"
    page.click("#pause")
    wait_until(lambda: page.title() == "All but 1 of 6 work · Example status")


def test_what_somebody_writes_is_not_taken_away_by_a_renewal(ours: Faces, opened: Opened) -> None:
    page = opened(ours.operator)
    page.clock.install()
    page.reload()
    page.fill("input[name=q]", "half a wo")
    page.clock.run_for(30_000)
    assert page.input_value("input[name=q]") == "half a wo"


def test_filters_lead_to_an_address_that_can_be_shared(ours: Faces, opened: Opened) -> None:
    page = opened(ours.operator)
    page.fill("input[name=q]", "service-00")
    page.select_option("select[name=state]", "down")
    page.click("text=Show")
    assert "q=service-00" in page.url
    assert "1 of 6" in page.inner_text("main")
    assert page.input_value("input[name=q]") == "service-00"
