"""One directory is one installation: what several inventories of a checkout have, as Ansible runs them here."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.unit.test_preflight import authority

ROOT: Final = Path(__file__).parents[2]
HERE: Final = ("-e", "ansible_connection=local", "-e", "ansible_become=false")
PASSPHRASE: Final = "a passphrase"
FORMER: Final = {
    "main.yml": 'agent_targets_file: "{{ playbook_dir }}/../files/targets.yml"\n',
    "secrets.yml": (
        'secrets_dir: "{{ playbook_dir }}/../files/secrets"\n'
        "certificates_authority_passphrase: \"{{ lookup('secret', secrets_dir ~ '/authority length=32') }}\"\n"
        'webmon_agent_keys_dir: "{{ secrets_dir }}/agents"\n'
    ),
}
"""What an inventory has that was copied from an example when all of a checkout shared one directory."""
TELL: Final = [
    {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.include_role": {"name": "certificates", "tasks_from": "judge"}},
            {"ansible.builtin.debug": {"msg": "TOLD {{ [certificates_judged.authority, told] | to_json }}"}},
        ],
    }
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with nothing of an installation."""
    copy = tmp_path / "checkout"
    for name in ("playbooks", "roles", "files"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("molecule", "__pycache__"))
    shutil.copy(ROOT / "ansible.cfg", copy)
    example = Path("inventory/example/group_vars/all/main.yml")
    _put(copy, {str(example): (ROOT / example).read_text()})
    (copy / "tell.yml").write_text(yaml.safe_dump(TELL))
    return copy


