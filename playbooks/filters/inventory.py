"""What is wrong with groups and variables, by the groups that the playbooks know and what the roles say they take."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

ROLES: Final = Path(__file__).parents[2] / "roles"
COMPONENTS: Final[dict[str, dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parents[1] / "vars/components.yml").read_text(encoding="utf-8")
)["_webmon_components"]
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    **{name: (name,) for name in ("kafka", "timescaledb")},
    **{listed["group"]: ("release", "component", name) for name, listed in COMPONENTS.items()},
}
"""The groups that the playbooks know, and the roles that their hosts get."""
_NOT_OURS: Final = ("all", "ungrouped")


def inventory_faults(groups: Mapping[str, list[str]], sources: Iterable[str] = ()) -> list[str]:
    """Say where an inventory has no group of ours, or one whose name is nearly one.

    Args:
        groups: Ansible's own.
        sources: the inventories that were named.
    """
    ours = {host for name in GROUPS for host in groups.get(name, [])}
    faults = []
    for name, hosts in groups.items():
        near = difflib.get_close_matches(name, GROUPS, n=1, cutoff=0.75)
        # A part of a group may be called as it likes.
        if name not in (*GROUPS, *_NOT_OURS) and near and set(hosts) - set(groups.get(near[0], [])):
            faults.append(f"the group {name} means nothing here; right would be {near[0]}")
    if not ours:
        named = ", ".join(map(str, sources)) or "the inventory"
        faults.append(f"{named} has no host in any of the groups {', '.join(GROUPS)}; is -i right?")
    return faults


def size_faults(groups: Mapping[str, list[str]]) -> Iterator[str]:
    """Say which groups have too many hosts, or a number that can't work."""
    inits, brokers = groups.get("init", []), groups.get("kafka", [])
    if len(inits) > 1:
        yield f"the group init has {len(inits)} hosts ({', '.join(inits)}); right would be one"
    if len(brokers) == 2:
        two = ", ".join(brokers)
        yield f"the group kafka has 2 hosts ({two}), which lose their quorum with one; right would be 1, or 3"


def variable_faults(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Say which variables begin as those of a role do, and are none: those that are nearly one, and the others."""
    known = _known()
    faults, others = [], []
    for name in sorted(names):
        # What begins with _ or is told by a role in the run is no variable of an operator.
        if name in known or not name.startswith(_prefixes()) or name in _facts():
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
        if near or name.startswith("webmon_"):
            right = near[0] if near else "one that a README of roles/ has"
            faults.append(f"the variable {name} means nothing here; right would be {right}")
        else:
            others.append(f"the variable {name} means nothing here: no role has it")
    return faults, others


@cache
def _options() -> dict[str, dict[str, Any]]:
    """Give the specification of each role: its options by name."""
    found = {}
    for file in ROLES.glob("*/meta/argument_specs.yml"):
        specified = yaml.safe_load(file.read_text(encoding="utf-8"))["argument_specs"]["main"]
        found[file.parents[1].name] = specified["options"]
    return found


@cache
def _known() -> frozenset[str]:
    return frozenset(name for options in _options().values() for name in options)


@cache
def _prefixes() -> tuple[str, ...]:
    return ("webmon_", *(f"{role}_" for role in _options()))


@cache
def _facts() -> frozenset[str]:
    """Give what the roles tell each other by set_fact, which stays known in later plays of a run."""
    texts = (file.read_text(encoding="utf-8") for file in ROLES.glob("*/tasks/*.yml"))
    return frozenset(
        name
        for text in texts
        for told in re.findall(r"set_fact:\n((?: +.*\n)+)", text)
        for name in re.findall(r"^ +(\w+):", told, re.MULTILINE)
    )


def required_faults(variables: Mapping[str, Any], roles: Iterable[str]) -> Iterator[str]:
    """Say which variables the roles of a host need and the inventory does not have; no value is asked for."""
    for role in roles:
        defaults = yaml.safe_load((ROLES / role / "defaults/main.yml").read_text(encoding="utf-8")) or {}
        for name, option in _options()[role].items():
            # What a role gives the role component is no operator's.
            if option.get("required") and role != "component" and name not in defaults and name not in variables:
                yield f"{name} is not set; right would be a value in the inventory, or in a vault"
