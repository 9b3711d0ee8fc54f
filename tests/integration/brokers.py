"""Brokers of the tests' own, on hosts beside the test lab's: one that tests may break, and three of one cluster.

The role kafka installs them all at once. `python -m tests.integration.brokers` does so beforehand, as `make test` does
beside something else; else the first test that asks for one of them has to wait.
"""

import contextlib
import dataclasses
import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from kafka import errors as kafka_errors

from tests.integration.services import LAB_PROGRAM, ROOT, Services, find, lab_directory
from tests.integration.stage import Stage
from tests.lab.demo import lab_hosts
from tests.waiting import wait_until

_HERE: Final = Path(__file__).parent / "cluster"


class Brokers:
    """The brokers of one group of cluster/hosts.yml: `breakable` or `cluster`."""

    def __init__(self, services: Services, group: str) -> None:
        """Take the services of the lab, whose authority and database serve these brokers too; install what is not."""
        _install(services)
        self.addresses = {name: _address(services, name) for name in _hosts()["children"][group]["hosts"]}
        """By name; the order gives their ids, from 1."""
        self.services = dataclasses.replace(services, kafka_host=",".join(self.addresses.values()))

    def tell(self, name: str, command: str) -> None:
        """Run a command on one of the hosts."""
        subprocess.run([LAB_PROGRAM, "ssh", name, command], check=True, timeout=60)

    def wait_until_whole(self, stage: Stage) -> None:
        """Wait until each partition of a stage's topic has all its copies."""

        def whole() -> bool:
            with contextlib.suppress(kafka_errors.KafkaError), stage.admin() as admin:
                partitions = admin.describe_topics([stage.topic])[0]["partitions"]
                return all(len(partition["isr_nodes"]) == len(self.addresses) for partition in partitions)
            return False

        wait_until(whole, "every partition with all its copies", 60)


def breakable(services: Services) -> Services:
    """Give the services with a broker that may be stopped, killed and frozen while other tests go on."""
    (name,) = (brokers := Brokers(services, "breakable")).addresses
    commands = {
        "stop": "systemctl stop kafka",
        "start": "systemctl start kafka",
        "freeze": "systemctl kill -s STOP kafka",
        "thaw": "systemctl kill -s CONT kafka",
        # Stopped at once, or the unit would start it again in 5 s.
        "kill": "systemctl kill -s KILL kafka; systemctl stop kafka",
    }
    told = {what: [LAB_PROGRAM, "ssh", name, command] for what, command in commands.items()}
    return dataclasses.replace(brokers.services, broker_commands=told)


def remove() -> None:
    """Delete the hosts of all of them; nothing happens where there are none."""
    subprocess.run([LAB_PROGRAM, "down", *_hosts()["children"]["lab"]["hosts"]], check=True, timeout=120)


def _hosts() -> Any:
    return yaml.safe_load((_HERE / "hosts.yml").read_text(encoding="utf-8"))["all"]


def _address(services: Services, name: str) -> str:
    net = services.kafka_host.rpartition(".")[0]
    at: str = _hosts()["children"]["lab"]["hosts"][name]["ansible_host"]
    return f"{net}.{at.rpartition('.')[2]}"


def _install(services: Services) -> None:
    """Boot the hosts and install the brokers, unless all answer; workers that ask at once wait for the first."""
    if "WEBMON_TEST_SERVICES" in os.environ:
        pytest.fail("these brokers stand in the test lab: LAB_NAME, not WEBMON_TEST_SERVICES", pytrace=False)
    with (lab_directory() / "brokers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if all(_answers(_address(services, name)) for name in _hosts()["children"]["lab"]["hosts"]):
            return
        play = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "inventory/lab"]
        for command in (
            [LAB_PROGRAM, "up", *lab_hosts({"all": _hosts()})],
            [*play, "-i", str(_HERE / "hosts.yml"), str(_HERE / "brokers.yml")],
        ):
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
            assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]


def _answers(address: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, 9093), timeout=2):
        return True
    return False


if __name__ == "__main__":
    _install(find())
