"""Telegraf, to compare with: its probe of HTTP and its way to Kafka alone, built by Go from its source."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

PLACE: Final = Path("build/telegraf")
_PARTS: Final = "custom,inputs.http_response,outputs.kafka,serializers.influx"
"""All others are left out: what is measured is this, and it builds in minutes."""


class Telegraf:
    """A telegraf that asks a list of URLs each second, and writes what it finds to a topic."""

    def __init__(
        self, workspace: Path, urls: Sequence[str], *, pattern: str, authority: Path, kafka: Mapping[str, str]
    ):
        """Take what a `webmon agent` is given; Kafka as the variables of a .env have it."""
        workspace.mkdir()
        self._config = workspace / "telegraf.conf"
        self.log = workspace / "log"
        table: dict[str, dict[str, object]] = {
            "agent": {"interval": "1s", "flush_interval": "1s", "metric_batch_size": 1000, "quiet": True},
            "inputs.http_response": {
                "urls": list(urls),
                "method": "GET",
                "response_timeout": "1s",
                "response_string_match": pattern,
                "tls_ca": str(authority),
            },
            "outputs.kafka": {
                "brokers": [f"{kafka['KAFKA_HOST']}:{kafka['KAFKA_PORT']}"],
                "topic": kafka["KAFKA_TOPIC_NAME"],
                "required_acks": -1,
                "compression_codec": 4,
                "tls_ca": kafka["KAFKA_CA_CERTIFICATE"],
                "tls_cert": kafka["KAFKA_ACCESS_CERTIFICATE"],
                "tls_key": kafka["KAFKA_ACCESS_KEY"],
            },
        }
        self._config.write_text("\n".join(_section(name, values) for name, values in table.items()))

    def __enter__(self) -> Self:
        with self.log.open("w") as log:
            self._process = subprocess.Popen([program(), "--config", self._config], stdout=log, stderr=log)
        self.pid = self._process.pid
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGCONT)
        self._process.kill()
        self._process.wait()


def _section(name: str, values: Mapping[str, object]) -> str:
    # Its TOML takes what JSON has for texts, numbers and lists.
    head = "[agent]" if name == "agent" else f"[[{name}]]"
    return "\n".join((head, *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""))


def program() -> Path:
    """Give the program, built where it is not there yet."""
    found = PLACE.absolute() / "telegraf"
    if not found.exists():
        go = shutil.which("go")
        if go is None:
            sys.exit("this bench builds Telegraf, and finds no go on PATH; right would be Go 1.21 or later")
        sys.stderr.write("building telegraf; ten minutes\n")
        package = "github.com/influxdata/telegraf/cmd/telegraf@latest"
        env = {**os.environ, "GOBIN": str(found.parent)}
        subprocess.run([go, "install", "-tags", _PARTS, package], env=env, check=True)
    return found


def version() -> str:
    """Give its version, as its binary was built."""
    said = subprocess.run(
        [shutil.which("go") or "go", "version", "-m", program()], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"^\s*mod\s+github.com/influxdata/telegraf\s+v(\S+)", said, re.MULTILINE)
    assert found is not None, said
    return found[1]
