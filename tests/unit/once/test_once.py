"""`webmon check`: one check by hand, for people and as the message of the topic; nothing else is needed."""

import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from tests.hostile import Behaviour, HostileServer, hang, hear, page
from webmon import cli
from webmon.check.flow import Trace
from webmon.check.result import CheckResult, Outcome, Phases, decode
from webmon.check.target import Target
from webmon.once import show
from webmon.targets import commands


@pytest.fixture(autouse=True)
def nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory without a .env and an environment without our variables: the command needs neither."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith(("KAFKA_", "POSTGRES_", "MONITORING_", "_WORKSPACE")):
            monkeypatch.delenv(name)


def facts(out: str) -> dict[str, str]:
    """Give the lines of the output by their first word; the last of several."""
    return {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if line}


def moved_once(target: bytes) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        if hear(connection).split()[1] == b"/":
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % target)
        else:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    return behave


def test_a_page_that_is_up_is_shown_with_its_phases(capsys: pytest.CaptureFixture[str]) -> None:
    with HostileServer(page(b"hello")) as server:
        assert cli.main(["check", server.url]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"up  {server.url}\n")
    shown = facts(out)
    assert shown["response"] == f"200 {server.url}"
    assert shown["body"] == "5 bytes of no type, HTTP/1.1"
    assert shown["expected"] == "yes status 200 is one of 200-299"
    assert shown["tls"] == "-"
    assert shown["total"].endswith(" ms")
    chart = out.splitlines()[-6:]
    assert [line[:12].strip() for line in chart] == ["dns", "connect", "tls", "first byte", "transfer", "total"]
    assert max(line.count("#") for line in chart) == 40


def test_redirects_are_shown_one_by_one(capsys: pytest.CaptureFixture[str]) -> None:
    with HostileServer(moved_once(b"/there")) as server:
        assert cli.main(["check", server.url]) == 0
    out = capsys.readouterr().out
    assert f"redirect     302 {server.url}\nresponse     200 {server.url}there\n" in out


