"""`webmon watch` as somebody runs it: in a terminal, in a pipe, with and without a file."""

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.hostile import HostileServer, hear, page
from tests.waiting import wait_until
from webmon import cli
from webmon.check.result import Outcome, decode
from webmon.watch.run import canaries, choose

COMMAND = [sys.executable, "-c", "import sys; from webmon.cli import main; sys.exit(main())", "watch"]


class Watch:
    """The command in a directory of its own, and what it has written so far."""

    def __init__(self, directory: Path, *arguments: str, columns: int = 0, **variables: str) -> None:
        """Begin; with columns its output is a terminal of so many and 24 lines."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("MONITORING_", "_WORK"))}
        self._ours, theirs = os.openpty() if columns else os.pipe()
        if columns:
            self.resize(columns)
        self.text = self.errors = ""
        self._whole = threading.Event()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=directory,
            env={"PYTHONPATH": str(Path(__file__).parents[3]), **kept, "TERM": "xterm", **variables},
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
        )
        os.close(theirs)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # how a terminal ends
            while data := os.read(self._ours, 65536):
                self.text += data.decode(errors="backslashreplace")
        self._whole.set()

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def shows(self, pattern: str, seconds: float = 60) -> None:
        """Wait until the last drawing of a terminal, or all that came, has it."""

        def is_there() -> bool:
            assert self.process.poll() is None, (self.text, self._stderr())
            return re.search(pattern, self.text.rpartition("\033[H")[2], re.MULTILINE) is not None

        wait_until(is_there, pattern, seconds)

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal, and wait for all that it writes."""
        self.process.send_signal(number)
        status = self.process.wait(60)
        assert self._whole.wait(60)
        self._stderr()
        return status

    def _stderr(self) -> str:
        assert self.process.stderr is not None
        if not self.process.stderr.closed:
            self.errors = self.process.stderr.read().decode()
            self.process.stderr.close()
        return self.errors

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._stderr()
        os.close(self._ours)


class Site:
    """A site that is well, or answers 500."""

    def __init__(self) -> None:
        self.is_well = True

    def __call__(self, connection: socket.socket) -> None:
        status = b"200 OK" if self.is_well else b"500 \xe2\x9c\x97"
        if hear(connection):
            connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)


def test_in_a_pipe_a_change_of_state_is_a_line_and_ctrl_c_ends_it_with_a_summary(tmp_path: Path) -> None:
    site = Site()
    with HostileServer(site) as server, contextlib.closing(Watch(tmp_path, server.url, "--every", "1")) as watch:
        name = re.escape(server.url)
        watch.shows(rf"^[\d-]+ [\d:]+ UTC  up         {name}$")
        site.is_well = False
        watch.shows(rf"^[\d-]+ [\d:]+ UTC  DOWN       {name}: status 500, expected 200-299$")
        watch.shows(
            rf"^[\d-]+ [\d:]+ UTC  an alarm would tell you:\n    DOWN {name}: status_mismatch \(1 of 1 vantage\)$"
        )
        site.is_well = True
        watch.shows(rf"an alarm would tell you:\n    UP {name}: was down for \d+ s$")
        assert watch.end() == 0
    lines = watch.text.splitlines()
    assert len([line for line in lines if line.endswith(f"up         {server.url}")]) == 2
    assert re.fullmatch(r"1 target: 1 up; \d+ checks in \d+ s, 2 alarms", lines[-4])
    assert lines[-1].endswith(server.url)
    assert "\033" not in watch.text
    assert watch.errors == ""


def test_a_terminal_has_a_table_that_is_as_wide_as_it_is_now_and_is_given_back(tmp_path: Path) -> None:
    site = Site()
    site.is_well = False
    with HostileServer(site) as server, HostileServer(page(b"hi")) as well:
        arguments = (server.url, well.url, "--every", "1")
        with contextlib.closing(Watch(tmp_path, *arguments, columns=120, COLUMNS="300")) as watch:
            assert watch.process.poll() is None
            watch.shows(r"2 targets: 1 DOWN, 1 up; \d+ checks")
            watch.shows(rf"DOWN\033\[0m .* down   {server.url} .*status 500, expected 200-299\033\[K")
            watch.resize(40)
            watch.shows(r"STATE  TARGET +ERROR\033\[K")
            assert watch.end() == 0
    assert watch.text.startswith("\033[?1049h\033[?7l")
    summary = watch.text.partition("\033[?7h\033[?1049l")[2]
    assert "an alarm would tell you:" in summary
    assert re.search(r"^2 targets: 1 DOWN, 1 up; \d+ checks in", summary, re.MULTILINE)


