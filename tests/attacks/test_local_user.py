"""A local user of a host lays out files where root works, and looks at what our processes show."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.attacks.positions import LOCAL_USER
from tests.waiting import wait_until

STRANGER = 4_294_001
"""A user that nobody is."""


@pytest.fixture(autouse=True)
def _as_root() -> None:
    if os.geteuid() != 0:
        pytest.fail("only root gives files to others: run it as root", pytrace=False)


def webmon(*arguments: str, where: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(Path(sys.executable).with_name("webmon")), *arguments],
        cwd=where, capture_output=True, text=True, check=False, timeout=60, env=os.environ | environment,
    )  # fmt: skip


@LOCAL_USER
@pytest.mark.parametrize("command", ["status", "doctor", "agent"])
def test_root_takes_no_settings_of_a_directory_that_it_happens_to_be_in(tmp_path: Path, command: str) -> None:
    trap = tmp_path / ".env"
    trap.write_text("POSTGRES_HOST=evil.invalid\nPOSTGRES_PASSWORD=${ROOTS_SECRET}\nKAFKA_HOST=evil.invalid\n")
    for path in (trap, tmp_path):
        os.chown(path, STRANGER, STRANGER)
    arguments = [command, "agent"] if command == "doctor" else [command]
    done = webmon(*arguments, where=tmp_path, ROOTS_SECRET="s3cr3t-of-root")
    told = done.stdout + done.stderr
    assert done.returncode in (1, 2)
    assert f"{trap}: belongs to " in told
    for never in ("evil.invalid", "s3cr3t-of-root", "Traceback"):
        assert never not in told


@LOCAL_USER
@pytest.mark.parametrize(
    ("lay", "arguments"),
    [
        (os.mkfifo, ["targets", "check"]),
        (os.mkfifo, ["status", "--env-file"]),
        (lambda path: path.symlink_to("/dev/zero"), ["check", "x", "--targets"]),
    ],
    ids=["FIFO as a list", "FIFO as settings", "/dev/zero as a list"],
)
def test_what_is_no_file_is_refused_and_not_waited_for(
    tmp_path: Path, lay: Callable[[Path], object], arguments: list[str]
) -> None:
    trap = tmp_path / "trap"
    lay(trap)
    done = webmon(*arguments, str(trap), where=tmp_path)
    assert done.returncode == 2
    assert f"{trap}: is a " in done.stderr
    assert "not a regular file" in done.stderr
    assert "Traceback" not in done.stderr


@LOCAL_USER
def test_an_agents_command_line_environment_and_files_show_no_secret(agent: AgentProcess) -> None:
    secret = "s3cr3t-of-the-shop"
    (agent.workspace / "targets.yml").write_text(
        '{"targets": [{"url": "http://127.0.0.1:1/", "interval": "1s", "timeout": "500ms",'
        ' "headers": {"X-Token": "${SHOP_TOKEN}"}}]}'
    )
    agent.configure(MONITORING_TARGETS_PATH="targets.yml", SHOP_TOKEN=secret)
    agent.start()
    wait_until(lambda: "READY=1" in agent.heard(), "it runs", 60)
    wait_until(lambda: len(agent.results()) > 0, "it measures")
    assert agent.process is not None
    for shown in ("cmdline", "environ"):
        assert secret.encode() not in Path(f"/proc/{agent.process.pid}/{shown}").read_bytes()
    for path in agent.workspace.glob("outbox.sqlite*"):
        assert secret.encode() not in path.read_bytes()
        assert not stat.S_IMODE(path.stat().st_mode) & (stat.S_IWGRP | stat.S_IWOTH)
