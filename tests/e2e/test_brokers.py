"""playbooks/brokers.yml: brokers join and leave while results flow; nothing is lost, no partition without a leader.

The lab has its one broker again in the end.
"""

import contextlib
import gc
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from kafka import KafkaAdminClient, KafkaProducer
from kafka import errors as kafka_errors

from tests.e2e.lab import ROOT, Lab
from tests.e2e.test_what_is_lost import Key, count_of_rows, sent, stored
from tests.integration.services import Services, find
from tests.lab.demo import recap
from tests.meanwhile import meanwhile
from tests.unit.filters import load
from tests.waiting import wait_until

PLAYBOOK: Final = "playbooks/brokers.yml"
NUMBERS: Final = {"kafka1": 1, "kafka2": 2, "kafka3": 3, "kafka4": 4}
ADDRESSES: Final = {"kafka2": 45, "kafka3": 46, "kafka4": 47}
"""Last numbers of those that the lab's inventory does not have."""
TOOLS: Final = "org.apache.kafka.tools"
assignment = load("assignment")


class Fleet:
    """The lab with more brokers than its inventory has."""

    def __init__(self, lab: Lab, services: Services, directory: Path) -> None:
        """Take the lab as it is."""
        self.lab = lab
        self._directory = directory
        self._client = services.client_arguments(*services.issue(directory, "init"))
        net = services.kafka_host.rpartition(".")[0]
        self._addresses = [services.kafka_host, *(f"{net}.{last}" for last in ADDRESSES.values())]

    def with_brokers(self, *names: str) -> str:
        """Give an inventory that has these beside the lab's kafka1."""
        more = {name: {"ansible_host": f"{{{{ lab_net }}}}.{ADDRESSES[name]}"} for name in names}
        numbers = {name: {"kafka_node_id": number} for name, number in NUMBERS.items() if name in ("kafka1", *names)}
        file = self._directory / f"{'-'.join(names)}.yml"
        file.write_text(yaml.safe_dump({"all": {"children": {"lab": {"hosts": more}, "kafka": {"hosts": numbers}}}}))
        return str(file)

    def play(self, inventory: str, *arguments: str, playbook: str = PLAYBOOK) -> str:
        """Run a playbook that must go well; give what it said."""
        return self.lab.output(playbook, "--inventory", inventory, *arguments)

    def refused(self, inventory: str, *arguments: str, playbook: str = PLAYBOOK) -> str:
        """Run a playbook that must not go well, and change nothing; give what it said, in one line."""
        done = self.lab.try_play(playbook, "--inventory", inventory, *arguments)
        assert done.returncode != 0, done.stdout
        assert {counts[0] for counts in recap(done.stdout).values()} == {0}, done.stdout
        return " ".join(done.stdout.split())

    def admin(self) -> KafkaAdminClient:
        """Connect to whichever of them is there."""
        return KafkaAdminClient(**self._client | {"bootstrap_servers": [f"{at}:9093" for at in self._addresses]})

    def tool(self, name: str, *arguments: str) -> str:
        """Run a tool of Kafka's on kafka1, by the name of its class; give what it printed."""
        settings = "(cat /etc/kafka/server.properties; echo security.protocol=SSL)"
        way = f"--bootstrap-server {self._addresses[0]}:9093 --command-config /dev/stdin"
        java = "java -XX:TieredStopAtLevel=1 -cp '/opt/kafka/current/libs/*'"
        return self.lab.on("kafka1", f"{settings} | {java} {name} {' '.join(arguments)} {way}")

    @contextlib.contextmanager
    def heavy_topic(self) -> Iterator[None]:
        """Have a topic that is not moved within a moment."""
        with contextlib.closing(self.admin()) as admin:
            one = {"heavy": {"num_partitions": 1, "replication_factor": 3}}
            admin.create_topics(one, wait_for_metadata=True)
            with contextlib.closing(KafkaProducer(**self._client)) as producer:
                for sending in [producer.send("heavy", os.urandom(900_000)) for _ in range(60)]:
                    sending.get(30)
            yield
        with contextlib.closing(self.admin()) as admin:
            admin.delete_topics(["heavy"])

    def partitions(self) -> list[dict[str, Any]]:
        """Give who has what."""
        found: list[dict[str, Any]] = assignment.partitions(self.tool(f"{TOOLS}.TopicCommand", "--describe"))
        return found

    def voters(self) -> set[int]:
        """Give who votes in the quorum."""
        # Its arguments stand before the command.
        told = self.lab.on(
            "kafka1",
            "(cat /etc/kafka/server.properties; echo security.protocol=SSL) | java -cp '/opt/kafka/current/libs/*' "
            f"{TOOLS}.MetadataQuorumCommand --bootstrap-server {self._addresses[0]}:9093 --command-config /dev/stdin "
            "describe --replication",
        )
        return {voter["id"] for voter in assignment.voters(told) if voter["votes"]}

    def registered(self) -> set[int]:
        """Give whom the cluster knows, also as one that is away."""
        told = self.tool(f"{TOOLS}.ClusterTool", "list-endpoints", "--include-fenced-brokers")
        return {int(line.split()[0]) for line in told.splitlines() if line[:1].isdigit()}


