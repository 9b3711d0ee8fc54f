"""What the preflight says of an inventory and its hosts, before any host is touched."""

import copy
import importlib.util
import json
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.unit.filters import load
from webmon import settings

ROOT: Final = Path(__file__).parents[2]
hosts_room, inventory_room = load("hosts"), load("inventory")
GROUPS: Final[dict[str, list[str]]] = {"all": ["k", "a"], "kafka": ["k"], "agents": ["a"]}
AGENT: Final = {
    "KAFKA_HOST": "k",
    "KAFKA_PORT": "9093",
    "KAFKA_CA_CERTIFICATE": "/etc/webmon/agent/tls/ca.pem",
    "KAFKA_ACCESS_CERTIFICATE": "/etc/webmon/agent/tls/cert.pem",
    "KAFKA_ACCESS_KEY": "/etc/webmon/agent/tls/key.pem",
    "MONITORING_TARGETS_PATH": "/etc/webmon/agent/targets/targets.yml",
}
LOOK: Final[dict[str, Any]] = {
    "root": True,
    "system": {"id": "debian", "version": "13", "name": "Debian GNU/Linux 13"},
    "machine": "x86_64",
    "python": [3, 13],
    "systemd": True,
    "installed": False,
    "free": {"/opt/webmon": 1 << 40, "/opt/kafka": 1 << 40, "/var/lib": 1 << 40},
    "unresolved": {},
    "unreached": {},
    "listens": [],
    "authorities": {},
    "signs": False,
    "kafka": "",
    "quorum": [],
}


