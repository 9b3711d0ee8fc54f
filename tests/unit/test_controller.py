"""controller.py takes from Ansible's package the collections that the roles use, and no others."""

import re
import zipfile
from pathlib import Path
from typing import Final

import pytest

import controller

TOP: Final = Path(__file__).parents[2]


def test_it_takes_each_collection_that_a_role_or_a_playbook_uses() -> None:
    text = "".join(path.read_text() for part in ("roles", "playbooks") for path in (TOP / part).rglob("*.yml"))
    used = {"/".join(found) for found in re.findall(r"^\s+(ansible|community)\.(\w+)\.\w+:", text, re.MULTILINE)}
    # With SOPS an inventory is read, before there is a task.
    assert used - {"ansible/builtin"} | {"community/sops"} == set(controller.COLLECTIONS)


def test_of_the_package_only_these_are_unpacked_without_their_tests(tmp_path: Path) -> None:
    archive = tmp_path / "ansible.whl"
    with zipfile.ZipFile(archive, "w") as made:
        for name in ("crypto/README.md", "crypto/tests/unit.py", "zabbix/README.md", "crypto_other/README.md"):
            made.writestr(f"ansible_collections/community/{name}", "")
    controller.unpack_collections(archive, tmp_path / "out")
    files = [str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert files == ["ansible_collections/community/crypto/README.md"]


def test_an_archive_that_somebody_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "TOP", tmp_path)
    changed = tmp_path / "collections-py3.13.zip"
    changed.write_bytes(b"changed")
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  collections-py3.13.zip\n")
    with pytest.raises(controller.CannotError, match=r"collections-py3\.13\.zip is not what SHA256SUMS says"):
        controller.check_digest(changed)