def _run(checkout: Path, program: str, *arguments: str, **environment: str) -> str:
    """Run a program of Ansible's in a checkout; give what it printed, whatever its exit status."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments],
        cwd=checkout,
        # As an operator has it: these inventories lack some groups.
        env={**os.environ, "PYTHONPATH": str(ROOT), "ANSIBLE_HOST_PATTERN_MISMATCH": "warning", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def _put(directory: Path, texts: Mapping[str, str]) -> None:
    for name, text in texts.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text, encoding="utf-8")


def _one_host(inventory: Path, variables: Mapping[str, str]) -> None:
    """Make an inventory of a host that is broker and agent."""
    hosts: dict[str, Any] = {name: {"hosts": {"one": None}} for name in ("kafka", "agents")}
    _put(inventory, {"hosts.yml": yaml.safe_dump({"all": {"children": hosts}})})
    _put(inventory / "group_vars/all", variables)


def _authority(directory: Path) -> dict[str, str]:
    """Make an authority; give what its files hold."""
    key = ec.generate_private_key(ec.SECP256R1())
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE.encode()),
    )
    made = {"ca.key": encrypted.decode(), "ca.pem": authority(key=key)}
    _put(directory, made)
    return made


def _texts(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_two_inventories_of_a_checkout_share_neither_authority_nor_secrets(checkout: Path) -> None:
    told = []
    for name in ("north", "south"):
        inventory = checkout / "inventory" / name
        shutil.copytree(ROOT / "inventory/example", inventory)
        # Both by the directory and by its file: what lies in files/ names no hosts.
        _put(inventory / "files", {"secrets/authority": f"{name}-secret", "targets.yml": "targets: [{url: a}]\n"})
        for source in (f"inventory/{name}", f"inventory/{name}/hosts.yml"):
            password = "{{ certificates_authority_passphrase }}"
            out = _run(checkout, "ansible-playbook", "-i", source, "tell.yml", *HERE, "-e", f"told={password}")
            told += re.findall(r"TOLD (.*)\"?$", out, re.MULTILINE)
            assert f"[{name}-secret]" not in out, "no host is called by a secret"
    expected = {f'["{checkout}/inventory/{name}/files/authority", "{name}-secret"]' for name in ("north", "south")}
    assert {line.rstrip('"').replace("\\", "") for line in told} == expected
    assert len(told) == 2 * 2 * 5
    assert _texts(checkout / "files").keys() == _texts(ROOT / "files").keys() & _texts(checkout / "files").keys()


def test_an_inventory_of_before_goes_on_as_it_is_and_is_told_how_to_move(checkout: Path) -> None:
    inventory, shared = checkout / "inventory/my own", checkout / "files"
    _one_host(inventory, FORMER)
    made = _authority(shared / "authority")
    secrets = {"authority": PASSPHRASE, "agents/one": "k" * 43, "agents/one.since": "2026-06-01T12:00:00Z"}
    _put(shared, {"targets.yml": "targets: [{name: a, url: http://a.example/}]\n"})
    _put(shared / "secrets", secrets)
    before = _texts(checkout)

    out = _run(checkout, "ansible-playbook", "-i", str(inventory), "playbooks/preflight.yml", *HERE)
    assert "Nothing was changed." in out, out
    assert "authority" not in out.partition("Stop here where")[2], "it is no fault"
    assert _texts(checkout) == before
    commands = _commands(out)
    assert [command.split()[0] for command in commands] == ["mkdir", "mv", "sed", "mkdir", "grep"]

    subprocess.run(["bash", "-euc", "\n".join(commands)], check=True)
    out = _run(checkout, "ansible-playbook", "-i", str(inventory), "playbooks/preflight.yml", *HERE)
    faults = out.partition("Stop here where")[2]
    assert "Nothing was changed." in faults
    assert not re.search("authority|targets|secret|sign", faults), faults
    assert _commands(out) == []
    own = _texts(inventory / "files")
    assert {name: own[f"authority/{name}"] for name in made} == made
    assert {name: own[f"secrets/{name}"] for name in secrets} == secrets
    assert _texts(shared).keys() == _texts(ROOT / "files").keys() & _texts(shared).keys()


def _commands(out: str) -> list[str]:
    """Give the commands that a preflight told."""
    told = out.partition("Tell what stops nothing")[2].partition('"msg": ')[2].partition("]\n")[0]
    lines: list[str] = json.loads(f"{told}]") if "by these commands" in told else []
    return lines[1:]


def test_half_of_an_installation_is_refused_and_check_mode_makes_nothing(checkout: Path) -> None:
    inventory = checkout / "inventory/mine"
    own = {name: text.replace("{{ playbook_dir }}/../files", "{{ webmon_files_dir }}") for name, text in FORMER.items()}
    _one_host(inventory, {**own, "files.yml": 'webmon_files_dir: "{{ inventory_dir }}/files"\n'})
    _authority(inventory / "files/authority")
    before = _texts(checkout)
    out = _run(checkout, "ansible-playbook", "-i", "inventory/mine", "playbooks/site.yml", "--check", *HERE)
    flat = " ".join(out.split())
    assert f"certificates_authority_passphrase does not open {inventory}/files/authority/ca.key" in flat, out
    assert "Nothing was changed." in flat
    assert _texts(checkout) == before


def test_secrets_may_be_encrypted_by_ansible_vault(checkout: Path) -> None:
    inventory = checkout / "inventory/mine"
    shutil.copytree(ROOT / "inventory/example", inventory)
    _put(inventory / "files/secrets", {"authority": "in the vault\n", "agents/agent1.example.org": "k" * 43})
    (checkout / "password").write_text("opens")
    vault = ("--vault-password-file", "password")
    _run(checkout, "ansible-vault", "encrypt", *vault, *map(str, _files(inventory / "files/secrets")))
    key = "lookup('secret', webmon_agent_keys_dir ~ '/agent1.example.org')"
    told = f"told={{{{ certificates_authority_passphrase ~ {key} }}}}"
    play = ("ansible-playbook", "-i", "inventory/mine", "tell.yml", *HERE, "-e", told)
    assert f"in the vault{'k' * 43}" in _run(checkout, *play, *vault)
    assert "no vault secrets" in _run(checkout, *play)


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def test_secrets_may_be_encrypted_by_sops(checkout: Path, tmp_path: Path) -> None:
    inventory = checkout / "inventory/mine"
    shutil.copytree(ROOT / "inventory/example", inventory)
    given = {name: f"{name} of sops" for name in yaml.safe_load((inventory / "group_vars/all/secrets.yml").read_text())}
    (inventory / "group_vars/all/secrets.yml").unlink()
    _put(inventory / "group_vars/all", {"secrets.sops.yml": "sops: {mac: none}\n"})
    # Stands for sops, which is asked by the collection: what it decrypts is known.
    (tmp_path / "decrypted.yml").write_text(yaml.safe_dump(given))
    program = tmp_path / "bin/sops"
    _put(
        program.parent,
        {"sops": f'#!/bin/sh\n[ "$1" = --version ] && echo sops 3.10.2 || cat {tmp_path}/decrypted.yml\n'},
    )
    program.chmod(0o755)
    out = _run(
        checkout,
        *("ansible-playbook", "-i", "inventory/mine", "tell.yml", *HERE),
        *("-e", "told={{ certificates_authority_passphrase }}"),
        ANSIBLE_VARS_ENABLED="host_group_vars,community.sops.sops",
        PATH=f"{program.parent}:{os.environ['PATH']}",
    )
    assert "certificates_authority_passphrase of sops" in out, out


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("inventory/mine/hosts.yml", True),
        ("inventory/mine/files/secrets/authority", True),
        ("inventory/example/files/secrets/authority", True),
        ("inventory/example/files/authority/ca.key", True),
        ("files/secrets/authority", True),
        ("files/targets.example.yml", False),
        ("inventory/example/hosts.yml", False),
        ("inventory/example/files/.gitignore", False),
    ],
)
def test_git_takes_the_examples_alone(path: str, *, ignored: bool) -> None:
    done = subprocess.run(["git", "check-ignore", "-q", "--no-index", path], cwd=ROOT, check=False)
    assert (done.returncode == 0) is ignored


def test_a_repository_of_the_inventory_takes_no_secret_as_it_is_made(tmp_path: Path) -> None:
    for name in ("example", "example-managed", "example-sasl"):
        mine = tmp_path / name
        shutil.copytree(ROOT / "inventory" / name, mine)
        _put(mine / "files", {"secrets/agents/a": "s", "kafka/service.key": "s", "authority/ca.key": "encrypted"})
        for command in (["git", "init", "-q"], ["git", "add", "."]):
            subprocess.run(command, cwd=mine, check=True)
        listed = subprocess.run(["git", "ls-files"], cwd=mine, check=True, capture_output=True, text=True)
        assert "files/authority/ca.key" in listed.stdout
        assert not re.search("files/secrets|service.key", listed.stdout)