def authority(
    name: str = "webmon authority", organization: str = "webmon", key: ec.EllipticCurvePrivateKey | None = None
) -> str:
    """Make an authority as the role does; give its certificate in PEM."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    begin = datetime.now(UTC)
    made = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), begin, begin)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


class Fleet:
    """A broker and an agent, as the roles and the look tell of them."""

    def __init__(self, directory: Path) -> None:
        self.groups = copy.deepcopy(GROUPS)
        self.limited: list[str] = []
        self.may_join = False
        self.results: dict[str, dict[str, Any]] = {}
        """What looking at a host gave, where that is not its look."""
        self.targets = directory / "targets.yml"
        self.targets.write_text("targets: [{name: a, url: http://a.example/}]\n")
        self.authority = directory / "authority"
        self.authority.mkdir()
        judged = {"authority": str(self.authority), "files": str(directory), "faults": [], "unmade": ""}
        self.environment: dict[str, Any] = dict(AGENT)
        self.looks: dict[str, dict[str, Any]] = {"k": copy.deepcopy(LOOK), "a": copy.deepcopy(LOOK)}
        default = load("supplied").yaml.safe_load((ROOT / "roles/kafka/defaults/main.yml").read_text())
        self.hosts: dict[str, dict[str, Any]] = {
            "k": {
                "certificates_judged": dict(judged),
                "kafka_judged": {
                    "url": default["kafka_archive_url"],
                    "checksum": default["kafka_archive_checksum"],
                    "properties": [],
                    "group": "kafka",
                    "node_id": 1,
                    "advertised": "k",
                    "listens": [9093, 9094],
                },
            },
            "a": {
                "certificates_judged": dict(judged),
                "component_judged": [
                    {
                        "component": "agent",
                        "fault": "",
                        "environment": self.environment,
                        "instance": {},
                        "certificates": "authority",
                        "provided": "",
                        "kafka_ca": "",
                        "postgres_ca": "",
                        "lists": [str(self.targets)],
                    }
                ],
                "agent_judged": {
                    "file": str(self.targets),
                    "stands_at": str(self.targets),
                    "text": "",
                    "authorities": "",
                },
            },
        }

    def judge(self) -> dict[str, list[str]]:
        for host, look in self.looks.items():
            now = {"began": time.time(), "time": time.time()}
            answer = {"stdout": f"Welcome!\r\nLOOKED {json.dumps(now | look)}\r\n"}
            self.hosts[host]["preflight_look"] = self.results.get(host, answer)
        found: dict[str, list[str]] = (
            load("webmon_filters")
            .FilterModule()
            .filters()["preflight"](self.hosts, self.groups, ["inventory/mine"], self.limited, self.may_join)
        )
        return found

    def faults(self) -> list[str]:
        return self.judge()["faults"]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_where_all_is_well_nothing_is_said(fleet: Fleet) -> None:
    assert fleet.judge() == {"faults": [], "warnings": []}


def test_an_inventory_without_a_host_of_ours_is_told_with_its_name() -> None:
    [told] = inventory_room.inventory_faults({"all": ["x"], "web": ["x"]}, ["inventory/mien"])
    assert told.startswith("inventory/mien has no host in any of the groups kafka, timescaledb, init, sinks, agents")


@pytest.mark.parametrize(("name", "right"), [("agent", "agents"), ("sink", "sinks"), ("kafkas", "kafka")])
def test_a_group_that_is_nearly_one_of_ours_is_told(fleet: Fleet, name: str, right: str) -> None:
    fleet.groups[name] = ["x"]
    assert fleet.faults() == [f"the group {name} means nothing here; right would be {right}"]


def test_groups_of_others_and_parts_of_ours_are_none(fleet: Fleet) -> None:
    fleet.groups |= {"web": ["x"], "lab": ["k", "a"], "agents_eu": ["a"], "agent": []}
    assert fleet.faults() == []


def test_every_fault_of_all_hosts_is_told_at_once_and_what_is_the_same_once(fleet: Fleet) -> None:
    for variables in fleet.hosts.values():
        variables |= {"agent_instance": 2, "kafka_heapp": "1g", "webmon_qwerty": 1, "kafka_of_another_role": 1}
    fleet.environment |= {"MONITORING_RETRY_SECS": "sixty", "MONITORING_MAC_KEY": "hush", "MONITORING_RETRY_SEC": 1}
    del fleet.environment["KAFKA_PORT"]
    fleet.looks["a"]["python"] = [3, 9]
    found = fleet.judge()
    assert [line.partition("; ")[0] for line in found["faults"]] == [
        "k, a: the variable agent_instance means nothing here",
        "k, a: the variable kafka_heapp means nothing here",
        "k, a: the variable webmon_qwerty means nothing here",
        "a: the .env of agent would be refused: /etc/webmon/agent/.env: KAFKA_PORT is missing",
        "a: the .env of agent would be refused: /etc/webmon/agent/.env:8: MONITORING_RETRY_SECS is 'sixty'",
        "a: the .env of agent would be refused: /etc/webmon/agent/.env:9: MONITORING_MAC_KEY is not right",
        "a: the .env of agent would be refused: /etc/webmon/agent/.env:10: MONITORING_RETRY_SEC is no "
        "variable of webmon",
        "a: has Python 3.9",
    ]
    assert found["faults"][0].endswith("right would be agent_instances")
    assert found["warnings"] == ["k, a: the variable kafka_of_another_role means nothing here: no role has it"]
    assert "hush" not in str(found)


def test_no_variable_that_a_role_takes_or_tells_is_unknown() -> None:
    known = inventory_room._known()
    assert "webmon_kafka_host" in known
    assert inventory_room.variable_faults([*known, "component_judged", "release_there", "ansible_user", "x"]) == (
        [],
        [],
    )


def test_variables_that_must_be_there_are_told(fleet: Fleet) -> None:
    fleet.groups |= {"sinks": ["a"], "init": ["a"], "reports": ["a"]}
    lines = [line for line in fleet.faults() if "is not set" in line]
    assert [line.partition(" is not set")[0] for line in lines] == [
        "a: webmon_postgres_owner_password",
        "a: webmon_postgres_sink_password",
        "a: webmon_postgres_reader_password",
    ]


def test_what_can_not_be_made_is_told_in_words_for_people(fleet: Fleet) -> None:
    fleet.hosts["a"]["component_judged"] = [
        {"component": name, "fault": fault, "certificates": "", "environment": {}}
        for name, fault in (
            (
                "init",
                "Error while resolving value for 'a': The lookup plugin 'ansible.builtin.file' failed: Unable to "
                "access the file '/x/postgres-owner': File not found. Use -vvvvv to see paths searched.",
            ),
            ("sink", "Error while resolving value: 'webmon_postgres_sink_password' is undefined"),
            ("agent", "failed to combine variables, expected dicts but got 'hush'"),
        )
    ]
    assert fleet.faults() == [
        "a: the .env of init can't be made: /x/postgres-owner can't be read; right would be a file there, by its whole "
        "path (of a secret: one line, with it)",
        "a: the .env of sink can't be made: webmon_postgres_sink_password is not set; right would be a value in the "
        "inventory, or in a vault",
        "a: the .env of agent can't be made: a variable is not of the form that the README of its role says (a "
        "dictionary, a list, a text)",
    ]


def test_a_secret_that_targets_name_is_no_misspelt_variable(fleet: Fleet) -> None:
    fleet.environment["MONITORING_TOKEN"] = "x"
    assert fleet.faults() != []
    fleet.targets.write_text("targets: [{name: a, url: http://a.example/, headers: {X: '${MONITORING_TOKEN}'}}]\n")
    assert fleet.faults() == []


@pytest.mark.parametrize("checksum", ["sha512:put the digest here", "sha512:", "", "c7d7", "sha512:" + "z" * 128])
def test_a_digest_that_is_none_is_told_without_one_to_paste(fleet: Fleet, checksum: str) -> None:
    fleet.hosts["k"]["kafka_judged"]["checksum"] = checksum
    assert fleet.faults() == [
        f"k: kafka_archive_checksum is {checksum[:60]!r}; right would be none at all, as that of the default archive "
        "is known"
    ]


def test_another_archive_needs_its_own_digest_and_a_copy_of_the_same_does_not(fleet: Fleet) -> None:
    broker = fleet.hosts["k"]["kafka_judged"]
    broker["url"] = "https://mirror.example/kafka_2.13-4.3.1.tgz"
    assert fleet.faults() == []
    broker["url"] = "https://mirror.example/kafka_2.13-4.9.0.tgz"
    [told] = fleet.faults()
    assert told.endswith("kafka_archive_checksum is not set; right would be sha512: and the digest that is published "
                         "beside it")  # fmt: skip
    broker["checksum"] = "SHA512:" + " ".join(["ABCD EF01"] * 16)
    assert fleet.faults() == []


def test_properties_that_other_places_must_agree_with_are_refused(fleet: Fleet) -> None:
    fleet.hosts["k"]["kafka_judged"]["properties"] = ["num.io.threads", "log.dirs", "node.id"]
    assert fleet.faults() == [
        "k: kafka_properties has log.dirs, which is the role's; right would be the disk that you want, mounted at "
        "/var/lib/kafka",
        "k: kafka_properties has node.id, which is the role's; right would be kafka_node_id",
    ]


def test_a_line_for_the_database_that_is_none_is_told(fleet: Fleet) -> None:
    fleet.hosts["a"]["timescaledb_judged"] = {
        "listens": [5432],
        "hba_lines": ["hostssl webmon all all reject", "all"],
        "repositories": [],
        "certificates": "authority",
    }
    (told,) = fleet.faults()
    assert told.startswith(
        "a: timescaledb_hba_lines has as its line 2 'all': it begins with all; right would be one of"
    )


def test_a_repository_for_the_database_needs_the_key_that_signs_it(fleet: Fleet, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.asc", tmp_path / "bad.asc"
    good.write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nxjME\n-----END PGP PUBLIC KEY BLOCK-----\n")
    bad.write_bytes(b"\x98\x33\x04")
    of = {"uri": "https://packages.example/debian", "suite": "trixie"}
    fleet.hosts["a"]["timescaledb_judged"] = {
        "listens": [5432],
        "hba_lines": [],
        "repositories": [
            *({**of, "key": str(path)} for path in (good, bad, tmp_path / "none.asc")),
            {"suite": "trixie"},
        ],
        "certificates": "authority",
    }
    where = "a: timescaledb_repositories, number"
    right = "right would be the key that signs the repository, as its makers"
    assert fleet.faults() == [
        f"{where} 2: {bad} does not begin with -----BEGIN PGP PUBLIC KEY BLOCK-----; {right} publish it, armored",
        f"{where} 3: {tmp_path}/none.asc: No such file or directory; {right} publish it",
        f"{where} 4 has no uri and no key; right would be all of uri, suite and key",
    ]


def test_what_a_companys_authority_issued_for_the_database_is_judged_and_ours_is_not_asked_for(
    fleet: Fleet, tmp_path: Path
) -> None:
    database = {
        "listens": [5432],
        "hba_lines": [],
        "repositories": [],
        "certificates": "provided",
        "provided": str(tmp_path),
        "names": ["db"],
    }
    fleet.hosts = {
        "a": {"certificates_judged": fleet.hosts["a"]["certificates_judged"], "timescaledb_judged": database}
    }
    fleet.hosts["a"]["certificates_judged"]["faults"] = ["the passphrase does not open the key"]
    fleet.looks = {"a": fleet.looks["a"]}
    assert [told.partition(";")[0] for told in fleet.faults()] == [
        f"a: {tmp_path}/{name} is missing" for name in ("ca.pem", "service.cert", "service.key")
    ]


def test_a_broker_keeps_the_number_that_it_was_made_with(fleet: Fleet) -> None:
    fleet.looks["k"]["kafka"] = "version=1\nnode.id=2\n"
    assert fleet.faults() == [
        "k: its storage was made for broker 2, and it would become 1; right would be kafka_node_id: 2 in its variables"
    ]
    fleet.hosts["k"]["kafka_judged"]["node_id"] = 2
    assert fleet.faults() == []


def test_brokers_of_another_group_are_told(fleet: Fleet) -> None:
    fleet.hosts["k"]["kafka_judged"]["group"] = "brokers"
    assert fleet.faults() == [
        "k: kafka_group is brokers, which no playbook here knows; right would be the group kafka alone"
    ]


def test_no_two_brokers_have_one_number(fleet: Fleet) -> None:
    fleet.hosts["k2"] = copy.deepcopy(fleet.hosts["k"])
    assert fleet.faults() == ["k, k2: all would be broker 1; right would be a kafka_node_id of each"]


def test_a_host_beside_brokers_that_run_becomes_one_by_its_own_playbook_alone(fleet: Fleet) -> None:
    fleet.looks["k"] |= {"kafka": "version=1\nnode.id=1\n", "quorum": ["controller.quorum.voters=1@k:9094,2@k2:9094"]}
    fleet.hosts["k3"] = copy.deepcopy(fleet.hosts["k"])
    fleet.hosts["k3"]["kafka_judged"] |= {"node_id": 3, "advertised": "k3"}
    fleet.looks["k3"] = copy.deepcopy(LOOK)
    [told] = fleet.faults()
    assert told.startswith(
        "k3: is no broker, and other hosts of the group kafka are; right would be playbooks/brokers.yml"
    )
    fleet.may_join = True
    assert fleet.faults() == []


def test_a_broker_that_the_others_list_comes_back_as_it_was(fleet: Fleet) -> None:
    fleet.looks["k"] |= {"kafka": "version=1\nnode.id=1\n", "quorum": ["controller.quorum.voters=1@k:9094,2@k2:9094"]}
    fleet.hosts["k2"] = copy.deepcopy(fleet.hosts["k"])
    fleet.hosts["k2"]["kafka_judged"] |= {"node_id": 2, "advertised": "k2"}
    fleet.looks["k2"] = copy.deepcopy(LOOK)
    assert fleet.faults() == []
    fleet.looks["k"]["quorum"] = ["controller.quorum.bootstrap.servers=k:9094,k2:9094"]
    assert len(fleet.faults()) == 1, "the others know it by its storage, which is another now"


def test_targets_are_judged_once_and_a_missing_list_is_told(fleet: Fleet) -> None:
    fleet.targets.write_text("targets: [{name: a, url: 'nothing', intervall: 5}]\n")
    fleet.hosts["b"] = copy.deepcopy(fleet.hosts["a"])
    told = fleet.faults()
    assert len(told) == 2
    assert all(line.startswith(f"{fleet.targets}:1: ") for line in told)
    fleet.targets.unlink()
    [told_missing] = fleet.faults()
    assert told_missing.startswith(f"{fleet.targets}: No such file or directory; right would be your targets there")


def test_targets_of_the_inventory_itself_are_judged_as_the_file_that_they_become(fleet: Fleet, tmp_path: Path) -> None:
    judged = {"file": "", "stands_at": str(tmp_path / "agent_targets.txt"), "text": "nothing\n", "authorities": ""}
    fleet.hosts["a"]["agent_judged"] = judged
    [told] = fleet.faults()
    assert told.startswith(f"{tmp_path}/agent_targets.txt:1: ")
    judged["text"] = ""
    assert fleet.faults() == ["there is nothing to watch; right would be one of agent_targets and agent_targets_file"]


def test_supplied_files_are_judged(fleet: Fleet, tmp_path: Path) -> None:
    component = fleet.hosts["a"]["component_judged"][0]
    component |= {"certificates": "provided", "provided": str(tmp_path), "postgres_ca": str(tmp_path / "gone.pem")}
    (tmp_path / "empty.pem").write_text("")
    fleet.hosts["a"]["agent_judged"]["authorities"] = str(tmp_path / "empty.pem")
    assert [line.partition("; right")[0] for line in fleet.faults()] == [
        f"a: {tmp_path}/ca.pem is missing",
        f"a: {tmp_path}/service.cert is missing",
        f"a: {tmp_path}/service.key is missing",
        f"a: {tmp_path}/gone.pem: No such file or directory",
        f"{tmp_path}/empty.pem holds no certificate",
    ]


def component(name: str, environment: dict[str, Any]) -> dict[str, Any]:
    """Give what the role of that name tells, where nothing is supplied beside its settings."""
    of_all = {"fault": "", "instance": {}, "certificates": "none", "provided": "", "kafka_ca": "", "postgres_ca": ""}
    return {"component": name, "environment": environment, "lists": [], **of_all}


def test_a_user_or_password_of_kafka_that_is_missing_is_told_once(fleet: Fleet, tmp_path: Path) -> None:
    given = {"KAFKA_HOST": "k", "KAFKA_PORT": "9092", "MONITORING_TARGETS_PATH": "/etc/webmon/agent/targets.yml"}
    given |= {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "", "KAFKA_SASL_PASSWORD": ""}
    judged = component("agent", {**given, "KAFKA_SASL_USERNAME": "webmon-agent"})
    fleet.hosts["a"]["component_judged"] = [judged | {"kafka_ca": str(tmp_path / "gone.pem")}]
    right = "right would be one, as inventory/example-sasl has it"
    assert fleet.faults() == [
        f"a: webmon_kafka_security_protocol is SASL_SSL, but webmon_kafka_sasl_mechanism is not set; {right}",
        f"a: webmon_kafka_security_protocol is SASL_SSL, but webmon_kafka_users has no password of agent; {right}",
        f"a: {tmp_path}/gone.pem: No such file or directory; right would be the authority of the brokers' "
        "certificates, in PEM",
    ]


def test_rules_of_alarms_are_judged_once_with_the_targets_and_the_secrets_that_they_name(
    fleet: Fleet, tmp_path: Path
) -> None:
    environment: dict[str, Any] = {
        **{name: value for name, value in AGENT.items() if name.startswith("KAFKA")},
        "POSTGRES_HOST": "k",
        "POSTGRES_PORT": "5432",
        "POSTGRES_DATABASE": "webmon",
        "POSTGRES_SSL": "prefer",
        "POSTGRES_USER": "webmon_alarm",
        "POSTGRES_PASSWORD": "hush",
        "ALARM_RULES_PATH": "/etc/webmon/alarm/rules.yml",
        "ALARM_TOKEN": "t0ken",
    }
    rules = tmp_path / "rules.yml"
    rules.write_text(
        "routes: [{to: [hook]}]\n"
        "channels: {hook: {webhook: {url: 'https://a.example/${ALARM_TOKEN}', secret: '${ALARM_SECRET}'}}}\n"
    )
    judged = {"rules": str(rules), "targets": str(fleet.targets), "vantages": 1, "authorities": ""}
    fleet.hosts["a"]["alarm_judged"] = judged
    fleet.hosts["a"]["component_judged"].append(component("alarm", environment) | {"lists": [str(rules)]})
    fleet.hosts["b"] = copy.deepcopy(fleet.hosts["a"])
    [told] = fleet.faults()
    assert told.startswith(f"{rules}:2: ")
    assert "${ALARM_SECRET}, which is not set" in told
    assert "t0ken" not in told
    for host in ("a", "b"):
        fleet.hosts[host]["component_judged"][-1]["environment"]["ALARM_SECRET"] = "x"
    assert fleet.faults() == []
    fleet.targets.write_text("targets: [{name: a, url: http://a.example/, alarm: {agree: 4}}]\n")
    [told] = fleet.faults()
    assert told.startswith(f"{fleet.targets}: target 'a': alarm.agree is 4; right would be 1 at most")
    rules.unlink()
    [told] = [line for line in fleet.faults() if line.startswith(f"{rules}: ")]
    assert told == f"{rules}: No such file or directory; right would be a readable file of rules"


def test_what_the_page_shows_and_who_may_act_are_judged(fleet: Fleet, tmp_path: Path) -> None:
    page, users = tmp_path / "page.yml", tmp_path / "users"
    page.write_text("title: Status\ngroups: nothing\n")
    users.write_text("ops:hush\n")
    fleet.hosts["a"]["page_judged"] = {"file": str(page), "users": str(users)}
    told = fleet.faults()
    assert [line.rpartition(": ")[0].partition(": ")[0] for line in told] == [f"{page}:2", f"{users}:1"]
    assert "hush" not in str(told)
    for path in (page, users):
        path.write_text("$ANSIBLE_VAULT;1.1;AES256\n1234\n")
    assert fleet.faults() == []


@pytest.mark.parametrize(
    ("what", "value", "told"),
    [
        ("python", [3, 9], "has Python 3.9; supported is 3.11 or later"),
        ("machine", "armv7l", "is of armv7l; supported are x86_64 and aarch64"),
        (
            "system",
            {"id": "ubuntu", "version": "24.04", "name": "Ubuntu\x1b[2J"},
            "has Ubuntu\\x1b[2J; supported are Deb",
        ),
        ("systemd", False, "does not run systemd"),
        (
            "free",
            LOOK["free"] | {"/opt/webmon": 9 << 20},
            "has 9 MB free for /opt/webmon; right would be 400 MB at least",
        ),
        ("time", 1e9, "its clock is "),
        (
            "unresolved",
            {"k": "Name or service not known"},
            "can't resolve k (Name or service not known); right would be",
        ),
        ("root", False, "is not root after sudo"),
    ],
)
def test_a_host_that_can_not_serve_is_told_with_what_would_be_right(
    fleet: Fleet, what: str, value: object, told: str
) -> None:
    fleet.looks["a"][what] = value
    [line] = fleet.faults()
    assert line.startswith(f"a: {told}")


def test_what_runs_already_goes_on_where_only_the_first_installation_would_not(fleet: Fleet) -> None:
    fleet.looks["a"] |= {"installed": True, "system": {"id": "ubuntu", "version": "24.04", "name": "Ubuntu 24.04"}}
    fleet.looks["a"]["free"] = dict.fromkeys(LOOK["free"], 0)
    assert fleet.faults() == []


def test_a_database_of_ours_needs_debian_13(fleet: Fleet) -> None:
    fleet.groups["timescaledb"] = ["a"]
    fleet.looks["a"]["system"] = {"id": "debian", "version": "12", "name": "Debian 12"}
    assert [line for line in fleet.faults() if "TimescaleDB" in line] != []


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (
            {"failed": True, "msg": "Task failed: Missing sudo password"},
            "deploy does not become root (Task failed: Missing sudo password); right would be -K",
        ),
        ({"rc": 127, "stderr": "/bin/sh: 1: /usr/bin/python3: not found"}, "has no /usr/bin/python3; right would be"),
        ({"rc": 1, "stderr": "Traceback"}, "could not be looked at: Traceback"),
        ({"stdout": "LOOKED {"}, "gave an answer that can't be read"),
    ],
)
def test_a_host_that_can_not_be_looked_at_is_told_with_why(fleet: Fleet, result: dict[str, Any], told: str) -> None:
    fleet.results["a"] = result
    fleet.hosts["a"]["ansible_user"] = "deploy"
    [line] = fleet.faults()
    assert line.startswith(f"a: {told}")


def test_a_host_that_does_not_answer_holds_up_no_other(fleet: Fleet) -> None:
    fleet.results["a"] = {"unreachable": True, "msg": "Failed to connect"}
    assert fleet.judge() == {
        "faults": [],
        "warnings": ["a: does not answer, so it is left out: Failed to connect"],
    }


def test_a_port_is_judged_only_where_something_listens(fleet: Fleet) -> None:
    fleet.looks["a"]["unreached"] = {"k:9093": "timed out"}
    assert fleet.judge() == {"faults": [], "warnings": []}
    fleet.looks["k"]["listens"] = [9093]
    [told] = fleet.faults()
    assert told.startswith("a: can't reach k:9093, where k listens (timed out); right would be a firewall")
    fleet.looks["a"]["unreached"] = {"db.example:5432": "timed out"}
    assert fleet.judge() == {"faults": [], "warnings": ["a: nothing answers at db.example:5432 (timed out)"]}
    fleet.looks["a"]["unresolved"] = {"db.example": "Name or service not known"}
    assert fleet.judge()["warnings"] == []


THERE = {"/etc/webmon/agent/.env": "abc", "/etc/systemd/system/webmon-agent.service": "123"}


@pytest.mark.parametrize(
    ("there", "changed"),
    [
        (THERE, []),
        (THERE | {"/etc/webmon/agent/.env": "abd"}, ["agent"]),
        (THERE | {"/etc/systemd/system/webmon-agent.service": "124"}, ["agent"]),
        # What a later systemd takes.
        (THERE | {"/etc/systemd/system/webmon-agent.service": "254"}, []),
        # As where several agents are to become one.
        ({"/etc/webmon/agent/.env": "abc"}, ["agent"]),
        # It comes for the first time.
        ({}, []),
        ({"/etc/systemd/system/webmon-agent.service": "124"}, []),
    ],
)
def test_settings_change_where_a_component_has_another_env_or_unit_than_it_would_get(
    fleet: Fleet, there: dict[str, str], changed: list[str]
) -> None:
    files = {path: [digits] for path, digits in THERE.items()}
    files["/etc/systemd/system/webmon-agent.service"].append("254")
    fleet.hosts["a"]["component_judged"] = [
        {"component": "agent", "files": files, "environment": {}},
        # What could not be told.
        {"component": "report", "environment": {}},
    ]
    asked = json.loads(hosts_room.look_arguments(fleet.hosts, "a", [], 0.0))
    assert asked["files"] == sorted(THERE)
    fleet.hosts["a"]["preflight_look"] = {"stdout": f"LOOKED {json.dumps({'files': there, 'root': True})}"}
    assert hosts_room.changed_settings(fleet.hosts["a"]) == changed


def test_of_a_host_that_does_not_answer_no_settings_change(fleet: Fleet) -> None:
    fleet.hosts["a"]["component_judged"] = [{"component": "agent", "files": {"/etc/webmon/agent/.env": ["abc"]}}]
    fleet.hosts["a"]["preflight_look"] = {"unreachable": True}
    assert hosts_room.changed_settings(fleet.hosts["a"]) == []


def test_a_digest_of_a_file_has_no_more_than_three_digits_and_one_that_is_not_there_none(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("look", ROOT / "playbooks/files/look.py")
    assert spec is not None
    assert spec.loader is not None
    look = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(look)
    settings = str(tmp_path / ".env")
    Path(settings).write_text("POSTGRES_PASSWORD='x'\n")
    assert look.digests([settings, f"{tmp_path}/unit"]) == {settings: "5a7"}


def test_a_new_authority_never_comes_over_a_running_fleet(fleet: Fleet) -> None:
    fleet.looks["k"]["authorities"] = {"/etc/kafka/tls/ca.pem": authority()}
    [told] = fleet.faults()
    place = fleet.authority
    assert told.startswith(
        f"k: the authority that they trust (/etc/kafka/tls/ca.pem of k) is expected in {place}/ca.pem, which is not "
        f"there; right would be the whole directory {place} of the machine that installed them"
    )
    (place / "ca.pem").write_text(authority())
    assert "which is another;" in fleet.faults()[0]


def test_the_own_authority_also_beside_another_is_fine_and_so_is_a_host_without_any(fleet: Fleet) -> None:
    own, former = authority(), authority("webmon authority 2026")
    (fleet.authority / "ca.pem").write_text(own)
    fleet.looks["k"]["authorities"] = {"/etc/kafka/tls/ca.pem": former + own}
    assert fleet.faults() == []


def test_the_authority_of_a_managed_service_is_not_ours_to_judge(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.looks["a"]["authorities"] = {"/etc/webmon/agent/tls/ca.pem": authority(organization="A Service")}
    assert fleet.faults() == []
    fleet.looks["a"]["authorities"] = {"/etc/webmon/agent/tls/ca.pem": "-----BEGIN CERTIFICATE-----\nno\n-----END "
                                       "CERTIFICATE-----\n"}  # fmt: skip
    assert fleet.faults() == []


def test_no_authority_is_made_where_some_hosts_are_left_out(fleet: Fleet) -> None:
    fleet.limited = ["sink1"]
    [told] = fleet.faults()
    assert told.startswith(f"there is no {fleet.authority}/ca.pem, and --limit leaves out sink1, which may trust an")
    (fleet.authority / "ca.pem").write_text(authority())
    assert fleet.faults() == []


def test_a_checkout_with_the_authority_that_can_not_open_its_key_is_refused(fleet: Fleet) -> None:
    for variables in fleet.hosts.values():
        variables["certificates_judged"]["faults"] = ["the passphrase does not open the key"]
    assert fleet.faults() == ["k, a: the passphrase does not open the key"]
    for variables in fleet.hosts.values():
        variables["certificates_judged"] |= {"faults": [], "unmade": "could not access the file '/s/authority'"}
    assert "the authority's passphrase can't be had: " in fleet.faults()[0]
    fleet.hosts["a"]["component_judged"][0]["certificates"] = "none"
    fleet.hosts["k"]["certificates_judged"]["unmade"] = ""
    assert fleet.faults() == [], "a host without a certificate needs no authority"


def test_what_is_encrypted_and_not_opened_is_told_as_such(fleet: Fleet) -> None:
    fleet.hosts["a"]["component_judged"][0]["fault"] = "Attempting to decrypt but no vault secrets found."
    assert "is encrypted by ansible-vault, and what was given does not open it" in fleet.faults()[0]


def test_a_checkout_without_the_keys_that_agents_sign_with_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    fleet.hosts["a"]["webmon_agent_keys_dir"] = str(tmp_path / "agents")
    assert fleet.faults() == [], "none signs yet"
    fleet.looks["a"]["signs"] = True
    assert fleet.faults()[0].startswith(
        f"a: sign their results with keys expected in {tmp_path}/agents, which is not there"
    )
    (tmp_path / "agents").mkdir()
    assert fleet.faults() == []


def test_an_installation_of_several_directories_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    fleet.hosts["a"]["certificates_judged"]["files"] = "/other/files"
    [told] = fleet.faults()
    assert f"here are 2 (k: {tmp_path}; a: /other/files); right would be webmon_files_dir by its whole path" in told


def test_a_look_tells_what_a_host_is_and_changes_nothing(fleet: Fleet) -> None:
    asked = hosts_room.look_arguments(fleet.hosts, "a", ["k"], 5.0)
    assert json.loads(asked) == {"began": 5.0, "names": ["k"], "reaches": [["k", 9093]], "listens": [], "files": []}
    broker = json.loads(hosts_room.look_arguments(fleet.hosts, "k", ["k"], 5.0))
    assert (broker["reaches"], broker["listens"]) == ([["k", 9093], ["k", 9094]], [9093, 9094])
    everywhere, here = socket.create_server(("", 0)), socket.create_server(("127.0.0.1", 0))
    ports = [server.getsockname()[1] for server in (everywhere, here)]
    asked = json.dumps(
        {
            "began": 5.0,
            "names": ["localhost", "no.invalid"],
            "reaches": [["127.0.0.1", 1]],
            "listens": [1, *ports],
            "files": [],
        }
    )
    done = subprocess.run(
        [sys.executable, ROOT / "playbooks/files/look.py", asked], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.removeprefix("LOOKED "))
    assert found["python"] == list(sys.version_info[:2])
    assert list(found["unresolved"]) == ["no.invalid"]
    assert found["unreached"] == {"127.0.0.1:1": "Connection refused"}
    assert found["listens"] == ports[:1], "the loopback alone is for nobody else"
    everywhere.close()
    here.close()


def test_what_ansible_asks_for_is_what_the_program_judges() -> None:
    assert {roles[-1] for roles in inventory_room.GROUPS.values()} - {"kafka", "timescaledb"} <= settings.KINDS.keys()
