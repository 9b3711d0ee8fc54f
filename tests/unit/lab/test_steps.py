"""Steps of the tests and of the demo: what hangs is ended and told, with all that it began."""

from pathlib import Path

import pytest

from tests.lab import steps
from tests.lab.steps import Job, StepError, Steps
from tests.waiting import wait_until

HANGS = "trap '' INT; sleep 99 & echo child $!; trap - INT; wait"
"""What it began heeds no Ctrl-C."""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Steps:
    monkeypatch.setattr(steps, "TOP", tmp_path)
    return Steps("test", 1)


def test_what_is_not_done_in_time_is_ended_with_all_that_it_began(
    made: Steps, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "HEEDED_WITHIN", 0.2)
    with pytest.raises(StepError):
        made.run("It hangs", Job("hangs", ["sh", "-c", HANGS], most=1))
    said = capsys.readouterr().out
    assert "FAILED: hangs (not done after 1 s)" in said
    child = int(said.split("child ")[1].split()[0])
    wait_until(lambda: steps._stat(child)[1] == "", "that it is gone")


def test_what_fails_is_told_with_its_status_and_its_last_lines(made: Steps, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StepError):
        made.run("It fails", Job("fails", ["sh", "-c", "echo FAILED here; exit 3"], most=60))
    assert "      | FAILED here\nFAILED: fails (exit status 3); its whole log: " in capsys.readouterr().out
    assert made.failed == ["FAILED: fails (exit status 3)\nFAILED here"]