class Watch:
    """What was seen of all partitions, by whichever broker answered."""

    def __init__(self, fleet: Fleet) -> None:
        """Nothing yet."""
        self.offline: set[str] = set()
        self.fewest: dict[str, int] = {}
        """Of each partition the fewest copies that were in sync."""
        self.samples = 0
        self._fleet = fleet
        self._admin: KafkaAdminClient | None = None

    def look(self) -> None:
        """Look at them now, if any broker answers: one that is asked may be in a restart."""
        try:
            self._admin = self._admin or self._fleet.admin()
            topics = self._admin.describe_topics()
        except (kafka_errors.KafkaError, OSError):
            self.close()
            return
        self.samples += 1
        for topic in topics:
            for one in topic["partitions"]:
                name = f"{topic['name']}-{one['partition_index']}"
                if one["leader_id"] < 0:
                    self.offline.add(name)
                self.fewest[name] = min(len(one["isr_nodes"]), self.fewest.get(name, 9))

    def close(self) -> None:
        """Ask nobody any more."""
        if self._admin:
            self._admin.close()
        self._admin = None


@contextlib.contextmanager
def watched(fleet: Fleet, copies: int) -> Iterator[None]:
    """Look again and again: no partition may ever be without a leader, or have fewer copies in sync than these."""
    watch = Watch(fleet)
    try:
        with meanwhile(watch.look, every=0.2):
            yield
    finally:
        watch.close()
        gc.collect()  # to which kafka-python leaves the sockets of refused connections
    assert watch.samples > 50
    assert watch.offline == set()
    assert {name: count for name, count in watch.fewest.items() if count < copies} == {}


