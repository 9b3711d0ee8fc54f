"""prometheus-blackbox-exporter, Debian's package, to compare with."""

import http.client
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlencode

from tests import debian
from tests.sockets import free_port, wait_for_port

PACKAGE: Final = "prometheus-blackbox-exporter"
_IN_A_WORLD_OF_ITS_OWN: Final = (
    "unshare",
    "--map-root-user",
    "--mount",
    "sh",
    "-c",
    'mount --bind "$0/hosts" /etc/hosts && mount --bind "$0/resolv.conf" /etc/resolv.conf && exec "$@"',
)
"""It resolves as the system does, and has no option for names of a test's own."""


class Blackbox:
    """A blackbox_exporter of its own on loopback, and a client that scrapes as Prometheus does."""

    def __init__(self, workspace: Path, modules: Mapping[str, Any], hosts: str | None = None) -> None:
        """Take where its files may be.

        Args:
            workspace: a directory.
            modules: its modules by name, as its configuration has them.
            hosts: all names that it knows, as /etc/hosts has them, and it asks no resolver; None: those of the system.
        """
        self._log = workspace / "blackbox.log"
        config = workspace / "blackbox.yml"
        config.write_text(json.dumps({"modules": modules}))
        self._port = free_port()
        self._command = [
            str(debian.unpacked(PACKAGE) / "usr/bin" / PACKAGE),
            f"--config.file={config}",
            "--log.level=error",
        ]
        self._command.append(f"--web.listen-address=127.0.0.1:{self._port}")
        if hosts is not None:
            (workspace / "hosts").write_text(hosts)
            (workspace / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
            self._command = [*_IN_A_WORLD_OF_ITS_OWN, str(workspace), *self._command]

    def __enter__(self) -> Self:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(self._command, stderr=log)
        self.pid = self._process.pid
        try:
            wait_for_port(self._port)
        except OSError as error:
            self._process.kill()
            self._process.wait()
            raise ChildProcessError(f"it did not start: {self._log.read_text()}") from error
        self._client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait()

    def probe(self, target: str, module: str) -> str:
        """Probe a target; give what Prometheus would get."""
        self._client.request("GET", "/probe?" + urlencode({"target": target, "module": module, "debug": "false"}))
        response = self._client.getresponse()
        text = response.read().decode()
        assert response.status == 200, text
        return text


def module_of_page(pattern: str, authority: Path) -> Mapping[str, Any]:
    """Give the module of a page that has a pattern, from a server whose authority a PEM file has."""
    http = {
        "preferred_ip_protocol": "ip4",
        "fail_if_body_not_matches_regexp": [pattern],
        "tls_config": {"ca_file": str(authority)},
    }
    return {"prober": "http", "http": http}


def version() -> str:
    """Give the version as Debian counts it."""
    return debian.version(PACKAGE)
