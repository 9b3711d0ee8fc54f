"""docs/recovery.md: a host that holds what no other has is destroyed and brought back, and what is lost is counted.

The lab has another host in its place afterwards.
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

BACK_UP, DATABASE, *_ = re.findall(r"```sh\n(.*?)```", PAGES["docs/recovery.md"], re.DOTALL)
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


@pytest.mark.long
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
