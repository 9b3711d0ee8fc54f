"""What the doctor says of a page's own files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.page import fakes
from webmon.doctor import page
from webmon.doctor.finding import Level
from webmon.page.cache import Cache
from webmon.settings import Common, Page, PageSettings, Postgres


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "page.yml").write_text("title: x\ngroups: [{name: A, match: {names: ['*']}}]\n")
    fresh = msgspec.structs.replace(fakes.many(3), as_of=datetime.now(UTC))
    assert Cache(tmp_path / "snapshot.json").write(fresh)
    return tmp_path


def findings(workspace: Path, **changes: Any) -> dict[str, tuple[Level, str]]:
    values = {"PAGE_FILE_PATH": "page.yml", "PAGE_EXPORT_PATH": "."} | changes
    given = Page.model_validate(values, context={"workspace": workspace})
    way = Postgres.model_validate({"POSTGRES_HOST": "db", "POSTGRES_USER": "u", "POSTGRES_PASSWORD": "p"})
    found = page.examine(PageSettings(Common(), None, way, given))
    return {one.subject: (one.level, one.text) for one in found}


def test_what_is_well_is_told_with_what_there_is(workspace: Path) -> None:
    found = findings(workspace)
    assert found["public"] == (
        Level.OK, f"{workspace}/page.yml has 1 groups and 0 targets by name, without a fault"
    )  # fmt: skip
    assert found["snapshot"][0] is Level.OK
    assert "with 3 targets" in found["snapshot"][1]
    assert found["copy"][0] is Level.OK
    # There is no way to Kafka.
    assert found["acts"][0] is Level.WARNING
    assert findings(workspace, PAGE_FILE_PATH=None)["public"] == (Level.OK, "no PAGE_FILE_PATH: nothing is public")
    assert "acts" not in findings(workspace, PAGE_OPERATOR_ADDRESS="off")


def test_faults_of_the_pages_file_are_told(workspace: Path) -> None:
    (workspace / "page.yml").write_text("title: x\n")
    level, text = findings(workspace)["public"]
    assert level is Level.FAILED
    assert text.startswith(f"{workspace}/page.yml:1: the page: groups is missing")


def test_a_snapshot_that_is_old_or_not_there_is_a_warning(workspace: Path) -> None:
    old = msgspec.structs.replace(fakes.many(3), as_of=datetime.now(UTC) - timedelta(hours=3))
    assert Cache(workspace / "snapshot.json").write(old)
    level, text = findings(workspace)["snapshot"]
    assert (level, text) == (
        Level.WARNING, f"{workspace}/snapshot.json is 3 h old, with 3 targets; is webmon-page running?"
    )  # fmt: skip
    (workspace / "snapshot.json").unlink()
    assert findings(workspace)["snapshot"][0] is Level.WARNING


def test_a_directory_that_is_not_there_is_told(workspace: Path) -> None:
    found = findings(workspace, PAGE_CACHE_PATH="gone/snapshot.json", PAGE_EXPORT_PATH="page.yml")
    assert found["snapshot"] == (
        Level.FAILED,
        f"PAGE_CACHE_PATH: {workspace}/gone is no directory; right would be one that can be written",
    )
    assert found["copy"][0] is Level.FAILED
