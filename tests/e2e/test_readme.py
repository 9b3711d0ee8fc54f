"""Every command of the README and of docs/ is run: here on the test lab, or by `make test` itself."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.lab import ROOT, Lab
from tests.hostile import HostileServer, page
from tests.lab.demo import recap
from tests.readme import FOR_THE_CONTROLLER, ON_HOSTS, block, commands

CHANGES_THE_LAB = {"playbooks/remove.yml": "test_taking_out.py"}
"""Playbooks that are only looked at here, in check mode, and where they are run."""

MAKES_ANEW = ("certificates_renew_all=true", "certificates_new_authority=true")
"""What makes a playbook change a finished lab even in check mode: test_certificates_playbook.py runs it so."""

ELSEWHERE = ("brokers_leave=",)
"""What only more brokers than the lab has can do: test_brokers.py."""

BRINGS_BACK = ("playbooks/backup.yml", "playbooks/restore.yml", ".venv/bin/ansible-vault")
"""What docs/recovery.md has for what is gone: test_what_is_lost.py destroys hosts and runs all of them."""

STAND_FOR = {"URL": "http://web1/", "CHANNEL": "receiver"}
"""What stands for a user's own here."""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of a newcomer, whose inventory/mine will be the test lab's."""
    copy = copied(tmp_path_factory.mktemp("newcomer") / "webmon")
    (copy / ".venv").symlink_to(ROOT / ".venv")
    # The built release and the fetched archive, so that the copy does not make them once more.
    (copy / "build").symlink_to(ROOT / "build")
    return copy


def copied(copy: Path) -> Path:
    """Copy what the repository has."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    return copy


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


def test_a_fresh_venv_and_one_command_are_enough_to_watch_something(tmp_path: Path) -> None:
    checkout = copied(tmp_path / "webmon")
    *install, watch = block("README.md", "sh").splitlines()
    for command in install:
        subprocess.run(command.split(), cwd=checkout, check=True, timeout=600)
    with HostileServer(page(b"hi")) as server:
        watching = subprocess.Popen(
            [*watch.split()[:-1], server.url], cwd=checkout, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert watching.stdout is not None
        first = watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        rest, _ = watching.communicate(timeout=60)
    assert first.endswith(f"UTC  up         {server.url}\n"), first + rest
    assert rest.startswith("\n1 target: 1 up; "), rest
    assert watching.returncode == 0


def test_the_commands_for_the_controller_work_and_change_nothing_on_a_finished_lab(lab: Lab, checkout: Path) -> None:
    for command in commands():
        if not command.startswith(FOR_THE_CONTROLLER) or command.endswith(MAKES_ANEW):
            continue
        if any(word in command for word in (*BRINGS_BACK, *ELSEWHERE)):
            continue
        looked_at = any(playbook in command for playbook in CHANGES_THE_LAB)
        out = run(f"{command} --check" if looked_at else command, checkout, lab)
        if command == "cp -r inventory/example inventory/mine":
            # The example names hosts that nobody has; from here on it is the lab's.
            assert (checkout / "inventory/mine/hosts.yml").exists()
            shutil.rmtree(checkout / "inventory/mine")
            shutil.copytree(checkout / "inventory/lab", checkout / "inventory/mine")
            shutil.copytree(checkout / "inventory/example/files", checkout / "inventory/mine/files")
        if "ansible-playbook" in command:
            assert {counts[1:] if looked_at else counts for counts in recap(out).values()} == {
                (0, 0) if looked_at else (0, 0, 0)
            }, out


@pytest.mark.parametrize("command", ON_HOSTS)
def test_the_commands_for_a_host_work(lab: Lab, command: str) -> None:
    typed = re.sub("|".join(rf"\b{word}\b" for word in STAND_FOR), lambda found: STAND_FOR[found[0]], command)
    assert lab.on(ON_HOSTS[command], typed) or command.startswith("systemctl reload")


def test_the_selects_work_for_a_reader(lab: Lab) -> None:
    for select in block("docs/reports.md", "sql").split(";")[:-1]:
        rows = lab.sql(f"SET ROLE webmon_reader; {select};")
        assert len(rows) == 10, select
        assert all(len(row) == 7 for row in rows)


def test_help_lists_what_there_is(lab: Lab, checkout: Path) -> None:
    out = run("make help", checkout, lab)
    assert all(f"make {target}" in out for target in ("demo", "demo-down", "test", "check", "controller"))


def test_the_example_inventories_are_what_the_playbooks_expect(lab: Lab) -> None:
    playbook = Path(sys.executable).with_name("ansible-playbook")
    for name in ("example", "example-managed", "example-sasl"):
        out = run(f"{playbook} -i inventory/{name} playbooks/site.yml --list-hosts", ROOT, lab)
        assert "sink1.example.org" in out
        assert "agent2.example.org" in out


@pytest.mark.usefixtures("targets")
def test_a_users_own_list_is_watched_beside_the_demo(lab: Lab, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("# my own\nhttp://web1/moved-here\n")
    run(f"make demo TARGETS={mine}", ROOT, lab)
    assert "http://web1/moved-here" in lab.on("sink1", "webmon status")
