"""Planted secrets are searched for after full runs, failures among them, and found nowhere but where they belong."""

import re
import secrets
from pathlib import Path

import pytest
import yaml
from kafka import KafkaConsumer, TopicPartition

from tests.e2e.more import HOST, More, Words
from tests.integration.services import find
from tests.lab.demo import recap
from tests.waiting import wait_until

HOSTS = ("kafka1", "db1", "sink1", "agent1", "agent3", HOST)
SITE = "playbooks/site.yml"
PLACES = "/etc /home /opt/webmon /root /run /tmp /usr/local /var"
# The lab's nginx asks operators for theirs.
OWN = re.compile(r"/etc/webmon/\w+/(\.env|agents|tls/key\.pem)|/etc/kafka/tls/(key|keystore)\.pem|/etc/nginx/operators")
"""Files that are there to hold a secret."""


@pytest.fixture(scope="module")
def words(more: More) -> Words:
    """What was planted, the lab's passwords, and a line of every private key."""
    keys = {}
    for host in HOSTS:
        listed = more.lab.on(host, "grep -m2 -H . /etc/webmon/*/tls/key.pem /etc/kafka/tls/key.pem 2>/dev/null || true")
        for line in listed.splitlines():
            file, _, text = line.partition(":")
            if not text.startswith("-----"):
                keys[f"{host}:{file}"] = text
    assert len(keys) >= len(HOSTS)
    return Words({**more.secrets, **keys})


@pytest.fixture(scope="module")
def watched(more: More) -> None:
    """Wait until the agent has stored a result of every planted target."""
    query = f"SELECT count(DISTINCT target) FROM web_health_metrics_view WHERE agent = '{HOST}' AND target ~ '^planted'"  # noqa: S608
    wait_until(lambda: int(more.lab.sql(query)[0][0]) == len(more.targets), "a result of every planted target", 60)


def test_what_was_altered_by_hand_is_set_right_and_none_of_it_is_told(more: More) -> None:
    lab = more.lab
    for role in ("webmon_owner", "webmon_sink", "webmon_alarm", "webmon_reader"):
        lab.sql(f"ALTER ROLE {role} PASSWORD 'altered'")
    on_sink = ("alarm", "page", "report", "sink")
    for host, component in (("db1", "init"), ("agent1", "agent"), *(("sink1", component) for component in on_sink)):
        lab.on(host, f"echo 'ALTERED=1' >> /etc/webmon/{component}/.env")
    lab.on("sink1", "rm /etc/webmon/sink/tls/cert.pem")
    status, out = more.play(SITE, "--limit", "db1,sink1,agent1", "-vvv", "--diff")
    assert status == 0, out[-5000:]
    assert {host: counts[0] > 0 for host, counts in recap(out).items() if host != "localhost"} == {
        "db1": True,
        "sink1": True,
        "agent1": True,
    }
    assert lab.on("sink1", "grep -c ALTERED /etc/webmon/*/.env || true").split() == [
        f"/etc/webmon/{component}/.env:0" for component in on_sink
    ]


def test_a_run_that_fails_amid_a_secret_tells_none(more: More, tmp_path: Path) -> None:
    secret = next(iter(more.secrets.values()))
    bad = tmp_path / "bad.yml"
    for values in (
        {"agent_environment": {"TOKEN": f"{secret}\0"}},
        {"agent_environment": secret},
    ):
        bad.write_text(yaml.safe_dump(values))
        status, _ = more.play("playbooks/site.yml", "--limit", HOST, "-vvv", "--diff", "--extra-vars", f"@{bad}")
        assert status != 0, values.keys()


def test_a_new_authority_is_made_without_telling_its_passphrase(more: More, tmp_path: Path) -> None:
    play = tmp_path / "authority.yml"
    tasks = [{"ansible.builtin.include_role": {"name": "certificates", "tasks_from": "create"}}]
    values = {
        "certificates_authority_dir": str(tmp_path / "authority"),
        "certificates_unit": "x",
        "_certificates_made_dir": str(tmp_path / "authority"),
        "_certificates_made_name": "another authority",
    }
    play.write_text(yaml.safe_dump([{"hosts": "agent1", "gather_facts": False, "vars": values, "tasks": tasks}]))
    status, out = more.play(str(play), "-vvv", "--diff")
    assert status == 0, out[-3000:]
    assert "ENCRYPTED" in (tmp_path / "authority/ca.key").read_text()


