"""prometheus-alertmanager, Debian's package, to tell alarms to: unpacked under build/, never installed."""

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.sockets import free_port, wait_for_port

PACKAGE: Final = "prometheus-alertmanager"
PLACE: Final = Path("build/alertmanager")
_WITH_ITS_TEMPLATES: Final = (
    "unshare",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    'mount -t tmpfs none /usr/share && cp -r "$0/usr/share/prometheus" /usr/share/ && exec "$@"',
)
"""Debian's looks for them there, and has no option to look elsewhere."""


class Cluster:
    """Two Alertmanagers of one cluster on loopback."""

    def __init__(self, workspace: Path, notify: str) -> None:
        """Take where its files may be, and the URL that it posts what it is told to."""
        self._workspace = workspace
        self.ports = (free_port(), free_port())
        self._gossip = (free_port(), free_port())
        self.urls = tuple(f"http://127.0.0.1:{port}" for port in self.ports)
        route = {"receiver": "hook", "group_wait": "0s", "group_interval": "1s", "group_by": ["..."]}
        hook = {"url": notify, "send_resolved": True}
        config = {"route": route, "receivers": [{"name": "hook", "webhook_configs": [hook]}]}
        (workspace / "alertmanager.yml").write_text(json.dumps(config))
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        for number in range(2):
            self.start(number)
        return self

    def start(self, number: int) -> None:
        """Start one of them."""
        port, gossip, other = self.ports[number], self._gossip[number], self._gossip[1 - number]
        command = [*_WITH_ITS_TEMPLATES, str(PLACE.absolute())]
        command += [str(program().absolute()), f"--config.file={self._workspace / 'alertmanager.yml'}"]
        command += [f"--storage.path={self._workspace / str(number)}", f"--web.listen-address=127.0.0.1:{port}"]
        command += [f"--cluster.listen-address=127.0.0.1:{gossip}", f"--cluster.peer=127.0.0.1:{other}"]
        command += ["--cluster.settle-timeout=1s", "--cluster.pushpull-interval=2s", "--log.level=error"]
        with (self._workspace / f"{number}.log").open("w") as log:
            process = subprocess.Popen(command, stderr=log, stdout=log)
        self._processes.append(process)
        try:
            wait_for_port(port)
        except OSError as error:
            self._end()
            told = (self._workspace / f"{number}.log").read_text()
            raise ChildProcessError(f"it did not start: {told}") from error

    def stop(self, number: int) -> None:
        """End one of them."""
        self._processes[number].terminate()
        self._processes[number].wait()

    def alerts(self, number: int) -> list[dict[str, Any]]:
        """Give the alerts that last, as one of them has them."""
        with urllib.request.urlopen(f"{self.urls[number]}/api/v2/alerts?active=true", timeout=10) as answer:  # noqa: S310 (our own)
            return list(json.load(answer))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()


def program() -> Path:
    """Give the program, fetched from Debian where it is not there yet."""
    found = PLACE / "usr/bin" / PACKAGE
    if not found.exists():
        sys.stderr.write(f"fetching {PACKAGE} from Debian into {PLACE}\n")
        PLACE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "-qq", "download", PACKAGE], cwd=PLACE, check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["dpkg", "-x", max(PLACE.glob("*.deb")), PLACE], check=True)
    return found
