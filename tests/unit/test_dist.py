"""The archive of a release: what is in it, for which platform, and that the same files give the same bytes."""

import importlib.util
import os
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

TOP: Final = Path(__file__).parents[2]
LOCK: Final = """\
old==1.0 ; python_full_version < '3.12' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
new==2.0 ; python_full_version >= '3.12' \\
    --hash=sha256:cc
arm==3.0 ; platform_machine == 'aarch64' \\
    --hash=sha256:dd
all[extra]==4.0 \\
    --hash=sha256:ee
"""


@pytest.fixture(scope="module")
def dist() -> ModuleType:
    """Load the program as the Makefile runs it, with its neighbours beside it."""
    files = TOP / "roles/release/files"
    sys.path.insert(0, str(files))
    try:
        spec = importlib.util.spec_from_file_location("build_dist", files / "build_dist.py")
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(files))
    return module


def test_each_platform_has_the_lines_of_a_lock_that_it_asks_for_whatever_python_builds(dist: ModuleType) -> None:
    every = "all[extra]==4.0 --hash=sha256:ee"
    assert dist.lines_for(LOCK, "3.11", "x86_64") == ["old==1.0 --hash=sha256:aa --hash=sha256:bb", every]
    assert dist.lines_for(LOCK, "3.13", "aarch64") == ["new==2.0 --hash=sha256:cc", "arm==3.0 --hash=sha256:dd", every]


def test_the_same_files_give_the_same_bytes_whenever_and_by_whomever(dist: ModuleType, tmp_path: Path) -> None:
    wheel, program = tmp_path / "one.whl", tmp_path / "controller.py"
    wheel.write_bytes(b"wheel")
    program.write_text("print()")
    program.chmod(0o755)
    dist.pack({"wheelhouse/one.whl": wheel, "controller.py": program}, "webmon-1", tmp_path / "first.tar")
    os.utime(wheel, (0, 0))
    wheel.chmod(0o600)
    dist.pack({"controller.py": program, "wheelhouse/one.whl": wheel}, "webmon-1", tmp_path / "second.tar")
    assert (tmp_path / "first.tar").read_bytes() == (tmp_path / "second.tar").read_bytes()
    with tarfile.open(tmp_path / "first.tar") as tar:
        assert {member.name: member.mode for member in tar} == {
            "webmon-1/SHA256SUMS": 0o644,
            "webmon-1/controller.py": 0o755,
            "webmon-1/wheelhouse/one.whl": 0o644,
        }
        sums = tar.extractfile("webmon-1/SHA256SUMS")
        assert sums
        assert [line.split()[1] for line in sums.read().decode().splitlines()] == [
            "controller.py",
            "wheelhouse/one.whl",
        ]


def test_the_collections_are_packed_as_the_controller_unpacks_them(dist: ModuleType, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ansible.whl", "w") as package:
        for name in ("community/crypto/README.md", "community/zabbix/README.md"):
            package.writestr(f"ansible_collections/{name}", name)
    dist.pack_collections(tmp_path / "ansible.whl", tmp_path / "packed.zip")
    dist.controller.unpack_collections(tmp_path / "packed.zip", tmp_path)
    assert (tmp_path / "ansible_collections/community/crypto/README.md").read_text() == "community/crypto/README.md"
    assert not (tmp_path / "ansible_collections/community/zabbix").exists()


def test_it_has_no_tests_and_nothing_that_git_does_not_know(dist: ModuleType) -> None:
    files = {str(path) for path in dist.tracked(TOP)}
    assert {"controller.py", "playbooks/site.yml", "inventory/example/hosts.yml", "docs/production.md"} <= files
    assert not [
        path for path in files if path.startswith(("tests/", "inventory/lab/", "build/")) or "/molecule/" in path
    ]
