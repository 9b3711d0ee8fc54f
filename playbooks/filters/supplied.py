"""What is wrong with what an operator supplies: the values of a .env, targets, rules, certificates, a digest."""

import contextlib
import re
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from cryptography import x509
from webmon_filters import provided
from webmon_filters.inventory import ROLES

from webmon import settings
from webmon.alarm import rules
from webmon.env_file import Source
from webmon.errors import UserError
from webmon.page import access
from webmon.page import file as page_file
from webmon.targets.file import check_file

_DIGESTS: Final = {"sha512": 128, "sha384": 96, "sha256": 64}
BROKERS_OWN: Final = {
    "log.dirs": "the disk that you want, mounted at /var/lib/kafka",
    "node.id": "kafka_node_id",
}
"""Properties of a broker that other places must agree with, and how each is set."""
_HEADER_LINES: Final = 2
"""Of a .env, as the role component writes it."""


def component_faults(component: Mapping[str, Any], host: str, hosts: Collection[str]) -> Iterator[str]:
    """Say what is wrong with what a component would get on a host: its .env, by the program's own rules, and files.

    Args:
        component: `component` is its name, `environment` what would be in the .env, `instance` more variables of each
            of several services, with %i; `certificates` is where they come from, authority, provided (in the directory
            `provided`), none or empty; `kafka_ca` and `postgres_ca` the files of Kafka's and the database's authority,
            empty where none is supplied; `lists` are files on this machine with names of variables in them, as
            ${NAME}.
        host: the host's name in the inventory.
        hosts: the names of all hosts.
    """
    name, instance = component["component"], component["instance"]
    yield from _user_faults(name, component["environment"])
    given = {**component["environment"], **{key: str(value).replace("%i", "1") for key, value in instance.items()}}
    values = {key: str(value) for key, value in given.items() if value is not None and str(value)}
    lines, line = {}, _HEADER_LINES
    for key, value in values.items():
        lines[key] = (line := line + 1)
        line += value.count("\n")
    source = Source(Path("/etc/webmon", name, ".env"), values, lines, {})
    named = _named(component["lists"]) if settings.unknown(source) else frozenset()
    for fault in settings.judge(source, name, with_files=False, named=named):
        # Told above, in an operator's words.
        if ": KAFKA_SASL_" not in fault or " is missing" not in fault:
            yield f"the .env of {name} would be refused: {fault}"
    if component["certificates"] == "provided":
        yield from provided.provided_faults(component["provided"], host, hosts)
    if component["kafka_ca"]:
        yield from pem_faults(component["kafka_ca"], "the authority of the brokers' certificates")
    if component["postgres_ca"]:
        yield from pem_faults(component["postgres_ca"], "the authority of the database's certificate")


def _user_faults(name: str, environment: Mapping[str, Any]) -> Iterator[str]:
    """Say what a component lacks where Kafka asks for a user and its password."""
    if environment.get("KAFKA_SECURITY_PROTOCOL") != "SASL_SSL":
        return
    asked, right = "webmon_kafka_security_protocol is SASL_SSL", "right would be one, as inventory/example-sasl has it"
    if not environment.get("KAFKA_SASL_MECHANISM"):
        yield f"{asked}, but webmon_kafka_sasl_mechanism is not set; {right}"
    keys = {"name": "KAFKA_SASL_USERNAME", "password": "KAFKA_SASL_PASSWORD"}
    if lacking := [key for key, variable in keys.items() if not environment.get(variable)]:
        yield f"{asked}, but webmon_kafka_users has no {' and no '.join(lacking)} of {name}; {right}"


def why_unmade(told: str) -> str:
    """Say why a .env can't be made, by what Ansible told: the names in that, as the rest of it may hold a secret."""
    if unset := re.search(r"'(\w+)' is undefined", told):
        return f"{unset[1]} is not set; right would be a value in the inventory, or in a vault"
    if path := re.search(r"(?i)lookup.* access\w* the file '([^'\n]+)'", told):
        return (
            f"{path[1]} can't be read; right would be a file there, by its whole path (of a secret: one line, with it)"
        )
    if re.search(r"(?i)\bvault secrets\b|decrypt", told):
        return (
            "something is encrypted by ansible-vault, and what was given does not open it; right would be "
            "--ask-vault-pass or --vault-password-file FILE"
        )
    if lacking := re.search(r"has no attribute '(\w+)'", told):
        return f"a variable has nothing called {lacking[1]}; right would be what the README of its role says"
    return "a variable is not of the form that the README of its role says (a dictionary, a list, a text)"


def _named(lists: Iterable[str]) -> frozenset[str]:
    texts = (Path(path).read_text(encoding="utf-8", errors="replace") for path in lists if Path(path).is_file())
    return frozenset(name for text in texts for name in re.findall(r"\$\{(\w+)\}", text))


def pem_faults(path: str, what: str) -> list[str]:
    """Say what is wrong with a file of authorities that is to go to the hosts."""
    try:
        found = x509.load_pem_x509_certificates(Path(path).read_bytes())
    except OSError as error:
        return [f"{path}: {error.strerror}; right would be {what}, in PEM"]
    except ValueError:
        return [f"{path} holds no certificate; right would be {what}, in PEM"]
    now = time.time()
    ended = [one for one in found if one.not_valid_after_utc.timestamp() < now]
    return [f"{path}: a certificate in it ended on {one.not_valid_after_utc:%Y-%m-%d}" for one in ended]


