"""The Python of test hosts: what it runs and whose library it takes, by a payload such as Ansible's."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest

from tests.lab.steps import TOP
from tests.waiting import wait_until

PARTS: Final = TOP / "tests/lab/warm_python"
LIBRARY: Final = Path(str(metadata.distribution("ansible-core").locate_file("ansible/module_utils")))
MODULE: Final = """
import os, sys
from ansible.module_utils import basic
print(basic.__file__, os.environ["WORD"], os.getcwd(), basic._ANSIBLE_ARGS.decode())
sys.exit(7)
"""
SENT: Final = """
import sys
sys.path.insert(0, {archive!r})
from ansible.module_utils._internal._ansiballz import _loader
_loader.run_module(json_params=b"{{}}", profile="legacy", module_fqn="ansible.modules.look", modlib_path={archive!r},
                   extensions={{}})
"""


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Path]:
    """The client of a waiting process, both in a directory of the test's own."""
    library = tmp_path / "host"
    shutil.copytree(LIBRARY, library / "ansible/module_utils", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PARTS / "server.py", library)
    at = tmp_path / "socket"
    text = (PARTS / "client.py").read_text().replace('"/run/warm-python"', repr(str(at)))
    program = library / "client.py"
    program.write_text(text.replace('"/usr/bin/python3"', repr(sys.executable)).replace("os.geteuid() == 0", "False"))
    with subprocess.Popen([sys.executable, library / "server.py", at]) as server:
        try:
            wait_until(at.exists, "the waiting process", 30)
            yield program
        finally:
            server.terminate()


def run(client: Path, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-IS", client, *arguments],
        input=program,
        cwd=client.parent,
        env={**os.environ, "WORD": "mine"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def sent(tmp_path: Path, *, altered: bool) -> str:
    archive = tmp_path / "sent.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in LIBRARY.rglob("*.py"):
            more = "\n" if altered and path.name == "basic.py" else ""
            file.writestr(f"ansible/module_utils/{path.relative_to(LIBRARY)}", path.read_text() + more)
        file.writestr("ansible/__init__.py", "")
        file.writestr("ansible/modules/__init__.py", "")
        file.writestr("ansible/modules/look.py", MODULE)
    return SENT.format(archive=str(archive))


def test_a_module_runs_in_the_place_of_who_called_with_what_was_loaded(client: Path, tmp_path: Path) -> None:
    done = run(client, sent(tmp_path, altered=False))
    loaded = client.parent / "ansible/module_utils/basic.py"
    assert done.stdout.split() == [str(loaded), "mine", str(client.parent), "{}"], done.stderr
    assert done.returncode == 7


def test_what_the_controller_sent_is_used_where_it_differs_from_what_was_loaded(client: Path, tmp_path: Path) -> None:
    done = run(client, sent(tmp_path, altered=True))
    assert done.stdout.split()[0] == f"{tmp_path}/sent.zip/ansible/module_utils/basic.py", done.stderr
    assert done.returncode == 7


def test_the_hosts_own_python_runs_what_has_arguments(client: Path) -> None:
    assert run(client, "", "-c", "print(5)").stdout == "5\n"


def test_a_module_that_is_killed_does_not_look_like_one_that_ended_well(client: Path) -> None:
    assert run(client, "import os; os.kill(os.getpid(), 9)").returncode == 137
