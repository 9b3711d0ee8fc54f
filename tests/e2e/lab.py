"""A running lab as the end-to-end tests see it: hosts, playbooks, the store."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.lab.demo import recap

ROOT = Path(__file__).parents[2]
_PLAY = (str(Path(sys.executable).with_name("ansible-playbook")), "-i")
_CLEAN = (
    *("env", "-i", "-C", "/root", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "LANG=C.UTF-8"),
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
)
"""What a login has."""


@dataclasses.dataclass(frozen=True)
class Lab:
    """A running lab; LAB_NAME names it, as for tests/lab/lab."""

    name: str

    def do(self, *arguments: str) -> str:
        """Run a verb of tests/lab/lab; give what it printed."""
        return self._run([str(ROOT / "tests/lab/lab"), *arguments])

    def on(self, host: str, command: str) -> str:
        """Run a shell command on a host as root, which must be up; give what it printed."""
        return self.do(*_inside(host, command))

    @property
    def directory(self) -> Path:
        """Where the lab keeps its keys and secrets on this machine."""
        return Path(os.environ.get("LAB_ROOT", "/var/lib/webmon-lab")) / "labs" / self.name

    def log_in(self, host: str, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a shell command by SSH, whatever its exit status, on a host that is about to go or to come.

        A process that entered from outside would keep it from going: systemd-shutdown stops all that is in there for a
        moment, nsenter stops with what it began, and then nobody reaps that.
        """
        return self._call([str(ROOT / "tests/lab/lab"), "ssh", host, command])

    def try_on(self, host: str, command: str, typed: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a shell command on a host as root, whatever its exit status; `typed` is its standard input."""
        return self._call([str(ROOT / "tests/lab/lab"), *_inside(host, command)], typed)

    def play(self, playbook: str, *arguments: str, inventory: str = "inventory/lab") -> dict[str, tuple[int, int, int]]:
        """Run a playbook; give the recap of its hosts: changed, unreachable, failed."""
        found = recap(self._run([*_PLAY, inventory, playbook, *arguments]))
        found.pop("localhost", None)  # which looks at the inventory
        assert found, "no host in the recap"
        return found

    def output(self, playbook: str, *arguments: str) -> str:
        """Run a playbook on the lab; give what it printed."""
        return self._run([*_PLAY, "inventory/lab", playbook, *arguments])

    def try_play(
        self, playbook: str, *arguments: str, inventory: str = "inventory/lab"
    ) -> "subprocess.CompletedProcess[str]":
        """Run a playbook, whatever its exit status."""
        return self._call([*_PLAY, inventory, playbook, *arguments])

    def sql(self, query: str) -> list[list[str]]:
        """Ask the store as its superuser on db1; give rows of text."""
        out = self.on("db1", f"runuser -u postgres -- psql -d webmon -XqAtF '|' <<'SQL'\n{query}\nSQL")
        return [line.split("|") for line in out.splitlines()]

    def status(self) -> Any:
        """Give what `webmon status --json` says on sink1."""
        return json.loads(self.on("sink1", "webmon status --json"))

    def environment(self) -> dict[str, str]:
        """Give what playbooks run with."""
        # Without the last a play that matches no host is green.
        return {**os.environ, "LAB_NAME": self.name, "ANSIBLE_HOST_PATTERN_MISMATCH": "error"}

    def _call(self, command: list[str], typed: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            input=typed,
            timeout=1800,
            env=self.environment(),
        )

    def _run(self, command: list[str]) -> str:
        done = self._call(command)
        if done.returncode:
            pytest.fail(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout


def _inside(host: str, command: str) -> list[str]:
    """Give the verb of tests/lab/lab for it: a log-in by SSH, which the playbooks prove, takes ten times as long."""
    return ["sh", host, *_CLEAN, "bash", "-c", command]
