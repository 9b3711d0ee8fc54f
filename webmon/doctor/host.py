"""All components of a host, one after the other, each as its own user and with what its unit gives it."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from webmon.doctor.finding import Finding, Level, failed
from webmon.errors import UserError
from webmon.settings import Component

_SETTINGS: Final = Path("/etc/webmon")
_SERVICES: Final = ("agent", "sink", "alarm")
"""Components that run all the time."""
_WANTED: Final = Path("/etc/systemd/system/multi-user.target.wants")
"""What is enabled, and so to run from the boot on."""
_PATIENCE_SECS: Final = 120.0


@dataclass(frozen=True)
class _Patient:
    name: str
    component: str
    environment: tuple[str, ...] = ()


def examine() -> Iterator[tuple[str, Finding]]:
    """Give each component's findings, with its name; several agents or sinks have a name each.

    Raises:
        UserError: this is not root, or no component is installed here.
    """
    if os.geteuid() != 0:
        raise UserError(
            "checking a whole host needs root, who can become each component's user; right would be sudo webmon "
            "doctor, or webmon doctor COMPONENT as its user"
        )
    there = [component for component in get_args(Component) if (_SETTINGS / component / ".env").exists()]
    if not there:
        raise UserError(f"no component of webmon is installed here: {_SETTINGS} has no .env of one")
    for component in there:
        patients = list(_running(component)) if component in _SERVICES else [_Patient(component, component)]
        missing = _missing(component, {patient.name for patient in patients}) if component in _SERVICES else []
        for name in missing:
            yield name, failed("service", f"does not run: see systemctl status webmon-{name}")
        if not patients and not missing:
            yield (
                component,
                failed("service", f"none runs: see systemctl status 'webmon-{component}*'"),
            )
        for patient in patients or [_Patient(component, component)]:
            for finding in _ask(patient):
                yield patient.name, finding


def _missing(component: str, running: Container[str]) -> list[str]:
    """Give the services of a component that are enabled and do not run: of several agents it may be one."""
    names = [unit.name.removeprefix("webmon-").removesuffix(".service") for unit in _WANTED.glob("webmon-*.service")]
    return sorted(name for name in names if name.partition("@")[0] == component and name not in running)


def _running(component: str) -> Iterator[_Patient]:
    """Give the units of a component that systemd knows, with the variables that each has beside the .env."""
    shown = subprocess.run(
        [
            "systemctl",
            "show",
            "--property=Id,ActiveState,Environment",
            f"webmon-{component}.service",
            f"webmon-{component}@*",
        ],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    for unit in shown.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line)
        name = values.get("Id", "").removeprefix("webmon-").removesuffix(".service")
        if name and values.get("ActiveState") in ("active", "reloading"):
            yield _Patient(name, component, tuple(shlex.split(values.get("Environment", ""))))


def _ask(patient: _Patient) -> Iterator[Finding]:
    component = patient.component
    env_file = _SETTINGS / component / ".env"
    command = ["runuser", "-u", f"webmon-{component}", "--", "env", *patient.environment]
    command += [sys.argv[0], "doctor", component, "--env-file", str(env_file), "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE_SECS, cwd="/")
        told = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        yield failed("doctor", f"did not finish within {_PATIENCE_SECS:.0f} s")
    except ValueError:
        yield failed("doctor", f"could not be asked: {' '.join(done.stderr.split())}")
    else:
        yield from (Finding(Level(one["level"]), one["subject"], one["text"]) for one in told)
