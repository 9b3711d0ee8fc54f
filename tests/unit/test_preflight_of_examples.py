"""The preflight of the example inventories as Ansible runs it, with this machine as each of their hosts."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
OF_THIS_MACHINE: Final = (
    r"does not run systemd|has [^;]* no package of TimescaleDB|has [^;]*; supported are Debian|"
    r"can't resolve \S+\.example\.org|is not root after sudo|has \d+ MB free"
)
"""What it may be that hosts must not."""
HERE: Final[dict[str, Any]] = {
    # The examples have the groups, but no host in them.
    "all": {
        "vars": {"ansible_connection": "local", "ansible_become": False},
        "children": {"alarms": {"hosts": {"sink1.example.org": None}}, "pages": {"hosts": {"sink1.example.org": None}}},
    }
}
LACKS: Final = {
    "example": [],
    "example-managed": [
        "SECRETS/postgres-owner can't be read",
        "SUPPLIED/ca.pem is missing",
        "SUPPLIED/service.cert is missing",
        "SUPPLIED/service.key is missing",
        "INVENTORY/files/postgres/ca.pem: No such file or directory",
    ],
    "example-sasl": [
        "SECRETS/kafka-init can't be read",
        "SECRETS/kafka-sink can't be read",
        "webmon_kafka_users has no name and no password of alarm",
        "INVENTORY/files/postgres/ca.pem: No such file or directory",
        "webmon_kafka_users has no name and no password of page",
        "SECRETS/kafka-agent can't be read",
    ],
}
"""What an operator supplies, and these do not have, by the name of the example."""


@pytest.mark.parametrize("name", ["example", "example-managed", "example-sasl"])
def test_only_what_an_operator_has_yet_to_supply_is_missing(name: str, tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(HERE), encoding="utf-8")
    secrets, supplied = tmp_path / "secrets", tmp_path / "supplied"
    given = {
        "secrets_dir": secrets,
        "certificates_provided_dir": supplied,
        "certificates_authority_dir": tmp_path / "authority",
        "agent_targets_file": ROOT / "files/targets.example.yml",
    }
    command: list[str] = [str(Path(sys.executable).with_name("ansible-playbook"))]
    command += ["-i", f"inventory/{name}", "-i", str(tmp_path / "hosts.yml"), "playbooks/preflight.yml"]
    command += [part for key, value in given.items() for part in ("-e", f"{key}={value}")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "Nothing was changed." in done.stdout, done.stdout[-3000:] + done.stderr[-3000:]
    told = yaml.safe_load(done.stdout.partition("\n    msg:\n")[2].partition("\n\n")[0])
    places = {"SECRETS": secrets, "SUPPLIED": supplied, "INVENTORY": ROOT / "inventory" / name}
    lines = [line for line in told[:-1] if not re.match(rf"[^:]+: (its clock|{OF_THIS_MACHINE})", line)]
    assert [next((lack for lack in LACKS[name] if _filled(lack, places) in line), line) for line in lines] == LACKS[
        name
    ]
    assert not secrets.exists(), "what is only looked at is not made"


def _filled(text: str, places: dict[str, Path]) -> str:
    for key, path in places.items():
        text = text.replace(key, str(path))
    return text
