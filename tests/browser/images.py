"""The pictures of docs/images: `.venv/bin/python -m tests.browser.images` draws them anew.

They are committed, as README shows them; they are no part of a test's judgement but that there are such, and small.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, sync_playwright

from tests.browser.faces import Faces
from tests.unit.page import fakes
from webmon.alarm.match import Match
from webmon.check.result import Outcome
from webmon.page.file import Entry, Group
from webmon.page.file_model import Show
from webmon.page.snapshot import Day, History

IMAGES: Final = Path(__file__).parents[2] / "docs/images"
LARGEST: Final = 150_000
"""Bytes of one."""
CHROMIUM: Final = Path("/usr/bin/chromium")
ARGUMENTS: Final = (
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"),
    *("--force-color-profile=srgb", "--hide-scrollbars"),
)
"""Root has no sandbox, and a container neither room in /dev/shm nor a GPU; what is looked at is ours."""

PICTURES: Final = {
    "public-light": ("public", "/", "light", 1180, 900),
    "public-dark": ("public", "/", "dark", 1180, 900),
    "public-phone": ("public", "/", "light", 390, 844),
    "public-target": ("public", "/t/checkout", "light", 1180, 900),
    "operator-light": ("operator", "/", "light", 1380, 900),
    "operator-target-dark": ("operator", "/target?name=checkout", "dark", 1180, 1200),
}
"""Each picture: face, path, colours, width and height."""


def shop() -> dict[str, Any]:
    """Give the installation that the pictures are of."""
    names = ("checkout", "search", "images", "accounts", "api-eu", "api-us", "mail")
    found = {name: fakes.target(name, labels={"team": "api" if name.startswith("api") else "shop"}) for name in names}
    for place, one in enumerate(found.values()):
        one.days = _days(place)
        for window in one.uptime:
            window.tally = fakes.tally(window.days, down=place * 0.00004, watched=0.9995)
        for vantage in one.vantages:
            vantage.response = 0.09 + 0.013 * place
    down = found["checkout"]
    down.vantages = [fakes.vantage(where, Outcome.CONNECT_ERROR) for where in fakes.VANTAGES]
    down.days[-1].tally = fakes.tally(0.58, down=0.027)
    for window in down.uptime:
        window.tally = fakes.tally(window.days, down=0.016 / window.days, watched=0.9995)
    found["api-us"].vantages[1] = fakes.vantage("frankfurt", Outcome.SLOW)
    incident = fakes.episode("checkout", ago=1380)
    note = fakes.announcement("A database is being moved", ago=600, episode=incident.id)
    note.text = "Orders are kept, and are carried out when it is back."
    history = History(
        as_of=fakes.NOW,
        episodes=[incident, fakes.ended("search", ago=300_000), fakes.ended("checkout", ago=2_000_000, lasted=5000)],
        maintenance=[fakes.maintenance("mail", begins=93_600, name="Mail moves to new disks")],
        announcements=[note],
    )
    everything: frozenset[Show] = frozenset({"response", "vantages", "error"})
    shown = (Entry("checkout", "Checkout", "checkout"), Entry("search", "Search", "search"))
    more = (Entry("images", "Images", "images"), Entry("accounts", "Accounts", "accounts"))
    apis = (Entry("api-eu", "API, Europe", "api-eu"), Entry("api-us", "API, America", "api-us"))
    file = fakes.page_file(
        Group("Shop", "shop", (*shown, *more), show=everything),
        Group("API", "api", apis, show=everything),
        Group("Mail", "mail", match=Match(("mail",)), show=everything),
        title="Example status",
    )
    return {"snapshot": fakes.snapshot(list(found.values()), history), "file": file}


def _days(place: int) -> list[Day]:
    """Give 90 days, few of them with failures, some of another vantage's silence."""
    found = fakes.days(seed=20 + place)
    for ago, one in enumerate(reversed(found)):
        one.tally = fakes.tally(1.0)
        if ago % 31 == 5 * place + 3:
            one.tally = fakes.tally(1.0, down=0.02 * (place + 1))
        elif ago % 43 == 7 * place + 1:
            one.tally = fakes.tally(1.0, watched=0.67)
        elif ago == 40 and place == 6:
            one.tally = fakes.tally(1.0, maintenance_hours=4)
        elif place == 5 and ago < 4:
            one.tally = fakes.tally(1.0, slow=0.3)
    return found


def draw(chromium: Browser, directory: Path) -> Iterator[Path]:
    """Draw all of them into a directory; give each that is there."""
    faces = Faces(**shop())
    try:
        for name, (face, path, scheme, width, height) in PICTURES.items():
            context = chromium.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,  # type: ignore[arg-type]
                locale="en-GB",
                timezone_id="UTC",
            )
            page = context.new_page()
            page.goto(getattr(faces, face) + path)
            file = directory / f"{name}.png"
            page.screenshot(path=file)
            context.close()
            yield file
    finally:
        faces.close()


def main() -> None:
    """Draw them into docs/images."""
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        for file in draw(chromium, IMAGES):
            print(f"{file.name}: {file.stat().st_size} bytes")
        chromium.close()


if __name__ == "__main__":
    main()
