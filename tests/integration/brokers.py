"""Three brokers, installed by the role kafka on hosts of their own in the test lab: they can lose one and go on."""

import contextlib
import dataclasses
import subprocess
import sys
from pathlib import Path

import yaml
from kafka import errors as kafka_errors

from tests.integration.services import ROOT, Services
from tests.integration.stage import Stage
from tests.lab.demo import lab_hosts
from tests.waiting import wait_until

_HERE = Path(__file__).parent / "cluster"
_LAB = str(ROOT / "tests/lab/lab")


class Brokers:
    """Three brokers of one cluster."""

    def __init__(self, services: Services) -> None:
        """Take the services of the lab, whose authority and database serve these brokers too."""
        net = services.kafka_host.rpartition(".")[0]
        hosts = yaml.safe_load((_HERE / "hosts.yml").read_text(encoding="utf-8"))
        self._hosts = lab_hosts(hosts)
        self.addresses = {
            name: f"{net}.{at['ansible_host'].rpartition('.')[2]}"
            for name, at in hosts["all"]["children"]["lab"]["hosts"].items()
        }
        """By name; the order gives their ids, from 1."""
        self.services = dataclasses.replace(services, kafka_host=",".join(self.addresses.values()), broker_commands={})

    def install(self, log: Path) -> "subprocess.Popen[bytes]":
        """Begin to boot the hosts and to install the brokers on them."""
        playbook = [
            str(Path(sys.executable).with_name("ansible-playbook")),
            *("-i", str(ROOT / "inventory/lab"), "-i", str(_HERE / "hosts.yml"), str(_HERE / "brokers.yml")),
        ]
        command = ["sh", "-c", '"$0" up $1 && shift && exec "$@"', _LAB, " ".join(self._hosts), *playbook]
        with log.open("wb") as out:
            return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def remove(self) -> None:
        """Delete the hosts."""
        subprocess.run([_LAB, "down", *self.addresses], check=True, timeout=120)

    def tell(self, name: str, command: str) -> None:
        """Run a command on one of the hosts."""
        subprocess.run([_LAB, "ssh", name, command], check=True, timeout=60)

    def wait_until_whole(self, stage: Stage) -> None:
        """Wait until each partition of a stage's topic has all its copies."""

        def whole() -> bool:
            with contextlib.suppress(kafka_errors.KafkaError), stage.admin() as admin:
                partitions = admin.describe_topics([stage.topic])[0]["partitions"]
                return all(len(partition["isr_nodes"]) == len(self.addresses) for partition in partitions)
            return False

        wait_until(whole, "every partition with all its copies", 60)