def test_an_agent_that_dies_leaves_no_core_file(more: More) -> None:
    lab = more.lab
    assert "core" in Path("/proc/sys/kernel/core_pattern").read_text()
    for unit in ("webmon-agent", "webmon-sink", "webmon-alarm", "webmon-page"):
        shown = f"systemctl show {unit} --property=MainPID --value"
        before = lab.on(HOST, shown)
        lab.on(HOST, f"systemctl kill --signal=SEGV --kill-whom=main {unit}")
        wait_until(lambda: lab.on(HOST, shown) not in {before, "0\n"}, f"{unit} back", 30)  # noqa: B023
        assert lab.on(HOST, f"find / -xdev -name 'core*' -type f -user {unit}") == ""
    assert lab.on("kafka1", "systemctl show kafka --property=LimitCORE,LimitCORESoft --value").split() == ["0", "0"]


def test_ansible_at_its_most_talkative_told_no_secret(more: More, words: Words) -> None:
    assert sum(len(said) for said in more.said) > 100_000
    found = {name for said in more.said for name in words.within(said)}
    assert found == set()


def test_no_process_was_started_with_a_secret(more: More) -> None:
    assert more.samples > 20
    assert more.seen == set()


@pytest.mark.usefixtures("watched")
def test_no_journal_and_no_file_of_a_host_has_a_secret_that_is_not_its_own(more: More, words: Words) -> None:
    canary = secrets.token_hex(12)
    for host in HOSTS:
        # A word that is there shows that the search finds what is.
        more.lab.try_on(host, "logger -t webmon-test", typed=canary)
        search = more.lab.try_on(
            host,
            "words=$(cat); journalctl --sync; "
            "journalctl --no-pager -o export | grep -aoFf <(printf '%s\\n' \"$words\")",
            typed=words.typed() + canary + "\n",
        )
        assert set(search.stdout.split()) == {canary}, f"the journal of {host}"
        search = more.lab.try_on(host, f"grep -rlF --devices=skip -f - {PLACES}", typed=words.typed())
        found = search.stdout.split()
        assert any(OWN.fullmatch(file) for file in found), host
        assert [file for file in found if not OWN.fullmatch(file)] == [], host


@pytest.mark.usefixtures("watched")
def test_no_message_and_no_dead_letter_has_a_secret(words: Words, tmp_path: Path) -> None:
    services = find()
    certificate, key = services.issue(tmp_path, "init")
    consumer = KafkaConsumer(
        **services.client_arguments(certificate, key), auto_offset_reset="earliest", enable_auto_commit=False
    )
    ours = [
        TopicPartition(topic, number)
        for topic in ("webmon-results", "webmon-results.dead-letters")
        for number in consumer.partitions_for_topic(topic) or ()
    ]
    consumer.assign(ours)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(ours)
    planted = 0
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        for records in consumer.poll(timeout_ms=1000).values():
            for record in records:
                told = b"".join([record.key or b"", record.value or b"", *(value for _, value in record.headers)])
                assert words.within(told) == set(), told
                planted += b"planted-" in told
    consumer.close()
    assert planted > 0


@pytest.mark.usefixtures("watched")
def test_the_database_has_no_secret(more: More, words: Words) -> None:
    dump = more.lab.on("db1", "runuser -u postgres -- pg_dumpall")
    assert "planted-good-bearer" in dump
    assert words.within(dump) == set()


@pytest.mark.usefixtures("watched")
def test_no_page_of_metrics_has_a_secret(more: More, words: Words) -> None:
    for port in (9464, 9465):
        asked = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/metrics').read().decode())"
        page = more.lab.on(HOST, f'python3 -c "{asked}"')
        assert "# HELP" in page
        assert words.within(page) == set()
