"""A release of its own, for tests that bring hosts from one to another."""

import shutil
from pathlib import Path

from tests.lab.steps import TOP


def changed_release(directory: Path, file: str, change: tuple[str, str]) -> tuple[str, ...]:
    """Make the sources of a release with one thing changed; give the arguments that have a playbook install it."""
    shutil.copytree(TOP / "webmon", directory / "webmon", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy2(TOP / name, directory / name)
    path = directory / "webmon" / file
    before = path.read_text(encoding="utf-8")
    after = before.replace(*change)
    assert after != before, f"{file} has nothing to change"
    path.write_text(after, encoding="utf-8")
    return ("-e", f"release_project_dir={directory}", "-e", f"release_build_dir={TOP}/build/releases")
