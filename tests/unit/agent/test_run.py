"""The agent as a process: what systemd hears of it, and how it reloads and stops, all without a broker."""

import re
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.hostile import HostileServer, hear, page
from tests.waiting import wait_until
from webmon.agent.shard import owner
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
        wait_until(lambda: len(agent.results()) > count + 2, seconds=20)
        assert agent.heard().count("READY=1") == 3

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


def test_a_users_mistakes_are_a_line_each_and_status_2(agent: AgentProcess) -> None:
    agent.configure(MONITORING_TARGETS_REGEX="(?=x)")
    agent.target("nonsense", "http://a/")
    agent.start()
    assert agent.wait(20) == 2
    pattern, url = agent.log.read_text().splitlines()
    assert pattern.startswith("webmon: MONITORING_TARGETS_REGEX is '(?=x)': RE2 cannot take it")
    assert url.startswith(f"webmon: {agent.workspace}/targets.txt:1: 'nonsense': url is 'nonsense': right would be")


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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def test_an_agent_tells_prometheus_how_it_and_its_targets_are(agent: AgentProcess) -> None:
    port = free_port()
    agent.configure(MONITORING_METRICS_ADDRESS=f"127.0.0.1:{port}")

    def ask(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    with HostileServer(page(b"hi")) as server:
        agent.target(server.url)
        agent.start()
        wait_until(lambda: "READY=1" in agent.heard(), "READY")
        assert ask("/healthz") == "ok\n"
        wait_until(lambda: f'probe_success{{target="{server.url}"}} 1.0' in ask("/metrics"), "a result")
        text = ask("/metrics")
        agent.send(signal.SIGTERM)
        assert agent.wait(20) == 0
    assert "webmon_targets 1.0" in text
    assert re.search(r"^webmon_slots_kept_total [1-9]", text, re.MULTILINE)
    assert re.search(r"^webmon_outbox_bytes [1-9]", text, re.MULTILINE)
    assert "webmon_last_acknowledgement_age_seconds NaN" in text
    assert "Traceback" not in agent.log.read_text()


def test_a_second_agent_on_an_outbox_is_refused(agent: AgentProcess) -> None:
    agent.target("http://127.0.0.1:1/")
    agent.start()
    first = agent.process
    wait_until(lambda: "READY=1" in agent.heard(), "READY")
    agent.start()
    assert agent.wait(20) == 2
    agent.process = first
    assert (
        f"webmon: MONITORING_OUTBOX_PATH {agent.workspace}/outbox.sqlite: another agent uses it; each needs its own\n"
        in agent.log.read_text()
    )


def test_a_port_that_is_taken_stops_no_check(agent: AgentProcess) -> None:
    with HostileServer(page(b"hi")) as server:
        agent.configure(MONITORING_METRICS_ADDRESS=f"127.0.0.1:{server.port}")
        agent.target(server.url)
        agent.start()
        wait_until(lambda: "READY=1" in agent.heard(), "READY")
        wait_until(lambda: bool(agent.results()), "a result")
        agent.send(signal.SIGTERM)
        assert agent.wait(20) == 0
    log = agent.log.read_text()
    assert f"no metrics: MONITORING_METRICS_ADDRESS is 127.0.0.1:{server.port}: Address already in use" in log


def checked_by(workspace: Path, urls: list[str], shard: str) -> set[str]:
    """Run an instance until it has checked its targets twice; give the URLs."""
    workspace.mkdir()
    agent = AgentProcess(workspace)
    try:
        agent.configure(MONITORING_SHARD=shard)
        agent.target(*urls)
        agent.start()
        wait_until(lambda: "READY=1" in agent.heard(), "READY")
        wait_until(lambda: len(agent.results()) >= len(urls), "results")
        agent.send(signal.SIGTERM)
        assert agent.wait(20) == 0
        assert f"instance {shard[0]} of 2 has {len(urls) // 2} of {len(urls)} targets" in agent.log.read_text()
        return {decode(value).url for value in agent.results()}
    finally:
        agent.close()


def test_instances_that_share_a_list_check_each_target_once(tmp_path: Path) -> None:
    with HostileServer(page(b"hi")) as server:
        listed = [f"{server.url}{number}" for number in range(200)]
        first, second = ([url for url in listed if owner(url, 2) == instance][:3] for instance in (1, 2))
        assert checked_by(tmp_path / "1", first + second, "1/2") == set(first)
        assert checked_by(tmp_path / "2", first + second, "2/2") == set(second)


def test_an_instance_without_a_target_waits_for_some(agent: AgentProcess) -> None:
    agent.configure(MONITORING_SHARD="1/2")
    without = next(url for url in (f"http://127.0.0.1:1/{n}" for n in range(99)) if owner(url, 2) == 2)
    with_one = next(url for url in (f"http://127.0.0.1:1/{n}" for n in range(99)) if owner(url, 2) == 1)
    agent.target(without)
    agent.start()
    wait_until(lambda: "WATCHDOG=1" in agent.heard(), "the watchdog")
    assert any("STATUS=0 targets" in line for line in agent.heard())
    agent.target(without, with_one)
    agent.send(signal.SIGHUP)
    wait_until(lambda: bool(agent.results()), "a result of the target that came")
    agent.send(signal.SIGTERM)
    assert agent.wait(20) == 0
    assert "Traceback" not in agent.log.read_text()


def test_an_agent_that_stood_still_begins_no_burst_and_hears_a_stop_that_comes_with_the_waking(
    agent: AgentProcess,
) -> None:
    with HostileServer(page(b"hi")) as server:
        agent.target(*(f"{server.url}{number}" for number in range(20)))
        agent.start()
        wait_until(lambda: "READY=1" in agent.heard(), "READY")
        wait_until(lambda: len(agent.results()) >= 40, "two rounds of results")
        agent.send(signal.SIGSTOP)
        time.sleep(4)  # longer than a hiccup: see schedule.PAUSE
        woken = time.time()
        agent.send(signal.SIGCONT)
        wait_until(lambda: "the process stood still" in agent.log.read_text(), "its log line")
        wait_until(lambda: decode(agent.results()[-1]).time.timestamp() > woken + 2, "two rounds more")
        agent.send(signal.SIGSTOP)
        time.sleep(1.5)  # every wait of it is over
        agent.send(signal.SIGCONT)
        agent.send(signal.SIGTERM)
        assert agent.wait(20) == 0
    results = [decode(value) for value in agent.results()]
    first_second = [r for r in results if woken <= r.time.timestamp() < woken + 1]
    assert len(first_second) < 40  # of the 80 that the pause cost, on a machine that may be busy
    assert not [r for r in results if woken - 3.8 < r.scheduled_at.timestamp() < woken - 1]
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
