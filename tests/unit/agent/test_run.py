"""The agent as a process: what systemd hears of it, and how it reloads and stops, all without a broker."""

import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.hostile import HostileServer, hear, page
from tests.waiting import wait_until
from webmon.check.result import decode
from webmon.daemon import systemd


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[AgentProcess]:
    made = AgentProcess(tmp_path)
    made.configure()
    yield made
    made.close()


def test_an_agent_without_a_broker_checks_keeps_reloads_and_stops(agent: AgentProcess) -> None:
    with HostileServer(page(b"hello")) as first, HostileServer(page(b"hello")) as second:
        agent.target(first.url)
        agent.start()
        wait_until(lambda: "READY=1" in agent.heard(), seconds=20)
        wait_until(lambda: len(agent.results()) >= 2, seconds=20)
        wait_until(lambda: "WATCHDOG=1" in agent.heard(), seconds=20)

        agent.target(first.url, second.url)
        agent.send(signal.SIGHUP)
        wait_until(lambda: "RELOADING=1" in agent.heard(), seconds=20)
        wait_until(lambda: any(second.url.encode() in value for value in agent.results()), seconds=20)

        agent.target("no url")
        agent.send(signal.SIGHUP)
        wait_until(lambda: "the old list goes on" in agent.log.read_text(), seconds=20)
        count = len(agent.results())
        wait_until(lambda: len(agent.results()) > count, seconds=20)
        wait_until(lambda: agent.heard().count("READY=1") == 3, seconds=20)

        agent.send(signal.SIGTERM)
        assert agent.wait(20) == 0
    assert "STOPPING=1" in agent.heard()
    log = agent.log.read_text()
    assert "1 targets" in log
    assert log.count("not publishing: ") == 1
    assert "Kafka at 127.0.0.1:1 (KAFKA_HOST, KAFKA_PORT): connection refused" in log
    assert f"{agent.workspace}/targets.txt:1: 'no url'" in log
    assert "Traceback" not in log
    left = re.search(r"stopped; (\d+) results wait in the outbox", log)
    assert left is not None
    assert int(left[1]) == len(agent.results())
    assert all(b'"outcome":"up"' in value for value in agent.results())


def test_a_reload_refuses_any_file_with_a_fault_and_all_goes_on_as_before(agent: AgentProcess) -> None:
    workspace = agent.workspace
    for name in ("sites.pem", "own.pem"):
        (workspace / name).write_bytes((workspace / "ca.pem").read_bytes())
    with HostileServer(page(b"hi")) as server:
        (workspace / "targets.yml").write_text(f"targets: [{{url: '{server.url}', tls: {{ca: own.pem}}}}]\n")
        agent.configure(MONITORING_TARGETS_PATH="targets.yml", MONITORING_CA_CERTIFICATES="sites.pem")
        agent.start()
        wait_until(lambda: "READY=1" in agent.heard(), "READY")

        def refused(name: str) -> str:
            """Break a file and reload; give what the agent says."""
            before, file = len(agent.log.read_text()), workspace / name
            held = file.read_bytes()
            file.write_text("nothing\n")
            agent.send(signal.SIGHUP)
            wait_until(lambda: "the reload is refused" in agent.log.read_text()[before:], "a refusal")
            file.write_bytes(held)
            return agent.log.read_text()[before:]

        no_pem = "holds no PEM certificate; right would be"
        assert f"MONITORING_CA_CERTIFICATES: {workspace}/sites.pem {no_pem}" in refused("sites.pem")
        assert f"tls.ca is 'own.pem': {no_pem}" in refused("own.pem")
        assert f"KAFKA_CA_CERTIFICATE: {workspace}/ca.pem {no_pem}" in refused("ca.pem")
        assert f"KAFKA_ACCESS_CERTIFICATE: {workspace}/cert.pem and {workspace}/key.pem can't be used" in refused(
            "key.pem"
        )
        assert f"{workspace}/targets.yml:1: " in refused("targets.yml")
        count = len(agent.results())
        wait_until(lambda: len(agent.results()) > count, "a result after all of that")
        agent.send(signal.SIGTERM)
        assert agent.wait(20) == 0
    assert "Traceback" not in agent.log.read_text()


