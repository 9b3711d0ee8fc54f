"""One test's own topic, group, tables and roles on the shared services, and the programs run against them."""

import contextlib
import dataclasses
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg2
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ConfigResource,
    ConfigResourceType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from psycopg2 import sql
from psycopg2.extras import execute_values

from tests.integration.services import COMMON_NAME, Services
from webmon.alarm.history_rows import row_of
from webmon.alarm.records import Record
from webmon.check.result import CheckResult, Outcome, encode, headers
from webmon.kafka import client
from webmon.settings import AlarmSettings, InitSettings, Kafka, ReportSettings, SinkSettings, load
from webmon.store.history import upsert
from webmon.store.names import TABLES, Tables

SINK_PASSWORD = "sink $ ${HOME} '\"\\ #%"
READER_PASSWORD = "reader ü 密"
ALARM_PASSWORD = "alarm ' ü $1"
_TRIES: Final = 10


def principals(unit: str) -> list[str]:
    """Give who a certificate of that unit is to Kafka: an agent's is its own, unless their rules are older."""
    whole = f"User:webmon-{unit}"
    return [whole, f"{whole}-{COMMON_NAME}"] if unit == "agent" else [whole]


_HOUR: Final = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
"""One for all of a run, which may come over a full hour."""


def recent(number: int = 0, /, **changes: object) -> CheckResult:
    """Make a result of the last hours, as the sink takes none older than a year; each number is a check of its own."""
    moment = _HOUR + timedelta(seconds=number)
    values: dict[str, Any] = {
        "target": f"site{number % 7}",
        "url": f"https://site{number % 7}.example/",
        "agent": f"vantage{number % 3}",
        "scheduled_at": moment,
        "time": moment + timedelta(microseconds=250_000),
        "interval": 60.0,
        "outcome": Outcome.UP,
        "http_status": 200,
        "response_time": 0.125,
        "total_time": 0.25,
    }
    return CheckResult(**(values | changes))


@dataclasses.dataclass
class Program:
    """A webmon that runs."""

    process: "subprocess.Popen[str]"
    log: Path

    def said(self) -> str:
        """Give what it logged so far."""
        return self.log.read_text(encoding="utf-8")

    def wait_for_line(self, text: str, seconds: float = 60) -> None:
        """Wait until it logs a text; fail with all that it logged when it does not, or when it ends before."""
        deadline = time.monotonic() + seconds
        while True:
            has_ended = self.process.poll() is not None  # before it is read: the line may be its last
            if text in self.said():
                return
            if has_ended or time.monotonic() > deadline:
                pytest.fail(f"no {text!r} in:\n{self.said()}")
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> float:
        """Signal it and wait for its end; give the seconds that took."""
        began = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=30)
        return time.monotonic() - began


