"""What every command of `webmon` does alike: what it loads, how it ends, what it says of a wrong argument."""

import errno
import importlib
import inspect
import io
import os
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Final, get_args

import pytest

import webmon
from webmon import cli, settings
from webmon.cli import options, reports

TOP: Final = Path(inspect.getfile(webmon)).parents[1]
STARTS: Final = "import sys; from webmon.cli import main; sys.exit(main())"
HEAVY: Final = {"dotenv", "kafka", "msgspec", "prometheus_client", "psycopg2", "pydantic", "re2", "requests", "yaml"}
ASIDE: Final = {"ctypes", "email", "importlib.metadata", "json", "logging", "ssl", "urllib.request"}
"""Of the standard library, what takes its time."""


def loaded(*arguments: str) -> set[str]:
    """Give the modules that a command has loaded when it ends."""
    told = "import sys, atexit; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "
    done = subprocess.run(
        [sys.executable, "-c", told + STARTS, *arguments], cwd=TOP, check=True, capture_output=True, text=True
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["status", "--help"], ["doctor", "--help"]])
def test_who_asks_for_the_version_or_for_help_waits_for_no_library(arguments: list[str]) -> None:
    assert loaded(*arguments) & (HEAVY | ASIDE) == set()


def test_a_look_at_a_targets_file_loads_nothing_of_kafka_or_the_database(tmp_path: Path) -> None:
    file = tmp_path / "targets.yml"
    file.write_text("targets: [{name: a, url: http://a/}]\n")
    there = loaded("targets", "check", str(file))
    assert there & {"dotenv", "kafka", "prometheus_client", "psycopg2", "webmon.settings"} == set()


def test_a_terminal_of_an_old_encoding_gets_no_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ü密.txt"
    file.write_text("http://a/\n")
    out = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(out, encoding="ascii"))
    assert cli.main(["targets", "check", str(file)]) == 0
    assert b"\\xfc\\u5bc6.txt" in out.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [
        ["alarms", "--env-file", "{}", "ack", "abc", "--by", "ann"],
        ["alarms", "ack", "--env-file", "{}", "abc", "--by", "ann"],
        ["alarms", "--env-file", "/nowhere/else", "ack", "--env-file", "{}", "abc", "--by", "ann"],
        ["alarm", "--env-file", "{}", "test", "mail"],
        ["status", "--env-file", "{}"],
    ],
)
def test_the_settings_that_are_named_are_read_wherever_they_are_named(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = str(tmp_path / "gone.env")
    assert cli.main([one.format(named) for one in arguments]) == 2
    assert capsys.readouterr().err.startswith(f"webmon: {named}: No such file")


def test_the_doctor_takes_settings_of_one_component_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--env-file", "/nowhere"]) == 2
    assert "right would be `webmon doctor COMPONENT --env-file FILE`" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    version = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["version"]
    assert capsys.readouterr().out == f"webmon {version}\n"


REPORT: Final = """
import webmon.report.status, webmon.settings
webmon.settings.load = lambda *_: None
webmon.report.status.run = lambda *_, form: print("a line\\n" * {lines}) or 0
"""
LETTER: Final = """
import contextlib, types, webmon.settings, webmon.sink.redrive
webmon.settings.load = lambda *_: types.SimpleNamespace(kafka=None)
webmon.sink.redrive._reading = lambda _: contextlib.nullcontext()
webmon.sink.redrive._one = lambda *_: types.SimpleNamespace(value=b"a letter")
"""


ASKED: Final = [
    ("--version", ""),
    ("--help", ""),
    ("uptime --help", ""),
    ("targets check targets.yml", ""),
    ("doctor report --env-file gone", ""),
    ("doctor report --env-file gone --json", ""),
    ("dead-letters show 0:0 --raw", LETTER),
    ("status", REPORT.format(lines=1)),
    ("status --json", REPORT.format(lines=1)),
    ("status --csv", REPORT.format(lines=100_000)),
]
"""Commands that print, and what runs before each of them."""


@pytest.mark.parametrize(("arguments", "before"), ASKED)
def test_a_command_that_nobody_reads_any_more_ends_without_a_word_as_others_do(
    tmp_path: Path, arguments: str, before: str
) -> None:
    (tmp_path / "targets.yml").write_text("targets: [{name: a, url: http://a/}]\n")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as out:
        done = subprocess.run(
            [sys.executable, "-c", before + STARTS, *arguments.split()],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(TOP), "PYTHONUNBUFFERED": ""},
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.stderr, done.returncode) == (b"", 141)


FULL: Final = ">/dev/full", "No space left on device"