def test_a_secret_of_the_env_file_reaches_the_site_and_nothing_else_and_a_reload_reads_it_anew(
    agent: AgentProcess,
) -> None:
    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        seen.append(hear(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with HostileServer(behave) as server:
        (agent.workspace / "targets.yml").write_text(
            f"targets:\n- {{name: shop, url: '{server.url}', auth: {{bearer: '${{SHOP_TOKEN}}'}}}}\n"
        )
        agent.configure(MONITORING_TARGETS_PATH="targets.yml", MONITORING_LOG_LEVEL="DEBUG", SHOP_TOKEN="s3cret-1")
        agent.start()
        wait_until(lambda: "READY=1" in agent.heard(), "READY", 20)
        wait_until(lambda: len(agent.results()) >= 1, "a result", 20)
        assert b"Authorization: Bearer s3cret-1\r\n" in seen[-1]

        agent.configure(MONITORING_TARGETS_PATH="targets.yml", MONITORING_LOG_LEVEL="DEBUG", SHOP_TOKEN="s3cret-2")
        agent.send(signal.SIGHUP)
        wait_until(lambda: b"Authorization: Bearer s3cret-2\r\n" in seen[-1], "the new secret", 20)

        agent.configure(MONITORING_TARGETS_PATH="targets.yml")
        agent.send(signal.SIGHUP)
        wait_until(
            lambda: "auth.bearer names ${SHOP_TOKEN}, which is not set" in agent.log.read_text(), "a refusal", 20
        )
        agent.send(signal.SIGTERM)
        assert agent.wait(20) == 0
    assert "s3cret" not in agent.log.read_text()
    assert not any(b"s3cret" in value for value in agent.results())


def test_an_agent_that_stood_still_begins_no_burst_and_hears_a_stop_that_comes_with_the_waking(
    agent: AgentProcess,
) -> None:
    with HostileServer(page(b"hi")) as server:
        agent.target(*(f"{server.url}{number}" for number in range(20)))
        agent.start()
        wait_until(lambda: "READY=1" in agent.heard(), "READY")
        wait_until(lambda: len(agent.results()) >= 20, "a round of results")
        agent.send(signal.SIGSTOP)
        time.sleep(3.3)  # longer than a hiccup: see schedule.PAUSE
        woken = time.time()
        agent.send(signal.SIGCONT)
        wait_until(lambda: "the process was paused" in agent.log.read_text(), "its log line")
        wait_until(lambda: decode(agent.results()[-1]).time.timestamp() > woken + 1, "a round more")
        agent.send(signal.SIGSTOP)
        time.sleep(1.1)  # every wait of it is over
        agent.send(signal.SIGCONT)
        agent.send(signal.SIGTERM)
        assert agent.wait(20) == 0
    results = [decode(value) for value in agent.results()]
    first_second = [r for r in results if woken <= r.time.timestamp() < woken + 1]
    assert len(first_second) < 40  # of the 60 that the pause cost, on a machine that may be busy
    assert not [r for r in results if woken - 3.1 < r.scheduled_at.timestamp() < woken - 1]
    assert len({(r.target, r.scheduled_at) for r in results}) == len(results)


def test_a_service_manager_that_reads_nothing_does_not_hold_up_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setattr(systemd, "_SECS", 0.5)
        assert systemd.notify("STATUS=fine")
        assert not all(systemd.notify("WATCHDOG=1") for _ in range(10_000))
        cpu = time.thread_time()
        assert not systemd.notify("WATCHDOG=1")
        assert time.thread_time() - cpu < 0.05  # it waits, and does not spin
        manager.recv(100)
        assert systemd.notify("READY=1")
