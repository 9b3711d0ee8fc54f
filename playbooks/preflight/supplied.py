"""What is wrong with what an operator supplies: the values of a .env, targets, certificates, a digest."""

import importlib.util
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import yaml
from cryptography import x509
from webmon_preflight.inventory import ROLES

from webmon import settings
from webmon.env_file import Source
from webmon.errors import UserError
from webmon.targets.file import check_file

_DIGESTS: Final = {"sha512": 128, "sha384": 96, "sha256": 64}
BROKERS_OWN: Final = {
    "log.dirs": "the disk that you want, mounted at /var/lib/kafka",
    "node.id": "kafka_node_id",
}
"""Properties of a broker that other places must agree with, and how each is set."""
_HEADER_LINES: Final = 2
"""Of a .env, as the role component writes it."""


def component_faults(component: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with what a component would get on a host: its .env, by the program's own rules, and files.

    Args:
        component: `component` is its name, `environment` what would be in the .env, `instance` more variables of each
            of several services, with %i; `certificates` is where they come from, authority, provided (in the directory
            `provided`) or empty; `postgres_ca` the file of the database's authority, empty where none is supplied;
            `lists` are files on this machine with names of variables in them, as ${NAME}.
    """
    name, instance = component["component"], component["instance"]
    given = {**component["environment"], **{key: str(value).replace("%i", "1") for key, value in instance.items()}}
    values = {key: str(value) for key, value in given.items() if value is not None and str(value)}
    lines, line = {}, _HEADER_LINES
    for key, value in values.items():
        lines[key] = (line := line + 1)
        line += value.count("\n")
    source = Source(Path("/etc/webmon", name, ".env"), values, lines, {})
    named = _named(component["lists"]) if settings.unknown(source) else frozenset()
    for fault in settings.judge(source, name, with_files=False, named=named):
        yield f"the .env of {name} would be refused: {fault}"
    if component["certificates"] == "provided":
        yield from provided_faults(component["provided"])
    if component["postgres_ca"]:
        yield from pem_faults(component["postgres_ca"], "the authority of the database's certificate")


def why_unmade(told: str) -> str:
    """Say why a .env can't be made, by what Ansible told: the names in that, as the rest of it may hold a secret."""
    if unset := re.search(r"'(\w+)' is undefined", told):
        return f"{unset[1]} is not set; right would be a value in the inventory, or in a vault"
    if "lookup" in told and (path := re.search(r"'(/[^'\s]+)'", told)):
        return f"{path[1]} can't be read; right would be a file with one line, the secret"
    return "a variable is not of the form that the README of its role says (a dictionary, a list, a text)"


def _named(lists: Iterable[str]) -> frozenset[str]:
    texts = (Path(path).read_text(encoding="utf-8", errors="replace") for path in lists if Path(path).is_file())
    return frozenset(name for text in texts for name in re.findall(r"\$\{(\w+)\}", text))


@cache
def _provided() -> ModuleType:
    """Give the plugin of that name: Ansible loads them by their path, so no import finds it."""
    place = Path(__file__).parents[1] / "filter_plugins/provided.py"
    spec = importlib.util.spec_from_file_location("provided_beside", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def provided_faults(directory: str) -> list[str]:
    """Say what is wrong with the three files of a managed Kafka."""
    found: list[str] = _provided().provided_faults(directory)
    return found


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
    """Say what is wrong with the lists of targets and what goes with them, each once."""
    seen = []
    for variables in hosts.values():
        judged_list = variables.get("agent_judged")
        if judged_list is None or judged_list in seen:
            continue
        seen.append(judged_list)
        yield from targets_faults(judged_list["file"], judged_list["stands_at"], judged_list["text"])
        if judged_list["authorities"]:
            yield from pem_faults(
                judged_list["authorities"], "what agent_ca_certificates names: authorities of targets"
            )


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
        try:
            with path.open("rb") as opened:
                if opened.read(14) == b"$ANSIBLE_VAULT":  # the agents' hosts judge what it holds
                    return []
            check_file(path, stands_at=Path(stands_at))
        except OSError as error:
            example = "; right would be your targets there: files/targets.example.yml is one to start from"
            return [f"{file}: {error.strerror}{example}"]
        except UserError as error:
            return list(error.lines)
    return []
