"""docs/recovery.md: hosts that hold what no other has are destroyed and brought back, and what is lost is counted.

The last of these tests: each leaves the lab as it found it, with another host in the place of one.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from kafka import KafkaConsumer, TopicPartition

from tests.e2e.lab import ROOT, Lab
from tests.e2e.test_readme import copied
from tests.integration.services import Services, find
from tests.lab.demo import recap
from tests.readme import PAGES
from tests.waiting import wait_until
from webmon.kafka.decode import read

BACK_UP, DATABASE, CONTROLLER, BROKER = re.findall(r"```sh\n(.*?)```", PAGES["docs/recovery.md"], re.DOTALL)
"""What the page says to type."""
REPOSITORY: Final = "/var/backups/webmon"
ASKED_FOR: Final = f"""
timescaledb_backup_path: {REPOSITORY}
timescaledb_backup_passphrase: "{{{{ lookup('secret', lab_secrets ~ '/backup') }}}}"
"""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Key = tuple[str, str, int]
"""Agent, target and time (µs of the epoch) of a result."""


class Controller:
    """A checkout as an operator has it, whose inventory/mine is the lab's; it types what the page says."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        """Copy what the repository has."""
        self.lab = lab
        self.safe = directory / "safe"
        self.safe.mkdir()
        (self.safe / "webmon-passphrase").write_text("only for this test's archive\n")
        (self.safe / "webmon-passphrase").chmod(0o600)
        self.checkout = self.fresh(directory / "webmon")
        shutil.copytree(self.checkout / "inventory/lab", self.mine)

    def fresh(self, place: Path) -> Path:
        """Make a checkout."""
        copied(place)
        for name in (".venv", "build"):
            (place / name).symlink_to(ROOT / name)
        return place

    @property
    def mine(self) -> Path:
        """The inventory."""
        return self.checkout / "inventory/mine"

    @property
    def variables(self) -> Path:
        """Those of all hosts."""
        return self.mine / "group_vars/all.yml"

    def type(self, commands: str) -> str:
        """Run lines of the page; give what they printed."""
        typed = commands.replace("/mnt/backup", str(self.safe)).replace("~/", f"{self.safe}/")
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", typed],
            cwd=self.checkout,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
            env={**os.environ, "LAB_NAME": self.lab.name, "ANSIBLE_HOST_PATTERN_MISMATCH": "error"},
        )
        assert done.returncode == 0, f"{done.stdout[-5000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def destroy(self, host: str, last_number: int, base: str) -> None:
        """Cut a host's power, remove it with its disk, and boot a new one in its place."""
        self.lab.do("cut", host)
        self.lab.do("down", host)
        self.lab.do("up", f"{host}={last_number}:{base}")


@pytest.fixture
def controller(lab: Lab, tmp_path: Path) -> Controller:
    return Controller(lab, tmp_path)


@pytest.fixture(scope="module")
def services() -> Services:
    return find()


@pytest.fixture
def backed_up(controller: Controller) -> Iterator[Controller]:
    """Backups are made of the lab's database; no more afterwards."""
    before = controller.variables.read_text()
    controller.variables.write_text(before + ASKED_FOR)
    controller.type(".venv/bin/ansible-playbook -i inventory/mine playbooks/site.yml --limit db1")
    yield controller
    controller.lab.play("playbooks/site.yml")
    assert controller.lab.on("db1", "ls /etc/systemd/system | grep webmon-backup || true") == ""
    assert controller.lab.on("db1", "runuser -u postgres -- psql -XAtc 'SHOW archive_mode'") == "off\n"


