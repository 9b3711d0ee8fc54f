"""Who an operator is, at the edges."""

import io
import stat
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from tests.unit.page.test_operator_app import basic
from webmon.cli import main
from webmon.page.access import ByPassword, Operator, Refused, access_by, line_for, open_to_all, read_users
from webmon.settings import BasicAuth, CertificateAuth


def asked(headers: dict[str, str]) -> HTTPConnection:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection({"type": "http", "headers": raw, "client": ("192.0.2.1", 1)})


def type_in(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(said)))


def test_the_command_prints_a_line_that_lets_the_operator_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    type_in(monkeypatch, b"correct horse\r\n")
    assert main(["page", "password", "kim"]) == 0
    path = tmp_path / "operators"
    path.write_text(capsys.readouterr().out)
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    access = access_by(BasicAuth(path))
    assert access(asked(basic("kim", "correct horse"))) == Operator("kim")
    assert isinstance(access(asked(basic("kim", "correct hors"))), Refused)


@pytest.mark.parametrize("name", ["a:b", "", "x" * 101, "a\nb"])
def test_a_name_that_cannot_stand_in_the_file_is_told(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    type_in(monkeypatch, b"correct horse\n")
    assert main(["page", "password", name]) == 2
    assert "right would be" in capsys.readouterr().err


def test_an_empty_password_is_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    type_in(monkeypatch, b"\n")
    assert main(["page", "password", "kim"]) == 2
    assert "an empty password" in capsys.readouterr().err


def test_a_password_that_cannot_be_read_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    type_in(monkeypatch, b"\xff\n")
    assert main(["page", "password", "kim"]) == 2
    assert capsys.readouterr().err == "webmon: the password is no UTF-8; right would be letters of UTF-8\n"
    type_in(monkeypatch, b"x" * 1001)
    assert main(["page", "password", "kim"]) == 2
    assert capsys.readouterr().err == "webmon: the password is longer than 1000 bytes\n"
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)

    def ended(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("getpass.getpass", ended)
    assert main(["page", "password", "kim"]) == 2
    assert capsys.readouterr().err == "webmon: no password; nothing was made\n"


def test_a_password_that_was_right_is_computed_again_after_some_minutes(tmp_path: Path) -> None:
    path, now = tmp_path / "operators", [0.0]
    path.write_text(line_for("kim", "one"))
    users = read_users(path)
    access = ByPassword(users, clock=lambda: now[0])
    assert access(asked(basic("kim", "one"))) == Operator("kim")
    users.clear()
    assert access(asked(basic("kim", "one"))) == Operator("kim")
    now[0] = 301.0
    assert isinstance(access(asked(basic("kim", "one"))), Refused)


def test_without_page_auth_nobody_is_asked() -> None:
    assert access_by(None) is open_to_all
    certificate = CertificateAuth(Path("a"), Path("b"), Path("c"))
    assert isinstance(access_by(certificate)(asked({})), Refused)
