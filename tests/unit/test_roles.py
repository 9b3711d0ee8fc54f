"""The rules that every role keeps, held by reading the roles as Ansible does."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
ROLES: Final = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
NAMES: Final = [role.name for role in ROLES]
PLAYBOOKS: Final = sorted((ROOT / "playbooks").rglob("*.yml"))
PHASES: Final = ("preflight", "install", "configure", "run")
VALIDATED_LATER: Final = {
    "pg_hba.conf.j2": "PostgreSQL reads it in its place alone: asked then, it gets the former one where it refuses",
    "agents.j2": "its fault would be hidden with the keys in it: the doctor tells it, and the sink at its start",
    "pgbackrest.conf.j2": "its fault would be hidden with the passphrase in it: run.yml has pgBackRest try it at once",
    "env.j2": "its fault would be hidden with the secrets beside it: the doctor tells it, and the service at its start",
    "sandbox.j2": "a part of the units",
}
"""Templates without a `validate`, each with the reason."""


def load(path: Path) -> Any:
    """Give what a YAML file holds, None where there is none."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None


def tasks(role: Path, *directories: str) -> Iterator[dict[str, Any]]:
    """Give every task of the role, those in blocks too."""
    for directory in directories or ("tasks", "handlers"):
        for file in sorted((role / directory).glob("*.yml")):
            yield from flat(load(file) or [])


