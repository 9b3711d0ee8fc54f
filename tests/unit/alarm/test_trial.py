"""`webmon alarm test CHANNEL`: one message, and what the receiver answered."""

import json
from pathlib import Path

import pytest

from tests.receiver import Receiver, status
from webmon import cli


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("_WORKSPACE_PATH", raising=False)


def env(folder: Path, text: str) -> str:
    file = folder / "alarm.env"
    file.write_text(text)
    file.chmod(0o600)
    return str(file)


def test_without_rules_one_line_of_settings_is_enough_to_send(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Receiver() as receiver:
        file = env(tmp_path, f"ALARM_WEBHOOK_URL={receiver.url}\n")
        assert cli.main(["alarm", "test", "--env-file", file, "alarm"]) == 0
    assert capsys.readouterr().out == "alarm: taken: 200 OK: thanks\n"
    body = json.loads(receiver.requests[0].body)
    assert body["event"] == "test"
    assert body["subject"].startswith("TEST webmon: a message to try the channel, sent by hand on ")


def test_a_channel_of_the_rules_is_tried_with_its_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Receiver(status(404)) as receiver:
        (tmp_path / "rules.yml").write_text(
            "routes: [{to: [hook]}]\nchannels: {hook: {webhook: {url: '${HOOK}', secret: '${KEY}'}}}\n"
        )
        file = env(tmp_path, f"ALARM_RULES_PATH=rules.yml\nHOOK={receiver.url}\nKEY=s3cret\n")
        assert cli.main(["alarm", "test", "--env-file", file, "hook"]) == 1
        assert cli.main(["alarm", "test", "--env-file", file, "huk"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "webmon: hook: not taken: 404 Not Found: said",
        f"webmon: {tmp_path}/rules.yml: no channel is called 'huk'; right would be hook",
    ]
    assert "webhook-signature" in receiver.requests[0].headers


def test_settings_that_tell_nobody_are_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = env(tmp_path, "ALARM_SMTP_TLS=off\nALARM_SMTP_USER=joe\nALARM_SMTP_PASSWORD=p4ssword\n")
    assert cli.main(["alarm", "test", "--env-file", file, "alarm"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"webmon: {file}: ALARM_MAIL_TO: is missing, and so are ALARM_WEBHOOK_URL and ALARM_RULES_PATH; right would be "
        "an address such as ops@example.org, or one of these",
        f"webmon: {file}:1: ALARM_SMTP_TLS: is off, and a password would be sent readable; right would be starttls or "
        "tls",
    ]


def test_a_url_that_is_wrong_is_not_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = env(tmp_path, "ALARM_WEBHOOK_URL=hook.example.org/t0ken\nALARM_MAIL_TO=nobody\n")
    assert cli.main(["alarm", "test", "--env-file", file, "alarm"]) == 2
    told = capsys.readouterr().err
    assert "t0ken" not in told
    assert f"{file}:1: ALARM_WEBHOOK_URL is not right; right would be http://HOST/..." in told
    assert "ALARM_MAIL_TO is 'nobody'; right would be an address such as ops@example.org" in told
