"""One more host beside those of the lab's inventory: every component at once, with secrets planted on it.

Playbooks come to it as a user who needs a password for sudo, and to all others as root.
"""

import contextlib
import dataclasses
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from tests.e2e.lab import Lab
from tests.meanwhile import meanwhile

HOST: Final = "more1"
ADDRESS: Final = ".42"
"""Its end of the lab's network."""
USER: Final = "deploy"
SITE: Final = "playbooks/site.yml"
DOWN: Final = "down1"
"""A host of the same inventory; nothing answers at its address."""
_SAMPLE_SECS: Final = 0.5


class Words:
    """Secrets by name, each a text that stands nowhere by chance."""

    def __init__(self, words: Mapping[str, str]) -> None:
        """Take them."""
        assert all(len(word) >= 16 for word in words.values())
        self._names = {word: name for name, word in words.items()}
        self._pattern = re.compile(b"|".join(re.escape(word.encode()) for word in self._names))

    def within(self, text: str | bytes) -> set[str]:
        """Give the names of the secrets that stand in a text."""
        found = self._pattern.findall(text.encode() if isinstance(text, str) else text)
        return {self._names[word.decode()] for word in found}

    def typed(self) -> str:
        """Give them a line each, for a search that gets them by standard input: it must not find itself."""
        return "".join(f"{word}\n" for word in self._names)


class Processes:
    """Looks at what every process was started with; this machine sees those of the lab's hosts too."""

    def __init__(self, words: Words) -> None:
        """Look for these."""
        self.found: set[str] = set()
        self.samples = 0
        self._words = words

    def look(self) -> None:
        """Look at those that there are now."""
        self.samples += 1
        for process in Path("/proc").glob("[0-9]*"):
            for what in ("cmdline", "environ"):
                with contextlib.suppress(OSError):  # it has ended, or is another user's
                    text = (process / what).read_bytes()
                    self.found |= {f"{name} in the {what} of {text[:60]!r}" for name in self._words.within(text)}


@dataclasses.dataclass
class More:
    """The host, and what the runs said that had it in the inventory."""

    lab: Lab
    inventory: Path
    secrets: Mapping[str, str]
    """By name: what was planted, and the lab's passwords."""
    targets: Sequence[str]
    """Names of what its agent checks."""
    said: list[str] = dataclasses.field(default_factory=list)
    seen: set[str] = dataclasses.field(default_factory=set)
    """Secrets that a process was started with during one of the runs."""
    samples: int = 0
    checked: dict[tuple[str, str], tuple[int, str]] = dataclasses.field(default_factory=dict)
    """What check mode gave before that, as play(), by the host's state and the tag."""
    made_by_checks: set[Path] = dataclasses.field(default_factory=set)
    """Secrets on this machine that were not there before them."""
    installed: tuple[int, str] = (-1, "")
    """What the first run gave, as play()."""

    def play(self, playbook: str, *arguments: str) -> tuple[int, str]:
        """Run a playbook, whatever comes of it; give exit status and output."""
        processes = Processes(Words(self.secrets))
        with meanwhile(processes.look, every=_SAMPLE_SECS):
            done = self.lab.try_play(playbook, "--inventory", str(self.inventory), *arguments)
        self.seen |= processes.found
        self.samples += processes.samples
        self.said.append(done.stdout + done.stderr)
        return done.returncode, done.stdout


def plant() -> dict[str, str]:
    """Give the secrets of the host's agent, by the names of its variables."""
    return {name: f"planted{secrets.token_hex(12)}" for name in ("TOKEN", "PASSWORD", "HEADER", "BODY", "PROXY")}


def boot(lab: Lab) -> str:
    """Boot the host, with a user who needs a password for sudo; give that password."""
    lab.do("up", f"{HOST}=42:trixie")
    password = f"planted{secrets.token_hex(12)}"
    made = (
        f"useradd --create-home --groups sudo {USER} && chpasswd && install -d -m 700 -o {USER} /home/{USER}/.ssh && "
        f"install -m 600 -o {USER} /root/.ssh/authorized_keys /home/{USER}/.ssh/"
    )
    done = lab.try_on(HOST, made, f"{USER}:{password}\n")
    assert done.returncode == 0, done.stderr
    return password


