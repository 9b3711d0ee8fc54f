"""`webmon page` as systemd runs it, with a database that is not there."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sockets import free_port
from tests.unit.page import fakes
from tests.waiting import wait_until
from webmon.page.cache import Cache

COMMAND = (
    sys.executable,
    "-c",
    "import sys; from webmon.cli import main; sys.exit(main())",
    "page",
    "--env-file",
)
FILE = 'title: Example status\ngroups:\n  - {name: All, match: {names: ["*"]}}\n'


class Daemon:
    """The process, and what it tells its service manager."""

    def __init__(self, directory: Path) -> None:
        """Start it with the snapshot that is on its disk."""
        self.ports = {name: free_port() for name in ("PAGE_ADDRESS", "PAGE_OPERATOR_ADDRESS", "PAGE_METRICS_ADDRESS")}
        self.file = directory / "page.yml"
        self.file.write_text(FILE)
        lines = [f"{name}=127.0.0.1:{port}" for name, port in self.ports.items()]
        lines += ["POSTGRES_HOST=127.0.0.1", f"POSTGRES_PORT={free_port()}", "POSTGRES_USER=reader"]
        lines += ["POSTGRES_PASSWORD=secret-word", "PAGE_FILE_PATH=page.yml"]
        env_file = directory / ".env"
        env_file.write_text("\n".join(lines))
        env_file.chmod(0o600)
        self._manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._manager.bind(str(directory / "notify"))
        self._manager.setblocking(False)
        self.told = ""
        self.log = directory / "log"
        environment = {**os.environ, "NOTIFY_SOCKET": str(directory / "notify")}
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*COMMAND, env_file], env=environment, stderr=log)

    def has_told(self, text: str) -> bool:
        """Tell whether the service manager was told something."""
        try:
            while True:
                self.told += self._manager.recv(65536).decode() + "\n"
        except BlockingIOError:
            return text in self.told

    def get(self, path: str, at: str = "PAGE_ADDRESS") -> tuple[int, str]:
        """Ask one of the listeners."""
        client = http.client.HTTPConnection("127.0.0.1", self.ports[at], timeout=10)
        try:
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, answer.read().decode()
        finally:
            client.close()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()
        self._manager.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    assert Cache(tmp_path / "snapshot.json").write(fakes.many(3, "one down"))
    started = Daemon(tmp_path)
    yield started
    started.close()


def test_it_shows_the_snapshot_of_the_disk_reads_its_file_again_and_stops(daemon: Daemon) -> None:
    wait_until(lambda: daemon.has_told("READY=1"))
    status, text = daemon.get("/t/service-001")
    assert (status, "Not known" in text) == (200, True)  # it is long ago that anything was seen
    status, text = daemon.get("/", "PAGE_OPERATOR_ADDRESS")
    assert status == 200
    assert "This is what was on the disk at the start" in text
    wait_until(lambda: "Connection refused" in daemon.get("/", "PAGE_OPERATOR_ADDRESS")[1])
    assert "secret-word" not in daemon.get("/", "PAGE_OPERATOR_ADDRESS")[1] + daemon.log.read_text()
    assert daemon.get("/healthz", "PAGE_METRICS_ADDRESS")[0] == 200
    assert "webmon_page_snapshot_age_seconds" in daemon.get("/metrics", "PAGE_METRICS_ADDRESS")[1]

    daemon.file.write_text("title: [\n")
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "page.yml is not read again" in daemon.log.read_text())
    assert daemon.get("/t/service-001")[0] == 200
    daemon.file.write_text(FILE.replace('"*"', "service-002"))
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: daemon.get("/t/service-001")[0] == 404)

    wait_until(lambda: daemon.has_told("WATCHDOG=1"))
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(30) == 0
    assert daemon.has_told("STOPPING=1")


def test_a_view_takes_its_time_from_no_database(daemon: Daemon) -> None:
    wait_until(lambda: daemon.has_told("READY=1"))
    daemon.get("/")
    took = []
    for _ in range(20):
        began = time.perf_counter()
        assert daemon.get("/")[0] == 200
        took.append(time.perf_counter() - began)
    # The best of them: others may have had the processor.
    assert min(took) < 0.05


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("PAGE_OPERATOR_ADDRESS=0.0.0.0:9466", "PAGE_AUTH is missing"),
        ("PAGE_ADDRESS=off\nPAGE_OPERATOR_ADDRESS=off", "are off"),
    ],
)
def test_a_mistake_of_the_operators_ends_the_start_with_one_line(tmp_path: Path, line: str, said: str) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"POSTGRES_HOST=db\nPOSTGRES_USER=reader\nPOSTGRES_PASSWORD=x\n{line}\n")
    env_file.chmod(0o600)
    done = subprocess.run([*COMMAND, env_file], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