class Stage:
    """What one test may do."""

    def __init__(self, services: Services, directory: Path) -> None:
        """Take the services and a directory for files; nothing is made on the services yet."""
        self.services = services
        self.directory = directory
        self.name = f"it_{secrets.token_hex(4)}"
        self.table = self.name
        self.topic = self.name.replace("_", "-")
        self.roles = [f"{self.name}_sink", f"{self.name}_reader", f"{self.name}_alarm"]
        self._certificates: dict[str, tuple[Path, Path]] = {}
        self._issuing = threading.Lock()
        """A bench publishes from several threads, and the first of each asks for the same certificate."""
        self._running: list[Program] = []
        self._others: contextlib.ExitStack = contextlib.ExitStack()

    def certificate(self, unit: str) -> tuple[Path, Path]:
        """Give a certificate of a unit, and its key; `principals` says who that is to Kafka."""
        with self._issuing:
            if unit not in self._certificates:
                self._certificates[unit] = self.services.issue(self.directory, unit)
            return self._certificates[unit]

    def way_to_kafka(self, pair: tuple[Path, Path]) -> dict[str, str]:
        """Give the variables by which a component reaches the topic, with a certificate and its key."""
        return {
            "KAFKA_HOST": self.services.kafka_host,
            "KAFKA_PORT": str(self.services.kafka_port),
            "KAFKA_TOPIC_NAME": self.topic,
            "KAFKA_ACCESS_CERTIFICATE": str(pair[0]),
            "KAFKA_ACCESS_KEY": str(pair[1]),
            "KAFKA_CA_CERTIFICATE": str(self.services.ca),
        }

    def env_file(self, component: str, **changes: str | None) -> Path:
        """Write a component's .env, with changes (None: leave it out); give its path."""
        services = self.services
        role, password = {
            "init": (services.owner, services.owner_password),
            "sink": (self.roles[0], SINK_PASSWORD),
            "report": (self.roles[1], READER_PASSWORD),
            "alarm": (self.roles[2], ALARM_PASSWORD),
        }[component]
        unit = {"init": "init", "alarm": "alarm"}.get(component, "sink")
        values: dict[str, str | None] = {
            **self.way_to_kafka(self.certificate(unit)),
            "KAFKA_GROUP_ID": self.topic,
            "KAFKA_ALARM_GROUP_ID": f"{self.topic}.alarms",
            "POSTGRES_HOST": services.postgres_host,
            "POSTGRES_PORT": str(services.postgres_port),
            "POSTGRES_DATABASE": services.database,
            "POSTGRES_USER": role,
            "POSTGRES_PASSWORD": password,
            "POSTGRES_SSL": "verify-full",
            "POSTGRES_CHANNEL_BINDING": "require",
            "POSTGRES_CA_CERTIFICATE": str(services.ca),
            "POSTGRES_TABLE": self.table,
            "SINK_BATCH_SECS": "0.2",
            "SINK_METRICS_ADDRESS": "off",
            "ALARM_METRICS_ADDRESS": "off",
            "KAFKA_TOPIC_PARTITIONS": "3",
            "KAFKA_TOPIC_REPLICATION": "1",
            "KAFKA_AGENT_PRINCIPALS": ",".join(principals("agent")),
            "KAFKA_SINK_PRINCIPALS": "User:webmon-sink",
            "POSTGRES_SINK_USER": self.roles[0],
            "POSTGRES_SINK_PASSWORD": SINK_PASSWORD,
            "POSTGRES_READER_USER": self.roles[1],
            "POSTGRES_READER_PASSWORD": READER_PASSWORD,
        }
        path = self.directory / f"{component}-{secrets.token_hex(3)}.env"
        path.touch(0o600)
        lines = [f"{name}={_quoted(value)}\n" for name, value in (values | changes).items() if value is not None]
        path.write_text("".join(lines), encoding="utf-8")
        return path

    @property
    def with_alarms(self) -> dict[str, str | None]:
        """Give what init has in a fleet that has alarms and a page."""
        return {
            "KAFKA_ALARM_PRINCIPALS": ",".join(principals("alarm")),
            "KAFKA_PAGE_PRINCIPALS": ",".join(principals("page")),
            "POSTGRES_ALARM_USER": self.roles[2],
            "POSTGRES_ALARM_PASSWORD": ALARM_PASSWORD,
        }

    def run(self, command: str, *arguments: str, **changes: str | None) -> "subprocess.CompletedProcess[str]":
        """Run `webmon COMMAND` to its end."""
        component = {"status": "report", "retention": "init", "revoke": "init", "reread": "init"}.get(command, command)
        return self._run([command, "--env-file", str(self.env_file(component, **changes)), *arguments])

    def _run(self, arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            _webmon(arguments),
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            timeout=60,
            env=_environment(),
        )

    def doctor(self, component: str, **changes: str | None) -> "subprocess.CompletedProcess[str]":
        """Run `webmon doctor` on a component's .env."""
        return self._run(["doctor", component, "--env-file", str(self.env_file(component, **changes))])

    def status(self, *arguments: str) -> str:
        """Run `webmon status`; give what it printed."""
        return self.answer("status", *arguments)

    def answer(self, *arguments: str) -> str:
        """Run a command that reports; give what it printed."""
        done = self.ask(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command that reports to its end."""
        return self._run([*arguments, "--env-file", str(self.env_file("report"))])

    def ask_as(self, env_file: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command to its end with a .env."""
        return self._run([*arguments, "--env-file", str(env_file)])

    def letters(self, *arguments: str, component: str = "init") -> "subprocess.CompletedProcess[str]":
        """Run `webmon dead-letters` with an administrator's .env, or another component's."""
        return self._run(["dead-letters", *arguments, "--env-file", str(self.env_file(component))])

    def init(self, **changes: str | None) -> list[str]:
        """Run `webmon init`, which must succeed; give its lines."""
        done = self.run("init", **changes)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def start_sink(self, *, notify_socket: Path | None = None, **changes: str | None) -> Program:
        """Start `webmon sink`, as systemd does where a socket is given; it is ended with the test."""
        command = _webmon(["sink", "--env-file", str(self.env_file("sink", **changes))])
        return self.start(command, "sink", notify_socket=notify_socket)

    def start(self, command: Sequence[str], name: str, *, notify_socket: Path | None = None) -> Program:
        """Start a program, as systemd does where a socket is given; it is ended with the test."""
        log = self.directory / f"{name}-{secrets.token_hex(3)}.log"
        with log.open("w", encoding="utf-8") as out:
            process = subprocess.Popen(
                command,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                env=_environment() | ({"NOTIFY_SOCKET": str(notify_socket)} if notify_socket else {}),
            )
        program = Program(process, log)
        self._running.append(program)
        return program

    def settings(self, component: str, **changes: str | None) -> Any:
        """Load a component's settings as the program would."""
        kinds: dict[str, Any] = {
            "init": InitSettings,
            "sink": SinkSettings,
            "report": ReportSettings,
            "alarm": AlarmSettings,
        }
        return load(kinds[component], self.env_file(component, **changes))

    @contextlib.contextmanager
    def database(self, role: str | None = None, password: str | None = None) -> Iterator[Any]:
        """Give a cursor in the database, as the owner or as a role; each statement commits by itself."""
        connection = psycopg2.connect(
            host=self.services.postgres_host,
            port=self.services.postgres_port,
            dbname=self.services.database,
            user=role or self.services.owner,
            password=password or self.services.owner_password,
            sslmode="require",
        )
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement as the owner: {t} is the table; {t_targets} and so on are those made from it."""
        # The driver looks for % in names too where a statement has values.
        table = Tables(self.table.replace("%", "%%") if values else self.table)
        names = {f"t_{what}": sql.Identifier(name) for what, name in table.names.items()}
        names["t"] = sql.Identifier(table.metrics)
        with self.database() as cursor:
            cursor.execute(sql.SQL(statement).format(**names), values or None)
            return cursor.fetchall() if cursor.description else []

    def remember(self, records: Iterable[Record]) -> None:
        """Write records of the alarm log into the history, as the judge's role would."""
        with self.database() as cursor:
            for row in map(row_of, records):
                statement = Tables(self.table).fill(upsert(row.table), with_values=True)
                execute_values(cursor, statement, [row.values])
            cursor.execute(Tables(self.table).fill("UPDATE {alarm_position} SET written = now()"))

    def count(self) -> int:
        """Give how many rows are stored."""
        return int(self.sql("SELECT count(*) FROM {t}")[0][0])

    def kafka_settings(self, unit: str) -> Kafka:
        """Give settings with a certificate of a unit."""
        certificate, key = self.certificate(unit)
        loaded: InitSettings = self.settings(
            "init", KAFKA_ACCESS_CERTIFICATE=str(certificate), KAFKA_ACCESS_KEY=str(key)
        )
        return loaded.kafka

    def producer(self, unit: str = "agent") -> Any:
        """Give a producer, ended with the test."""
        made = KafkaProducer(**client.producer_args(self.kafka_settings(unit)), max_request_size=64_000_000)
        self._others.callback(made.close, timeout=5)
        return made

    def publish(
        self,
        values: Sequence[CheckResult | bytes | None],
        *,
        producer: Any = None,
        headers: Sequence[tuple[str, bytes]] = tuple(headers()),
    ) -> None:
        """Send messages as an agent and wait until Kafka has them."""
        sender = producer or self.producer()
        futures = [
            sender.send(
                self.topic,
                key=value.target.encode() if isinstance(value, CheckResult) else b"key",
                value=encode(value) if isinstance(value, CheckResult) else value,
                headers=list(headers),
            )
            for value in values
        ]
        for future in futures:
            future.get(timeout=20)

    def dead_letters(self, count: int) -> list[Any]:
        """Read the dead-letter topic from its beginning until it gave that many records."""
        ours = self.kafka_settings("init")
        consumer = KafkaConsumer(ours.dead_letter_topic, **(client.consumer_args(ours) | {"group_id": None}))
        found: list[Any] = []
        until = time.monotonic() + 60
        try:
            while len(found) < count and time.monotonic() < until:
                for records in consumer.poll(timeout_ms=500, max_records=count - len(found)).values():
                    found += records
        finally:
            consumer.close()
        return found

    def let_write(self, unit: str, allowed: bool) -> None:
        """Give a unit's principals the right to write the topic, or take it away."""
        self._let(unit, ACLOperation.WRITE, ResourceType.TOPIC, allowed)

    def let_read(self, what: str, allowed: bool) -> None:
        """Give sinks the right to read the `topic`, or to read as the `group`, or take it away."""
        self._let("sink", ACLOperation.READ, ResourceType[what.upper()], allowed)

    def _let(self, unit: str, operation: ACLOperation, kind: ResourceType, allowed: bool) -> None:
        pattern = ResourcePattern(kind, self.topic, ACLResourcePatternType.LITERAL)
        rights = [ACL(who, "*", operation, ACLPermissionType.ALLOW, pattern) for who in principals(unit)]
        with self.admin() as admin:
            if allowed:
                assert admin.create_acls(rights)["failed"] == []
            else:
                admin.delete_acls(rights)

    @contextlib.contextmanager
    def admin(self) -> Iterator[Any]:
        """Give an administrator of the cluster."""
        admin = KafkaAdminClient(**client.admin_args(self.kafka_settings("init")))
        try:
            yield admin
        finally:
            admin.close()

    def limit_messages(self, topic: str, most: int) -> None:
        """Set the bytes that a message of a topic may have."""
        limit = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"max.message.bytes": str(most)})
        with self.admin() as admin:
            answer = admin.alter_configs([limit], incremental=True)
        assert answer["topic"][topic] == "OK", answer

    def committed(self) -> int:
        """Give how many records the group has behind it, over all partitions."""
        with self.admin() as admin:
            try:
                offsets = admin.list_group_offsets({self.topic: None})[self.topic]
            except kafka_errors.CoordinatorNotAvailableError:  # a new broker, whose first group this is
                return 0
        return sum(offset.offset for partition, offset in offsets.items() if partition.topic == self.topic)

    def members(self) -> dict[str, Any]:
        """Give what each member of the group has."""
        with self.admin() as admin:
            while True:
                with contextlib.suppress(kafka_errors.CoordinatorNotAvailableError):  # of a broker that just started
                    group = admin.describe_groups([self.topic])[self.topic]
                    return {member["member_id"]: member["member_assignment"] for member in group["members"]}
                time.sleep(0.2)

    def remove(self) -> None:
        """Leave nothing on the services."""
        for program in self._running:
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait()
        self._others.close()
        self._remove_from_kafka()
        for tries_left in reversed(range(_TRIES)):
            try:
                self._remove_from_database()
                break
            # Two that take rights of one database at a moment are told so by an internal error.
            except (psycopg2.errors.InternalError_, psycopg2.errors.DeadlockDetected):
                if not tries_left:
                    raise

    def _remove_from_kafka(self) -> None:
        with self.admin() as admin:
            topics = [name for name in admin.list_topics() if name.startswith(self.topic)]
            if topics:
                admin.delete_topics(topics)
            for kind, name in (
                (ResourceType.TOPIC, self.topic),
                *((ResourceType.TOPIC, f"{self.topic}.{one}") for one in ("dead-letters", "alarms", "orders")),
                (ResourceType.GROUP, self.topic),
                (ResourceType.GROUP, f"{self.topic}.alarms"),
            ):
                pattern = ResourcePatternFilter(kind, name, ACLResourcePatternType.LITERAL)
                admin.delete_acls([ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, pattern)])
            with contextlib.suppress(kafka_errors.GroupIdNotFoundError, kafka_errors.CoordinatorNotAvailableError):
                admin.delete_groups([self.topic])
                admin.delete_groups([f"{self.topic}.alarms"])

    def _remove_from_database(self) -> None:
        with self.database() as cursor:
            tables = Tables(self.table)
            for what in (*TABLES, "metrics"):
                cursor.execute(tables.fill(f"DROP TABLE IF EXISTS {{{what}}} CASCADE"))
            cursor.execute(tables.fill("DROP TYPE IF EXISTS {outcome} CASCADE"))
            for what in ("bucket_of", "percentile", "roll_up"):
                cursor.execute(tables.fill(f"DROP FUNCTION IF EXISTS {{{what}}}"))
            for role in self.roles:
                cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
                if cursor.fetchone():
                    name = sql.Identifier(role)
                    cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(name))
                    cursor.execute(sql.SQL("DROP OWNED BY {}").format(name))
                    cursor.execute(sql.SQL("DROP ROLE {}").format(name))


def _quoted(value: str) -> str:
    """Quote a value for the .env, so that nothing in it is expanded."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("${", "${:-$}{")
    return f"'{escaped}'"


def _webmon(arguments: Sequence[str]) -> list[str]:
    return [str(Path(sys.executable).with_name("webmon")), *arguments]


def _environment() -> dict[str, str]:
    """Give the test's own environment without what would win over the .env."""
    variables = ("KAFKA_", "POSTGRES_", "MONITORING_", "SINK_", "ALARM_", "PAGE_")
    own = (*variables, "_WORKSPACE_PATH", "NOTIFY_SOCKET", "JOURNAL_STREAM")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}