def test_what_a_server_sent_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with HostileServer(page(b"a \x1b[2J b")) as server:
        (tmp_path / "t.yml").write_text(f"targets:\n- {{name: n, url: '{server.url}', expect: {{body: 'a.*b'}}}}\n")
        assert cli.main(["check", "--targets", "t.yml", "n"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "yes  'a.*b' matches 'a [2J b'\n" in out


def test_the_certificate_is_shown_with_the_days_it_has_left(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ends = datetime.now(UTC) + timedelta(days=9, hours=1)
    authority.issue_cert("localhost", not_after=ends).configure_cert(context)
    with HostileServer(page(b"hi"), tls=context) as server:
        assert cli.main(["check", server.url]) == 1
        assert "certificate refused" in capsys.readouterr().out
        assert cli.main(["check", "--ca", "ca.pem", server.url]) == 0
    shown = facts(capsys.readouterr().out)
    assert shown["TLS"] == "TLSv1.3"
    assert shown["certificate"] == f"ends {ends:%Y-%m-%d %H:%M} UTC, in 9 days"
    assert shown["for"] == "localhost"
    assert shown["by"].startswith("trustme")


def shown_of(url: str, **found: object) -> list[str]:
    """Show a check that was made already."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    result = CheckResult(
        target="n", url=url, kind=url.partition(":")[0], agent="a", scheduled_at=now, time=now, interval=60.0,
        outcome=Outcome.UP, total_time=0.25, phases=Phases(dns=0.1, first_byte=0.15), **found,  # type: ignore[arg-type]
    )  # fmt: skip
    return list(show.lines(Target("n", url, 60.0, 15.0), result, Trace()))


def test_a_check_that_is_not_http_shows_what_came_and_nothing_of_http() -> None:
    found = {"answer": "220 mail.example ESMTP", "remote_ip": "192.0.2.7", "body_bytes": 24, "body_truncated": True}
    assert shown_of("smtp://mail.example", **found)[:6] == [
        "up  n",
        "",
        "answer       220 mail.example ESMTP",
        "body         24 bytes, and it went on past the limit",
        "address      192.0.2.7",
        "",
    ]


def test_an_answer_cannot_steer_the_terminal_and_none_is_no_line() -> None:
    assert "answer       a [2J b" in shown_of("tcp://a:25", answer="a\033[2J\r\nb")
    assert not any(line.startswith("answer") for line in shown_of("tcp://a:25") + shown_of("tcp://a:25", answer=""))


def test_json_is_the_message_that_the_topic_would_get(capsys: pytest.CaptureFixture[str]) -> None:
    with HostileServer(page(b"gone", status=b"410 Gone")) as server:
        assert cli.main(["check", "--json", server.url]) == 1
    result = decode(capsys.readouterr().out.encode())
    assert (result.outcome, result.http_status, result.url) == (Outcome.STATUS_MISMATCH, 410, server.url)


def test_the_timeout_of_the_command_line_holds(capsys: pytest.CaptureFixture[str]) -> None:
    with HostileServer(hang) as server:
        assert cli.main(["check", "--timeout", "0.2", server.url]) == 1
    assert capsys.readouterr().out.startswith(
        f"timeout  {server.url}: not done within 0.2 s: waiting for the first byte\n"
    )


def test_a_target_of_a_file_is_checked_as_the_file_says(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with HostileServer(page(b"hello", status=b"404 No")) as server:
        (tmp_path / "t.yml").write_text(
            f"targets:\n- {{name: shop, url: '{server.url}', expect: {{status: 404, body: Welcome}}}}\n"
        )
        assert cli.main(["check", "--targets", "t.yml", "shop"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("body_mismatch  shop: ")
    assert facts(out)["expected"] == "yes status 404 is one of 404"
    assert "NO   nothing in the body matches 'Welcome'\n" in out


def test_each_expectation_is_shown_with_what_was_found(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with HostileServer(page(b"Welcome, Error", b"Server: nginx", b"Content-Type: text/html")) as server:
        (tmp_path / "t.yml").write_text(
            "targets:\n- name: shop\n"
            f"  url: '{server.url}'\n"
            "  expect:\n"
            "    status: [201, 301-302]\n"
            "    headers: {server: ^nginx, X-One: a}\n"
            "    headers_not: {Content-Type: json, X-Two: b}\n"
            "    body: Wel\\w+\n"
            "    body_not: Error\n"
            "    max_response_time: 10\n"
        )
        assert cli.main(["check", "--targets", "t.yml", "shop"]) == 1
    lines = [line[13:] for line in capsys.readouterr().out.splitlines()]
    assert lines[lines.index("NO   status 200, expected 201, 301-302") :][:8] == [
        "NO   status 200, expected 201, 301-302",
        "yes  header server is 'nginx'",
        "NO   there is no header X-One, expected one that matches 'a'",
        "yes  header Content-Type is 'text/html', and not 'json'",
        "yes  header X-Two is not there, and not 'b'",
        "yes  'Wel\\\\w+' matches 'Welcome'",
        "NO   something in the body matches 'Error', and nothing may",
        next(line for line in lines if line.endswith(" s, at most 10 s")),
    ]


def test_each_rule_of_a_json_body_is_shown_with_what_was_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with HostileServer(page(b'{"status": "ok", "age": 70}')) as server:
        (tmp_path / "t.yml").write_text(
            f"targets:\n- name: shop\n  url: '{server.url}'\n  expect:\n    json:\n"
            "    - {path: $.status, equals: ok}\n"
            "    - {path: $.age, below: 60}\n"
            "    - {path: $.none, matches: x}\n"
        )
        assert cli.main(["check", "--targets", "t.yml", "shop"]) == 1
    lines = [line[13:] for line in capsys.readouterr().out.splitlines()]
    assert lines[lines.index("yes  $.status is 'ok'") :][:3] == [
        "yes  $.status is 'ok'",
        "NO   $.age is 70, expected a number below 60",
        "NO   nothing stands at $.none, expected a text that matches 'x'",
    ]


def test_the_secrets_of_a_target_come_from_an_env_file_and_are_not_shown(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def echo(connection: socket.socket) -> None:
        found = b"s3cret" in hear(connection)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + (b"got s3cret" if found else b"nothing...")
        )

    (tmp_path / "agent.env").write_text("TOKEN=s3cret\n")
    (tmp_path / "agent.env").chmod(0o600)
    with HostileServer(echo) as server:
        (tmp_path / "t.yml").write_text(
            f"targets:\n- {{name: n, url: '{server.url}', auth: {{bearer: '${{TOKEN}}'}}, expect: {{body: got.*}}}}\n"
        )
        assert cli.main(["check", "--targets", "t.yml", "n"]) == 2
        assert "names ${TOKEN}, which is not set" in capsys.readouterr().err
        assert cli.main(["check", "--targets", "t.yml", "--env-file", "agent.env", "n"]) == 0
    shown = capsys.readouterr()
    assert "yes  'got.*' matches 'got ***'\n" in shown.out
    assert "s3cret" not in shown.out + shown.err


def test_networks_that_an_agent_may_not_connect_to_are_not_connected_to_here(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["check", "http://169.254.169.254/latest/meta-data/"]) == 1
    assert "169.254.169.254 is in 169.254.169.254/32, which MONITORING_FORBIDDEN_NETWORKS" in capsys.readouterr().out
    (tmp_path / "agent.env").write_text("MONITORING_FORBIDDEN_NETWORKS=127.0.0.0/8\n")
    (tmp_path / "agent.env").chmod(0o600)
    assert cli.main(["check", "--env-file", str(tmp_path / "agent.env"), "http://127.0.0.1:1/"]) == 1
    assert "127.0.0.1 is in 127.0.0.0/8, which MONITORING_FORBIDDEN_NETWORKS" in capsys.readouterr().out
    monkeypatch.setenv("MONITORING_FORBIDDEN_NETWORKS", "here")
    assert cli.main(["check", "http://127.0.0.1:1/"]) == 2
    assert "MONITORING_FORBIDDEN_NETWORKS is 'here'; right would be networks such as" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ftp://a/"], "webmon: 'ftp://a/': right would be tcp://HOST:PORT"),
        (["--targets", "t.yml", "shp"], "webmon: t.yml: no target is named 'shp'; right would be 'shop'"),
        (["--targets", "t.yml", "zzz"], "webmon: t.yml: no target is named 'zzz'; right would be one of its 1 names"),
        (["--targets", "none.yml", "a"], "webmon: none.yml: No such file or directory"),
        (["--ca", "none.pem", "https://a/"], "webmon: none.pem: No such file or directory"),
        (["--ca", "t.yml", "https://a/"], "webmon: t.yml: holds no PEM certificate"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "t.yml").write_text("targets:\n- {name: shop, url: 'http://a/'}\n")
    assert cli.main(["check", *arguments]) == 2
    assert capsys.readouterr().err.startswith(message)


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_a_timeout_that_is_none_is_refused(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["check", f"--timeout={seconds}", "http://a/"])
    assert caught.value.code == 2
    assert "right would be a number of seconds above 0" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://joe:s3cret@a/", "http://joe:my s3cret@a/"])
def test_a_password_in_the_url_is_not_repeated(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", url]) == 2
    assert "s3cret" not in capsys.readouterr().err


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of commands, with whoever runs the tests in root's place."""
    monkeypatch.setattr(commands, "_TRUSTED", frozenset({0, os.getuid()}))
    file = tmp_path / "commands.yml"
    file.write_text("commands: {answer: [/bin/echo, all well | x=1], critical: [/bin/sh, -c, echo bad; exit 2]}\n")
    file.chmod(0o644)
    return file


def test_a_command_that_is_listed_is_run_and_its_answer_shown(
    listed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONITORING_COMMANDS_PATH", str(listed))
    assert cli.main(["check", "command:answer"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("up  command:answer\n")
    assert facts(out)["answer"] == "all well"
    assert cli.main(["check", "command:critical"]) == 1
    assert capsys.readouterr().out.startswith("status_mismatch  command:critical: exit status 2 (CRITICAL): bad\n")


def test_the_file_of_commands_may_stand_in_a_env_file_and_a_target_may_name_it(
    listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env_file, targets = listed.parent / "some.env", listed.parent / "targets.yml"
    env_file.write_text("MONITORING_COMMANDS_PATH=commands.yml\n")
    env_file.chmod(0o600)
    targets.write_text("targets: [{name: mine, url: 'command:answer', expect: {body: nothing}}, 'command:gone']\n")
    assert cli.main(["check", "--targets", str(targets), "--env-file", str(env_file), "mine"]) == 1
    assert capsys.readouterr().out.startswith("body_mismatch  mine: nothing in the answer matches 'nothing'\n")


def test_a_command_that_may_not_be_run_is_told_with_what_would_be_right(
    listed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["check", "command:answer"]) == 2
    assert capsys.readouterr().err == (
        "webmon: 'command:answer': no command may be run while MONITORING_COMMANDS_PATH is not set; right would be the "
        "path of a file that lists answer\n"
    )
    monkeypatch.setenv("MONITORING_COMMANDS_PATH", str(listed))
    assert cli.main(["check", "command:anser"]) == 2
    told = f"webmon: 'command:anser': {listed} lists no command anser; right would be answer\n"
    assert capsys.readouterr().err == told
    listed.chmod(0o646)
    assert cli.main(["check", "command:answer"]) == 2
    told = f"webmon: {listed}: everybody may change {listed} (mode 0646); right would be chmod o-w {listed}\n"
    assert capsys.readouterr().err == told


def test_targets_and_the_commands_that_they_name_are_looked_at_together(
    listed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = listed.parent / "targets.txt"
    targets.write_text("command:answer\n")
    assert cli.main(["targets", "check", str(targets), "--commands", str(listed)]) == 0
    targets.write_text("command:answer\ncommand:gone\n")
    assert cli.main(["targets", "check", str(targets), "--commands", str(listed)]) == 2
    assert f"{targets}:2: 'command:gone': url is 'command:gone': {listed} lists no" in capsys.readouterr().err
