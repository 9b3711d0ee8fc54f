"""The README says what the code does: its variables and its targets file are held against it, its commands are run."""

import re
from pathlib import Path

from tests.readme import FOR_THE_CONTROLLER, MADE_BY_MAKE_TEST, ON_HOSTS, README, commands
from webmon import settings
from webmon.targets.file import check_file

ROOT = Path(__file__).parents[2]


def test_every_command_is_run_by_a_test() -> None:
    controller = [command for command in commands() if command.startswith(FOR_THE_CONTROLLER)]
    assert controller
    assert set(commands()) - set(controller) == MADE_BY_MAKE_TEST.keys() | ON_HOSTS.keys()


def test_the_table_of_variables_is_that_of_the_settings() -> None:
    found = re.search(r"<!-- variables: .* -->\n(.*?)<!-- end of variables -->", README, re.DOTALL)
    assert found
    rows = ["| `{}` | {} | {} | {} |".format(*row) for row in settings.table()]
    assert found[1].splitlines()[2:] == rows, "run: python -m webmon.settings"


def test_the_example_of_a_targets_file_has_no_fault(tmp_path: Path) -> None:
    found = re.search(r"test_readme.py -->\n```yaml\n(.*?)```", README, re.DOTALL)
    assert found
    file = tmp_path / "targets.yml"
    file.write_text(found[1])
    assert check_file(file) == 2


def test_the_lists_of_targets_that_we_ship_have_no_fault() -> None:
    assert check_file(ROOT / "files" / "targets.example.yml") == 2
    assert check_file(ROOT / "tests" / "lab" / "targets.yml") > 10
