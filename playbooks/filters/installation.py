"""What is wrong with the directory of an installation, which holds everything of it that is on this machine."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from webmon_filters import hosts as of_hosts
from webmon_filters.inventory import ROLES
from webmon_filters.supplied import is_encrypted, why_unmade

SHARED: Final = ROLES.parent / "files"
"""Where inventories without a directory of their own have it, all of them together."""
_SHIPPED: Final = ("README.md", "*.example.yml")
_NAMED: Final = "{{ playbook_dir }}/../files"
"""How inventories name that."""


def directory_faults(hosts: Mapping[str, Mapping[str, Any]], looks: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Say where an installation would have several directories, or lacks what its hosts were installed with."""
    places: dict[str, list[str]] = {}
    lost: dict[str, list[str]] = {}
    for host, variables in hosts.items():
        if judged := variables.get("certificates_judged"):
            places.setdefault(judged["files"], []).append(host)
        keys = str(variables.get("webmon_agent_keys_dir") or "")
        if keys and looks.get(host, {}).get("signs") and not Path(keys).is_dir():
            lost.setdefault(keys, []).append(host)
    if len(places) > 1:
        told = "; ".join(f"{', '.join(names)}: {place}" for place, names in places.items())
        yield (
            f"an installation has one directory for all of its hosts, and here are {len(places)} ({told}); right would "
            "be webmon_files_dir by its whole path, as inventory_dir is another with each -i"
        )
    for path, names in lost.items():
        yield (
            f"{', '.join(names)}: sign their results with keys expected in {path}, which is not there; right would be "
            "the whole directory of the machine that installed them. Where new keys are meant, make it, empty"
        )


def authority_faults(variables: Mapping[str, Any]) -> Iterator[str]:
    """Say why the authority that a host's certificates come from can't sign."""
    if "authority" in of_hosts.sources(variables):
        judged = variables["certificates_judged"]
        yield from judged["faults"]
        if judged["unmade"]:
            yield f"the authority's passphrase can't be had: {why_unmade(judged['unmade'])}"


def to_move(hosts: Mapping[str, Mapping[str, Any]], sources: Iterable[str]) -> Iterator[str]:
    """Say what to move, and how, where an inventory has its authority or its secrets where all of this checkout do."""
    used: set[Path] = set()
    for variables in hosts.values():
        if "webmon_files_dir" in variables:
            return
        if "authority" in of_hosts.sources(variables):
            used.add(Path(variables["certificates_judged"]["authority"]))
        named = (variables.get(name) for name in ("secrets_dir", "webmon_agent_keys_dir"))
        used |= {Path(str(path)).resolve() for path in named if path}
    if any(path.exists() and SHARED in path.parents for path in used):
        source = Path(next(iter(sources), "INVENTORY"))
        yield from _move(source if source.is_dir() else source.parent)


def _move(inventory: Path) -> Iterator[str]:
    """Give what to tell, and commands for a shell: nothing in them is told otherwise in YAML or JSON."""
    yield (
        f"{SHARED} has authority and secrets of this inventory, and all others of this checkout use the same. It goes "
        "on as it is; right would be a directory of its own, by these commands:"
    )
    things = [path for path in sorted(SHARED.iterdir()) if not any(map(path.match, _SHIPPED))]
    own, variables = inventory / "files", inventory / "group_vars/all"
    yield f"mkdir -p {_quoted(own)}"
    yield f"mv {' '.join(map(_quoted, things))} {_quoted(own)}"
    files = [path for path in sorted(inventory.rglob("*")) if path.suffix in (".yml", ".yaml") and path.is_file()]
    if naming := [path for path in files if _NAMED in path.read_text(encoding="utf-8", errors="replace")]:
        yield f"sed -i s:playbook_dir.}}}}/../files:webmon_files_dir}}}}: {' '.join(map(_quoted, naming))}"
    for path in filter(is_encrypted, files):
        yield f"ansible-vault edit {_quoted(path)} # where it names {_NAMED}: right would be {{{{ webmon_files_dir }}}}"
    # Beside a file of that name a directory would hide it.
    file = next((path for name in ("all.yml", "all.yaml") if (path := variables.with_name(name)).is_file()), None)
    if file is None:
        yield f"mkdir -p {_quoted(variables)}"
    example = ROLES.parent / "inventory/example/group_vars/all/main.yml"
    into = f">> {_quoted(file)}" if file else f"> {_quoted(variables / 'installation.yml')}"
    yield f"grep -h ^webmon_files_dir: {_quoted(example)} {into}"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
