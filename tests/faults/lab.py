"""The lab of the faults: its hosts, what is done to them, and what Kafka, the store and the receiver of alarms say."""

import contextlib
import dataclasses
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from tests.faults import judge, told
from tests.integration.services import Services, find, lab_password
from tests.integration.stage import Stage
from tests.lab.demo import lab_hosts
from tests.lab.steps import BIN, LAB_PROGRAM, LAB_ROOT, TOP, environment
from webmon.check.result import CheckResult, Outcome, decode
from webmon.kafka import client
from webmon.store.names import Tables
from webmon.store.rollups import MOST_BUCKETS, roll_up

HERE: Final = Path(__file__).parent
SITE_PORT: Final = 8100
HOST_PORT: Final = 8101
"""Of sites that are one host, which can be stopped."""
_RECEIVER_PORT: Final = 8091
CHANNELS: Final = ("first", "second")
"""Of tests/faults/rules.yml."""
OUTBOX: Final = "/var/lib/webmon-agent/outbox.sqlite"
LEDGER: Final = "/var/lib/webmon-fault/ledger"
_RECORDER: Final = "/usr/local/lib/webmon-fault-recorder.py"
_AS_AGENT: Final = f"runuser -u webmon-agent -- /usr/bin/python3 {_RECORDER}"
_SITE: Final = "/usr/local/lib/webmon-fault-site.py"
_SITE_LOG: Final = "/var/lib/webmon-fault/served"
_FAILING: Final = "/var/lib/webmon-fault/failing"
_RECEIVER: Final = "/usr/local/lib/webmon-fault-receiver.py"
_NOTICES: Final = "/var/lib/webmon-fault/notices"
_RULES: Final = "/etc/webmon/alarm/rules.yml"
_TAG: Final = "webmon-faults"
"""Marks our firewall rules."""
_SUDO: Final = () if os.geteuid() == 0 else ("sudo",)
_UNIT: Final = """[Unit]
Description=webmon faults: {what}
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/python3 {command}
User={user}
StateDirectory=webmon-fault
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
"""


class CaseError(Exception):
    """What a case needs did not come about."""