def test_ctrl_z_gives_the_shell_its_screen_and_fg_brings_the_table_back(tmp_path: Path) -> None:
    with (
        HostileServer(page(b"hi")) as server,
        contextlib.closing(Watch(tmp_path, server.url, columns=80)) as watch,
    ):
        watch.shows(r"1 target: 1 up")
        watch.process.send_signal(signal.SIGTSTP)
        os.waitid(os.P_PID, watch.process.pid, os.WSTOPPED | os.WNOWAIT)
        wait_until(lambda: watch.text.endswith("\033[?7h\033[?1049l"))
        watch.process.send_signal(signal.SIGCONT)
        wait_until(lambda: "\033[?7h\033[?1049l\033[?1049h\033[?7l\033[H1 target: 1 up" in watch.text)
        assert watch.end() == 0


@pytest.mark.parametrize(("number", "variables"), [(signal.SIGTERM, {}), (signal.SIGINT, {"TERM": "dumb"})])
def test_a_terminal_without_a_cursor_gets_lines_and_sigterm_ends_it_as_well(
    tmp_path: Path, number: int, variables: Mapping[str, str]
) -> None:
    with HostileServer(page(b"hi")) as server:
        with contextlib.closing(Watch(tmp_path, server.url, columns=80, **variables)) as watch:
            watch.shows(r" up " if variables else r"1 target: 1 up")
            assert watch.end(number) == 0
        assert ("\033" in watch.text) == (not variables)


def test_a_terminal_of_an_old_encoding_gets_what_it_can_show(tmp_path: Path) -> None:
    with HostileServer(page(b"hi")) as server:
        (tmp_path / "targets.yml").write_text(f"targets:\n- {{name: 'café ✓', url: '{server.url}'}}\n")
        with contextlib.closing(Watch(tmp_path, columns=80, PYTHONIOENCODING="ascii")) as watch:
            watch.shows(r"caf\? \?")
            assert watch.end() == 0
    assert watch.errors == ""


def test_json_is_what_the_topic_would_get_a_line_each(tmp_path: Path) -> None:
    with (
        HostileServer(page(b"hi")) as server,
        contextlib.closing(Watch(tmp_path, server.url, "--json", "--every", "1")) as watch,
    ):
        wait_until(lambda: watch.text.count("\n") >= 3)
        assert watch.end() == 0
    results = [decode(line.encode()) for line in watch.text.splitlines()]
    assert {(result.target, result.outcome) for result in results} == {(server.url, Outcome.UP)}


def test_the_file_of_this_directory_is_watched_as_it_says_with_secrets_of_the_env_file(tmp_path: Path) -> None:
    heard: list[bytes] = []

    def remember(connection: socket.socket) -> None:
        heard.append(hear(connection))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")

    with HostileServer(remember) as server:
        (tmp_path / "targets.yml").write_text(
            f"targets:\n- {{name: shop, url: '{server.url}', headers: {{X-Key: '${{KEY}}'}}, expect: {{body: bye}},\n"
            "   alarm: {confirm: 1}}\n"
        )
        (tmp_path / "mine.env").write_text("KEY=sesame-and-more\n")
        (tmp_path / "mine.env").chmod(0o600)
        (tmp_path / "rules.yml").write_text(
            'routes:\n- {to: [pager]}\nchannels:\n  pager: {webhook: {url: "https://${HOOK}/"}}\n'
        )
        arguments = ("--env-file", "mine.env", "--rules", "rules.yml")
        with contextlib.closing(Watch(tmp_path, *arguments)) as watch:
            watch.shows(r"an alarm would tell pager:\n    DOWN shop: body_mismatch")
            assert watch.end() == 0
    assert b"X-Key: sesame-and-more" in heard[0]