def flat(listed: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Give tasks, and those in their blocks."""
    for task in listed:
        yield task
        for part in ("block", "rescue", "always"):
            yield from flat(task.get(part, []))


def module(task: dict[str, Any], name: str) -> Any:
    """Give the arguments of a task's module where it is that one."""
    return task.get(f"ansible.builtin.{name}")


def options(role: Path) -> dict[str, Any]:
    """Give the specification's options."""
    found: dict[str, Any] = load(role / "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    return found


@pytest.mark.parametrize("role", ROLES, ids=NAMES)
def test_every_variable_of_a_role_is_specified_and_has_a_default_or_is_required(role: Path) -> None:
    defaults = load(role / "defaults/main.yml") or {}
    own = {name: option for name, option in options(role).items() if name.startswith(f"{role.name}_")}
    assert defaults.keys() <= own.keys()
    assert {name for name, option in own.items() if not option.get("required")} <= defaults.keys()


@pytest.mark.parametrize("role", ROLES, ids=NAMES)
def test_what_is_a_roles_own_is_named_so(role: Path) -> None:
    internal = f"_{role.name}_"
    names, told = set(load(role / "vars/main.yml") or {}), set()
    for task in tasks(role):
        names |= {task["register"]} if "register" in task else set()
        told |= set(module(task, "set_fact") or {}) - {"cacheable"}
        names |= {task["loop_control"]["loop_var"]} if "loop_var" in task.get("loop_control", {}) else set()
        given = set(task.get("vars", {}))
        called = module(task, "import_role") or module(task, "include_role")
        names |= {name for name in given if not called or not name.startswith(f"{called['name']}_")}
    assert {name for name in names if not name.startswith((internal, "ansible_"))} == set()
    # A fact may be for those who call the role, but is no variable of theirs.
    assert {name for name in told if not name.startswith((internal, f"{role.name}_"))} == set()
    assert told & options(role).keys() == set()


@pytest.mark.parametrize("role", ROLES, ids=NAMES)
def test_a_role_reads_nothing_that_is_internal_to_another(role: Path) -> None:
    text = "".join(
        path.read_text(encoding="utf-8")
        for directory in ("tasks", "handlers", "vars", "defaults", "templates")
        for path in (role / directory).glob("*")
    )
    assert {name for name in NAMES if re.search(rf"\b_{name}_", text)} <= {role.name}


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.name)
def test_a_playbook_reads_nothing_that_a_role_registers(playbook: Path) -> None:
    registered = {task["register"] for role in ROLES for task in tasks(role) if "register" in task}
    assert registered & set(re.findall(r"\w+", playbook.read_text(encoding="utf-8"))) == set()


def test_every_task_has_the_tag_of_its_phase(tmp_path: Path) -> None:
    plays = [{"hosts": "localhost", "gather_facts": False, "roles": [{"role": name}]} for name in NAMES]
    playbook = tmp_path / "all.yml"
    playbook.write_text(yaml.safe_dump(plays), encoding="utf-8")
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", "localhost,", "--list-tasks", str(playbook)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    listed = re.findall(r"^ +(\S+ : .+?)\tTAGS: \[(.*)\]$", done.stdout, re.MULTILINE)
    assert len(listed) > 100
    wrong = {task: tags for task, tags in listed if not {*tags.split(", ")} & {*PHASES, "always"}}
    assert wrong == {}


@pytest.mark.parametrize("role", ROLES, ids=NAMES)
def test_a_block_asks_for_no_fact_that_a_tag_may_have_left_unset(role: Path) -> None:
    # A role that is called in it judges its arguments whatever the tags are, and asks for the block's condition then.
    told = {name for other in ROLES for task in tasks(other) for name in module(task, "set_fact") or {}}
    blocks = [task for task in tasks(role) if "block" in task and "when" in task]
    asked = {word for task in blocks for word in re.findall(r"\w+(?! *\| default\()\b", str(task["when"]))}
    assert {name for name in told & asked if not name.startswith("_")} == set()


@pytest.mark.parametrize("role", ROLES, ids=NAMES)
def test_what_is_included_has_tags_too(role: Path) -> None:
    # Unlike an import, an include gives its own tags to none of the tasks in the file.
    for task, files in includes(role, "main.yml"):
        if not module(task, "import_tasks"):
            applied = module(task, "include_tasks").get("apply", {}).get("tags")
            assert applied or all(inner.get("tags") for file in files for inner in load(file)), task["name"]


def includes(role: Path, name: str) -> Iterator[tuple[dict[str, Any], list[Path]]]:
    """Give the imports and includes that the role comes to from a file of it, each with the files that it may mean."""
    for task in flat(load(role / "tasks" / name)):
        if called := module(task, "import_tasks") or module(task, "include_tasks"):
            wanted = called["file"] if isinstance(called, dict) else called
            variable = re.search(r"\{\{ (\w+) \}\}", wanted)
            choices = options(role)[variable[1]]["choices"] if variable else [""]
            names = [wanted.replace(variable[0], choice) if variable else wanted for choice in choices]
            yield task, [role / "tasks" / found for found in names]
            for found in names:
                yield from includes(role, found)


@pytest.mark.parametrize("role", ROLES, ids=NAMES)
def test_no_handler_is_lost_where_a_later_task_or_play_fails(role: Path) -> None:
    if any((role / "handlers").glob("*.yml")):
        assert any(module(task, "meta") == "flush_handlers" for task in tasks(role, "tasks"))
    assert re.search(r"^force_handlers = true$", (ROOT / "ansible.cfg").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("role", ROLES, ids=NAMES)
def test_every_template_is_validated_before_it_replaces_a_file(role: Path) -> None:
    for task in tasks(role, "tasks"):
        written = module(task, "template")
        if written and written["src"] not in VALIDATED_LATER:
            assert "%s" in written.get("validate", ""), task["name"]


@pytest.mark.parametrize(
    "unit", [path for role in ROLES for path in (role / "templates").glob("*.service.j2")], ids=lambda path: path.stem
)
def test_every_service_has_bounds_of_files_and_memory(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    assert re.search(r"^LimitNOFILE=[0-9]+$", text, re.MULTILINE)
    assert re.search(r"^MemoryMax=\S", text, re.MULTILINE)


@pytest.mark.parametrize("role", ROLES, ids=NAMES)
def test_a_role_is_tried_on_every_debian_that_it_names(role: Path) -> None:
    (debian,) = load(role / "meta/main.yml")["galaxy_info"]["platforms"]
    assert debian["name"] == "Debian"
    inventory = load(ROOT / "tests/molecule/inventory/hosts.yml")["all"]["children"]
    tried = load(role / "molecule" / role.name / "converge.yml")[0]["hosts"]
    bases = {inventory["lab"]["hosts"][host]["lab_base"].partition("-")[0] for host in members(inventory, tried)}
    assert bases == {*debian["versions"]}


def members(inventory: dict[str, Any], group: str) -> set[str]:
    """Give the hosts of a group, and of the groups in it."""
    children = (members(inventory, child) for child in inventory[group].get("children", {}))
    return set(inventory[group].get("hosts", {})).union(*children)
