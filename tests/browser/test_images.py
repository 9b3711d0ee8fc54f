"""The pictures of the documentation."""

from pathlib import Path

from playwright.sync_api import Browser

from tests.browser.images import IMAGES, LARGEST, PICTURES, draw


def test_the_documentation_has_each_picture_and_none_is_large(chromium: Browser, tmp_path: Path) -> None:
    assert {file.stem for file in IMAGES.glob("*.png")} == set(PICTURES)
    for file in (*draw(chromium, tmp_path), *IMAGES.glob("*.png")):
        assert 5000 < file.stat().st_size <= LARGEST, file
