"""What the doctor says of an agent, by what stands on its disk and what its service answers."""

import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.registry import Collector

from webmon.check.kinds import icmp
from webmon.daemon.listener import Listener
from webmon.daemon.metrics import counter, gauge
from webmon.doctor import agent
from webmon.doctor.finding import Finding
from webmon.settings import HostPort, Monitoring
from webmon.targets import commands
from webmon.targets.shard import owner


class Service(Collector):
    """An agent's /metrics and /healthz, as a test wants them."""

    def __init__(self) -> None:
        self.values = {"webmon_last_acknowledgement_age_seconds": 3.0, "webmon_outbox_results": 7.0}
        self.dropped = 0.0
        self.healthy = True
        self.listener = Listener(HostPort("127.0.0.1", 0), self, lambda: self.healthy)

    def collect(self) -> Iterable[Metric]:
        yield from (gauge(name, "x", value) for name, value in self.values.items())
        yield counter("webmon_outbox_dropped_total", "x", self.dropped)


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.listener.close()


def examine(
    directory: Path, service: Service, targets: str = "https://www.example.org/\n", **more: str | None
) -> list[str]:
    (directory / "targets.txt").write_text(targets)
    values = {
        "MONITORING_TARGETS_PATH": "targets.txt",
        "MONITORING_OUTBOX_PATH": "state/outbox.sqlite",
        "MONITORING_OUTBOX_BYTES": str(1 << 20),
        "MONITORING_METRICS_ADDRESS": f"127.0.0.1:{service.listener.port}",
        "MONITORING_MAC_KEY": "k" * 32,
        **more,
    }
    (directory / "state").mkdir(exist_ok=True)
    values = {name: value for name, value in values.items() if value is not None}
    monitoring = Monitoring.model_validate(values, context={"workspace": directory})
    return [str(finding) for finding in agent.examine(monitoring, {})]


def test_an_agent_that_is_well_is_ok_in_every_line(tmp_path: Path, service: Service) -> None:
    assert examine(tmp_path, service) == [
        f"ok       targets: {tmp_path}/targets.txt holds 1, without a fault",
        "ok       key: results are signed",
        f"ok       outbox: {tmp_path}/state/outbox.sqlite can be written, with room for all that it may hold",
        "ok       service: webmon-agent says that it is well",
        "ok       newest result: Kafka acknowledged one 3 s ago; 7 wait in the outbox",
    ]


def test_every_fault_of_the_targets_is_a_line(tmp_path: Path, service: Service) -> None:
    lines = [line for line in examine(tmp_path, service, "ftp://a/\nnonsense\n") if line.startswith("FAILED")]
    assert [f"targets.txt:{number}" in line for number, line in enumerate(lines, 1)] == [True, True]