def sent(services: Services, directory: Path) -> set[Key]:
    """Read the topic from its beginning to its end of now."""
    directory.mkdir(exist_ok=True)
    arguments = services.client_arguments(*services.issue(directory, "init"))
    consumer = KafkaConsumer(group_id=None, **arguments)
    records = []
    try:
        partitions = [
            TopicPartition("webmon-results", number) for number in consumer.partitions_for_topic("webmon-results")
        ]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        # More comes all the while.
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(one) < end for one, end in ends.items()):
            for some in consumer.poll(timeout_ms=1_000).values():
                records += some
    finally:
        consumer.close()
    readable, _ = read(records, now=datetime.now(UTC))
    return {
        (at.result.agent, at.result.target, (at.result.time - EPOCH) // timedelta(microseconds=1)) for at in readable
    }


def stored(lab: Lab) -> set[Key]:
    """Give what the database has, each once."""
    rows = lab.sql("SELECT agent, target, (extract(epoch FROM time) * 1000000)::bigint FROM web_health_metrics_view")
    found = {(agent, target, int(moment)) for agent, target, moment in rows}
    assert len(found) == len(rows), "a result is stored twice"
    return found


def test_a_database_whose_disk_is_gone_comes_back_with_all_that_kafka_has(
    backed_up: Controller, services: Services, tmp_path: Path
) -> None:
    lab = backed_up.lab
    out = backed_up.type(BACK_UP)
    assert re.search(rf"the newest of \d in {REPOSITORY} is \d+ s old", out), out
    assert re.search(rf"WAL.*gets to {REPOSITORY}|it gets to {REPOSITORY}", out), out
    rows = lab.sql("SELECT count(*) FROM web_health_metrics_view")
    # What is stored from here on is in no backup, and in WAL that is not kept yet.
    wait_until(lambda: lab.sql("SELECT count(*) FROM web_health_metrics_view") > rows, "more results")
    before = stored(lab)

    root = lab.directory / "hosts.d/db1/root"
    lab.do("cut", "db1")
    shutil.rmtree(tmp_path / "disk", ignore_errors=True)
    subprocess.run(["cp", "-a", f"{root}{REPOSITORY}", tmp_path / "disk"], check=True)
    gone = time.time()
    backed_up.destroy("db1", 12, "trixie-pg")
    # The disk for backups is another one, and still there.
    subprocess.run(["cp", "-a", tmp_path / "disk", f"{root}{REPOSITORY}"], check=True)

    restored, rest = (backed_up.type(command) for command in DATABASE.splitlines())
    assert all(counts[1:] == (0, 0) for out in (restored, rest) for counts in recap(out).values())
    reached = re.search(r"the database has what was stored until (\S+ \S+) UTC", restored)
    again = re.search(r"(\d+) messages of webmon-results are read again", restored)
    assert reached, restored
    assert again, restored
    until = datetime.fromisoformat(reached[1]).replace(tzinfo=UTC).timestamp()
    of_topic = sent(services, tmp_path / "certificates")
    assert len([key for key in of_topic if until * 1e6 < key[2] < gone * 1e6]) > 0, "nothing was missing in the backup"
    wait_until(lambda: of_topic <= stored(lab), "all that Kafka has is stored", 120)
    assert before <= stored(lab), "what was stored before is stored"

    out = backed_up.type(".venv/bin/ansible-playbook -i inventory/mine playbooks/verify.yml")
    assert "FAILED" not in out


def test_a_database_that_is_there_is_not_put_back_by_mistake(backed_up: Controller) -> None:
    backed_up.type(BACK_UP)
    typed = ".venv/bin/ansible-playbook -i inventory/mine playbooks/restore.yml || true"
    assert "this host has a database webmon already" in " ".join(backed_up.type(typed).split())
    assert backed_up.lab.on("sink1", "systemctl is-active webmon-sink") == "active\n", "nothing was stopped for it"


def test_a_controller_that_is_gone_comes_back_from_its_archive_and_changes_nothing(
    controller: Controller, tmp_path: Path
) -> None:
    of_lab = controller.lab.directory
    files = controller.checkout / "files"
    shutil.copytree(of_lab / "pki", files / "authority")
    shutil.copytree(of_lab / "secrets", files / "secrets")
    here = "{{ playbook_dir }}/../files"
    text = controller.variables.read_text()
    for was, now in (("lab_dir }}/pki", "authority"), ("lab_dir }}/secrets", "secrets")):
        assert f'"{{{{ {was}"' in text
        text = text.replace(f'"{{{{ {was}"', f'"{here}/{now}"')
    controller.variables.write_text(text)
    archive = "playbooks/backup.yml --limit all,localhost,!timescaledb"
    controller.type(BACK_UP.replace("playbooks/backup.yml", archive))

    shutil.rmtree(controller.checkout)
    controller.checkout = controller.fresh(tmp_path / "elsewhere")
    assert not controller.mine.exists()
    out = controller.type(CONTROLLER)
    assert set(recap(out).values()) == {(0, 0, 0)}, out
    assert (controller.checkout / "files/authority/ca.key").stat().st_mode & 0o777 == 0o600
    secrets = [path.read_text().split()[0] for path in (of_lab / "secrets").glob("postgres-*")]
    text = (controller.safe / "webmon.vault").read_text()
    assert secrets
    assert text.startswith("$ANSIBLE_VAULT;")
    assert not any(secret in text for secret in secrets)


def test_the_only_broker_that_is_gone_costs_what_the_sinks_had_not_read(
    controller: Controller, services: Services, tmp_path: Path
) -> None:
    lab = controller.lab
    of_topic = sent(services, tmp_path / "certificates")
    gone = time.time()
    controller.destroy("kafka1", 11, "trixie-jre")
    out = controller.type(BROKER)
    assert all(counts[1:] == (0, 0) for counts in recap(out).values())
    again = time.time()

    # The agents kept what they measured meanwhile.
    wait_until(
        lambda: any(gone * 1e6 < moment < again * 1e6 for *_, moment in stored(lab)), "results of the outage", 120
    )
    wait_until(lambda: sent(services, tmp_path / "certificates") <= stored(lab), "all of the new topic stored", 120)
    lost = of_topic - stored(lab)
    assert not [key for key in lost if key[2] < (gone - 20) * 1e6], "only the last moment can be lost"
