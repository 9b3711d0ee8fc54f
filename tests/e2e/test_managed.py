"""An inventory with services from outside: they give what a managed service gives, and no right to set ACLs."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

from tests.e2e.lab import ROOT, Lab
from tests.integration.services import Services, find
from tests.waiting import wait_until

HOST, TOPIC, TABLE = "outside1", "managed-results", "managed_metrics"
PRINCIPAL = "User:CN=integration,OU=managed,O=webmon"


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    """The lab's Kafka and database; the certificate of the service's one user may use topics and groups as it likes."""
    services = find()
    certificate, key = services.issue(tmp_path_factory.mktemp("admin"), "init")
    admin = KafkaAdminClient(**services.client_arguments(certificate, key))
    resources = [
        ResourcePattern(ResourceType.TOPIC, TOPIC, ACLResourcePatternType.PREFIXED),
        ResourcePattern(ResourceType.GROUP, TOPIC, ACLResourcePatternType.PREFIXED),
    ]
    granted = admin.create_acls(
        [ACL(PRINCIPAL, "*", ACLOperation.ALL, ACLPermissionType.ALLOW, resource) for resource in resources]
    )
    assert not granted["failed"]
    admin.close()
    return services


@pytest.fixture(scope="module")
def outside(lab: Lab) -> Iterator[str]:
    """One more host, beside those of the lab's inventory."""
    lab.do("up", f"{HOST}=41:trixie")
    yield HOST
    lab.do("down", HOST)


@pytest.fixture(scope="module")
def inventory(lab: Lab, services: Services, outside: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example for managed services, filled in as docs/production.md says, with everything of ours on one host."""
    mine = tmp_path_factory.mktemp("managed")
    example = ROOT / "inventory/example-managed"
    hosts = yaml.safe_load((example / "hosts.yml").read_text())
    for group in filter(lambda group: group["hosts"], hosts["all"]["children"].values()):
        group["hosts"] = {outside: {"ansible_host": services.kafka_host.rpartition(".")[0] + ".41"}}
    (mine / "hosts.yml").write_text(yaml.safe_dump(hosts))

    files = tmp_path_factory.mktemp("files")
    provided = files / "kafka"
    provided.mkdir(parents=True)
    certificate, key = services.issue(files, "managed", days=90)
    (provided / "ca.pem").write_bytes(services.ca.read_bytes())
    (provided / "service.cert").write_bytes(certificate.read_bytes())
    (provided / "service.key").write_bytes(key.read_bytes())
    (files / "postgres-owner").write_text(services.owner_password)
    (files / "targets.txt").write_text("http://web1/\n")

    values: dict[str, object] = {}
    for name in ("main", "secrets"):
        values |= yaml.safe_load((example / f"group_vars/all/{name}.yml").read_text())
    values |= {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(lab.directory / "ssh/id_ed25519"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={lab.directory}/ssh/known_hosts",
        "secrets_dir": str(files),
        "certificates_provided_dir": str(provided),
        "webmon_kafka_host": services.kafka_host,
        "webmon_kafka_port": services.kafka_port,
        "webmon_kafka_topic": TOPIC,
        "webmon_postgres_host": services.postgres_host,
        "webmon_postgres_port": services.postgres_port,
        "webmon_postgres_database": services.database,
        "webmon_postgres_owner_user": services.owner,
        "webmon_postgres_sink_user": "managed_sink",
        "webmon_postgres_reader_user": "managed_reader",
        "webmon_postgres_table": TABLE,
        "webmon_postgres_ca": str(services.ca),
        "agent_targets_file": str(files / "targets.txt"),
        "agent_environment": {"MONITORING_RETRY_SECS": 5},
        "sink_environment": {"KAFKA_GROUP_ID": f"{TOPIC}-sink"},
    }
    (mine / "group_vars").mkdir()
    (mine / "group_vars/all.yml").write_text(yaml.safe_dump(values))
    return mine


def test_site_installs_ours_and_leaves_kafka_and_the_database_alone(lab: Lab, inventory: Path) -> None:
    recap = lab.play("playbooks/site.yml", inventory=str(inventory))
    assert recap.keys() == {HOST}
    assert recap[HOST][1:] == (0, 0)
    assert lab.try_on(HOST, "id kafka").returncode != 0
    wait_until(
        lambda: lab.sql(f"SELECT count(*) > 0 FROM {TABLE}_view WHERE outcome = 'up'") == [["t"]],  # noqa: S608
        "results stored by way of the outside services",
        60,
    )
    assert "http://web1/" in lab.on(HOST, "webmon status")


def test_init_says_what_it_could_not_set_and_why_that_is_fine(lab: Lab, inventory: Path) -> None:
    out = lab.on(HOST, "runuser -u webmon-init -- webmon init")
    assert "unchanged  topic managed-results" in out
    told = [line for line in out.splitlines() if line.startswith("not set") and "ACLs" in line]
    assert told
    assert all("does not let us change ACLs" in line for line in told)


def test_what_the_service_gave_is_no_administrator(services: Services, inventory: Path) -> None:
    values = yaml.safe_load((inventory / "group_vars/all.yml").read_text())
    assert "certificates_authority_passphrase" not in values
    provided = Path(values["certificates_provided_dir"])
    assert {path.name for path in provided.iterdir()} == {"ca.pem", "service.cert", "service.key"}
    own = services.client_arguments(provided / "service.cert", provided / "service.key", provided / "ca.pem")
    admin = KafkaAdminClient(**own)
    acl = ACL(PRINCIPAL, "*", ACLOperation.READ, ACLPermissionType.ALLOW, ResourcePattern(ResourceType.TOPIC, TOPIC))
    with contextlib.closing(admin), contextlib.suppress(kafka_errors.ClusterAuthorizationFailedError):
        assert admin.create_acls([acl])["failed"]


def test_verify_on_its_own_finds_all_well(lab: Lab, inventory: Path) -> None:
    done = lab.try_play("playbooks/verify.yml", inventory=str(inventory))
    assert done.returncode == 0, done.stdout
    assert re.search(rf"\b{HOST}: \d+ of \d+ well", done.stdout), done.stdout
    assert "FAILED" not in done.stdout


def test_site_again_changes_nothing(lab: Lab, inventory: Path) -> None:
    recap = lab.play("playbooks/site.yml", inventory=str(inventory))
    assert recap[HOST] == (0, 0, 0)
