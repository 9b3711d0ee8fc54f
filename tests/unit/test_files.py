"""Files that a person names: whatever else stands there is refused at once, by every reader of one."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import trustme

from webmon import cli, env_file, files
from webmon.check.target import Tls
from webmon.check.trust import Trusts, tls_context
from webmon.errors import UserError
from webmon.kafka import certificate
from webmon.targets import commands
from webmon.targets import file as targets_file

PIPE: Final = "is a named pipe, not a regular file"


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


def make_large(path: Path) -> None:
    path.touch()
    os.truncate(path, files.LIST + 1)


ELSE: Final[dict[str, Callable[[Path], object]]] = {
    PIPE: os.mkfifo,
    "is a socket, not a regular file": make_socket,
    "is a directory, not a regular file": Path.mkdir,
    "is a device, not a regular file": lambda path: path.symlink_to("/dev/zero"),
    "holds more than 64 MB": make_large,
}


@pytest.fixture(params=ELSE, ids=[said.replace(",", "") for said in ELSE])
def refused(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A path at which no file is that could be read, and what is said of it."""
    path = tmp_path / "x"
    ELSE[request.param](path)
    before = set(threading.enumerate())
    yield path, request.param
    assert set(threading.enumerate()) <= before, "nobody waits for it"


def test_a_list_of_targets_is_a_file(refused: tuple[Path, str]) -> None:
    path, said = refused
    with pytest.raises(UserError, match=f"{path}: {said}; right would be a readable list of targets"):
        targets_file.load(path)
    with pytest.raises(UserError, match=f"{path}: {said}"):
        targets_file.check_file(path)


def test_a_file_of_commands_is_a_file(refused: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    path, said = refused
    monkeypatch.setattr(commands, "_TRUSTED", {0, os.geteuid()})
    assert commands.read(path).faults[-1] == f"{path}: {said}; right would be a readable file of commands"


def test_a_file_of_settings_is_a_file(refused: tuple[Path, str]) -> None:
    path, said = refused
    with pytest.raises(UserError, match=f"{path}: {said.replace('64', '1')}; right would be a readable file of NAME="):
        env_file.read(path)


def test_authorities_certificates_and_keys_are_files(refused: tuple[Path, str], tmp_path: Path) -> None:
    path, said = refused
    said = said.replace("64", "4")
    issued = trustme.CA().issue_cert("agent")
    good, key = tmp_path / "good.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(good)
    issued.private_key_pem.write_to_path(key)
    for read in (
        lambda: tls_context(authorities=(path,)),
        lambda: tls_context(certificate=(path, key)),
        lambda: tls_context(certificate=(good, path)),
        lambda: Trusts((path,)).prepare([Tls()]),
        lambda: certificate.examine(path, good, key),
        lambda: certificate.examine(good, path, key),
        lambda: certificate.examine(good, good, path),
    ):
        with pytest.raises(OSError, match=said):
            read()


@pytest.mark.parametrize("key", ["ca", "certificate", "key"])
def test_so_they_are_where_a_target_names_them(tmp_path: Path, key: str) -> None:
    os.mkfifo(tmp_path / "x")
    issued = trustme.CA().issue_cert("agent")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "good.pem")
    tls = {"ca": "{ca: x}", "certificate": "{certificate: x}", "key": "{certificate: good.pem, key: x}"}[key]
    listed = tmp_path / "t.yml"
    listed.write_text(f"targets:\n- url: https://a.example/\n  tls: {tls}\n")
    with pytest.raises(UserError, match=f"t.yml:3: .*{PIPE}"):
        targets_file.load(listed)


def test_a_name_with_a_nul_is_a_fault_like_any_other(tmp_path: Path) -> None:
    listed = tmp_path / "t.yml"
    listed.write_text('targets:\n- url: https://a.example/\n  tls: {ca: "a\\0b"}\n')
    with pytest.raises(UserError, match=r"t.yml:3: .* has a NUL in its name"):
        targets_file.load(listed)


def test_a_file_without_a_size_is_bounded_too() -> None:
    path = Path("/proc/self/maps")
    assert files.read(path, most=files.LIST).data
    with pytest.raises(OSError, match="holds more than 0 MB"):
        files.read(path, most=10)


def test_no_descriptor_stays_open_of_what_is_refused(refused: tuple[Path, str]) -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    with pytest.raises(OSError, match=r"not a regular file|holds more"):
        files.look(refused[0], most=files.LIST)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_a_pipe_that_the_shell_hands_over_is_read_as_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"https://a.example/\n")
    os.close(writing)
    try:
        assert cli.main(["targets", "check", f"/dev/fd/{reading}"]) == 0
    finally:
        os.close(reading)
    assert capsys.readouterr().out == f"/dev/fd/{reading}: 1 targets, no fault\n"


def test_a_list_that_a_setting_names_is_no_pipe() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    try:
        with pytest.raises(UserError, match=PIPE):
            targets_file.load(Path(f"/dev/fd/{reading}"))
    finally:
        os.close(reading)


@pytest.mark.parametrize("option", ["--ca", "--targets", "--env-file"])
def test_a_named_pipe_is_not_waited_for_either_where_a_command_names_it(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "x")
    assert cli.main(["check", option, str(tmp_path / "x"), "https://127.0.0.1:1/"]) == 2
    assert capsys.readouterr().err.startswith(f"webmon: {tmp_path}/x: {PIPE}; right would be a readable ")