def repository_faults(repositories: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Say what is wrong with the package repositories that the database's host would get."""
    for number, repository in enumerate(repositories, 1):
        where = f"timescaledb_repositories, number {number}"
        if lacking := [name for name in ("uri", "suite", "key") if not repository.get(name)]:
            yield f"{where} has no {' and no '.join(lacking)}; right would be all of uri, suite and key"
            continue
        path, right = repository["key"], "right would be the key that signs the repository, as its makers publish it"
        try:
            text = Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            yield f"{where}: {path}: {error.strerror}; {right}"
        else:
            if not text.startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----"):
                yield f"{where}: {path} does not begin with -----BEGIN PGP PUBLIC KEY BLOCK-----; {right}, armored"


def digest_faults(url: str, checksum: str) -> list[str]:
    """Say what is wrong with the digest of Kafka's archive."""
    default = yaml.safe_load((ROLES / "kafka/defaults/main.yml").read_text(encoding="utf-8"))
    is_default = url == default["kafka_archive_url"]
    text = _digest(checksum)
    kind, _, digest = text.partition(":")
    if not (re.fullmatch(r"[0-9a-f]+", digest) and len(digest) == _DIGESTS.get(kind, 0)):
        published = "sha512: and the digest that Apache publishes beside the archive, in the file that ends in .sha512"
        right = "none at all, as that of the default archive is known" if is_default else published
        return [f"kafka_archive_checksum is {str(checksum)[:60]!r}; right would be {right}"]
    if Path(url).name != Path(default["kafka_archive_url"]).name and text == _digest(default["kafka_archive_checksum"]):
        right = "sha512: and the digest that is published beside it"
        return [f"kafka_archive_url is {url}, and kafka_archive_checksum is not set; right would be {right}"]
    return []


def _digest(checksum: str) -> str:
    return re.sub(r"\s", "", str(checksum)).lower()


def list_faults(hosts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Say what is wrong with the lists of targets, rules and pages, and what goes with them, each once."""
    seen = []
    for variables in hosts.values():
        for name, judge in (("agent", _agent_faults), ("alarm", _alarm_faults), ("page", _page_faults)):
            judged = variables.get(f"{name}_judged")
            if judged is not None and (name, judged) not in seen:
                seen.append((name, judged))
                made = [one["environment"] for one in variables.get("component_judged", []) if one["component"] == name]
                yield from judge(judged, made[0] if made else {})


def _agent_faults(judged: Mapping[str, Any], _: Mapping[str, Any]) -> Iterator[str]:
    yield from targets_faults(judged["file"], judged["stands_at"], judged["text"])
    if judged["authorities"]:
        yield from pem_faults(judged["authorities"], "what agent_ca_certificates names: authorities of targets")


def _alarm_faults(judged: Mapping[str, Any], environment: Mapping[str, Any]) -> Iterator[str]:
    if judged["rules"] and not is_encrypted(judged["rules"]):
        targets = Path(judged["targets"])
        # Where there is no list, the agents miss it, too.
        is_list = judged["targets"] and targets.is_file() and not is_encrypted(targets)
        secrets = {key: str(value) for key, value in environment.items()}
        with _telling() as told:
            rules.load(
                Path(judged["rules"]),
                secrets=secrets,
                targets=targets if is_list else None,
                vantages=judged["vantages"] or None,
            )
        yield from told
    if judged["authorities"]:
        yield from pem_faults(judged["authorities"], "what alarm_ca_certificates names: authorities of receivers")


def _page_faults(judged: Mapping[str, Any], _: Mapping[str, Any]) -> Iterator[str]:
    for path, read in ((judged["file"], page_file.load), (judged["users"], access.read_users)):
        if path and not is_encrypted(path):
            with _telling() as told:
                read(Path(path))
            yield from told


@contextlib.contextmanager
def _telling() -> Iterator[list[str]]:
    """Give what a user is told instead of raising it, once it is."""
    told: list[str] = []
    try:
        yield told
    except UserError as error:
        told += error.lines


def is_encrypted(path: str | Path) -> bool:
    """Tell whether a file is one of ansible-vault, which the hosts judge: here nobody has its password."""
    with contextlib.suppress(OSError), Path(path).open("rb") as opened:
        return opened.read(14) == b"$ANSIBLE_VAULT"
    return False


def targets_faults(file: str, stands_at: str, text: str) -> list[str]:
    """Say what is wrong with a list of targets, in a file or given as text."""
    if not file and not text:
        return ["there is nothing to watch; right would be one of agent_targets and agent_targets_file"]
    if file and text:
        return ["agent_targets and agent_targets_file are both set; right would be one of them"]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(file)
        if not file:
            path = Path(directory, Path(stands_at).name)
            path.write_text(text, encoding="utf-8")
        if is_encrypted(path):
            return []
        try:
            path.open("rb").close()
        except OSError as error:
            example = "; right would be your targets there: files/targets.example.yml is one to start from"
            return [f"{file}: {error.strerror}{example}"]
        with _telling() as told:
            check_file(path, stands_at=Path(stands_at))
    return told