def install(lab: Lab, directory: Path) -> More:
    """Boot the host, and run site.yml for it and for one that is down, with all that Ansible can say.

    The database's host is in it, as it lets in the sinks and readers of the inventory alone.
    """
    password = boot(lab)
    # As on a machine that is no container: there systemd lets a service that dies leave a core file.
    lab.on(
        HOST,
        "mkdir -p /etc/systemd/system.conf.d && printf '[Manager]\\nDefaultLimitCORE=infinity\\n' "
        "> /etc/systemd/system.conf.d/core.conf && systemctl daemon-reexec",
    )
    planted = plant()
    inventory = directory / "more.yml"
    inventory.write_text(yaml.safe_dump(inventory_of(lab, planted, password)))
    files = [path for path in (lab.directory / "secrets").rglob("*") if path.is_file() and path.suffix != ".since"]
    of_lab = {path.name: path.read_text().split()[0] for path in files}
    more = More(lab, inventory, planted | of_lab | {"SUDO": password}, [target["name"] for target in _targets()])
    checks = ("--limit", HOST, "--check", "--diff", "-vvv")
    before = kept(lab)
    for tag in ("", "configure", "run"):
        more.checked["fresh", tag] = more.play(SITE, *checks, *(("--tags", tag) if tag else ()))
    more.made_by_checks = kept(lab) - before
    more.play(SITE, "--limit", HOST, "--tags", "install")
    before = kept(lab)
    more.checked["half", ""] = more.play(SITE, *checks)
    more.made_by_checks |= kept(lab) - before
    more.installed = more.play(SITE, "--limit", f"{HOST},{DOWN},db1", "-vvv", "--diff")
    return more


def kept(lab: Lab) -> set[Path]:
    """Give the secrets that are on this machine."""
    return set((lab.directory / "secrets").rglob("*"))


def inventory_of(lab: Lab, planted: Mapping[str, str], password: str) -> dict[str, Any]:
    """Give an inventory that has the host, reached by that password, and one that is down."""
    agent = {
        "ansible_host": "{{ lab_net }}.42",
        "ansible_user": USER,
        "ansible_become_password": password,
        "agent_environment": dict(planted),
        "agent_targets_file": "",
        "agent_targets": {"defaults": {"interval": 5, "timeout": 3}, "targets": _targets()},
    }
    down = {
        "ansible_host": "{{ lab_net }}.99",
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={lab.directory}/ssh/known_hosts -o ConnectTimeout=1",
        "ansible_ssh_retries": 0,
    }
    groups: dict[str, Any] = {name: {"hosts": {HOST: {}}} for name in ("sinks", "reports", "alarms", "pages")}
    groups |= {"lab": {"hosts": {HOST: agent, DOWN: down}}, "agents": {"hosts": {HOST: {}, DOWN: {}}}}
    return {"all": {"children": groups}}


def _targets() -> list[dict[str, Any]]:
    """Give targets that carry each secret, to sites where all goes well and to some where it fails in each phase."""
    basic = {"basic": {"username": "joe", "password": "${PASSWORD}"}}
    sites = {
        "good": "http://web1/",
        "moved": "http://web1/moved",
        "loop": "http://web1/loop",
        "missing": "http://web1/no-such-page",
        "cut-off": "http://web1/cut-off",
        "closed": "http://web1:8081/",
        "silent": "http://web1:8082/",
        "bad-tls": "https://web1:8443/",
        "unknown": "http://no-such-host.invalid/",
    }
    carried: list[dict[str, Any]] = [
        {"url": url, "headers": {"X-Secret": "${HEADER}"}, "auth": auth, "name": f"planted-{name}-{next(iter(auth))}"}
        for name, url in sites.items()
        for auth in (basic, {"bearer": "${TOKEN}"})
    ]
    posted = {"name": "planted-post", "url": "http://web1/", "method": "POST", "body": "token=${BODY}"}
    proxies = {"closed": "web1:8081", "page": "web1:80", "silent": "web1:8082"}
    proxied = [
        {"name": f"planted-proxy-{name}", "url": "https://web1/", "proxy": f"http://joe:${{PROXY}}@{at}"}
        for name, at in proxies.items()
    ]
    return [*carried, posted, *proxied]
