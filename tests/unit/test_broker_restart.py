"""The restart of a broker (roles/kafka/files/restart.py), with systemctl and Kafka's own tool as fakes."""

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import pytest

FILE: Final = Path(__file__).parents[2] / "roles/kafka/files/restart.py"


class Broker:
    """A host with a broker: what was done to it, in order, with the Kafka that was current then."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.done: list[tuple[str, str]] = []
        self.has_unit = self.is_active = True
        self.starts = True
        self.lacking = ""
        for version in ("kafka_1", "kafka_2", "kafka_3", "mine"):
            (place / version).mkdir(parents=True)
        (place / "current").symlink_to(place / "kafka_2")

    def run(self, command: list[str], **_: Any) -> "subprocess.CompletedProcess[str]":
        if command[0] != "systemctl":
            return subprocess.CompletedProcess(command, 0, stdout=self.lacking, stderr="")
        action, status = command[1], 0
        if action == "cat":
            status = 0 if self.has_unit else 1
        elif action == "is-active":
            status = 0 if self.is_active else 3
        elif action == "restart":
            self.done.append((action, (self.place / "current").resolve().name))
            status = 0 if self.starts else 1
        return subprocess.CompletedProcess(command, status, stdout="", stderr="")

    @property
    def versions(self) -> set[str]:
        return {path.name for path in self.place.iterdir()}


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return Broker(tmp_path / "opt")


@pytest.fixture
def restart(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("restart", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PLACE", broker.place)
    monkeypatch.setattr(module, "WITHIN_SECS", -1)
    monkeypatch.setattr(module.subprocess, "run", broker.run)
    monkeypatch.setattr(module.sys, "argv", ["restart.py", "kafka1:9093"])
    return module


def test_another_kafka_becomes_the_current_one_with_the_restart_and_the_one_before_stays(
    restart: ModuleType, broker: Broker
) -> None:
    (broker.place / "next").symlink_to(broker.place / "kafka_3")
    assert restart.main() == 0
    assert broker.done == [("restart", "kafka_3")]
    assert broker.versions == {"current", "kafka_2", "kafka_3", "mine"}


@pytest.mark.parametrize("is_active", [True, False])
def test_without_another_one_all_stays_as_it_is(restart: ModuleType, broker: Broker, *, is_active: bool) -> None:
    broker.is_active = is_active
    assert restart.main() == 0
    assert broker.done == [("restart", "kafka_2")]
    assert broker.versions == {"current", "kafka_1", "kafka_2", "kafka_3", "mine"}


def test_a_broker_that_does_not_run_is_started_with_the_next_one(restart: ModuleType, broker: Broker) -> None:
    (broker.place / "next").symlink_to(broker.place / "kafka_3")
    broker.is_active = False
    assert restart.main() == 0
    assert broker.done == [("restart", "kafka_3")]


def test_while_a_copy_is_missing_neither_the_broker_nor_what_it_runs_changes(
    restart: ModuleType, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    (broker.place / "next").symlink_to(broker.place / "kafka_3")
    broker.lacking = "Topic: a\tPartition: 0\n"
    assert restart.main() == 1
    assert broker.done == []
    assert (broker.place / "current").resolve().name == "kafka_2"
    assert "not restarted: 1 partitions lack a copy" in capsys.readouterr().err


def test_nothing_goes_where_the_new_one_does_not_start(restart: ModuleType, broker: Broker) -> None:
    (broker.place / "next").symlink_to(broker.place / "kafka_3")
    broker.starts = False
    assert restart.main() == 1
    assert broker.versions == {"current", "kafka_1", "kafka_2", "kafka_3", "mine"}


def test_a_host_that_has_no_broker_yet_has_nothing_to_restart(restart: ModuleType, broker: Broker) -> None:
    broker.has_unit = False
    assert restart.main() == 0
    assert broker.done == []
