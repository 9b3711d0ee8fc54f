"""The snapshot on disk."""

import os
from pathlib import Path

import pytest

from tests.unit.page import fakes
from webmon.page import cache
from webmon.page.cache import Cache


def test_what_is_written_is_read_and_nobody_else_may(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    assert Cache(path).write(fakes.strange())
    assert path.stat().st_mode & 0o777 == 0o600
    assert Cache(path).read() == fakes.strange()
    assert [one.name for one in tmp_path.iterdir()] == ["snapshot.json"]


def test_no_file_is_no_snapshot_and_no_event(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert Cache(tmp_path / "none").read() is None
    assert caplog.records == []


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no snapshot"),
        (b"{", "holds no snapshot"),
        (b"[" * 100_000, "holds no snapshot"),
        (b'{"format": 99}', "is of another release (99)"),
        (b'{"format": 1}', "holds no snapshot"),
        (b'{"format": 1, "as_of": "yesterday"}', "holds no snapshot"),
        (b"\xff\x00", "holds no snapshot"),
    ],
)
def test_a_broken_file_is_told_and_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, told: str
) -> None:
    path = tmp_path / "snapshot.json"
    path.write_bytes(content)
    assert Cache(path).read() is None
    (record,) = caplog.records
    assert told in record.getMessage()
    assert str(path) in record.getMessage()
    # The next one takes its place.
    assert Cache(path).write(fakes.many(3))
    assert Cache(path).read() == fakes.many(3)


def test_a_file_that_is_too_large_or_no_file_is_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert Cache(tmp_path / "pipe").read() is None
    path = tmp_path / "snapshot.json"
    assert Cache(path).write(fakes.many(3))
    monkeypatch.setattr(cache, "MOST_BYTES", 1 << 10)
    assert Cache(path).read() is None
    assert ["named pipe" in r.getMessage() or "holds more than" in r.getMessage() for r in caplog.records] == [True] * 2
    assert not Cache(path).write(fakes.many(50))
    assert "it has more than" in caplog.records[-1].getMessage()


def test_a_disk_that_takes_nothing_is_told_once_and_keeps_the_file_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "snapshot.json"
    kept = Cache(path)
    assert kept.write(fakes.many(3))
    (tmp_path / "snapshot.json.new").mkdir()
    assert not kept.write(fakes.many(50))
    assert not kept.write(fakes.many(50))
    assert len(caplog.records) == 1
    assert kept.read() == fakes.many(3)
    (tmp_path / "snapshot.json.new").rmdir()
    assert kept.write(fakes.many(50))
    assert kept.read() == fakes.many(50)


def test_a_link_beside_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine")
    (tmp_path / "snapshot.json.new").symlink_to(tmp_path / "other")
    assert Cache(tmp_path / "snapshot.json").write(fakes.many(3))
    assert (tmp_path / "other").read_text() == "mine"
