"""`webmon agent` as a process in a workspace of its own, with a service manager that the test is."""

import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import trustme


class AgentProcess:
    """`webmon agent` in a workspace of its own, with a service manager that the test is."""

    def __init__(self, workspace: Path, checkout: Path | None = None) -> None:
        """Take a directory for its files, and where another webmon than this one lies."""
        self.workspace = workspace
        self._checkout = checkout
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
            "MONITORING_METRICS_ADDRESS": "off",
            **more,
        }
        path = self.workspace / ".env"
        quoted = {name: value.replace("'", "\\'") for name, value in values.items()}
        path.write_text("".join(f"{name}='{value}'\n" for name, value in quoted.items()))
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
                cwd=self._checkout,
                # The bound of heaps is the unit's (roles/component).
                env={**os.environ, "MALLOC_ARENA_MAX": "2", "NOTIFY_SOCKET": str(self.workspace / "notify")},
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
        with contextlib.closing(sqlite3.connect(self.workspace / "outbox.sqlite")) as db:
            return [value for (value,) in db.execute("SELECT value FROM results ORDER BY id")]

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._manager.close()
