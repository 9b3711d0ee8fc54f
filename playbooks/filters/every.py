"""All of it together: every fault of all hosts at once."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from webmon_filters import hba, installation, inventory, provided, supplied
from webmon_filters import hosts as of_hosts


def preflight(
    hosts: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, list[str]],
    sources: Iterable[str] = (),
    limited: Iterable[str] = (),
    may_join: bool = False,
) -> dict[str, list[str]]:
    """Judge all hosts.

    Args:
        hosts: the variables of each, with what the roles told of it and what was seen (`preflight_look`).
        groups: Ansible's own.
        sources: the inventories that were named.
        limited: hosts of ours that --limit leaves out.
        may_join: whether brokers may be new where others run.

    Returns:
        `faults`, which stop the run, and `warnings`, which do not; a line each, the host first where it is of one.
    """
    looks: dict[str, Mapping[str, Any]] = {}
    faults: list[tuple[str, str]] = []
    warnings: list[tuple[str, str]] = []
    every = frozenset(groups.get("all", hosts))
    for host, variables in hosts.items():
        roles = {role for group, roles in inventory.GROUPS.items() if host in groups.get(group, []) for role in roles}
        nearly, others = inventory.variable_faults(variables)
        seen, trouble, away = of_hosts.look_of(variables.get("preflight_look", {}), variables.get("ansible_user", ""))
        of_host = [
            *nearly,
            *inventory.required_faults(variables, sorted(roles)),
            *_supplied(host, variables, every),
            *trouble,
        ]
        if seen:
            looks[host] = seen
            of_host += of_hosts.host_faults(seen, roles)
        faults += ((host, fault) for fault in of_host)
        warnings += ((host, text) for text in (*others, *away))
    unreached, others_unreached = of_hosts.reach_faults(hosts, groups, looks)
    of_all = [*inventory.inventory_faults(groups, sources), *inventory.size_faults(groups)]
    of_all += of_hosts.authority_faults(hosts, looks, list(limited))
    of_all += installation.directory_faults(hosts, looks)
    of_all += of_hosts.broker_faults(hosts, looks, may_join=may_join)
    of_all += [*_told(faults), *supplied.list_faults(hosts), *unreached]
    of_none = [*_told(warnings), *others_unreached, *installation.to_move(hosts, sources)]
    return {"faults": list(dict.fromkeys(of_all)), "warnings": of_none}


def _supplied(host: str, variables: Mapping[str, Any], hosts: Collection[str]) -> Iterator[str]:
    """Give the faults of what a host would get."""
    yield from installation.authority_faults(variables)
    for component in variables.get("component_judged", []):
        if component["fault"]:
            why = supplied.why_unmade(component["fault"])
            yield f"the .env of {component['component']} can't be made: {why}"
        else:
            yield from supplied.component_faults(component, host, hosts)
    if "timescaledb_judged" in variables:
        database = variables["timescaledb_judged"]
        yield from hba.hba_faults(database["hba_lines"])
        yield from supplied.repository_faults(database["repositories"])
        if database["certificates"] == "provided":
            yield from provided.provided_faults(database["provided"], host, hosts, database["names"])
    if "kafka_judged" in variables:
        broker = variables["kafka_judged"]
        yield from supplied.digest_faults(broker["url"], broker["checksum"])
        for name in sorted(set(broker["properties"]) & supplied.BROKERS_OWN.keys()):
            yield f"kafka_properties has {name}, which is the role's; right would be {supplied.BROKERS_OWN[name]}"


def _told(lines: Iterable[tuple[str, str]]) -> list[str]:
    """Tell what is the same of several hosts once."""
    told: dict[str, dict[str, None]] = {}
    for host, text in lines:
        told.setdefault(text, {})[host] = None
    return [f"{', '.join(hosts)}: {text}" for text, hosts in told.items()]