@pytest.fixture(scope="module")
def fleet(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    lab.do("up", *(f"{name}={last}:trixie-jre" for name, last in ADDRESSES.items()))
    yield Fleet(lab, find(), tmp_path_factory.mktemp("fleet"))
    lab.do("down", *ADDRESSES)


def unchanged(out: str) -> bool:
    """Tell whether a run changed nothing."""
    return set(recap(out).values()) == {(0, 0, 0)}


@pytest.mark.long
def test_what_a_run_would_move_is_told_and_nothing_is_written(fleet: Fleet) -> None:
    out = fleet.play(fleet.with_brokers("kafka2", "kafka3"), "--check", "--diff")
    assert "webmon-results-0: 1 -> " in out
    assert {one["topic"]: one["replicas"] for one in fleet.partitions()}["webmon-results"] == [1]
    assert fleet.lab.on("kafka2", "ls -d /etc/kafka /var/lib/kafka /opt/kafka 2>/dev/null || true") == ""
    assert fleet.lab.on("kafka1", "ls /var/lib/kafka") == "data\n"


@pytest.mark.long
def test_a_new_host_becomes_no_broker_by_accident(fleet: Fleet) -> None:
    told = fleet.refused(fleet.with_brokers("kafka2", "kafka3"), playbook="playbooks/preflight.yml")
    assert "kafka2, kafka3: is no broker, and other hosts of the group kafka are" in told
    assert "right would be playbooks/brokers.yml" in told


@pytest.mark.long
def test_brokers_join_a_lonely_one_and_everything_has_three_copies(fleet: Fleet) -> None:
    inventory = fleet.with_brokers("kafka2", "kafka3")
    with watched(fleet, 1):
        broken_off(fleet.lab, "Forget how often it was tried", "--inventory", inventory)  # before they start
        out = fleet.play(inventory)
    assert "run playbooks/site.yml, so that all others know of it" in out
    assert fleet.voters() == fleet.registered() == {1, 2, 3}
    found = fleet.partitions()
    assert assignment.awaited(found) == []
    assert {tuple(sorted(one["replicas"])) for one in found} == {(1, 2, 3)}
    assert {one["leader"] for one in found if one["topic"] == "webmon-results"} == {1, 2, 3}
    told = fleet.tool("kafka.admin.ConfigCommand", "--describe", "--entity-type brokers", "--entity-default")
    assert "min.insync.replicas=2" in told
    assert unchanged(fleet.play(inventory))


@pytest.mark.long
@pytest.mark.parametrize(
    ("leaving", "told"),
    [
        ("agent1", "brokers_leave names agent1, which is no host of the group kafka; right would be of kafka1, kafka2"),
        ("kafka1,kafka2,kafka3", "no broker would be left"),
        ("kafka3", "kafka1 and kafka2 would be left, and two lose their quorum with one"),
        ("kafka2,kafka3", "webmon-results has 3 copies of each partition, and without kafka2, kafka3 there would be 1"),
    ],
)
def test_a_broker_that_can_not_go_is_told_with_why(fleet: Fleet, leaving: str, told: str) -> None:
    assert told in fleet.refused(fleet.with_brokers("kafka2", "kafka3"), "-e", f"brokers_leave={leaving}")
    assert fleet.registered() == {1, 2, 3}


@pytest.mark.long
def test_one_takes_the_place_of_another_also_where_the_run_is_broken_off(
    fleet: Fleet, lab: Lab, tmp_path: Path
) -> None:
    inventory = fleet.with_brokers("kafka2", "kafka3", "kafka4")
    before = sent(find(), tmp_path / "certificates")
    arguments = ("--inventory", inventory, "-e", "brokers_leave=kafka2")
    # A restart takes one copy away, a move none.
    with fleet.heavy_topic(), watched(fleet, 2):
        broken_off(lab, "Begin", *arguments, "-e", "_kafka_most_moved=1500000")
        assert any(one["moves"] for one in fleet.partitions())
        broken_off(lab, "Let it vote no more", *arguments)
        fleet.play(inventory, "-e", "brokers_leave=kafka2")
    assert fleet.voters() == fleet.registered() == {1, 3, 4}
    assert {tuple(sorted(one["replicas"])) for one in fleet.partitions()} == {(1, 3, 4)}
    assert lab.on("kafka2", "systemctl is-active kafka; ls /var/lib/kafka || true").split() == ["inactive"]
    settings = fleet.tool("kafka.admin.ConfigCommand", "--describe", "--entity-type brokers")
    assert "throttled" not in settings
    assert unchanged(fleet.play(inventory, "-e", "brokers_leave=kafka2"))
    everything_is_stored(lab, tmp_path, before)


@pytest.mark.long
def test_one_whose_disk_is_gone_comes_back_under_its_number(fleet: Fleet, lab: Lab, tmp_path: Path) -> None:
    inventory = fleet.with_brokers("kafka3", "kafka4")
    before = sent(find(), tmp_path / "certificates")
    lab.do("cut", "kafka4")
    told = fleet.refused(inventory)
    assert "kafka4 does not answer, and all brokers take part" in told
    assert "where it is gone for good, -e brokers_leave=kafka4" in told
    lab.do("down", "kafka4")
    lab.do("up", f"kafka4={ADDRESSES['kafka4']}:trixie-jre")
    with watched(fleet, 2):
        fleet.play(inventory)
    assert fleet.voters() == fleet.registered() == {1, 3, 4}
    found = fleet.partitions()
    assert assignment.awaited(found) == []
    assert {tuple(sorted(one["replicas"])) for one in found} == {(1, 3, 4)}
    everything_is_stored(lab, tmp_path, before)


@pytest.mark.long
def test_one_that_is_gone_for_good_leaves_where_others_have_all_that_it_had(
    fleet: Fleet, lab: Lab, tmp_path: Path
) -> None:
    inventory = fleet.with_brokers("kafka2", "kafka3", "kafka4")
    before = sent(find(), tmp_path / "certificates")
    lab.do("cut", "kafka4")
    with watched(fleet, 2):
        fleet.play(inventory, "-e", "brokers_leave=kafka4")
    assert fleet.voters() == fleet.registered() == {1, 2, 3}
    assert {tuple(sorted(one["replicas"])) for one in fleet.partitions()} == {(1, 2, 3)}
    everything_is_stored(lab, tmp_path, before)


def broken_off(lab: Lab, task: str, *arguments: str) -> None:
    """Begin a run of the playbook, and kill it when a task is done: by then Ansible prints its name."""
    said = []
    with subprocess.Popen(
        [str(ROOT / ".venv/bin/ansible-playbook"), "-i", "inventory/lab", PLAYBOOK, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=lab.environment(),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if line.startswith("TASK [kafka : " + task):
                break
        process.kill()
    assert said[-1].startswith("TASK [kafka : " + task), "".join(said[-40:])


def everything_is_stored(lab: Lab, directory: Path, before: set[Key]) -> None:
    """Hold what was sent before, what is there now, and what is stored against each other."""
    rows = count_of_rows(lab)
    now = sent(find(), directory / "certificates")
    assert before <= now, "what was moved is all there"
    assert len(now) > len(before)
    wait_until(lambda: now <= stored(lab), "all that Kafka has is stored", 60)
    wait_until(lambda: count_of_rows(lab) > rows, "more results come")


@pytest.mark.long
def test_the_last_but_one_go_once_nothing_needs_their_copies(fleet: Fleet, lab: Lab, tmp_path: Path) -> None:
    single = [{"topic": one["topic"], "partition": one["partition"], "replicas": [1]} for one in fleet.partitions()]
    lab.on("kafka1", f"cat > /root/single.json <<'END'\n{json.dumps({'version': 1, 'partitions': single})}\nEND")
    way = f"{TOOLS}.reassign.ReassignPartitionsCommand", "--reassignment-json-file", "/root/single.json"
    before = sent(find(), tmp_path / "certificates")
    fleet.tool(*way, "--execute")
    wait_until(lambda: "still in progress" not in fleet.tool(*way, "--verify"), "one copy of each", 60)
    fleet.play(fleet.with_brokers("kafka2", "kafka3"), "-e", "brokers_leave=kafka2,kafka3")
    assert fleet.voters() == fleet.registered() == {1}
    lab.play("playbooks/site.yml")
    everything_is_stored(lab, tmp_path, before)
