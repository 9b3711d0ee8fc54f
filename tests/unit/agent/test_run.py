"""The agent as a process: what systemd hears of it, and how it reloads and stops, all without a broker."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.hostile import HostileServer, hang, page, wait_until


class Agent:
    """`webmon agent` in a workspace of its own, with a service manager that the test is."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.log = workspace / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self._heard: list[str] = []
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(workspace / "notify"))
        self._manager.setblocking(False)
        authority = trustme.CA()
        leaf = authority.issue_cert("agent")
        authority.cert_pem.write_to_path(str(workspace / "ca.pem"))
        leaf.private_key_pem.write_to_path(str(workspace / "key.pem"))
        leaf.cert_chain_pems[0].write_to_path(str(workspace / "cert.pem"))
        for file in workspace.iterdir():
            file.chmod(0o600)

    def configure(self, **more: str) -> None:
        values = {
            "KAFKA_HOST": "127.0.0.1",
            "KAFKA_PORT": "1",
            "KAFKA_ACCESS_CERTIFICATE": "cert.pem",
            "KAFKA_ACCESS_KEY": "key.pem",
            "KAFKA_CA_CERTIFICATE": "ca.pem",
            "MONITORING_TARGETS_PATH": "targets.txt",
            "MONITORING_RETRY_SECS": "1",
            **more,
        }
        path = self.workspace / ".env"
        path.write_text("".join(f"{name}='{value}'\n" for name, value in values.items()))
        path.chmod(0o600)

    def target(self, *urls: str) -> None:
        (self.workspace / "targets.txt").write_text("\n".join(urls) + "\n")

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    "import sys; from webmon.cli import main; sys.exit(main())",
                    "agent",
                    "--env-file",
                    str(self.workspace / ".env"),
                ],
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": str(self.workspace / "notify")},
            )

    def heard(self) -> list[str]:
        """Everything that systemd was told so far, a line an assignment."""
        while True:
            try:
                self._heard += self._manager.recv(65536).decode().splitlines()
            except BlockingIOError:
                return self._heard

    def send(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def wait(self, seconds: float) -> int:
        assert self.process is not None
        return self.process.wait(seconds)

    def results(self) -> list[bytes]:
        with sqlite3.connect(self.workspace / "outbox.sqlite") as db:
            return [value for (value,) in db.execute("SELECT value FROM results ORDER BY id")]

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._manager.close()


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    made = Agent(tmp_path)
    made.configure()
    yield made
    made.close()


def test_an_agent_without_a_broker_checks_keeps_reloads_and_stops(agent: Agent) -> None:
    with HostileServer(page(b"hello")) as first, HostileServer(page(b"hello")) as second:
        agent.target(first.url)
        agent.start()
        wait_until(lambda: "READY=1" in agent.heard(), 20)
        wait_until(lambda: len(agent.results()) >= 2, 20)
        wait_until(lambda: "WATCHDOG=1" in agent.heard(), 20)

        agent.target(first.url, second.url)
        agent.send(signal.SIGHUP)
        wait_until(lambda: "RELOADING=1" in agent.heard(), 20)
        wait_until(lambda: any(second.url.encode() in value for value in agent.results()), 20)

        agent.target("no url")
        agent.send(signal.SIGHUP)
        wait_until(lambda: "the old list goes on" in agent.log.read_text(), 20)
        count = len(agent.results())
        wait_until(lambda: len(agent.results()) > count + 2, 20)
        assert agent.heard().count("READY=1") == 3

        agent.send(signal.SIGTERM)
        assert agent.wait(20) == 0
    assert "STOPPING=1" in agent.heard()
    log = agent.log.read_text()
    assert "1 targets, 1 threads: a check may take 1 s and is due every 1 s" in log
    assert log.count("not publishing, results wait in the outbox") == 1
    assert "Kafka at 127.0.0.1:1 (KAFKA_HOST, KAFKA_PORT): connection refused" in log
    assert f"{agent.workspace}/targets.txt:1: 'no url'" in log
    assert "Traceback" not in log
    left = re.search(r"stopped; (\d+) results wait in the outbox", log)
    assert left is not None
    assert int(left[1]) == len(agent.results())
    assert all(b'"outcome":"up"' in value for value in agent.results())


def test_a_stop_does_not_wait_for_ever_for_a_check(agent: Agent) -> None:
    agent.configure(MONITORING_RETRY_SECS="30", MONITORING_TIMEOUT_SECS="30")
    with HostileServer(hang) as server:
        agent.target(*(f"{server.url}{number}" for number in range(30)))
        agent.start()
        wait_until(lambda: server.connections > 0, 20)
        began = time.monotonic()
        agent.send(signal.SIGTERM)
        assert agent.wait(20) == 0
    assert time.monotonic() - began < 20
    assert "checks still ran and are given up" in agent.log.read_text()


@pytest.mark.parametrize(
    ("targets", "settings", "fault"),
    [
        ("nonsense", {}, "targets.txt:1: 'nonsense': url is 'nonsense': right would be http://HOST/"),
        ("http://a/", {"MONITORING_TARGETS_REGEX": "(?=x)"}, "MONITORING_TARGETS_REGEX is '(?=x)': RE2 cannot take it"),
        ("http://a/", {"MONITORING_OUTBOX_PATH": "no/where"}, "MONITORING_OUTBOX_PATH"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(
    targets: str, settings: dict[str, str], fault: str, agent: Agent
) -> None:
    agent.configure(**settings)
    agent.target(targets)
    agent.start()
    assert agent.wait(20) == 2
    (line,) = agent.log.read_text().splitlines()
    assert line.startswith("webmon: ")
    assert fault in line