@pytest.mark.parametrize(
    ("to", "unbuffered"),
    [(FULL, ""), (FULL, "1"), ((">&-", "Bad file descriptor"), "")],
    ids=["full", "full and unbuffered", "closed"],
)
@pytest.mark.parametrize(("arguments", "before"), ASKED)
def test_a_command_whose_answer_cannot_be_written_says_so_in_one_line(
    tmp_path: Path, arguments: str, before: str, to: tuple[str, str], unbuffered: str
) -> None:
    (tmp_path / "targets.yml").write_text("targets: [{name: a, url: http://a/}]\n")
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {to[0]}', "sh", sys.executable, "-c", before + STARTS, *arguments.split()],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(TOP), "PYTHONUNBUFFERED": unbuffered},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.stderr, done.returncode) == (f"webmon: could not write: {to[1]}\n", 1)


def test_faults_that_cannot_be_told_go_nowhere_else(tmp_path: Path) -> None:
    for redirection, status in (("2>&-", 2), ("2>/dev/full", 1)):
        command = ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-c", STARTS]
        command += ["targets", "check", str(tmp_path / "gone.yml")]
        done = subprocess.run(command, cwd=TOP, stdout=subprocess.PIPE, check=False)
        assert (done.stdout, done.returncode) == (b"", status)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_who_has_nothing_to_write_misses_no_room_for_it(tmp_path: Path, unbuffered: str) -> None:
    command = [sys.executable, "-c", STARTS, "targets", "check", str(tmp_path / "gone.yml")]
    with Path("/dev/full").open("w") as out:
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(
            command, cwd=TOP, env=environment, stdout=out, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_what_cannot_be_written_elsewhere_is_not_taken_for_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_file(*_: object, **__: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("webmon.targets.file.check_file", check_file)
    with pytest.raises(PermissionError):
        cli.main(["targets", "check", "targets.yml"])


def test_so_does_one_whose_faults_nobody_reads(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as out:
        command = [sys.executable, "-c", STARTS, "targets", "check", str(tmp_path / "gone.yml")]
        assert subprocess.run(command, cwd=TOP, stderr=out, check=False).returncode == 141


def test_a_pipe_that_breaks_elsewhere_is_not_taken_for_a_reader_that_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_file(*_: object, **__: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr("webmon.targets.file.check_file", check_file)
    with pytest.raises(BrokenPipeError):
        cli.main(["targets", "check", "targets.yml"])


@pytest.mark.parametrize("report", reports.REPORTS, ids=lambda report: report.name)
def test_a_report_is_asked_for_what_it_takes(
    report: reports.Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = importlib.import_module(f"webmon.report.{report.name}")
    signature = inspect.signature(module.run)
    taken = {}

    def run(*arguments: object, **options: object) -> int:
        taken.update(signature.bind(*arguments, **options).arguments)
        return 0

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(settings, "load", lambda *_: "settings")
    assert cli.main([report.name, "--json"]) == 0
    assert set(taken) == set(signature.parameters)
    assert (taken["settings"], taken["form"]) == ("settings", "json")


def test_the_doctor_looks_over_every_component_that_has_settings() -> None:
    assert get_args(settings.Component) == options.COMPONENTS


def test_the_doctor_compares_this_hosts_clock_with_the_one_that_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["doctor", "report", "--env-file", "gone", "--clock"]
    cli.main([*ask, str(time.time())])
    assert capsys.readouterr().out.splitlines()[0].startswith("ok       clock: ")
    cli.main([*ask, str(time.time() + 3600)])
    told = capsys.readouterr().out.splitlines()[0]
    assert told.startswith("FAILED   clock: is 3")
    assert "s behind the clock that was given: set it, and keep it right with NTP" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("slowest --limit 0", "'0'; right would be a whole number above 0"),
        ("slowest --limit ٣", "'٣'; right would be a whole number above 0"),
        ("drain --timeout inf", "'inf'; right would be a number of seconds above 0"),
        ("doctor --clock now", "'now'; right would be a number of seconds above 0"),
        ("dead-letters show 5", "'5'; right would be PARTITION:OFFSET, as `webmon dead-letters list` has it"),
        ("dead-letters redrive --id 0:1 ٣:٤", "'٣:٤'; right would be PARTITION:OFFSET"),
        ("uptime --since yesterday", "'yesterday' is no time; right would be 90m, 12h, 30d or 4w ago"),
        ("uptime --by url", "'url'; right would be target, agent or label=KEY"),
    ],
)
def test_a_wrong_argument_is_told_with_what_would_be_right(
    capsys: pytest.CaptureFixture[str], arguments: str, told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments.split())
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
