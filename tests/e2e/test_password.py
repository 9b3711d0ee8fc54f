"""The example whose Kafka asks for user and password: filled in, and installed beside a broker that takes SCRAM."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.lab import ROOT, Lab
from tests.integration.password_broker import PASSWORDS, SCRAM_PORT, PasswordBroker
from tests.integration.services import Services, find
from tests.waiting import wait_until

HOST, TOPIC, TABLE = "outside2", "by-password", "by_password"


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    """The lab's database, and a broker of our own beside its Kafka."""
    broker = PasswordBroker(find())
    try:
        broker.start()
        yield broker.services
    finally:
        broker.stop()


@pytest.fixture(scope="module")
def outside(lab: Lab) -> Iterator[str]:
    """One more host, beside those of the lab's inventory."""
    lab.do("up", f"{HOST}=40:trixie")
    yield HOST
    lab.do("down", HOST)


@pytest.fixture(scope="module")
def values(lab: Lab, services: Services, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The example's variables, filled in as docs/production.md says."""
    files = tmp_path_factory.mktemp("files")
    for user, password in PASSWORDS.items():
        (files / f"kafka-{user}").write_text(password)
    (files / "postgres-owner").write_text(services.owner_password)
    (files / "targets.txt").write_text("http://web1/\n")
    found: dict[str, Any] = {}
    for name in ("main", "secrets"):
        found |= yaml.safe_load((ROOT / f"inventory/example-sasl/group_vars/all/{name}.yml").read_text())
    for user, entry in found["webmon_kafka_users"].items():
        entry["name"] = user
    return found | {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(lab.directory / "ssh/id_ed25519"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={lab.directory}/ssh/known_hosts",
        "secrets_dir": str(files),
        "webmon_kafka_ca": str(services.ca),
        "webmon_kafka_host": services.kafka_host,
        "webmon_kafka_port": SCRAM_PORT,
        "webmon_kafka_topic": TOPIC,
        "webmon_postgres_host": services.postgres_host,
        "webmon_postgres_port": services.postgres_port,
        "webmon_postgres_database": services.database,
        "webmon_postgres_owner_user": services.owner,
        "webmon_postgres_sink_user": "password_sink",
        "webmon_postgres_reader_user": "password_reader",
        "webmon_postgres_table": TABLE,
        "webmon_postgres_ca": str(services.ca),
        "agent_targets_file": str(files / "targets.txt"),
        "agent_environment": {"MONITORING_RETRY_SECS": 5},
    }


def written(directory: Path, address: str, values: dict[str, Any]) -> str:
    """Write the example's hosts, all of ours on one, and variables; give the inventory's path."""
    hosts = yaml.safe_load((ROOT / "inventory/example-sasl/hosts.yml").read_text())
    for group in filter(lambda group: group["hosts"], hosts["all"]["children"].values()):
        group["hosts"] = {HOST: {"ansible_host": address}}
    (directory / "hosts.yml").write_text(yaml.safe_dump(hosts))
    (directory / "group_vars").mkdir()
    (directory / "group_vars/all.yml").write_text(yaml.safe_dump(values))
    return str(directory)


@pytest.fixture(scope="module")
def inventory(
    services: Services, outside: str, values: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The example's inventory."""
    address = services.kafka_host.rpartition(".")[0] + ".40"
    return written(tmp_path_factory.mktemp("password"), address, values)


def test_site_installs_ours_with_a_user_each_and_no_certificate(lab: Lab, inventory: str) -> None:
    recap = lab.play("playbooks/site.yml", inventory=inventory)
    assert recap[HOST][1:] == (0, 0)
    assert lab.on(HOST, "find /etc/webmon -name '*.pem' -printf '%P\\n' | grep -v postgres | sort").split() == [
        "agent/kafka-ca.pem",
        "init/kafka-ca.pem",
        "sink/kafka-ca.pem",
    ]
    assert "User:agent: WRITE topic" in lab.on(HOST, "runuser -u webmon-init -- webmon init")
    wait_until(
        lambda: lab.sql(f"SELECT count(*) > 0 FROM {TABLE}_view WHERE outcome = 'up'") == [["t"]],  # noqa: S608
        "results stored by way of a user each",
        60,
    )


def test_site_again_changes_nothing(lab: Lab, inventory: str) -> None:
    recap = lab.play("playbooks/site.yml", inventory=inventory)
    assert recap[HOST] == (0, 0, 0)


def test_a_user_without_a_password_is_told_before_any_host_is_touched(
    lab: Lab, values: dict[str, Any], tmp_path: Path
) -> None:
    users = {**values["webmon_kafka_users"], "agent": {"name": "agent", "password": ""}}
    # No host is there.
    mine = written(tmp_path, "192.0.2.1", values | {"webmon_kafka_users": users})
    done = lab.try_play("playbooks/site.yml", inventory=mine)
    assert done.returncode != 0
    assert "webmon_kafka_users has no password of agent; right would be" in " ".join(done.stdout.split())
    assert "Nothing was changed." in done.stdout
