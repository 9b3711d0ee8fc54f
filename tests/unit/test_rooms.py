"""The rooms of the package: arrows between them run one way, and each says what is in it."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import webmon

TOP: Final = Path(inspect.getfile(webmon)).parent
ORDER: Final = (
    {"cli"},
    {"doctor", "watch"},
    {"page"},
    {"alarm", "agent", "sink", "init", "report", "once"},
    {"store", "kafka", "daemon", "targets"},
    {"check"},
    {"settings", "render"},
    {"env_file"},
    {"files"},
    {"errors", "__init__"},
)
"""Who is below may be asked by who is above; neighbours do not know each other."""
LEVEL: Final = {room: level for level, rooms in enumerate(ORDER) for room in rooms}
PACKAGES: Final = sorted(path.parent.name for path in TOP.glob("*/__init__.py"))


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def asked(file: Path) -> Iterator[str]:
    """Give the modules of webmon that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] == "webmon")
        elif isinstance(node, ast.ImportFrom) and node.module == "webmon":
            names = (f"webmon.{name.name}" for name in node.names)
            yield from (name for name in names if room_of(name) in LEVEL)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("webmon."):
            yield str(node.module)


def test_arrows_between_the_rooms_run_one_way() -> None:
    wrong = []
    for file in sorted(TOP.rglob("*.py")):
        ours = file.relative_to(TOP).parts[0].removesuffix(".py")
        for module in asked(file):
            theirs = room_of(module)
            if theirs != ours and LEVEL[theirs] <= LEVEL[ours]:
                wrong.append(f"{file.relative_to(TOP)} imports {module}")
    assert wrong == []


@pytest.mark.parametrize("room", PACKAGES)
def test_a_room_says_what_is_in_it_who_calls_it_and_what_it_never_does(room: str) -> None:
    said = inspect.getdoc(importlib.import_module(f"webmon.{room}")) or ""
    first, _, rest = said.partition("\n\n")
    assert first
    assert "Called by" in rest
