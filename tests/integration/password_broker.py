"""A broker that knows its clients by user and password: one more process on the lab's Kafka host."""

import base64
import dataclasses
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.integration.services import ROOT, Services
from tests.integration.stage import Stage
from webmon.settings import InitSettings, Kafka

PLAIN_PORT: Final = 9193
"""Takes PLAIN alone."""
SCRAM_PORT: Final = 9194
"""Takes SCRAM-SHA-256 and SCRAM-SHA-512."""
PASSWORDS: Final = {user: f"{user}'s = #1 word" for user in ("init", "agent", "sink")}
"""By user; init may do everything."""
_UNIT: Final = "webmon-password-broker"
_DIRECTORY: Final = f"/run/{_UNIT}"
_JAVA: Final = "/usr/bin/java -Xmx160m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '/opt/kafka/current/libs/*'"
_LOGIN: Final = "org.apache.kafka.common.security"
_PLAIN_USERS: Final = " ".join(f'user_{user}="{password}"' for user, password in PASSWORDS.items())
_SETTINGS: Final = f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9195
listeners=BY_PLAIN://:{PLAIN_PORT},BY_SCRAM://:{SCRAM_PORT},CONTROLLER://127.0.0.1:9195,OWN://127.0.0.1:9196
advertised.listeners=BY_PLAIN://HOST:{PLAIN_PORT},BY_SCRAM://HOST:{SCRAM_PORT},OWN://127.0.0.1:9196
listener.security.protocol.map=BY_PLAIN:SASL_SSL,BY_SCRAM:SASL_SSL,CONTROLLER:PLAINTEXT,OWN:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=OWN
log.dirs={_DIRECTORY}/data
ssl.keystore.type=PEM
ssl.keystore.location=/etc/kafka/tls/keystore.pem
listener.name.by_plain.sasl.enabled.mechanisms=PLAIN
listener.name.by_plain.plain.sasl.jaas.config={_LOGIN}.plain.PlainLoginModule required {_PLAIN_USERS};
listener.name.by_scram.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
listener.name.by_scram.scram-sha-256.sasl.jaas.config={_LOGIN}.scram.ScramLoginModule required;
listener.name.by_scram.scram-sha-512.sasl.jaas.config={_LOGIN}.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:init;User:ANONYMOUS
allow.everyone.if.no.acl.found=false
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=2
background.threads=2
"""


class PasswordBroker:
    """The process, from its start to its end."""

    def __init__(self, services: Services) -> None:
        """Take the services of the lab, whose certificate and database serve this broker too."""
        self.services = dataclasses.replace(services, kafka_port=SCRAM_PORT, broker_commands={})

    def start(self) -> None:
        """Make its storage, with the users of SCRAM, and start it; it answers soon after."""
        settings = _SETTINGS.replace("HOST", self.services.kafka_host).encode()
        scram = " ".join(
            f"""--add-scram {_quoted(f'{mechanism}=[name="{user}",password="{password}"]')}"""
            for user, password in PASSWORDS.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        )
        cluster = base64.urlsafe_b64encode(os.urandom(16)).decode().rstrip("=")
        self.stop()
        self._tell(f"install -d -m 700 -o kafka {_DIRECTORY} && cat > {_DIRECTORY}/settings", settings)
        self._tell(
            f"runuser -u kafka -- {_JAVA} kafka.tools.StorageTool format --cluster-id={cluster} "
            f"--config {_DIRECTORY}/settings {scram}"
        )
        self._tell(
            f"systemd-run --quiet --collect --unit={_UNIT} --property=User=kafka --property=WorkingDirectory=/tmp "
            f"{_JAVA} kafka.Kafka {_DIRECTORY}/settings"
        )

    def stop(self) -> None:
        """End it, and leave nothing of it."""
        self._tell(f"systemctl stop {_UNIT} 2>/dev/null; rm -rf {_DIRECTORY}")

    def _tell(self, command: str, data: bytes = b"") -> None:
        program = [str(ROOT / "tests/lab/lab"), "ssh", "kafka1", command]
        done = subprocess.run(program, input=data, capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


class PasswordStage(Stage):
    """A stage on that broker: each unit logs in as the user of its name."""

    said_by_init: Sequence[str] = ()

    def way(self, user: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """Give the variables by which a user reaches the broker."""
        return {
            "KAFKA_HOST": self.services.kafka_host,
            "KAFKA_PORT": str(PLAIN_PORT if mechanism == "PLAIN" else SCRAM_PORT),
            "KAFKA_TOPIC_NAME": self.topic,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": PASSWORDS[user],
            "KAFKA_CA_CERTIFICATE": str(self.services.ca),
        }

    def env_file(self, component: str, **changes: str | None) -> Path:
        """Write a component's .env without a certificate of ours."""
        ours: dict[str, str | None] = {
            **self.way("init" if component == "init" else "sink"),
            "KAFKA_ACCESS_CERTIFICATE": None,
            "KAFKA_ACCESS_KEY": None,
            "KAFKA_AGENT_PRINCIPALS": "User:agent",
            "KAFKA_SINK_PRINCIPALS": "User:sink",
        }
        return super().env_file(component, **(ours | changes))

    def kafka_settings(self, unit: str, mechanism: str = "SCRAM-SHA-512") -> Kafka:
        """Give settings with the user of a unit."""
        loaded: InitSettings = self.settings("init", **self.way(unit, mechanism))
        return loaded.kafka


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
