"""`webmon drain`: what an outbox holds goes to Kafka, and the file goes only when it is empty."""

import contextlib
import re
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.agent_process import AgentProcess
from webmon import cli
from webmon.agent import drain
from webmon.agent.outbox import Outbox
from webmon.agent.publisher import Publisher
from webmon.agent.spool import Disk
from webmon.settings import Kafka


class Acknowledging:
    """A publisher to which Kafka acknowledges everything at once."""

    away_cause = ""
    refused = 0

    def __init__(self, _: Kafka, outbox: Outbox, *, mac_key: SecretStr | None) -> None:
        assert mac_key is None
        self._outbox = outbox

    def start(self) -> None:
        rows = self._outbox.read(0, 100)
        threading.Timer(0.2, self._outbox.remove, [[row.id for row in rows]]).start()

    def stop(self, _: float) -> None:
        pass


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    """The .env of an agent whose broker cannot be reached."""
    agent = AgentProcess(tmp_path)
    agent.configure()
    agent.target("http://a/")
    agent.close()
    return tmp_path / ".env"


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    """An outbox with three results that nobody uses."""
    path = tmp_path / "left.sqlite"
    made = Outbox(path, 1_000_000)
    for number in range(3):
        made.put(b"target", b"%d" % number)
    made.close(5)
    return path


def waiting(path: Path) -> int:
    """Count what whoever opens an outbox next finds in it."""
    opened = Outbox(path, 1_000_000)
    count = len(opened)
    opened.close(5)
    return count


def test_all_is_sent_and_the_empty_file_goes(
    env_file: Path, outbox: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drain, "Publisher", Acknowledging)
    assert cli.main(["drain", "--env-file", str(env_file), str(outbox)]) == 0
    assert capsys.readouterr().out == f"{outbox}: 3 results sent; it is empty and removed\n"
    assert not list(outbox.parent.glob("left.sqlite*"))


def test_what_kafka_does_not_acknowledge_stays_and_the_cause_is_told(
    env_file: Path, outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["drain", "--env-file", str(env_file), "--timeout", "0.2", str(outbox)]) == 1
    out = capsys.readouterr().out
    told = r": 3 of 3 results \(of (.*) to (.*) UTC\) are left: Kafka at 127\.0\.0\.1:1 \(KAFKA_HOST, KAFKA_PORT\): "
    found = re.match(re.escape(str(outbox)) + told, out)
    assert found, out
    oldest, newest = (datetime.fromisoformat(f"{moment}+00:00") for moment in found.groups())
    assert datetime.now(UTC) - timedelta(minutes=1) < oldest <= newest <= datetime.now(UTC)
    assert waiting(outbox) == 3


def test_a_file_that_cannot_be_read_is_not_taken_for_an_empty_one(
    env_file: Path, outbox: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drain, "Publisher", Acknowledging)
    monkeypatch.setattr(Outbox, "is_on_disk", property(lambda _: False))
    assert cli.main(["drain", "--env-file", str(env_file), "--timeout", "0.3", str(outbox)]) == 1
    assert "the file can't be read" in capsys.readouterr().out
    assert outbox.exists()


def test_the_outbox_of_a_running_agent_and_none_at_all_are_refused(
    env_file: Path, outbox: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    used = Outbox(outbox, 1_000_000)
    assert cli.main(["drain", "--env-file", str(env_file), str(outbox)]) == 2
    used.close(5)
    assert "another agent uses it" in capsys.readouterr().err
    for name in ("gone", "x" * 300):
        assert cli.main(["drain", "--env-file", str(env_file), str(outbox.with_name(name))]) == 2
        assert "there is no such file" in capsys.readouterr().err


def test_what_is_damaged_is_told_and_kept(
    env_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "left.sqlite"
    made = Outbox(path, 10_000_000)
    for number in range(3000):
        made.put(b"target", b"%d".ljust(500) % number)
    made.close(5)
    data = bytearray(path.read_bytes())
    data[8192:400_000] = bytes(400_000 - 8192)
    path.write_bytes(data)
    monkeypatch.setattr(drain, "Publisher", Acknowledging)
    assert cli.main(["drain", "--env-file", str(env_file), str(path)]) == 1
    (aside,) = tmp_path.glob("left.sqlite.corrupt-*")
    assert capsys.readouterr().out == f"{path}: is damaged; what could not be read of it is in {aside}\n"


def test_a_file_that_is_no_outbox_is_left_as_it_is(
    env_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, text = tmp_path / "grafana.db", tmp_path / "targets.yml"
    with contextlib.closing(sqlite3.connect(other)) as db:
        db.executescript("CREATE TABLE dashboards (id INTEGER); INSERT INTO dashboards VALUES (1)")
    text.write_text("targets: [http://a/]\n" * 100)
    for path in (other, text):
        before = path.read_bytes()
        assert cli.main(["drain", "--env-file", str(env_file), str(path)]) == 2
        assert (
            f"webmon: {path}: is no outbox, or is damaged, and was left as it is: move it away, or name another\n"
            in capsys.readouterr().err
        )
        assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.lock"))


def test_an_interrupt_leaves_a_file_that_the_next_one_goes_on_with(
    env_file: Path, outbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Outbox, publisher: Publisher, __: float) -> int:
        publisher.start()
        raise KeyboardInterrupt

    monkeypatch.setattr(drain, "_empty", interrupted)
    assert cli.main(["drain", "--env-file", str(env_file), str(outbox)]) == 130
    assert waiting(outbox) == 3


def test_a_disk_that_fails_for_a_moment_makes_nothing_sent(
    env_file: Path, outbox: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class OfOne(Acknowledging):
        """A publisher to which Kafka acknowledges the first alone."""

        def start(self) -> None:
            self._outbox.remove([self._outbox.read(0, 1)[0].id])

    change, failed = Disk.change, threading.Event()

    def fail_once(disk: Disk, *arguments: Any) -> None:
        if not failed.is_set():
            failed.set()
            raise sqlite3.OperationalError("database is locked")
        change(disk, *arguments)

    monkeypatch.setattr(drain, "Publisher", OfOne)
    monkeypatch.setattr(Disk, "change", fail_once)
    assert cli.main(["drain", "--env-file", str(env_file), "--timeout", "0.5", str(outbox)]) == 1
    assert failed.is_set()
    assert ": 2 of 3 results" in capsys.readouterr().out
    assert waiting(outbox) == 2
