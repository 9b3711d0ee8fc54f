"""What the doctor says of a component's settings."""

from pathlib import Path

import pytest

from webmon.doctor import run

POSTGRES = "POSTGRES_HOST=127.0.0.1\nPOSTGRES_PORT=1\nPOSTGRES_USER=webmon\nPOSTGRES_PASSWORD=secret-word\n"


def told(file: Path, text: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    file.write_text(text)
    file.chmod(0o600)
    run.run("report", file, their_clock=None, as_json=False)
    return [line for line in capsys.readouterr().out.splitlines() if "settings:" in line]


def test_a_misspelt_variable_is_a_warning_with_the_nearest_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / ".env"
    misspelt = f"{file}:5: POSTGRES_TABEL is no variable of webmon; right would be POSTGRES_TABLE"
    assert told(file, POSTGRES + "POSTGRES_TABEL=t\n", capsys) == [
        f"ok       settings: {file}: every value is right, and nobody else may read the secrets",
        f"warning  settings: {misspelt}",
    ]
    assert told(file, POSTGRES.replace("PORT=1", "PORT=no") + "POSTGRES_TABEL=t\n", capsys) == [
        f"FAILED   settings: {file}:2: POSTGRES_PORT is 'no'; right would be a port from 1 to 65535",
        f"warning  settings: {misspelt}",
    ]
