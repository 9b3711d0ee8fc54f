"""Every command of the README and of docs/ is run: here on the test lab, or by `make test` itself."""

import re
import sys
from pathlib import Path

import pytest

from tests.e2e.lab import ROOT, Lab
from tests.e2e.newcomer import Newcomer, only_looked_at, run
from tests.lab.demo import recap
from tests.readme import ON_HOSTS, block

URL = "http://web1/"
"""What stands for a user's URL here."""


def test_the_commands_for_the_controller_work_and_change_nothing_on_a_finished_lab(newcomer: Newcomer) -> None:
    played = {command: out for command, out in newcomer.said.items() if "ansible-playbook" in command}
    assert played
    for command, out in played.items():
        looked_at = only_looked_at(command)
        assert {counts[1:] if looked_at else counts for counts in recap(out).values()} == {
            (0, 0) if looked_at else (0, 0, 0)
        }, out


@pytest.mark.parametrize("command", ON_HOSTS)
def test_the_commands_for_a_host_work(lab: Lab, command: str) -> None:
    assert lab.on(ON_HOSTS[command], re.sub(r"\bURL\b", URL, command)) or command.startswith("systemctl reload")


def test_the_selects_work_for_a_reader(lab: Lab) -> None:
    for select in block("docs/reports.md", "sql").split(";")[:-1]:
        rows = lab.sql(f"SET ROLE webmon_reader; {select};")
        assert len(rows) == 10, select
        assert all(len(row) == 7 for row in rows)


def test_help_lists_what_there_is(lab: Lab, newcomer: Newcomer) -> None:
    out = run("make help", newcomer.checkout, lab)
    assert all(f"make {target}" in out for target in ("demo", "demo-down", "test", "check", "controller"))


def test_the_example_inventories_are_what_the_playbooks_expect(lab: Lab) -> None:
    playbook = Path(sys.executable).with_name("ansible-playbook")
    for name in ("example", "example-managed"):
        out = run(f"{playbook} -i inventory/{name} playbooks/site.yml --list-hosts", ROOT, lab)
        assert "sink1.example.org" in out
        assert "agent2.example.org" in out


@pytest.mark.usefixtures("targets")
def test_a_users_own_list_is_watched_beside_the_demo(lab: Lab, tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("# my own\nhttp://web1/moved-here\n")
    run(f"make demo TARGETS={mine}", ROOT, lab)
    assert "http://web1/moved-here" in lab.on("sink1", "webmon status")
