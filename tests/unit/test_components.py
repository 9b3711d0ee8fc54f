"""The one list of components, and the playbooks that go over it."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

import yaml

from webmon.settings import Component

ROOT: Final = Path(__file__).parents[2]
LISTED: Final[dict[str, dict[str, Any]]] = yaml.safe_load(
    (ROOT / "playbooks/vars/components.yml").read_text(encoding="utf-8")
)["_webmon_components"]
OF_BEFORE: Final = ("init", "sinks", "agents", "reports")
"""Groups that every inventory has."""
PLAY: Final = re.compile(r"play #\d+ \((.*?)\): (.*?)\t.*\n.*\n    hosts \((\d+)\)")
PREFLIGHT: Final = [
    play["name"]
    for name in ("part_inventory.yml", "preflight.yml")
    for play in yaml.safe_load((ROOT / "playbooks" / name).read_text(encoding="utf-8"))
]
"""The plays with which all others begin."""


def hosts_of_plays(directory: Path, groups: Sequence[str]) -> dict[str, list[tuple[set[str], int]]]:
    """Give the plays of all playbooks that are for every fleet: the groups of each, and how many hosts it has.

    Each of the groups has one host of its own.
    """
    inventory = directory / "hosts.yml"
    children = {group: {"hosts": {f"{group}1": None}} for group in groups}
    inventory.write_text(yaml.safe_dump({"all": {"children": children}}), encoding="utf-8")
    playbooks = [
        path
        for path in sorted((ROOT / "playbooks").glob("*.yml"))
        if path.stem not in ("alarms", "pages") and not path.stem.startswith("part_")
    ]
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), "--list-hosts"]
    done = subprocess.run(
        [*command, *map(str, playbooks)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_HOST_PATTERN_MISMATCH": "error"},
    )
    assert done.returncode == 0, done.stderr
    parts = done.stdout.split("\nplaybook: ")[1:]
    return {
        Path(part.splitlines()[0]).name: [
            (set(re.split("[:,]", play[1])), int(play[3])) for play in PLAY.finditer(part) if play[2] not in PREFLIGHT
        ]
        for part in parts
    }


def test_the_list_has_every_component_of_the_package() -> None:
    assert set(get_args(Component)) <= LISTED.keys()


def test_what_a_role_must_say_as_text_is_what_is_listed() -> None:
    specification = yaml.safe_load((ROOT / "roles/component/meta/argument_specs.yml").read_text(encoding="utf-8"))
    assert set(specification["argument_specs"]["main"]["options"]["component_name"]["choices"]) == LISTED.keys()
    removed = re.search(
        r"difference\((\[[^\]]*\])\)", (ROOT / "roles/release/tasks/remove.yml").read_text(encoding="utf-8")
    )
    assert removed is not None
    assert set(yaml.safe_load(removed[1])) == LISTED.keys()


def test_every_role_tells_the_preflight_what_its_hosts_would_get() -> None:
    for role in ("certificates", "kafka", "timescaledb", *LISTED):
        assert (ROOT / "roles" / role / "tasks/judge.yml").is_file(), role


def test_an_inventory_from_before_judges_and_pages_has_the_plays_of_before(tmp_path: Path) -> None:
    plays = hosts_of_plays(tmp_path, ["kafka", "timescaledb", *OF_BEFORE])
    assert plays["upgrade.yml"] == [
        (set(OF_BEFORE), 4),
        ({"init"}, 1),
        ({"sinks"}, 1),
        ({"!all"}, 0),
        ({"agents"}, 1),
        ({"reports"}, 1),
    ]
    assert plays["remove.yml"] == [({"kafka", "timescaledb", *OF_BEFORE}, 6)]
    assert plays["verify.yml"] == [({"timescaledb"}, 1), (set(OF_BEFORE), 4)]


def test_every_component_is_upgraded_verified_and_taken_back(tmp_path: Path) -> None:
    groups = [listed["group"] for listed in LISTED.values()]
    plays = hosts_of_plays(tmp_path, ["kafka", "timescaledb", *groups])
    for playbook in ("upgrade.yml", "rollback.yml"):
        first, *others = plays[playbook]
        assert first == (set(groups), len(groups))
        assert set.union(*(names for names, _ in others)) == set(groups)
    assert plays["verify.yml"] == [({"timescaledb"}, 1), (set(groups), len(groups))]
    assert plays["remove.yml"] == [({"kafka", "timescaledb", *groups}, len(groups) + 2)]