def test_commands_are_looked_at_and_that_root_alone_may_change_them(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_TRUSTED", frozenset({0, os.getuid()}))
    file = tmp_path / "commands.yml"
    file.write_text("commands: {answer: [/bin/true]}\n")
    file.chmod(0o644)

    def told() -> list[str]:
        return examine(tmp_path, service, "command:answer\n", MONITORING_COMMANDS_PATH="commands.yml")[:2]

    targets = f"ok       targets: {tmp_path}/targets.txt holds 1, without a fault"
    assert told() == [f"ok       commands: {file} lists 1, and root alone may change them", targets]
    file.chmod(0o646)
    fault = f"{file}: everybody may change {file} (mode 0646); right would be chmod o-w {file}"
    assert told() == [f"FAILED   commands: {fault}", targets]
    assert "MONITORING_COMMANDS_PATH is not set" in examine(tmp_path, service, "command:answer\n")[0]


def test_an_agent_that_may_not_send_icmp_fails_where_its_list_has_such_a_target(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_family: socket.AddressFamily) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(icmp, "open_socket", refused)
    assert not any("icmp" in line for line in examine(tmp_path, service))
    (line,) = [line for line in examine(tmp_path, service, "icmp://192.0.2.1\n") if "icmp: " in line]
    assert line == (
        "FAILED   icmp: the list has a target of icmp, and this process may not send ICMP: right would be its group in "
        "net.ipv4.ping_group_range (sysctl; the role agent sees to it)"
    )


def test_an_agent_that_may_send_icmp_is_ok(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icmp, "open_socket", lambda family: socket.socket(family, socket.SOCK_DGRAM))
    assert "ok       icmp: echo requests can be sent" in examine(tmp_path, service, "icmp://192.0.2.1\n")


def test_late_acknowledgements_fail_and_none_at_all_too(tmp_path: Path, service: Service) -> None:
    service.values["webmon_last_acknowledgement_age_seconds"] = 500.0
    assert examine(tmp_path, service)[-1].startswith("FAILED   newest result: Kafka acknowledged one 500 s ago")
    service.values["webmon_last_acknowledgement_age_seconds"] = float("nan")
    assert examine(tmp_path, service)[-1].startswith("FAILED   newest result: Kafka has acknowledged none")


def test_an_agent_whose_checks_are_not_due_yet_is_ok(tmp_path: Path, service: Service) -> None:
    service.values |= {"webmon_last_acknowledgement_age_seconds": float("nan"), "webmon_slots_kept_total": 0.0}
    service.values["webmon_outbox_results"] = 0.0
    assert examine(tmp_path, service)[-1] == "ok       newest result: no check was due since the start"
    service.values["webmon_slots_kept_total"] = 1.0
    assert examine(tmp_path, service)[-1].startswith("FAILED   newest result: Kafka has acknowledged none")


def test_of_several_instances_each_is_judged_by_its_own_targets(tmp_path: Path, service: Service) -> None:
    quick = "{name: quick, url: 'http://q/', interval: 10}"
    names = [f"t{number}" for number in range(6)]
    slow = ", ".join(f"{{name: {name}, url: 'http://{name}/', interval: 600}}" for name in names)
    with_quick, other = (owner("quick", 2), 3 - owner("quick", 2))
    service.values["webmon_last_acknowledgement_age_seconds"] = 150.0

    def last(instance: int, targets: str) -> str:
        (tmp_path / "targets.yml").write_text(f"targets: [{targets}]\n")
        of_instance = {"MONITORING_TARGETS_PATH": "targets.yml", "MONITORING_SHARD": f"{instance}/2"}
        return examine(tmp_path, service, **of_instance)[-1]

    assert last(with_quick, f"{quick}, {slow}").startswith("FAILED   newest result")
    assert last(other, f"{quick}, {slow}").startswith("ok       newest result: Kafka acknowledged one 150 s ago")
    assert last(other, quick) == "ok       newest result: none of the targets is this instance's"


def test_results_that_were_dropped_and_an_outbox_that_was_set_aside_are_warned_of(
    tmp_path: Path, service: Service
) -> None:
    service.dropped = 12.0
    assert examine(tmp_path, service)[-1] == (
        "warning  outbox: 12 results were dropped since the start, because the outbox was full"
    )
    (tmp_path / "state/outbox.sqlite.corrupt-20260101T000000Z").touch()
    assert "was set aside as corrupt" in examine(tmp_path, service)[2]


def test_an_agent_without_a_key_is_warned_of(tmp_path: Path, service: Service) -> None:
    assert examine(tmp_path, service, MONITORING_MAC_KEY=None)[1] == (
        "warning  key: MONITORING_MAC_KEY is not set, so results are not signed, and any agent can speak for this one"
    )


def test_an_outbox_that_may_grow_beyond_the_disk_is_warned_of(tmp_path: Path, service: Service) -> None:
    monitoring = Monitoring.model_validate(
        {"MONITORING_TARGETS_PATH": "t", "MONITORING_OUTBOX_PATH": "o", "MONITORING_OUTBOX_BYTES": str(1 << 60)},
        context={"workspace": tmp_path},
    )
    found: list[Finding] = list(agent.examine(monitoring, {}))
    assert any(f.level == "warning" and "the disk has" in f.text for f in found)


def test_a_service_that_is_not_well_or_not_there_fails(tmp_path: Path, service: Service) -> None:
    service.healthy = False
    assert "FAILED   service: webmon-agent says: not well; see journalctl -u webmon-agent" in examine(tmp_path, service)
    service.listener.close()
    assert examine(tmp_path, service)[-1].startswith("FAILED   service: nothing answers at 127.0.0.1:")
