"""A release is named by what is in it, so that a second run, from whatever place, changes nothing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def copy(checkout: Path) -> None:
    """Copy what makes a release to a place."""
    for part in ("webmon", "roles/release/files"):
        shutil.copytree(ROOT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for part in ("pyproject.toml", "requirements.lock"):
        shutil.copy2(ROOT / part, checkout / part)


def build(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Have the checkout there build."""
    program = checkout / "roles/release/files/build_release.py"
    command = [sys.executable, str(program), str(checkout), str(checkout / "build"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def name(checkout: Path) -> str:
    """Give the name that a release gets at a place."""
    copy(checkout)
    return str(json.loads(build(checkout, "3.13-x86_64", "--name-only").stdout)["name"])


def test_the_same_sources_are_the_same_release_wherever_the_checkout_stands(tmp_path: Path) -> None:
    assert name(tmp_path / "one") == name(tmp_path / "another")


def test_another_source_is_another_release(tmp_path: Path) -> None:
    before = name(tmp_path)
    (tmp_path / "webmon/more.py").write_text("")
    assert name(tmp_path) != before


@pytest.mark.parametrize(
    "said", ["3.13-../../../../tmp/of_a_host", "/tmp/of_a_host-x86_64", "3.13-x86_64\n", "3.13-", "--help"]
)
def test_a_host_that_says_it_is_no_platform_gets_nothing_built_here(tmp_path: Path, said: str) -> None:
    copy(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = build(tmp_path, "--", said)
    assert done.returncode == 2
    assert "right would be as 3.13-x86_64" in done.stderr
    assert sorted(tmp_path.rglob("*")) == before
