"""`webmon alarm` on a stage: its topics, its processes, results that a test publishes, and a receiver."""

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ACLResourcePatternType, ResourcePattern, ResourceType

from tests.integration.services import COMMON_NAME
from tests.integration.stage import Program, Stage, principals
from tests.receiver import Receiver
from tests.waiting import wait_until
from webmon.alarm.log import EPOCH
from webmon.check.result import CheckResult, Outcome
from webmon.init.acls import alarm_rights
from webmon.kafka import client

RULES = """\
defaults: {{confirm: {confirm}, recover: {confirm}, group_secs: {group}, no_data_after: 1h,
  flap_count: 1000, many: 1000}}
routes: [{{to: [hook]}}]
channels:
  hook: {{webhook: {{url: "{url}"}}}}
"""


WHO = principals("alarm")
BEFORE = f"User:CN={COMMON_NAME},OU=alarm,O=webmon"
"""Who it is to brokers whose rules are of a release before alarms."""


class Alarms:
    """Judges on a stage."""

    def __init__(self, stage: Stage, receiver: Receiver) -> None:
        """Take a stage that init prepared for alarms."""
        self.stage = stage
        self.receiver = receiver
        self.rules(RULES.format(confirm=1, group=0, url=receiver.url))
        self._producer: Any = None
        self._running: list[Program] = []
        # One that ends within days is an alarm of its own.
        self._certificate = stage.services.issue(stage.directory, "alarm", days=90)
        # Of any group, so that a test may have one that nobody is in.
        groups = ResourcePattern(ResourceType.GROUP, stage.topic, ACLResourcePatternType.PREFIXED)
        rights = [ACL(who, "*", ACLOperation.READ, ACLPermissionType.ALLOW, groups) for who in [*WHO, BEFORE]]
        for kind, name, operation in alarm_rights(stage.kafka_settings("init")):
            pattern = ResourcePattern(kind, name, ACLResourcePatternType.LITERAL)
            rights.append(ACL(BEFORE, "*", operation, ACLPermissionType.ALLOW, pattern))
        with stage.admin() as admin:
            assert admin.create_acls(rights)["failed"] == []

    @property
    def rules_path(self) -> Path:
        """The rules file."""
        return self.stage.directory / "rules.yml"

    def rules(self, text: str) -> None:
        """Write the rules file."""
        self.rules_path.write_text(text, encoding="utf-8")

    def env_file(self, **changes: str | None) -> Path:
        """Write the judge's .env."""
        values: dict[str, str | None] = {
            "KAFKA_ACCESS_CERTIFICATE": str(self._certificate[0]),
            "KAFKA_ACCESS_KEY": str(self._certificate[1]),
            "ALARM_RULES_PATH": str(self.rules_path),
        }
        return self.stage.env_file("alarm", **(values | changes))

    def start(
        self, *, program: Sequence[str] = (), notify_socket: Path | None = None, **changes: str | None
    ) -> Program:
        """Start `webmon alarm`, or a program that is one beside something else."""
        command = list(program) or [str(Path(sys.executable).with_name("webmon")), "alarm"]
        env_file = str(self.env_file(**changes))
        started = self.stage.start([*command, "--env-file", env_file], "alarm", notify_socket=notify_socket)
        self._running.append(started)
        return started

    def group(self) -> str:
        """Give a group that nobody is in: who joins it need not wait for one that was killed."""
        return f"{self.stage.topic}-{secrets.token_hex(3)}"

    def end(self) -> None:
        """Kill all that run."""
        for program in self._running:
            program.process.kill()
            program.process.wait()
        self._running.clear()

    def noted(self, target: str, state: str) -> list[str]:
        """Give the events of a target's notices that are in a state, as the log has them."""
        values = {key: json.loads(value) for key, value in self.log().items() if "/" in key}
        ours = {one["id"] for one in values.values() if one.get("subject") == target}
        notices = [one for one in values.values() if one.get("episode") in ours]
        return [one["event"] for one in notices if one.get("state", "waiting") == state]

    def publish(self, *outcomes: Outcome, target: str = "shop", agent: str = "a", interval: float = 60.0) -> datetime:
        """Let checks end now, one after the other; give when the last was, to the millisecond."""
        if self._producer is None:
            self._producer = self.stage.producer()
        for outcome in outcomes:
            now = datetime.now(UTC)
            now = now.replace(microsecond=now.microsecond // 1000 * 1000)
            one = CheckResult(
                target=target,
                url=f"https://{target}.example.org/",
                agent=agent,
                scheduled_at=now,
                time=now,
                interval=interval,
                outcome=outcome,
                total_time=0.0,
                error=None if outcome.is_up else "no answer",
            )
            self.stage.publish([one], producer=self._producer)
        return now

    def order(self, *arguments: str, **changes: str | None) -> "subprocess.CompletedProcess[str]":
        """Run `webmon alarms ...` to its end."""
        return self.stage.ask_as(self.env_file(**changes), "alarms", *arguments)

    def told(self) -> list[dict[str, Any]]:
        """Give the messages that the receiver got, in order."""
        return [json.loads(request.body) for request in list(self.receiver.requests) if request.body]

    def times(self) -> list[float]:
        """Give when each message came, in Unix time."""
        return [request.at for request in list(self.receiver.requests) if request.body]

    def of(self, target: str | None = None) -> list[dict[str, Any]]:
        """Give all that was told of a target, or of any, one by one, with `event` and `key`; none of our own."""
        return [
            one | {"key": message["key"]}
            for message in self.told()
            for one in [message, *message["others"]]
            if one["condition"] != "monitor" and target in (None, one["target"])
        ]

    def said(self, target: str | None = None) -> list[str]:
        """Give `event target` of each, those of our own left out."""
        return [f"{one['event']} {one['target']}" for one in self.of(target)]

    def wait(self, condition: Callable[[], object], what: str, seconds: float = 30) -> None:
        """Wait for something; where it does not come, say what was told."""

        def told() -> str:
            return "\n".join([f"{what}; told: {self.said()}; the judges:", *(one.said() for one in self._running)])

        wait_until(lambda: bool(condition()), told, seconds)

    def log(self) -> dict[str, bytes]:
        """Read the alarm log, the newest value under each key."""
        ours = self.stage.kafka_settings("init")
        consumer = KafkaConsumer(**(client.consumer_args(ours) | {"group_id": None}))
        try:
            partition = TopicPartition(ours.alarm_topic, 0)
            consumer.assign([partition])
            consumer.seek_to_beginning(partition)
            end = consumer.end_offsets([partition])[partition]
            values: dict[str, bytes] = {}
            while consumer.position(partition) < end:
                for records in consumer.poll(timeout_ms=1000).values():
                    values |= {record.key.decode(): record.value for record in records}
            return {key: value for key, value in values.items() if value is not None}
        finally:
            consumer.close()

    def epoch(self) -> int:
        """Give the number of the judge that the log names."""
        value = self.log().get(EPOCH)
        return int(json.loads(value)["number"]) if value else 0