def await_(condition: Callable[[], object], what: str, seconds: float = 60.0, *, every: float = 0.2) -> float:
    """Return once the condition holds, with the seconds that took; CaseError when it does not in so many."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise CaseError(f"not within {seconds:g} s: {what}")
        time.sleep(every)
    return time.monotonic() - began


class Lab:
    """A lab with Kafka, a database, sinks, agents, judges and a host for sites."""

    def __init__(self, name: str, inventory: Path, scratch: Path) -> None:
        """Take its name, its inventory and a directory for files of ours; nothing is done yet."""
        self.name = name
        self.inventory = inventory
        document = yaml.safe_load((inventory / "hosts.yml").read_text(encoding="utf-8"))
        groups = document["all"]["children"]
        self.brokers, self.sinks, self.agents, self.judges = (
            list(groups[name]["hosts"]) for name in ("kafka", "sinks", "agents", "alarms")
        )
        self.database: str = next(iter(groups["timescaledb"]["hosts"]))
        self.web: str = next(iter(groups["web"]["hosts"]))
        self._hosts: dict[str, Any] = groups["lab"]["hosts"]
        self._to_boot = lab_hosts(document)
        self._scratch = scratch
        self._product: _Product | None = None
        self._rules_before: str | None = None

    # ---------------------------------------------------------------- the hosts

    def program(self, *arguments: str, timeout: float = 300) -> str:
        """Run a verb of tests/lab/lab; give what it printed."""
        return self._run([str(LAB_PROGRAM), *arguments], timeout=timeout)

    def on(self, host: str, command: str, typed: str = "", *, timeout: float = 120) -> str:
        """Run a shell command on a host as root, also with its network cut off; give what it printed.

        Raises:
            CaseError: it failed.
        """
        return self._run([str(LAB_PROGRAM), "sh", host, "bash", "-c", command], typed, timeout=timeout)

    def everywhere(self, hosts: Sequence[str], command: str) -> None:
        """Run a shell command on several hosts at once."""
        words = [[str(LAB_PROGRAM), "sh", host, "bash", "-c", command] for host in hosts]
        running = [subprocess.Popen(each, env=environment(), stdin=subprocess.DEVNULL) for each in words]
        for host, process in zip(hosts, running, strict=True):
            if process.wait(120):
                raise CaseError(f"{host}: {command}: exit status {process.returncode}")

    def is_active(self, host: str, unit: str) -> bool:
        """Tell whether a unit runs."""
        return self.on(host, f"systemctl is-active {unit} || true").strip() == "active"

    def resident_mb(self, host: str, unit: str) -> float:
        """Give the resident memory of a unit's main process.

        Raises:
            CaseError: it does not run.
        """
        status = f"/proc/$(systemctl show -P MainPID {unit})/status"
        return int(self.on(host, f"awk '/^VmRSS/ {{print $2}}' {status}").strip()) / 1024

    def play(self, playbook: str, *arguments: str, timeout: float = 900) -> str:
        """Run a playbook on the lab; give what it printed."""
        command = [str(BIN / "ansible-playbook"), "-i", str(self.inventory), playbook, *arguments]
        return self._run(command, timeout=timeout)

    def journal(self, host: str, unit: str, since: datetime) -> str:
        """Give what a unit said since a time."""
        at = since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return self.on(host, f"journalctl -q --no-pager -o cat -u {unit} --since '{at}'")

    def address(self, host: str) -> str:
        """Give a host's address."""
        net = self.services.kafka_host.split(",")[0].rpartition(".")[0]
        return f"{net}.{self._hosts[host]['ansible_host'].rpartition('.')[2]}"

    @property
    def directory(self) -> Path:
        """Where the lab keeps its keys and secrets, and the list of targets."""
        return LAB_ROOT / "labs" / self.name

    def _run(self, command: Sequence[str], typed: str = "", *, timeout: float) -> str:
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                input=typed,
                cwd=TOP,
                env=environment(),
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            raise CaseError(f"{' '.join(command)}: no end in {timeout:g} s") from error
        if done.returncode:
            said = f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}".strip()
            raise CaseError(f"{' '.join(command)}: exit status {done.returncode}\n{said}")
        return done.stdout

    # ---------------------------------------------------------------- the network

    @contextlib.contextmanager
    def blackhole(self, hosts: Sequence[str], others: Sequence[str], *, one_way: bool = False) -> Iterator[None]:
        """Drop every packet between two sets of hosts, without a word to either; one way: only from the first."""
        pairs = [(self.address(host), self.address(other)) for host in hosts for other in others]
        rules = [(a, b) for a, b in pairs] + ([] if one_way else [(b, a) for a, b in pairs])
        try:
            for source, target in rules:
                self._firewall("-I", source, target)
            yield
        finally:
            for source, target in rules:
                self._firewall("-D", source, target)

    def _firewall(self, verb: str, source: str, target: str) -> None:
        rule = [
            "FORWARD",
            "-s",
            source,
            "-d",
            target,
            "-m",
            "comment",
            "--comment",
            f"{_TAG}-{self.name}",
            "-j",
            "DROP",
        ]
        self._run([*_SUDO, "iptables", "-w", verb, *rule], timeout=30)

    def clear_firewall(self) -> None:
        """Remove every rule of ours that a run which was killed has left."""
        for line in self._run([*_SUDO, "iptables", "-w", "-S", "FORWARD"], timeout=30).splitlines():
            if f"{_TAG}-{self.name}" in line:
                words = line.replace('"', "").split()
                self._run([*_SUDO, "iptables", "-w", "-D", *words[1:]], timeout=30)

    # ---------------------------------------------------------------- setting up

    def boot(self) -> None:
        """Boot the hosts and install everything."""
        self.program("up", *self._to_boot)
        targets = self.directory / "targets.yml"
        if not targets.exists():
            targets.write_text(_targets([], 60), encoding="utf-8")
        self.play("playbooks/site.yml", "--skip-tags", "verify")

    def equip(self) -> None:
        """Put the sites and the receiver of alarms on web1 and the recorders beside the agents; tell the judges of it.

        What is there is brought up to date.
        """
        # Of the receiver's file somebody may ask for the end before it was called.
        self.on(self.web, f"mkdir -p $(dirname {_FAILING}); touch {_NOTICES}")
        self.let_fail([])
        for unit, port in (("site", SITE_PORT), ("host", HOST_PORT)):
            self._serve(self.web, unit, _SITE, f"{port} {_SITE_LOG} {_FAILING}", "root", program="site")
        self._serve(self.web, "receiver", _RECEIVER, f"{_RECEIVER_PORT} {_NOTICES}", "root")
        for agent in self.agents:
            self._serve(agent, "recorder", _RECORDER, f"run {OUTBOX} {LEDGER}", "webmon-agent")
        self._use_rules((HERE / "rules.yml").read_text(encoding="utf-8"))

    def unequip(self) -> None:
        """Let the judges tell whom the inventory says, where that is not our receiver."""
        if self._rules_before is not None:
            self._use_rules(self._rules_before)

    def _use_rules(self, text: str) -> None:
        """Let the judges go by these rules."""
        for host in self.judges:
            before = self.on(host, f"cat {_RULES}")
            if before != text:
                self._rules_before = before
                self.on(host, f"cat > {_RULES}", text)
                self.on(host, "systemctl reload webmon-alarm")

    def _serve(self, host: str, what: str, path: str, arguments: str, user: str, *, program: str = "") -> None:
        unit = _UNIT.format(what=what, command=f"{path} {arguments}", user=user)
        self.on(host, f"cat > {path}", (HERE / f"{program or what}.py").read_text(encoding="utf-8"))
        self.on(host, f"cat > /etc/systemd/system/webmon-fault-{what}.service", unit)
        name = f"webmon-fault-{what}.service"
        self.on(host, f"systemctl daemon-reload && systemctl enable -q {name} && systemctl restart {name}")

    def mend(self) -> None:
        """Undo what a case may have left behind: rules, frozen hosts, hosts and services that are down."""
        self.clear_firewall()
        for host in self.judges:
            with contextlib.suppress(CaseError):  # it is down
                self.program("thaw", host)
        down = [line.split()[0] for line in self.program("status").splitlines() if line.split()[-1] == "down"]
        if down:
            self.program("start", *down)
        jobs = [
            *((host, "kafka") for host in self.brokers),
            (self.database, "postgresql@17-main"),
            *((host, "webmon-sink") for host in self.sinks),
            *((host, "webmon-agent webmon-fault-recorder") for host in self.agents),
            *((host, "webmon-alarm") for host in self.judges),
            (self.web, "webmon-fault-site webmon-fault-host webmon-fault-receiver"),
        ]
        for host, units in jobs:
            self.on(host, f"systemctl kill -s CONT {units} || true; systemctl reset-failed; systemctl start {units}")
        self.let_fail([])

    # ---------------------------------------------------------------- what is watched

    def watch(self, names: Sequence[str], interval: float) -> None:
        """Let the agents watch these plain sites."""
        self.watch_list(_targets(names, interval))

    def watch_list(self, text: str) -> None:
        """Let the agents watch the list of a targets file, and the judges know it."""
        (self.directory / "targets.yml").write_text(text, encoding="utf-8")
        for judge_host in self.judges:
            self.on(judge_host, "cat > /etc/webmon/alarm/targets.yml", text)
            self.on(judge_host, "systemctl reload --no-block webmon-alarm")
        for agent in self.agents:
            self.on(agent, "cat > /etc/webmon/agent/targets/targets.yml", text)
            self.on(agent, "systemctl reload webmon-agent")

    def let_fail(self, names: Sequence[str]) -> None:
        """Let these of the plain sites fail, and no other."""
        lines = "".join(f"/{name}\n" for name in names)
        # In one go, as every request reads it.
        self.on(self.web, f"cat > {_FAILING}.new && mv {_FAILING}.new {_FAILING}", lines)

    def recorded(self, prefix: str) -> judge.Ledger:
        """Give what the recorders have of the targets whose names begin so."""
        ledger: judge.Ledger = {}
        for agent in self.agents:
            dump = f"{_AS_AGENT} dump {OUTBOX} {LEDGER}"
            ledger |= judge.read_ledger(self.on(agent, f"{dump} | grep -F '{prefix}' || true").splitlines(), prefix)
        return ledger

    def served(self, prefix: str) -> judge.Sites:
        """Give what the sites served of the targets whose names begin so."""
        return judge.Sites(self.on(self.web, f"grep -F '/{prefix}' {_SITE_LOG} || true").splitlines())

    def waiting(self, agent: str, prefix: str) -> int:
        """Give how many results of such targets wait in an agent's outbox."""
        return int(self.on(agent, f"{_AS_AGENT} waiting {OUTBOX} {prefix}"))

    # ---------------------------------------------------------------- alarms

    def active_judge(self) -> str | None:
        """Give the host of the judge that judges; None: none does now."""
        return next((host for host in self.judges if self._metric(host, "webmon_alarm_judging") == 1), None)

    def is_standing_by(self, host: str) -> bool:
        """Tell whether a judge runs and does not judge."""
        return self._metric(host, "webmon_alarm_judging") == 0

    def history_of(self, prefix: str) -> list[tuple[str, str, str]]:
        """Give what the history has as sent of such targets: episode, channel, event."""
        return [
            (str(episode), channel, event)
            for episode, channel, event in self.sql(
                "SELECT e.id, n.channel, n.event FROM {t_notices} AS n JOIN {t_episodes} AS e ON e.id = n.episode "
                "WHERE n.state = 'sent' AND starts_with(e.subject, %s)",
                prefix,
            )
        ]

    def _metric(self, host: str, name: str) -> float | None:
        ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9467/metrics', timeout=5).read().decode())"
        printed = self.on(host, f'python3 -c "{ask}" 2> /dev/null || true')
        values = [line.split()[1] for line in printed.splitlines() if line.startswith(f"{name} ")]
        return float(values[0]) if values else None

    def notices_end(self) -> int:
        """Give how many bytes of notices the receiver has noted."""
        return int(self.on(self.web, f"stat -c %s {_NOTICES}"))

    def tellings(self, begin: int) -> list[told.Telling]:
        """Give what was told since the receiver had noted so many bytes."""
        return told.read(self.on(self.web, f"tail -c +{begin + 1} {_NOTICES}").splitlines())

    def notices_waiting(self) -> int:
        """Give how many notices nobody took yet, as the history has it."""
        return int(self.sql("SELECT count(*) FROM {t_notices} WHERE state = 'waiting'")[0][0])

    # ---------------------------------------------------------------- Kafka and the store

    def password(self, role: str) -> str:
        """Give a database password of the lab's, such as postgres-sink."""
        return lab_password(self.directory, role)

    @property
    def services(self) -> Services:
        """Where Kafka and the database are, and what an administrator of them has."""
        return self.product.services

    @property
    def product(self) -> "_Product":
        """Kafka and the store, with the product's own names."""
        if self._product is None:
            services = find()
            net = services.kafka_host.rpartition(".")[0]
            numbers = [self._hosts[broker]["ansible_host"].rpartition(".")[2] for broker in self.brokers]
            brokers = ",".join(f"{net}.{number}" for number in numbers)
            self._product = _Product(dataclasses.replace(services, kafka_host=brokers), self._scratch)
        return self._product

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the owner; {t}, {t_series} and so on are the tables."""
        return self.product.sql(statement, *values)

    def psql(self, statement: str) -> str:
        """Run a statement as the superuser, on the database's host."""
        return self.on(self.database, "runuser -u postgres -- psql -d webmon -XqAt", statement).strip()

    def newest(self, prefix: str) -> dict[str, datetime]:
        """Give the time of the newest row of such targets, by agent."""
        found = self.sql(
            "SELECT a.agent, max(m.time) FROM {t_series} AS s "
            "JOIN {t_targets} AS t ON t.id = s.target_id JOIN {t_agents} AS a ON a.id = s.agent_id "
            "JOIN {t} AS m ON m.series_id = s.id AND m.time > now() - INTERVAL '1 hour' "
            "WHERE starts_with(t.target, %s) GROUP BY 1",
            prefix,
        )
        return dict(found)

    def rows(self, prefix: str) -> list[tuple[judge.Key, Outcome]]:
        """Give every row of such targets."""
        return judge.rows_of(
            (agent, target, time, outcome)
            for agent, target, time, outcome in self.sql(
                "SELECT a.agent, t.target, m.time, {t_outcome_of}(m.outcome)::text FROM {t} AS m "
                "JOIN {t_series} AS s ON s.id = m.series_id "
                "JOIN {t_targets} AS t ON t.id = s.target_id JOIN {t_agents} AS a ON a.id = s.agent_id "
                "WHERE starts_with(t.target, %s)",
                prefix,
            )
        )

    def rollups_that_differ(self, prefix: str) -> dict[str, int]:
        """Roll up whatever is marked, the running hour too, and count what says something else than the rows."""
        differing = {}
        for what, query in judge.ROLLUPS_THAT_DIFFER.items():
            if what in ("hourly", "daily"):
                self._roll_up()
            differing[what] = int(self.sql(query, prefix)[0][0])
        return differing

    def _roll_up(self) -> None:
        with self.product.database() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'")
            cursor.connection.autocommit = False
            ahead = datetime.now(UTC) + timedelta(hours=3)
            while roll_up(cursor.connection, Tables(self.product.table), before=ahead, wait=True) == MOST_BUCKETS:
                pass

    def lag(self) -> int:
        """Give how many messages of the topic the sinks have not told the group of."""
        return sum(end - committed for committed, end in self.product.offsets().values())

    def uncommitted_but_stored(self, prefix: str) -> int:
        """Count the messages that are stored and that the group does not know of: what a sink that dies now leaves."""
        stored = {key for key, _ in self.rows(prefix)}
        return sum(judge.Key(one.agent, one.target, one.time) in stored for one in self.product.uncommitted())