def test_a_reader_that_has_seen_enough_ends_it(tmp_path: Path) -> None:
    with HostileServer(page(b"hi")) as server:
        command = " ".join(f"'{part}'" for part in [*COMMAND, server.url, "--every", "1", "--json"])
        ran = subprocess.run(
            ["bash", "-c", f"{command} | head -n 1; exit ${{PIPESTATUS[0]}}"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert json.loads(ran.stdout)["outcome"] == "up"
    assert (ran.returncode, ran.stderr) == (cli.UNREAD, "")


def test_five_hundred_targets_are_all_checked_at_once_and_go_on_by_the_schedule(tmp_path: Path) -> None:
    with HostileServer(page(b"hi")) as server:
        lines = (f"- {{name: site-{number}, url: '{server.url}{number}'}}" for number in range(500))
        (tmp_path / "many.yml").write_text("defaults: {interval: 10}\ntargets:\n" + "\n".join(lines) + "\n")
        with contextlib.closing(Watch(tmp_path, "many.yml", columns=100)) as watch:
            watch.shows(r"500 targets: 500 up; \d{3,} checks in")
            watch.shows(r"500 targets: 500 up; (?!500 )\d{3,} checks in")
            assert watch.end() == 0


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert cli.main(["watch", *arguments]) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    return [line.removeprefix("webmon: ") for line in errors.splitlines()]


def test_a_mistake_is_told_with_what_would_be_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    right = "right would be a list of targets, or a URL: webmon watch https://example.org/"
    assert told([], capsys) == [f"there is no targets.yml here; {right}"]
    for name in ("example.org", "x" * 300):
        assert told([name], capsys) == [f"{name}: there is no such file; {right}"]
    several = "is not a URL; right would be URLs, such as https://example.org/, or one file"
    assert told(["https://example.org/", "targets.yml"], capsys) == [f"targets.yml {several}"]
    assert told(["a.yml", "b.yml"], capsys) == [f"a.yml {several}"]
    assert told(["gopher://example.org/"], capsys)[0].startswith("'gopher://example.org/': ")


def test_every_fault_of_the_files_is_told_as_check_tells_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "targets.yml").write_text("targets:\n- {url: 'https://a.example/', intervall: 5}\n- {url: nowhere}\n")
    assert cli.main(["targets", "check", "targets.yml"]) == 2
    as_checked = [line.removeprefix("webmon: ") for line in capsys.readouterr().err.splitlines()]
    assert len(as_checked) == 2
    assert told([], capsys) == as_checked
    (tmp_path / "rules.yml").write_text("routes: []\n")
    assert told(["https://a.example/", "--rules", "rules.yml"], capsys)[0].startswith("rules.yml:1: ")


def test_what_is_named_by_its_url_is_checked_every_ten_seconds_and_every_changes_all(tmp_path: Path) -> None:
    (tmp_path / "t.yml").write_text("targets:\n- {url: 'https://a.example/', interval: 30}\n- https://b.example/\n")
    urls = choose(["https://a.example/", "tcp://b.example:25", "https://a.example/"], None, {})[0]
    assert [(target.url, target.interval, target.timeout) for target in urls] == [
        ("https://a.example/", 10, 10),
        ("tcp://b.example:25", 10, 10),
    ]
    of_file = choose([str(tmp_path / "t.yml")], None, {})[0]
    assert [(target.interval, target.timeout) for target in of_file] == [(30, 15), (60, 15)]
    at_once = choose([str(tmp_path / "t.yml")], 2, {})[0]
    assert [(target.interval, target.timeout) for target in at_once] == [(2, 2), (2, 2)]


def test_the_targets_hosts_show_each_other_that_this_one_is_connected(tmp_path: Path) -> None:
    def asked(*urls: str) -> list[str]:
        return [str(canary) for canary in canaries(choose(urls, None, {})[0])]

    assert asked("https://a.example/", "http://b.example:81/", "https://a.example/2") == [
        "a.example:443",
        "b.example:81",
    ]
    assert asked("https://a.example/", "https://a.example/2") == []
    assert asked("https://a.example/", "dns://192.0.2.1/example.org", "icmp://b.example") == []
