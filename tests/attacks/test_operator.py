"""An operator's mistake is told in one line, at once, and gives nothing away."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks.positions import OPERATOR


def webmon(*arguments: str, where: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(Path(sys.executable).with_name("webmon")), *arguments],
        cwd=where, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@OPERATOR
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("POSTGRES_PASSWORD='s3cr3t\0more'", "control character"),
        ("POSTGRES_PASSWORD='s3cr3t", ":2"),
        ("POSTGRES_PORT=s3cr3t", "POSTGRES_PORT"),
    ],
)
def test_a_line_of_an_env_that_is_wrong_is_named_and_its_secret_not_shown(tmp_path: Path, line: str, told: str) -> None:
    file = tmp_path / "x.env"
    file.write_text(f"POSTGRES_HOST=127.0.0.1\n{line}\nPOSTGRES_USER=u\nPOSTGRES_DATABASE=d\n")
    file.chmod(0o600)
    done = webmon("status", "--env-file", str(file), where=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    if "PASSWORD" in line:
        assert "s3cr3t" not in done.stderr


@OPERATOR
def test_a_list_that_names_a_pipe_as_its_authority_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ca.pem")
    (tmp_path / "targets.yml").write_text(
        '{"targets": [{"url": "https://shop.example/", "tls": {"ca": "%s"}}]}' % (tmp_path / "ca.pem")
    )
    done = webmon("check", "https://shop.example/", "--targets", str(tmp_path / "targets.yml"), where=tmp_path)
    assert done.returncode == 2
    assert "is a named pipe, not a regular file" in done.stderr
    assert "Traceback" not in done.stderr


@OPERATOR
@pytest.mark.parametrize("url", ["http://joe:s3cr3t@shop.example/", "https://shop.example/?x=\x1b[2J"])
def test_a_url_with_credentials_or_controls_prints_neither(tmp_path: Path, url: str) -> None:
    (tmp_path / "targets.txt").write_text(url + "\n")
    done = webmon("targets", "check", "targets.txt", where=tmp_path)
    assert "s3cr3t" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
