"""A release is named by what is in it, so that a second run, from whatever place, changes nothing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def name(checkout: Path) -> str:
    """Copy what makes a release to a place; give the name that it gets there."""
    for part in ("webmon", "roles/release/files"):
        shutil.copytree(ROOT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    for part in ("pyproject.toml", "requirements.lock"):
        shutil.copy2(ROOT / part, checkout / part)
    program = checkout / "roles/release/files/build_release.py"
    command = [sys.executable, str(program), str(checkout), str(checkout / "build"), "3.13-x86_64", "--name-only"]
    return str(json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["name"])


def test_the_same_sources_are_the_same_release_wherever_the_checkout_stands(tmp_path: Path) -> None:
    assert name(tmp_path / "one") == name(tmp_path / "another")


def test_another_source_is_another_release(tmp_path: Path) -> None:
    before = name(tmp_path)
    (tmp_path / "webmon/more.py").write_text("")
    assert name(tmp_path) != before
