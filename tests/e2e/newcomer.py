"""Somebody with a checkout of their own, who types what README and docs/ show for the controller, on a finished lab."""

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.e2e.lab import ROOT, Lab
from tests.readme import FOR_THE_CONTROLLER, commands

CHANGES_THE_LAB = {"playbooks/remove.yml": "test_taking_out.py"}
"""Playbooks that are only looked at here, in check mode, and where they are run."""

MAKES_ANEW = ("certificates_renew_all=true", "certificates_new_authority=true")
"""What makes a playbook change a finished lab even in check mode: test_certificates_playbook.py runs it so."""


@dataclasses.dataclass(frozen=True)
class Newcomer:
    """The checkout, and what the commands said."""

    checkout: Path
    said: Mapping[str, str]
    """The output of each, in the order of the pages."""


def follow_the_pages(lab: Lab, directory: Path) -> Newcomer:
    """Make a checkout whose inventory/mine is the test lab's, and run every command for the controller in it."""
    checkout = _checkout(directory / "webmon")
    said = {}
    for command in commands():
        if not command.startswith(FOR_THE_CONTROLLER) or command.endswith(MAKES_ANEW):
            continue
        said[command] = run(f"{command} --check" if only_looked_at(command) else command, checkout, lab)
        if command == "cp -r inventory/example inventory/mine":
            # The example names hosts that nobody has; from here on it is the lab's.
            assert (checkout / "inventory/mine/hosts.yml").exists()
            shutil.rmtree(checkout / "inventory/mine")
            shutil.copytree(checkout / "inventory/lab", checkout / "inventory/mine")
    return Newcomer(checkout, said)


def only_looked_at(command: str) -> bool:
    """Tell whether a command is run in check mode, as it would change the lab."""
    return any(playbook in command for playbook in CHANGES_THE_LAB)


def run(command: str, where: Path, lab: Lab) -> str:
    """Run a command line of the pages in a checkout; give its output."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=where,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "LAB_NAME": lab.name, "ANSIBLE_HOST_PATTERN_MISMATCH": "error"},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def _checkout(copy: Path) -> Path:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    # The built release and the fetched archive, so that the copy does not make them once more.
    (copy / "build").symlink_to(ROOT / "build")
    return copy
