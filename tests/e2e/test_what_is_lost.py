"""docs/recovery.md: hosts that hold what no other has are destroyed and brought back, and what is lost is counted.

The lab has other hosts in their place afterwards.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors

from tests.e2e.controller import ANOTHER, BACK_UP, BROKER, DATABASE, REPOSITORY, SITE, Controller
from tests.e2e.lab import Lab
from tests.e2e.test_lab import AGENTS, CHECKS, TARGETS, missing_slots, newest, now
from tests.integration.services import Services, find
from tests.lab.demo import recap
from tests.waiting import wait_until
from webmon.kafka.decode import read

ONE: Final = ("kafka1=11:trixie-jre",)
THREE: Final = (*ONE, "kafka2=15:trixie-jre", "kafka3=16:trixie-jre")
"""Brokers, as `lab up` takes them."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Key = tuple[str, str, int]
"""Agent, target and time (µs of the epoch) of a result."""


@pytest.fixture(scope="module")
def controller(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    """One that has backups made of the lab's database; no more afterwards."""
    one = Controller(lab, tmp_path_factory.mktemp("controller"))
    one.ask_for_backups()
    yield one
    lab.play("playbooks/site.yml")
    assert lab.on("db1", "ls /etc/systemd/system | grep webmon-backup || true") == ""
    assert lab.on("db1", "runuser -u postgres -- psql -XAtc 'SHOW archive_mode'") == "off\n"


@pytest.fixture(scope="module")
def services() -> Services:
    return find()


def client(services: Services, directory: Path) -> dict[str, Any]:
    """Give what a client that may do anything needs to reach the broker."""
    directory.mkdir(exist_ok=True)
    return services.client_arguments(*services.issue(directory, "init"))


def sent(services: Services, directory: Path) -> set[Key]:
    """Read the topic from its beginning to its end of now."""
    consumer = KafkaConsumer(group_id=None, **client(services, directory))
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


def count_of_rows(lab: Lab) -> int:
    """Count what the database has."""
    return int(lab.sql("SELECT count(*) FROM web_health_metrics_view")[0][0])


@pytest.mark.long
def test_a_controller_that_is_gone_comes_back_from_its_archive_and_has_nothing_to_change(
    controller: Controller, tmp_path: Path
) -> None:
    controller.type(SITE)
    controller.type(BACK_UP)
    decrypt, site = ANOTHER.splitlines()
    with controller.lost(tmp_path) as away:
        controller.type(decrypt)
        for path, place in away.items():
            assert tree(path) == tree(place)
        assert set(recap(controller.type(site)).values()) == {(0, 0, 0)}


def tree(top: Path) -> dict[str, tuple[int, bytes]]:
    """Give mode and content of each file of a tree."""
    files = [top] if top.is_file() else [path for path in top.rglob("*") if path.is_file()]
    assert files
    return {str(path.relative_to(top)): (path.stat().st_mode, path.read_bytes()) for path in files}


def told(lab: Lab, since: float) -> set[str]:
    """Give the targets of the messages that web1 was sent since a moment (seconds of the epoch)."""
    journal = f"journalctl --unit=demo-sites --since=@{since:.0f} --output=cat --no-pager"
    messages = [json.loads(line) for line in lab.on("web1", journal).splitlines() if line.startswith("{")]
    return {each["target"] for message in messages for each in (message, *message["others"])}


def open_alarms(lab: Lab) -> set[str]:
    """Give the targets of which `webmon alarms` says that something is wrong; but for the one that comes and goes."""
    found = json.loads(lab.on("sink1", "webmon alarms --json"))["episodes"]
    return {one["subject"] for one in found if one["closed"] is None} & TARGETS.keys() - {"comes-and-goes"}


def lost(lab: Lab, since: str) -> tuple[int, float, float]:
    """Count the results that were made and have no row; say when the first and the last of them were due (epoch)."""
    [[number, first, last]] = lab.sql(
        f"""SELECT coalesce(sum(round(extract(epoch FROM gap) / interval_secs) - 1), 0)::int,
              coalesce(extract(epoch FROM min(scheduled_at - gap + interval_secs * interval '1 second')), 0),
              coalesce(extract(epoch FROM max(scheduled_at - interval_secs * interval '1 second')), 0)
            FROM (SELECT scheduled_at, interval_secs,
                    scheduled_at - lag(scheduled_at) OVER (PARTITION BY target, agent ORDER BY scheduled_at) AS gap
                  FROM ({CHECKS}) AS checks WHERE scheduled_at >= '{since}') AS slots
            WHERE gap > interval_secs * interval '1.01 second'"""  # noqa: S608
    )
    return int(number), float(first), float(last)


@pytest.mark.long
def test_with_the_only_broker_goes_what_was_not_read_yet_and_what_judges_knew(
    controller: Controller, services: Services, tmp_path: Path
) -> None:
    lab = controller.lab
    producer = KafkaProducer(**client(services, tmp_path / "certificates"))
    producer.send("webmon-results", b"rubbish").get(30)
    producer.close()
    lab.on("sink1", "runuser -u webmon-alarm -- webmon alarms silence good-http --for 2h --reason painted")
    wait_until(lambda: "painted" in lab.on("sink1", "webmon alarms"), "the silence")
    dead_letters = "runuser -u webmon-init -- webmon dead-letters list --json"
    wait_until(lambda: json.loads(lab.on("db1", dead_letters)) != [], "the dead letter")
    wrong = open_alarms(lab)
    assert wrong

    since, before = now(lab), stored(lab)
    wait_until(lambda: newest(lab, since) == set(AGENTS), "results of every vantage")
    gone = time.time()
    controller.destroy("kafka1")
    cut = time.time()
    lab.do("up", *ONE)
    assert all(counts[1:] == (0, 0) for counts in recap(controller.type(BROKER)).values())
    back = now(lab)
    wait_until(lambda: newest(lab, back) == set(AGENTS), "results of every vantage", 90)
    wait_until(lambda: wrong <= told(lab, cut), "what is wrong is told again", 120)
    wait_until(lambda: open_alarms(lab) >= wrong, "it is open again")
    print(f"all alarms were told again {time.time() - cut:.0f} s after the broker was gone")

    assert before <= stored(lab)
    number, first, last = lost(lab, since)
    print(f"{number} results are lost")
    if number:
        print(f"due {gone - first:.1f} to {gone - last:.1f} s before the broker was gone")
        assert gone - 5 < first <= last < cut
    assert json.loads(lab.on("db1", dead_letters)) == [], "dead letters are gone"
    assert "painted" not in lab.on("sink1", "webmon alarms"), "no judge knows of it"


@pytest.fixture
def of_three(controller: Controller) -> Iterator[Controller]:
    """Three brokers are in the place of the one, which goes with what it has; one is, again, afterwards."""
    lab, hosts = controller.lab, controller.mine / "hosts.yml"
    of_one, variables = hosts.read_text(), controller.variables.read_text()
    inventory = yaml.safe_load(of_one)["all"]["children"]
    inventory["lab"]["hosts"] |= {
        "kafka2": {"ansible_host": "{{ lab_net }}.15"},
        "kafka3": {"ansible_host": "{{ lab_net }}.16"},
    }
    inventory["kafka"]["hosts"] |= {"kafka2": {}, "kafka3": {}}
    controller.destroy("kafka1")
    try:
        hosts.write_text(yaml.safe_dump({"all": {"children": inventory}}))
        # All others stay as they are: one is enough to begin with.
        one = re.sub(r"(?m)^webmon_kafka_host:.*", 'webmon_kafka_host: "{{ lab_net }}.11"', variables)
        controller.variables.write_text(one)
        lab.do("up", *THREE)
        controller.type(SITE)
        yield controller
    finally:
        hosts.write_text(of_one)
        controller.variables.write_text(variables)
        controller.destroy("kafka1", "kafka2", "kafka3")
        lab.do("up", *ONE)
        controller.type(SITE)


@pytest.mark.long
def test_one_of_three_brokers_gets_what_the_others_have_and_nothing_is_lost(
    of_three: Controller, services: Services, tmp_path: Path
) -> None:
    lab, arguments = of_three.lab, client(services, tmp_path / "certificates")
    wait_until(lambda: is_whole(arguments), "three copies of everything", 60)
    since, before = now(lab), stored(lab)
    of_three.destroy("kafka2")
    away = now(lab)
    wait_until(lambda: newest(lab, away) == set(AGENTS), "results of every vantage while it is away", 60)
    lab.do("up", THREE[1])
    began = time.monotonic()
    changed = recap(of_three.type(BROKER))
    wait_until(lambda: is_whole(arguments), "three copies of everything", 60)
    print(f"whole again {time.monotonic() - began:.0f} s after site.yml began")
    assert {host for host, counts in changed.items() if counts[0]} == {"kafka2"}
    assert all(counts[1:] == (0, 0) for counts in changed.values())

    back = now(lab)
    wait_until(lambda: newest(lab, back) == set(AGENTS), "results of every vantage", 60)
    wait_until(lambda: not missing_slots(lab, AGENTS, since), "a row of every slot", 60)
    of_topic = sent(services, tmp_path / "certificates")
    wait_until(lambda: before | of_topic <= stored(lab), "all that Kafka has is stored", 60)


def is_whole(arguments: dict[str, Any]) -> bool:
    """Tell whether three brokers have all of every partition."""
    try:
        admin = KafkaAdminClient(**arguments)
        try:
            partitions = [one for topic in admin.describe_topics() for one in topic["partitions"]]
        finally:
            admin.close()
    except kafka_errors.KafkaError:  # it asks any of them, also one that is away
        return False
    return all(len(one["isr_nodes"]) == len(one["replica_nodes"]) == 3 for one in partitions)


@pytest.mark.long
def test_a_database_whose_disk_is_gone_comes_back_with_all_that_kafka_has(
    controller: Controller, services: Services, tmp_path: Path
) -> None:
    lab = controller.lab
    out = controller.type(BACK_UP)
    assert re.search(rf"the newest of \d in {REPOSITORY} is \d+ s old", out), out
    assert re.search(rf"WAL.*gets to {REPOSITORY}|it gets to {REPOSITORY}", out), out
    rows = count_of_rows(lab)
    # What is stored from here on is in no backup, and in WAL that is not kept yet.
    wait_until(lambda: count_of_rows(lab) > rows, "more results")
    before = stored(lab)

    root = lab.directory / "hosts.d/db1/root"
    lab.do("cut", "db1")
    subprocess.run(["cp", "-a", f"{root}{REPOSITORY}", tmp_path / "disk"], check=True)
    gone = time.time()
    lab.do("down", "db1")
    lab.do("up", "db1=12:trixie-pg")
    # The disk for backups is another one, and still there.
    subprocess.run(["cp", "-a", tmp_path / "disk", f"{root}{REPOSITORY}"], check=True)

    restored, rest = (controller.type(command) for command in DATABASE.splitlines())
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

    out = controller.type(".venv/bin/ansible-playbook -i inventory/mine playbooks/verify.yml")
    assert "FAILED" not in out
