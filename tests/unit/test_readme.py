"""README and docs/ say what there is: commands, links, paths, variables, the example and the picture are held to it."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.readme import (
    FOR_THE_CONTROLLER,
    IN_A_TEST,
    MADE_BY_MAKE_TEST,
    ON_HOSTS,
    PAGES,
    ROOT,
    block,
    commands,
    links,
    missing_tests,
)
from tests.unit.test_rooms import ORDER
from webmon import settings
from webmon.targets.file import check_file

GIVEN_BY_THE_USER = ("inventory/mine", "files/")
"""Where paths begin that pages name and a fresh checkout does not have."""

MADE_INTO_ANOTHER = "tests/bench/scale.md"
"""What docs/scale.md is filled in from: its links count there."""


def _marked(page: str, begin: str, end: str) -> str:
    found = re.search(rf"<!-- {begin} -->\n(.*?)<!-- {end} -->", PAGES[page], re.DOTALL)
    assert found, f"{page} has nothing between {begin} and {end}"
    return found[1]


def _tracked(pattern: str) -> list[str]:
    """Give the files of the repository that fit a pattern."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "--", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def _anchors(text: str) -> set[str]:
    """Give the anchors that a page's headings have, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def example_of(name: str) -> str:
    """Give the block of YAML in docs/targets.md that stands below a comment."""
    found = re.search(rf"<!-- {name} is tested: .*? -->\n```yaml\n(.*?)```", PAGES["docs/targets.md"], re.DOTALL)
    assert found, name
    return found[1]


def test_every_command_is_run_by_a_test() -> None:
    controller = [command for command in commands() if command.startswith(FOR_THE_CONTROLLER)]
    assert controller
    assert set(commands()) - set(controller) == MADE_BY_MAKE_TEST.keys() | ON_HOSTS.keys() | IN_A_TEST.keys()


def test_every_page_for_people_is_opened_by_the_readme() -> None:
    assert set(_tracked("docs/*.md")) <= PAGES.keys()
    assert {"CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"} <= PAGES.keys()


@pytest.mark.parametrize("page", [name for name in _tracked("*.md") if name != MADE_INTO_ANOTHER])
def test_links_lead_somewhere(page: str) -> None:
    lost = []
    for link in links((ROOT / page).read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        to = ROOT / page if not path else (ROOT / page).parent / path
        if not to.exists() or (anchor and anchor not in _anchors(to.read_text(encoding="utf-8"))):
            lost.append(link)
    assert lost == []


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_the_paths_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(r"`((?:webmon|tests|roles|playbooks|inventory|docs|files)/[\w./-]*)", PAGES[page])
    assert [path for path in named if not path.startswith(GIVEN_BY_THE_USER) and not (ROOT / path).exists()] == []


def test_every_test_that_is_named_as_a_proof_is_there() -> None:
    assert missing_tests(PAGES["docs/testing.md"]) == []
    assert missing_tests(" ".join(IN_A_TEST.values())) == []


def test_what_is_promised_to_users_has_its_table_of_tests() -> None:
    of_use = (
        "README",
        "production",
        "operations",
        "recovery",
        "targets",
        "probes",
        "alarms",
        "reports",
        "page",
        "variables",
    )
    headings = re.findall(r"^## \[(\w+)\.md\]", PAGES["docs/testing.md"], re.MULTILINE)
    assert sorted(headings) == sorted((*of_use, "security", "design"))


def test_the_table_of_variables_is_that_of_the_settings() -> None:
    rows = ["| `{}` | {} | {} | {} |".format(*row) for row in settings.table()]
    found = _marked("docs/variables.md", "variables: .*?", "end of variables")
    assert found.splitlines()[2:] == rows, "run: python -m webmon.settings"


def test_the_picture_of_the_rooms_is_that_of_the_package() -> None:
    picture = _marked("docs/design.md", "rooms", "end of rooms")
    drawn = [re.split(r"\s{3,}", line.strip())[0].split() for line in picture.splitlines()]
    levels = [set(names) for names in drawn if names and names[0].isidentifier()]
    assert levels == [rooms - {"__init__"} for rooms in ORDER]


def test_the_example_of_a_targets_file_has_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "targets.yml"
    file.write_text(block("docs/targets.md", "yaml"))
    assert check_file(file) == 2


def test_every_other_example_of_a_targets_file_has_no_fault(tmp_path: Path) -> None:
    pages = PAGES["docs/targets.md"] + PAGES["docs/probes.md"]
    examples = re.findall(r"```yaml\n(targets:\n.*?)```", pages, re.DOTALL)
    assert len(examples) >= 3
    for number, example in enumerate(examples):
        file = tmp_path / f"{number}.yml"
        file.write_text(example)
        assert check_file(file) > 0


def test_the_lists_of_targets_that_we_ship_have_no_fault() -> None:
    assert check_file(ROOT / "files" / "targets.example.yml") == 2
    assert check_file(ROOT / "tests" / "lab" / "targets.yml") > 10