class _Product(Stage):
    """The stage with the names that the product itself has in a lab."""

    def __init__(self, services: Services, directory: Path) -> None:
        super().__init__(services, directory)
        self.table = "web_health_metrics"
        self.topic = "webmon-results"
        self.roles = ["webmon_sink", "webmon_reader", "webmon_alarm"]
        self.group = "webmon-sink"

    def producer(self, unit: str = "init") -> Any:
        """Give a producer that is let write the product's topic; no inventory has an agent for it."""
        return super().producer(unit)

    @contextlib.contextmanager
    def _consumer(self) -> Iterator[Any]:
        consumer = KafkaConsumer(**(client.consumer_args(self.kafka_settings("init")) | {"group_id": None}))
        try:
            yield consumer
        finally:
            consumer.close()

    def offsets(self) -> dict[int, tuple[int, int]]:
        """Give what the group has behind it and the end, by partition."""
        with self.admin() as admin:
            told = admin.list_group_offsets({self.group: None})[self.group]
        committed = {at.partition: offset.offset for at, offset in told.items() if at.topic == self.topic}
        with self._consumer() as consumer:
            partitions = [TopicPartition(self.topic, number) for number in consumer.partitions_for_topic(self.topic)]
            ends = consumer.end_offsets(partitions)
        return {at.partition: (committed.get(at.partition, 0), end) for at, end in ends.items()}

    def copies_in_sync(self) -> int:
        """Give the least number of copies in sync that a partition of the results has."""
        try:
            with self.admin() as admin:
                (topic,) = admin.describe_topics([self.topic])
        except KafkaError:  # a broker that is just going
            return 0
        return min(len(partition["isr_nodes"]) for partition in topic["partitions"])

    def uncommitted(self) -> list[CheckResult]:
        """Give the results that the group has before it."""
        found: list[CheckResult] = []
        offsets = {TopicPartition(self.topic, number): at for number, at in self.offsets().items()}
        with self._consumer() as consumer:
            consumer.assign(list(offsets))
            for partition, (committed, _) in offsets.items():
                consumer.seek(partition, committed)
            deadline = time.monotonic() + 20
            while any(consumer.position(at) < end for at, (_, end) in offsets.items()):
                if time.monotonic() > deadline:
                    raise CaseError("Kafka does not give what the group has before it")
                for records in consumer.poll(timeout_ms=500).values():
                    found += [decode(record.value) for record in records]
        return found


def _targets(names: Sequence[str], interval: float) -> str:
    targets = [{"name": name, "url": f"http://web1:{SITE_PORT}/{name}"} for name in names]
    # A list is never empty.
    idle = {"name": "idle", "url": f"http://web1:{SITE_PORT}/idle", "interval": 60}
    document = {"defaults": {"interval": interval, "timeout": min(interval, 5.0)}, "targets": [*targets, idle]}
    return yaml.safe_dump(document, sort_keys=False, width=1000)
