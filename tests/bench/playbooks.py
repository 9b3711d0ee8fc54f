"""What the playbooks take on the lab of seven hosts, each beside a ping of all hosts."""

import contextlib
import importlib.metadata
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import yaml

from tests.bench.figures import Bench, Figure
from tests.e2e.lab import Lab
from tests.lab.steps import TOP

_HOST: Final = "more1"
_PINGS: Final = 3


def figures() -> Iterator[Figure]:
    """Run the playbooks as an operator does."""
    lab = Lab(os.environ["LAB_NAME"])
    ping = statistics.median(_ping(lab) for _ in range(_PINGS))
    yield Figure("ansible all -m ping", ping, "s", note=f"median of {_PINGS}, seven hosts")

    began = time.monotonic()
    again = lab.play("playbooks/site.yml")
    took = time.monotonic() - began
    yield Figure("site.yml again on the finished lab", took, "s", at_most=60)
    yield Figure("what it changes", sum(changed for changed, _, _ in again.values()), "tasks", at_most=0)
    yield _to_ping("site.yml again", took, ping)

    with _one_more_target(lab):
        took = _seconds(lab, "playbooks/targets.yml")
    yield Figure("targets.yml, a changed list for three agents", took, "s", at_most=15)
    yield _to_ping("targets.yml", took, ping)

    with _one_more_host(lab) as inventory:
        only = ("--inventory", str(inventory), "--limit", _HOST)
        took = _seconds(lab, "playbooks/agents.yml", *only)
        yield Figure("one more agent, agents.yml on a fresh host", took, "s", at_most=45)
        yield _to_ping("one more agent", took, ping)
        took = _seconds(lab, "playbooks/remove.yml", *only)
        yield Figure("taking it out again, remove.yml", took, "s")


def _to_ping(what: str, seconds: float, ping: float) -> Figure:
    return Figure(f"{what}, to a ping", seconds / ping, "ratio")


def _ping(lab: Lab) -> float:
    ansible = Path(sys.executable).with_name("ansible")
    began = time.monotonic()
    subprocess.run(
        [ansible, "--inventory", "inventory/lab", "all", "--module-name", "ansible.builtin.ping"],
        cwd=TOP,
        env={**os.environ, "LAB_NAME": lab.name},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - began


def _seconds(lab: Lab, playbook: str, *arguments: str) -> float:
    began = time.monotonic()
    lab.play(playbook, *arguments)
    return time.monotonic() - began


@contextlib.contextmanager
def _one_more_target(lab: Lab) -> Iterator[None]:
    """Change the lab's list; put it back afterwards."""
    path = lab.directory / "targets.yml"
    before = path.read_text()
    path.write_text(before + "  - {name: one-more, url: 'http://web1/one-more'}\n")
    try:
        yield
    finally:
        path.write_text(before)
        lab.play("playbooks/targets.yml")


@contextlib.contextmanager
def _one_more_host(lab: Lab) -> Iterator[Path]:
    """Boot a host that has nothing of ours; give an inventory in which it is an agent."""
    lab.do("up", f"{_HOST}=42:trixie")
    groups = {"lab": {"hosts": {_HOST: {"ansible_host": "{{ lab_net }}.42"}}}, "agents": {"hosts": {_HOST: {}}}}
    try:
        with tempfile.TemporaryDirectory() as directory:
            inventory = Path(directory, "more.yml")
            inventory.write_text(yaml.safe_dump({"all": {"children": groups}}))
            yield inventory
    finally:
        lab.do("down", _HOST)


def versions() -> Mapping[str, str]:
    """Give what ran them."""
    return {"ansible-core": importlib.metadata.version("ansible-core")}


BENCH: Final = Bench(figures, versions)
