"""What the package needs has bounds, and what is locked and installed lies inside."""

import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

TOP: Final = Path(__file__).parents[2]
NEEDED: Final = [
    Requirement(text) for text in tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["dependencies"]
]


def locked(lock: str) -> dict[str, str]:
    """Give the versions of a lock by name."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", (TOP / lock).read_text(), re.MULTILINE))


@pytest.mark.parametrize("needed", NEEDED, ids=lambda needed: needed.name)
def test_each_has_a_lowest_version_and_one_before_which_it_ends(needed: Requirement) -> None:
    assert sorted(specifier.operator for specifier in needed.specifier) == ["<", ">="]


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-controller.lock", "requirements-dev.lock"])
@pytest.mark.parametrize("needed", NEEDED, ids=lambda needed: needed.name)
def test_what_is_locked_lies_inside(needed: Requirement, lock: str) -> None:
    assert needed.specifier.contains(locked(lock)[needed.name])


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-controller.lock"])
def test_what_is_installed_on_top_has_the_same_versions(lock: str) -> None:
    below, above = locked(lock), locked("requirements-dev.lock")
    assert {name: above[name] for name in below} == below


@pytest.mark.parametrize("needed", NEEDED, ids=lambda needed: needed.name)
def test_what_is_installed_lies_inside(needed: Requirement) -> None:
    assert needed.specifier.contains(metadata.version(needed.name))
