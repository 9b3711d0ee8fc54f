"""Commands that do to an agent whatever a script can: the right outcome, in time, and nothing left of any."""

import contextlib
import os
import re
import shutil
import signal
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.deadline import check_in_time
from tests.hostile import HostileServer, hang
from tests.waiting import wait_until
from webmon.check import course
from webmon.check.pattern import compile_pattern
from webmon.check.probe import Probe
from webmon.check.process import Process
from webmon.check.result import CheckResult, Outcome, decode, encode
from webmon.check.target import Target
from webmon.check.verdict import Expectations

SLOT = datetime(2026, 1, 1, tzinfo=UTC)
TIMEOUT = 1.0
"""Of commands that are meant to reach their deadline: enough to begin what they do."""
ENOUGH = 20.0
"""Of all others, on however busy a machine."""


@pytest.fixture(autouse=True, scope="module")
def a_machine_that_is_busy_is_no_subject_here() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course, "_HELD_UP_SECS", 60.0)
        yield


def descriptors() -> list[str]:
    """Give what this process holds open of what a command is seen by."""
    held = []
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            held.append(str(fd.readlink()))
    return sorted(name for name in held if name.startswith(("pipe:", "anon_inode:[pidfd]")))


def children() -> set[int]:
    """Give the processes of this one, those that are dead and not reaped too."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread of a test before this one has ended
            found.update(map(int, (task / "children").read_text().split()))
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process goes on; whoever adopted it may take its time to reap it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


@pytest.fixture
def probe() -> Iterator[Probe]:
    """A probe of which no process and no descriptor may be left when a test ends."""
    children_before, descriptors_before = children(), descriptors()
    with contextlib.closing(Probe(agent="here")) as made:
        yield made
        wait_until(lambda: children() <= children_before, "every command reaped")
        wait_until(lambda: descriptors() == descriptors_before, "every descriptor of a command closed")


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., Path]:
    """Write a script of sh, or of the interpreter that its first line names."""

    def write(text: str, name: str = "check", mode: int = 0o755) -> Path:
        text = textwrap.dedent(text).lstrip()
        file = tmp_path / name
        file.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        file.chmod(mode)
        return file

    return write


def target(program: Path, *arguments: str, **more: Any) -> Target:
    settings: dict[str, Any] = {"name": "t", "url": "command:check", "interval": 60, "timeout": ENOUGH}
    return Target(**(settings | {"command": (str(program), *arguments)} | more))


def check(probe: Probe, program: Path, *arguments: str, **more: Any) -> CheckResult:
    one = target(program, *arguments, **more)
    result = check_in_time(probe, one, SLOT)
    assert decode(encode(result)) == result
    assert result.kind == "command"
    return result


Script = Callable[..., Path]


def test_a_command_that_ends_with_0_is_up_and_its_first_line_is_the_answer(probe: Probe, script: Script) -> None:
    result = check(probe, script("echo 'LOAD OK - 0.1, 0.2 | load1=0.1;5;10'; echo 'more of it | load5=0.2'"))
    assert (result.outcome, result.error, result.answer) == (Outcome.UP, None, "LOAD OK - 0.1, 0.2")
    assert result.response_time is not None
    assert 0 < result.response_time <= result.total_time
    assert result.phases == type(result.phases)()
    assert result.regex_match is None


@pytest.mark.parametrize(
    ("status", "outcome", "error"),
    [
        (1, Outcome.SLOW, "exit status 1 (WARNING): it said so"),
        (2, Outcome.STATUS_MISMATCH, "exit status 2 (CRITICAL): it said so"),
        (3, Outcome.AGENT_ERROR, "exit status 3 (UNKNOWN): it said so"),
        (4, Outcome.AGENT_ERROR, "exit status 4: it said so"),
        (127, Outcome.AGENT_ERROR, "exit status 127: it said so"),
        (255, Outcome.AGENT_ERROR, "exit status 255: it said so"),
    ],
)
def test_an_exit_status_is_an_outcome_as_nagios_has_it(
    probe: Probe, script: Script, status: int, outcome: Outcome, error: str
) -> None:
    result = check(probe, script(f"echo 'it said so | x=1'; exit {status}"))
    assert (result.outcome, result.error, result.answer) == (outcome, error, "it said so")
    assert (result.response_time is not None) == (status <= 2)


def test_a_command_that_says_nothing_on_stdout_answers_with_stderr(probe: Probe, script: Script) -> None:
    result = check(probe, script("echo; echo oh dear >&2; exit 2"))
    assert (result.error, result.answer) == ("exit status 2 (CRITICAL): oh dear", "oh dear")


def test_a_command_that_says_nothing_at_all_is_told_so(probe: Probe, script: Script) -> None:
    result = check(probe, script("exit 2"))
    assert (result.error, result.answer) == ("exit status 2 (CRITICAL): it said nothing", None)
    assert check(probe, script("exit 0", "quiet")).answer is None


def test_a_signal_that_ends_a_command_is_our_own_trouble(probe: Probe, script: Script) -> None:
    result = check(probe, script("echo begun; kill -SEGV $$"))
    assert (result.outcome, result.error) == (Outcome.AGENT_ERROR, "the command was ended by SIGSEGV: begun")


def test_a_command_that_is_not_there_is_our_own_trouble(probe: Probe, tmp_path: Path) -> None:
    result = check(probe, tmp_path / "gone")
    assert (result.outcome, result.answer) == (Outcome.AGENT_ERROR, None)
    why = "the command could not be run: .{}.: No such file or directory"
    assert re.fullmatch(why.format(re.escape(f"{tmp_path}/gone")), str(result.error))


def test_a_command_that_is_not_executable_is_our_own_trouble(probe: Probe, script: Script) -> None:
    file = script("echo never", mode=0o644)
    result = check(probe, file)
    assert (result.outcome, result.answer) == (Outcome.AGENT_ERROR, None)
    why = "the command could not be run: .{}.: Permission denied"
    assert re.fullmatch(why.format(re.escape(str(file))), str(result.error))


def test_no_descriptor_for_a_command_is_our_own_trouble(
    probe: Probe, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left() -> tuple[int, int]:
        raise OSError(24, "Too many open files")

    file = script("echo never")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe", none_left)
        result = check(probe, file)
    assert result.outcome is Outcome.AGENT_ERROR
    assert result.error == "the command could not be started: Too many open files"


def test_a_command_that_hangs_is_killed_at_its_deadline(probe: Probe, script: Script) -> None:
    result = check(probe, script("echo waiting for it; exec sleep 600"), timeout=TIMEOUT)
    assert (result.outcome, result.answer, result.response_time) == (Outcome.TIMEOUT, "waiting for it", None)
    assert result.error == "not done within 1 s: the command still ran, and was killed"


def test_a_command_that_ignores_sigterm_is_killed_with_all_that_it_began(
    probe: Probe, script: Script, tmp_path: Path
) -> None:
    file = script(f"""
        trap '' TERM HUP INT
        (trap '' TERM; sleep 600) & echo $! > {tmp_path}/one
        sleep 600 & echo $! > {tmp_path}/two
        wait
        sleep 600
    """)
    assert check(probe, file, timeout=TIMEOUT).outcome is Outcome.TIMEOUT
    began = [int((tmp_path / name).read_text()) for name in ("one", "two")]
    wait_until(lambda: not any(map(is_alive, began)), "the end of the whole group", 5)


def test_a_child_that_holds_the_output_open_does_not_hold_up_the_result_and_is_killed(
    probe: Probe, script: Script, tmp_path: Path
) -> None:
    result = check(probe, script(f"sleep 600 & echo $! > {tmp_path}/child; echo done"))
    assert (result.outcome, result.answer) == (Outcome.UP, "done")
    assert result.total_time < ENOUGH / 2
    wait_until(lambda: not is_alive(int((tmp_path / "child").read_text())), "the child's end", 5)


def test_a_daemon_that_left_the_group_does_not_hold_up_the_result(probe: Probe, script: Script, tmp_path: Path) -> None:
    file = script(f"setsid sleep 600 & echo $! > {tmp_path}/child; sleep 0.2; echo done")
    try:
        result = check(probe, file)
        assert (result.outcome, result.answer) == (Outcome.UP, "done")
        assert result.total_time < ENOUGH / 2
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((tmp_path / "child").read_text()), signal.SIGKILL)


def test_of_ten_megabytes_the_first_are_kept_and_the_writer_comes_to_its_end(probe: Probe, script: Script) -> None:
    file = script("echo first; head -c 10000000 /dev/zero | tr '\\0' x; echo; echo LAST; echo end >&2")
    expect = Expectations(body=compile_pattern("^first"), body_not=compile_pattern("LAST"))
    result = check(probe, file, expect=expect)
    assert (result.outcome, result.answer, result.regex_match) == (Outcome.UP, "first", True)


def test_an_endless_stream_without_a_newline_holds_up_no_other_check(probe: Probe, script: Script) -> None:
    found: list[CheckResult] = []
    endless = target(script("yes x | tr -d '\\n'", "endless"), name="endless", timeout=3)
    probe.loop.call(lambda: probe.begin(endless, SLOT, found.append))
    quick = script("echo quick", "quick")
    for _ in range(5):
        assert check(probe, quick).outcome is Outcome.UP
    wait_until(lambda: bool(found))
    assert found[0].outcome is Outcome.TIMEOUT
    assert found[0].answer is not None
    assert re.fullmatch("x{199}…", found[0].answer)


def test_what_a_command_prints_can_steer_no_terminal(probe: Probe, script: Script) -> None:
    file = script(r"printf '\033]0;owned\007\033[31mred\302\233\000\377 end\r\nsecond\n'; exit 2")
    result = check(probe, file)
    for text in (result.answer, result.error):
        assert text is not None
        assert text.isprintable()
        assert text.endswith("]0;owned [31mred \ufffd end")


def test_an_answer_without_a_newline_is_an_answer(probe: Probe, script: Script) -> None:
    assert check(probe, script("printf 'no newline'")).answer == "no newline"


def test_a_command_that_waits_for_input_gets_none(probe: Probe, script: Script) -> None:
    assert check(probe, script("read line || echo nothing came")).answer == "nothing came"


def test_arguments_reach_a_command_as_they_are_and_no_shell_reads_them(probe: Probe, script: Script) -> None:
    file = script('printf "<%s>" "$@"')
    arguments = ("-w", "5", "$(id)", "a b", "; echo x", "*", "", "NAME=value", "--help")
    assert check(probe, file, *arguments).answer == "".join(f"<{argument}>" for argument in arguments)


def test_nothing_of_the_agents_environment_reaches_a_command(
    probe: Probe, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "s3cret")
    result = check(probe, script("#!/bin/sh\nexec env | sort | tr '\\n' ' '"), expect=Expectations())
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert result.answer is not None
    assert set(result.answer.split()) - {"PWD=/", "OLDPWD=/", "SHLVL=0", "_=/usr/bin/env"} == {"LANG=C.UTF-8", path}


def test_a_command_begins_in_the_root_in_a_session_of_its_own_with_its_signals_free(script: Script) -> None:
    file = script("pwd; test $(ps -o sid= -p $$) = $$ && echo own session")
    # A shell would free them itself.
    grep = Path(str(shutil.which("grep")))
    found: list[str | None] = []

    def as_in_an_agent() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        with contextlib.closing(Probe(agent="here")) as of_an_agent:
            found.append(check(of_an_agent, file, expect=Expectations(body=compile_pattern("own session"))).error)
            found.append(check(of_an_agent, file).answer)
            found.extend(check(of_an_agent, grep, word, "/proc/self/status").answer for word in ("SigBlk", "SigIgn"))

    thread = threading.Thread(target=as_in_an_agent)
    thread.start()
    thread.join()
    # The numbers between 31 and 34 are glibc's own, and whoever runs the tests may ignore them.
    assert found[:2] == [None, "/"]
    assert [int(str(line).split()[1], 16) & 0x7FFFFFFF for line in found[2:]] == [0, 0]


def test_a_command_has_no_descriptor_of_the_agent(probe: Probe, script: Script) -> None:
    with HostileServer(hang) as server:
        results: list[CheckResult] = []
        other = Target(name="o", url=server.url, interval=60, timeout=TIMEOUT * 2)
        probe.loop.call(lambda: probe.begin(other, SLOT, results.append))
        wait_until(lambda: server.connections == 1)
        # 3 is the directory that ls reads.
        assert check(probe, script("exec ls -m /proc/self/fd")).answer == "0, 1, 2, 3"
        wait_until(lambda: bool(results))


def test_the_output_is_searched_whole_where_the_command_is_well(probe: Probe, script: Script) -> None:
    file = script("echo first; echo second; echo third >&2; exit ${1:-0}")
    both = Expectations(body=compile_pattern("(?s)second.*third"))
    assert check(probe, file, expect=both).regex_match is True
    missing = check(probe, file, expect=Expectations(body=compile_pattern("fourth")))
    assert (missing.outcome, missing.error) == (Outcome.BODY_MISMATCH, "nothing in the answer matches 'fourth'")
    assert missing.regex_match is False
    unwanted = check(probe, file, expect=Expectations(body_not=compile_pattern("second")))
    assert unwanted.outcome is Outcome.BODY_MISMATCH
    assert unwanted.error == "something in the answer matches 'second', and nothing may"
    warned = check(probe, file, "1", expect=Expectations(body=compile_pattern("fourth")))
    assert warned.outcome is Outcome.BODY_MISMATCH
    critical = check(probe, file, "2", expect=Expectations(body=compile_pattern("fourth")))
    assert (critical.outcome, critical.regex_match) == (Outcome.STATUS_MISMATCH, None)


def test_a_pattern_of_a_whole_line_fits_a_program_that_ends_its_line(probe: Probe, script: Script) -> None:
    file = script("echo 5 all well")
    assert check(probe, file, expect=Expectations(body=compile_pattern("^5 all well$"))).outcome is Outcome.UP


def test_a_byte_that_is_no_utf_8_hides_nothing_from_a_pattern(probe: Probe, script: Script) -> None:
    file = script(r"printf 'OK - 20\260C fine'")
    assert check(probe, file, expect=Expectations(body=compile_pattern("^OK.*fine$"))).outcome is Outcome.UP
    unwanted = check(probe, file, expect=Expectations(body_not=compile_pattern("OK.*fine")))
    assert unwanted.outcome is Outcome.BODY_MISMATCH


def test_a_large_output_is_searched_elsewhere_and_found_in(probe: Probe, script: Script) -> None:
    file = script("echo first; head -c 40000 /dev/zero | tr '\\0' x; echo LAST")
    result = check(probe, file, expect=Expectations(body=compile_pattern("x+LAST")))
    assert (result.outcome, result.regex_match) == (Outcome.UP, True)


def test_a_command_that_takes_longer_than_it_may_is_slow(probe: Probe, script: Script) -> None:
    result = check(probe, script("sleep 0.3; echo fine"), expect=Expectations(max_response_time=0.2))
    assert (result.outcome, result.answer) == (Outcome.SLOW, "fine")
    assert result.response_time is not None
    assert result.response_time >= 0.3
    assert result.error == f"response time {result.response_time:.3f} s, over the limit of 0.2 s"


def test_fifty_at_once_all_come_to_their_end_and_leave_nothing(probe: Probe, script: Script) -> None:
    well = script("echo well", "well")
    hanging = script("echo hanging; sleep 600 & sleep 600", "hanging")
    found: list[CheckResult] = []
    for number in range(50):
        one = target(hanging if number % 5 == 0 else well, name=str(number), timeout=3 if number % 5 == 0 else ENOUGH)
        probe.loop.call(lambda one=one: probe.begin(one, SLOT, found.append))  # type: ignore[misc]
    wait_until(lambda: len(found) == 50, "all results")
    outcomes = {result.target: result.outcome for result in found}
    for number in range(50):
        assert outcomes[str(number)] is (Outcome.TIMEOUT if number % 5 == 0 else Outcome.UP)


def test_a_command_that_was_not_begun_by_its_deadline_never_is_and_that_is_our_own_trouble(
    probe: Probe, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = threading.Event()
    begun: list[str] = []
    start = probe.processes.start

    def noted(command: Sequence[str]) -> Process:
        begun.append(Path(command[0]).name)
        return start(command)

    def occupied() -> None:
        free.wait(30)

    monkeypatch.setattr(probe.processes, "start", noted)
    for _ in range(2):  # both threads of the pool
        probe.elsewhere(occupied)
    result = check(probe, script("echo late", "late"), timeout=TIMEOUT)
    free.set()
    assert result.outcome is Outcome.AGENT_ERROR
    assert result.error == "the command was not started in time: this vantage was too busy"
    for _ in range(3):
        assert check(probe, script("echo after", "after")).outcome is Outcome.UP
    assert begun == ["after"] * 3


def test_a_probe_that_closes_leaves_no_command_behind(script: Script, tmp_path: Path) -> None:
    before, held = children(), descriptors()
    probe = Probe(agent="here")
    one = target(script(f"sleep 600 & echo $! > {tmp_path}/child; sleep 600"))
    probe.loop.call(lambda: probe.begin(one, SLOT, lambda _: None))
    wait_until(lambda: (tmp_path / "child").exists() and bool((tmp_path / "child").read_text()), "the command's begin")
    probe.close()
    assert children() <= before
    assert descriptors() == held
    wait_until(lambda: not is_alive(int((tmp_path / "child").read_text())), "the child's end", 5)


def test_a_probe_that_closes_while_a_command_is_started_leaves_none_behind(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, spawn = children(), os.posix_spawn
    begun, free = threading.Event(), threading.Event()

    def slow(*arguments: Any, **more: Any) -> int:
        number = spawn(*arguments, **more)
        begun.set()
        free.wait(10)
        return number

    monkeypatch.setattr(os, "posix_spawn", slow)
    probe = Probe(agent="here")
    probe.loop.call(lambda: probe.begin(target(script("sleep 600")), SLOT, lambda _: None))
    assert begun.wait(10)
    closing = threading.Thread(target=probe.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive(), "it waits for what is on its way"
    free.set()
    closing.join(10)
    assert children() <= before
