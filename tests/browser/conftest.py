"""A Chromium, and both faces of the page to look at."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.faces import Faces

CHROMIUM: Final = Path("/usr/bin/chromium")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's; `python3 -m tests.lab.bootstrap browser` installs it."""
    assert CHROMIUM.exists(), f"{CHROMIUM} is not there: python3 -m tests.lab.bootstrap browser installs it"
    with sync_playwright() as started:
        # Root has no sandbox, and a container no room in /dev/shm; what is looked at is ours.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--force-color-profile=srgb", "--hide-scrollbars"]
        browser = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def faces() -> Iterator[Callable[..., Faces]]:
    """Give what starts both faces for a snapshot; those of one name are started once."""
    started: dict[str, Faces] = {}

    def of(name: str, make: Callable[[], Any]) -> Faces:
        if name not in started:
            started[name] = Faces(**make())
        return started[name]

    yield of
    for one in started.values():
        one.close()


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Callable[..., Page]]:
    """Give what opens a page; it fails the test where the page has an error, or asks another host for anything."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_(
        url: str,
        *,
        width: int = 1280,
        height: int = 900,
        scheme: str = "light",
        asked: list[str] | None = None,
        **options: Any,
    ) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,  # type: ignore[arg-type]
            locale=options.pop("locale", "en-GB"),
            timezone_id=options.pop("timezone_id", "UTC"),
            **options,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("console", lambda said: faults.append(said.text) if said.type in ("error", "warning") else None)
        host, requests = url.split("/")[2], [] if asked is None else asked
        page.on("request", lambda one: (requests if one.url.split("/")[2] == host else faults).append(one.url))
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []
