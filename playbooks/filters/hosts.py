"""What is wrong with hosts, by what playbooks/files/look.py saw of them."""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

SYSTEMS: Final = ("12", "13")
"""Versions of Debian."""
MACHINES: Final = ("x86_64", "aarch64")
"""What all wheels of the lock are there for."""
PYTHON: Final = (3, 11)
_FREE: Final = {"/opt/webmon": 400 << 20, "/opt/kafka": 400 << 20, "/var/lib": 500 << 20}
"""Bytes that a first installation takes: a release has 110 MB, an upgrade a second one beside it."""
_CLOCK_SECS: Final = 60.0
"""From here on the doctor calls it a fault, too."""
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def look_arguments(hosts: Mapping[str, Mapping[str, Any]], host: str, brokers: Iterable[str], began: float) -> str:
    """Give what playbooks/files/look.py is asked on a host, as JSON.

    Args:
        hosts: the variables of each, with what the roles told of it.
        host: which.
        brokers: the hosts of the group kafka.
        began: the controller's seconds since the epoch.
    """
    variables = hosts[host]
    environments = [one["environment"] for one in variables.get("component_judged", [])]
    known = [hosts[name]["kafka_judged"] for name in brokers if "kafka_judged" in hosts[name]]
    reaches = {place for values in environments for kind in ("KAFKA", "POSTGRES") for place in _places(values, kind)}
    names = {name for name, _ in reaches}
    if "kafka_judged" in variables:
        reaches |= {(one["advertised"], port) for one in known for port in one["listens"]}
    if "kafka_judged" in variables or any("KAFKA_HOST" in values for values in environments):
        names |= {one["advertised"] for one in known}
    own = [variables[name] for name in ("kafka_judged", "timescaledb_judged") if name in variables]
    listens = sorted({port for one in own for port in one["listens"]})
    files = sorted(path for one in variables.get("component_judged", []) for path in one.get("files", {}))
    asked = {"began": began, "names": sorted(names), "reaches": sorted(reaches), "listens": listens, "files": files}
    return json.dumps(asked)


def _places(values: Mapping[str, Any], kind: str) -> Iterator[tuple[str, int]]:
    port = str(values.get(f"{kind}_PORT", ""))
    if port.isascii() and port.isdecimal():
        names = (name.strip() for name in str(values.get(f"{kind}_HOST", "")).split(","))
        yield from ((name, int(port)) for name in names if name)


def changed_settings(variables: Mapping[str, Any]) -> list[str]:
    """Give the components that a host has, and that would get another .env, another unit, or another file of its kind.

    Args:
        variables: the host's, with what the roles told of it (`files`: by path the digests that each may have) and what
            was seen.
    """
    seen, _, _ = look_of(variables.get("preflight_look", {}), "")
    there = seen.get("files", {})
    return [
        one["component"]
        for one in variables.get("component_judged", [])
        # Where there is no .env it comes for the first time.
        if f"/etc/webmon/{one['component']}/.env" in there
        and any(there.get(path) not in digests for path, digests in one.get("files", {}).items())
    ]


def look_of(result: Mapping[str, Any], user: str) -> tuple[dict[str, Any], list[str], list[str]]:
    """Give what was seen of a host, why nothing was, and what of that stops nothing."""
    told = " ".join(str(result.get("msg", "") or result.get("stderr", "")).split())[:400]
    if result.get("unreachable"):
        return {}, [], [f"does not answer, so it is left out: {told}"]
    seen = re.findall(r"^LOOKED (.*?)\r?$", str(result.get("stdout", "")), re.MULTILINE)
    if seen:
        try:
            look = json.loads(seen[-1])
        except ValueError:
            return {}, ["gave an answer that can't be read"], []
        root = "is not root after sudo; right would be ansible_become_user root"
        return look, [] if look.get("root") else [root], []
    if result.get("rc") == 127:
        return {}, ["has no /usr/bin/python3; right would be Debian's package python3"], []
    if re.search("sudo|become|password|privilege", told, re.IGNORECASE):
        right = "right would be -K, which asks for its password, or NOPASSWD in sudoers"
        return {}, [f"{user} does not become root ({told}); {right}"], []
    return {}, [f"could not be looked at: {told}"] if result else [], []


def host_faults(look: Mapping[str, Any], roles: set[str]) -> Iterator[str]:
    """Say what a host is that it must not be, or has too little of."""
    system, python, machine = look["system"], tuple(look["python"]), str(look["machine"])
    fits = system["id"] == "debian" and system["version"] in SYSTEMS
    # Where it runs already, it may go on.
    if not look["installed"] and not fits:
        yield f"has {_shown(system['name'])}; supported are Debian {' and '.join(SYSTEMS)}"
    if "timescaledb" in roles and system["id"] == "debian" and system["version"] == "12":
        yield "has Debian 12, which has no package of TimescaleDB; right would be Debian 13 for the group timescaledb"
    if not look["systemd"]:
        yield "does not run systemd, which starts the services"
    if "release" in roles and python < PYTHON:
        yield f"has Python {'.'.join(map(str, python))}; supported is {'.'.join(map(str, PYTHON))} or later"
    if "release" in roles and machine not in MACHINES:
        yield f"is of {_shown(machine)}; supported are {' and '.join(MACHINES)}"
    wanted = {"/opt/webmon": "release" in roles, "/opt/kafka": "kafka" in roles, "/var/lib": True}
    for path, least in _FREE.items():
        if wanted[path] and not look["installed"] and look["free"][path] < least:
            yield f"has {look['free'][path] >> 20} MB free for {path}; right would be {least >> 20} MB at least"
    off = max(look["began"] - look["time"], look["time"] - time.time())
    if off > _CLOCK_SECS:
        side = "behind" if look["began"] > look["time"] else "ahead of"
        yield f"its clock is {off:.0f} s {side} this machine's; right would be NTP on both (systemd-timesyncd, chrony)"
    for name, why in look["unresolved"].items():
        yield f"can't resolve {_shown(name)} ({_shown(why)}); right would be a name that it knows, by DNS or /etc/hosts"


def _shown(text: object) -> str:
    """Make a text of a host's one that harms no terminal."""
    return repr(str(text)[:100])[1:-1]


def reach_faults(
    hosts: Mapping[str, Mapping[str, Any]], groups: Mapping[str, list[str]], looks: Mapping[str, Mapping[str, Any]]
) -> tuple[list[str], list[str]]:
    """Give what can't be reached though it listens, and what of others can't."""
    ours: dict[str, str] = {}
    for host in (*groups.get("kafka", []), *groups.get("timescaledb", [])):
        variables = hosts.get(host, {})
        names = (host, variables.get("ansible_host"), variables.get("kafka_judged", {}).get("advertised"))
        ours |= {str(name): host for name in names if name}
    faults, others = [], []
    for host, look in looks.items():
        for place, why in look["unreached"].items():
            name, _, port = place.rpartition(":")
            target = ours.get(name)
            # Where a name means nothing that is a fault already.
            if target is None and name not in look["unresolved"]:
                others.append(f"{host}: nothing answers at {_shown(place)} ({_shown(why)})")
            elif target and int(port) in looks.get(target, {}).get("listens", []):
                faults.append(
                    f"{host}: can't reach {place}, where {target} listens ({_shown(why)}); right would be a firewall "
                    "that lets it through"
                )
    return faults, others


def authority_faults(
    hosts: Mapping[str, Mapping[str, Any]], looks: Mapping[str, Mapping[str, Any]], limited: list[str]
) -> Iterator[str]:
    """Say where hosts trust another authority than this machine has, or one would be made that they may not trust."""
    untrusting: dict[Path, dict[str, str]] = {}
    makes: set[Path] = set()
    for host, variables in hosts.items():
        if "authority" not in sources(variables):
            continue
        own = Path(variables["certificates_judged"]["authority"], "ca.pem")
        known = _fingerprints(own.read_text(encoding="utf-8", errors="replace")) if own.is_file() else {}
        if not known:
            makes.add(own)
        for path, text in looks.get(host, {}).get("authorities", {}).items():
            there = _fingerprints(text)
            # That of a managed service is not ours to judge.
            if any(there.values()) and not there.keys() & known.keys() and not _is_provided(variables, path):
                untrusting.setdefault(own, {}).setdefault(host, path)
    for own, paths in untrusting.items():
        host, path = next(iter(paths.items()))
        what = "is not there" if own in makes else "is another"
        yield (
            f"{', '.join(paths)}: the authority that they trust ({_shown(path)} of {host}) is expected in {own}, which "
            f"{what}; right would be the whole directory {own.parent} of the machine that installed them. Another "
            "authority would cut them off; where that is meant, remove each such ca.pem first"
        )
    if makes and limited and not untrusting:
        yield (
            f"there is no {', '.join(map(str, sorted(makes)))}, and --limit leaves out {', '.join(limited)}, which may "
            "trust an authority; right would be the whole directory of the machine that installed them, or a first run "
            "without --limit"
        )


def broker_faults(
    hosts: Mapping[str, Mapping[str, Any]], looks: Mapping[str, Mapping[str, Any]], *, may_join: bool = False
) -> Iterator[str]:
    """Say which brokers would get another number than they were made with, or one that another has, or are new."""
    if not may_join:
        yield from _joining_faults(hosts, looks)
    numbers: dict[int, list[str]] = {}
    for host, variables in hosts.items():
        if "kafka_judged" not in variables:
            continue
        number, group = variables["kafka_judged"]["node_id"], variables["kafka_judged"]["group"]
        if group != "kafka":
            yield f"{host}: kafka_group is {group}, which no playbook here knows; right would be the group kafka alone"
        numbers.setdefault(number, []).append(host)
        made = re.search(r"^node\.id=(\d{1,9})$", looks.get(host, {}).get("kafka", ""), re.MULTILINE)
        if made and int(made[1]) != number:
            yield (
                f"{host}: its storage was made for broker {made[1]}, and it would become {number}; right would be "
                f"kafka_node_id: {made[1]} in its variables"
            )
    for number, names in numbers.items():
        if len(names) > 1:
            yield f"{', '.join(names)}: all would be broker {number}; right would be a kafka_node_id of each"


def _joining_faults(hosts: Mapping[str, Mapping[str, Any]], looks: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Say which brokers others of their group do not wait for: a second cluster, or none, would come of it."""
    brokers = {host: looks[host] for host in hosts if "kafka_judged" in hosts[host] and host in looks}
    running = [look for look in brokers.values() if look["kafka"]]
    # A list of the first installation: of its brokers one that is made anew comes back by itself.
    listed = {number for look in running for line in look["quorum"] for number in re.findall(r"(\d+)@", line)}
    new = [host for host, look in brokers.items() if not look["kafka"]]
    new = [host for host in new if str(hosts[host]["kafka_judged"]["node_id"]) not in listed]
    if running and new:
        yield (
            f"{', '.join(new)}: is no broker, and other hosts of the group kafka are; right would be "
            "playbooks/brokers.yml, by which it becomes one (where it has left them: to take it out of the group)"
        )


def sources(variables: Mapping[str, Any]) -> set[str]:
    """Give where the certificates of a host come from."""
    servers = {"authority"} if "kafka_judged" in variables else set()
    if "timescaledb_judged" in variables:
        servers.add(variables["timescaledb_judged"]["certificates"])
    return servers | {one["certificates"] for one in variables.get("component_judged", [])}


def _is_provided(variables: Mapping[str, Any], path: str) -> bool:
    provided = [one["component"] for one in variables.get("component_judged", []) if one["certificates"] == "provided"]
    if variables.get("timescaledb_judged", {}).get("certificates") == "provided":
        provided.append("timescaledb")
    return Path(path).parts[3] in provided if path.startswith("/etc/webmon/") else False


def _fingerprints(text: str) -> dict[str, bool]:
    """Give the certificates in a text by their SHA-256, each with whether an authority of ours is it."""
    found = {}
    for pem in _PEM.findall(text):
        try:
            one = x509.load_pem_x509_certificate(pem.encode())
            names = one.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
            found[one.fingerprint(hashes.SHA256()).hex()] = any(name.value == "webmon" for name in names)
        except ValueError:
            continue
    return found
