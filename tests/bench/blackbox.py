"""prometheus-blackbox-exporter, Debian's package, to compare with: unpacked under build/, never installed."""

import http.client
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlencode

from tests.bench.sockets import free_port, wait_for_port

PACKAGE: Final = "prometheus-blackbox-exporter"
PLACE: Final = Path("build/bench")


class Blackbox:
    """A blackbox_exporter of its own, with one module named `page`, and a client that scrapes as Prometheus does."""

    def __init__(self, workspace: Path, authority: Path, pattern: str) -> None:
        """Take where its configuration may be, the authority that it trusts, and what a body must match."""
        http_prober = {
            "preferred_ip_protocol": "ip4",
            "fail_if_body_not_matches_regexp": [pattern],
            "tls_config": {"ca_file": str(authority)},
        }
        self._config = workspace / "blackbox.yml"
        self._config.write_text(json.dumps({"modules": {"page": {"prober": "http", "http": http_prober}}}))
        self._port = free_port()

    def __enter__(self) -> Self:
        address = f"--web.listen-address=127.0.0.1:{self._port}"
        self._process = subprocess.Popen(
            [program(), f"--config.file={self._config}", address, "--log.level=error"], stderr=subprocess.DEVNULL
        )
        self.pid = self._process.pid
        wait_for_port(self._port)
        self._client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait()

    def probe(self, url: str) -> None:
        """Probe a URL, which must be up."""
        self._client.request("GET", "/probe?" + urlencode({"target": url, "module": "page"}))
        text = self._client.getresponse().read()
        assert b"\nprobe_success 1\n" in text, text.decode()


def program() -> Path:
    """Give the program, fetched from Debian where it is not there yet."""
    found = PLACE / "usr/bin" / PACKAGE
    if not found.exists():
        sys.stderr.write(f"fetching {PACKAGE} from Debian into {PLACE}\n")
        PLACE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "-qq", "download", PACKAGE], cwd=PLACE, check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["dpkg", "-x", max(PLACE.glob("*.deb")), PLACE], check=True)
    return found


def version() -> str:
    """Give the version as Debian counts it."""
    return max(PLACE.glob("*.deb")).name.split("_")[1]
