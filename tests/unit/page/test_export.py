"""The copy in a directory: all that is public, nothing more, and no file of another's."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.page import fakes
from webmon.page.export import LIST, Export, render
from webmon.page.model import PublicPage, public


def page_of(number: int = 3, state: str = "one down") -> PublicPage:
    return public(fakes.many(number, state), fakes.by_team(), fakes.NOW)


def names(path: Path) -> set[str]:
    return {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}


def test_every_page_that_a_file_links_to_is_there_in_each_language(tmp_path: Path) -> None:
    assert Export(tmp_path, None).write(page_of())
    found = names(tmp_path)
    assert {"index.html", "index.de.html", "t/checkout.html", "incidents.fr.html", "feed.atom"} <= found
    assert {"api/v1/targets.json", "api/v1/targets/checkout.json", "api/v2/summary.json"} <= found
    assert "badge/checkout/status.svg" in found
    lost = []
    for name in found:
        if not name.endswith(".html"):
            continue
        text = (tmp_path / name).read_text()
        assert "2026-11-28T14:07:10" in text, "until when it holds"
        for link in re.findall(r'(?:href|src)="([^"#?]+)["#]', text):
            to = (tmp_path / name).parent / link
            if "://" not in link and not to.resolve().is_file():
                lost.append(f"{name}: {link}")
    assert lost == []


def test_what_is_public_no_more_goes_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    export = Export(tmp_path, None)
    assert export.write(page_of(6))
    (tmp_path / "robots.txt").write_text("mine")
    (tmp_path / "t" / "mine.html").write_text("mine")
    assert (tmp_path / "t" / "service-002.html").exists()
    assert export.write(page_of(1))
    found = names(tmp_path)
    assert "t/service-002.html" not in found
    assert {"robots.txt", "t/mine.html", "t/checkout.html"} <= found
    assert not list(tmp_path.rglob("*.new"))


def test_a_list_that_somebody_changed_removes_nothing_outside(tmp_path: Path) -> None:
    outside = tmp_path / "outside.html"
    outside.write_text("mine")
    copy = tmp_path / "copy"
    export = Export(copy, None)
    assert export.write(page_of())
    (copy / "link").symlink_to(tmp_path)
    (copy / LIST).write_text('["../outside.html", "/etc/passwd", "link/outside.html", "t/../../outside.html"]')
    assert export.write(page_of())
    assert outside.read_text() == "mine"


def test_a_link_in_place_of_a_directory_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    copy, elsewhere = tmp_path / "copy", tmp_path / "elsewhere"
    copy.mkdir()
    elsewhere.mkdir()
    (copy / "t").symlink_to(elsewhere)
    export = Export(copy, None)
    assert not export.write(page_of())
    assert not export.write(page_of())
    assert list(elsewhere.iterdir()) == []
    assert [record.getMessage() for record in caplog.records] == [
        f"the copy in {copy} is not renewed: {copy}/t: is a link, which may lead anywhere; right would be a directory"
    ]


def test_names_of_files_come_from_ids_and_from_nothing_that_a_stranger_writes(tmp_path: Path) -> None:
    page = public(fakes.strange(), fakes.page_file(), fakes.NOW)
    for name, _ in render(page, None):
        assert re.fullmatch(r"[a-z0-9][A-Za-z0-9./-]*", name), name
        assert ".." not in name
    assert Export(tmp_path / "copy", None).write(page)
    assert {path.name for path in tmp_path.iterdir()} == {"copy"}


def test_each_file_is_readable_and_whole_at_any_moment(tmp_path: Path) -> None:
    export = Export(tmp_path, None)
    assert export.write(page_of())
    before = (tmp_path / "index.html").stat().st_ino
    later = public(fakes.many(3), fakes.by_team(), fakes.NOW + timedelta(minutes=1))
    assert export.write(later)
    index = tmp_path / "index.html"
    assert index.stat().st_ino != before
    assert index.stat().st_mode & 0o777 == 0o644
