"""Numbered steps: run programs, say what they do and how long it took, show the log where one fails.

Standard library only: it runs before the virtual environment exists.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

TOP = Path(__file__).resolve().parents[2]
LAB_PROGRAM = TOP / "tests" / "lab" / "lab"
BIN = TOP / ".venv" / "bin"
TELLING = re.compile(r"fatal: |FAILED |ERROR |E  |Error: |make: \*\*\* ")
"""How lines begin that say why something failed: of Ansible, pytest, others."""
MOST_TOLD = 12
HEEDED_WITHIN = 20.0
"""Seconds that what is ended has for it."""
LAB_ROOT = Path(os.environ.get("LAB_ROOT", "/var/lib/webmon-lab"))


class StepError(Exception):
    """A step failed; what there is to say was printed."""


@dataclass(frozen=True)
class Job:
    """One program of a step.

    `show` puts its output on the terminal as well as in the log: as it comes, or in one piece where jobs run side by
    side. `environment` adds to ours; `within` is the directory in the repository to run it in.
    """

    name: str
    argv: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    show: bool = False
    within: str = "."
    most: float | None = None


@dataclass
class Steps:
    """Runs steps and numbers them.

    `name` names the directory of the logs, build/logs/NAME; of a job that fails the last `lines` of its log are shown.
    """

    name: str
    total: int
    lines: int = 40
    number: int = 0
    began: float = field(default_factory=time.monotonic)
    took: list[tuple[str, float]] = field(default_factory=list)
    """Steps and their jobs that ended well, and the seconds of each."""
    failed: list[str] = field(default_factory=list)
    """Of each job that failed its name, and the last lines of its log that say why."""

    @property
    def logs(self) -> Path:
        """Where the logs are."""
        return TOP / "build" / "logs" / self.name

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Say that a step begins, and its seconds when it ends."""
        self.number += 1
        say(f"[{self.number}/{self.total}] {title}")
        start = time.monotonic()
        yield
        seconds = time.monotonic() - start
        self.took.append((f"{self.number} {title}", seconds))
        say(f"      {seconds:.1f} s")

    def run(self, title: str, *jobs: Job) -> list[str]:
        """Run the jobs of a step side by side; give their outputs.

        Raises StepError when one of them fails, after showing the end of its log.
        """
        with self.step(title):
            if len(jobs) == 1:
                return [self._finish(jobs[0], stream=jobs[0].show)]
            outputs: dict[str, str] = {}
            failed: list[StepError] = []

            def one(job: Job) -> None:
                start = time.monotonic()
                try:
                    outputs[job.name] = self._finish(job, stream=False)
                except StepError as error:
                    failed.append(error)
                else:
                    shown, seconds = outputs[job.name] if job.show else "", time.monotonic() - start
                    self.took.append((f"  {job.name}", seconds))
                    say(f"{shown}      {job.name}: {seconds:.1f} s")

            threads = [threading.Thread(target=one, args=(job,)) for job in jobs]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if failed:
                raise failed[0]
            return [outputs[job.name] for job in jobs]

    @contextlib.contextmanager
    def beside(self, title: str, *jobs: Job) -> Iterator[list[str]]:
        """Run jobs in turn while the steps of the block run; the list that is given has their outputs after the block.

        Raises StepError when one fails, after the block; those behind it are not run.
        """
        output: list[str] = []
        failed: list[StepError] = []
        self.number += 1
        number = self.number
        say(f"[{number}/{self.total}] {title} (beside what follows)")

        def work() -> None:
            for job in jobs:
                start = time.monotonic()
                try:
                    output.append(self._finish(job, stream=False))
                except StepError as error:
                    failed.append(error)
                    return
                seconds = time.monotonic() - start
                self.took.append((f"{number} {job.name}", seconds))
                shown = output[-1] if job.show else ""
                say(f"{shown}[{number}/{self.total}] {job.name}: {seconds:.1f} s")

        # Whoever is interrupted does not wait for it.
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield output
        except StepError:
            thread.join()
            raise
        thread.join()
        if failed:
            raise failed[0]

    def _finish(self, job: Job, *, stream: bool) -> str:
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{job.name.replace(' ', '-')}.log"
        with (
            subprocess.Popen(
                [str(word) for word in job.argv],
                cwd=TOP / job.within,
                env=environment() | dict(job.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process,
            log.open("w") as out,
            _ended_after(job.most, process) as late,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                out.write(line)
                out.flush()
                if stream:
                    sys.stdout.write(line)
                    sys.stdout.flush()
        text = log.read_text()
        if process.returncode != 0:
            end = "" if stream else "".join(f"      | {line}\n" for line in text.splitlines()[-self.lines :])
            why = f"not done after {job.most:g} s" if late.is_set() else f"exit status {process.returncode}"
            said = f"FAILED: {job.name} ({why})"
            self.failed.append("\n".join([said, *telling(text)]))
            say(f"{end}{said}; its whole log: {log}")
            raise StepError
        return text

    def seconds(self) -> float:
        """Seconds since the first step."""
        return time.monotonic() - self.began

    def table(self) -> str:
        """Give a line for each step and job that ended: its seconds, and what it was."""
        return "\n".join(f"{seconds:8.1f} s  {what}" for what, seconds in self.took)


@contextlib.contextmanager
def _ended_after(seconds: float | None, process: "subprocess.Popen[str]") -> Iterator[threading.Event]:
    """End a program that is not done after so long; gives what is set then."""
    late = threading.Event()

    def end() -> None:
        late.set()
        _end(process.pid)

    timer = threading.Timer(threading.TIMEOUT_MAX if seconds is None else seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield late
        process.wait()
    finally:
        timer.cancel()


def _end(top: int) -> None:
    """End a program and all that it began, as Ctrl-C does; what does not heed that is killed."""
    family = _processes_of(top)
    until = time.monotonic() + HEEDED_WITHIN
    _signal(family, signal.SIGINT)
    while time.monotonic() < until and any(_stat(pid)[1] == began for pid, began in family.items()):
        time.sleep(0.1)
    _signal(family, signal.SIGKILL)


def _processes_of(top: int) -> dict[int, str]:
    """Give a process and those that it began, and they, each with when it began."""
    found = {int(path.name): _stat(int(path.name)) for path in Path("/proc").glob("[0-9]*")}
    family = [top]
    for pid in family:
        family += [child for child, (parent, _) in found.items() if parent == pid]
    return {pid: found[pid][1] for pid in family if pid in found}


def _signal(processes: Mapping[int, str], number: int) -> None:
    """Signal those that are still there."""
    for pid, began in processes.items():
        if _stat(pid)[1] == began:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _stat(pid: int) -> tuple[int, str]:
    """Give a process's parent and when it began, in ticks since the boot; (0, "") for one that has ended."""
    try:
        state, parent, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, ""
    return (0, "") if state == "Z" else (int(parent), rest[17])


def telling(log: str) -> list[str]:
    """Give the last lines of a log that say why it ended so, Ansible's with the task; 400 characters of each."""
    found, task = [], ""
    for line in log.splitlines():
        if line.startswith("TASK ["):
            task = line.rstrip(" *")
        elif TELLING.match(line) and not line.startswith("FAILED - RETRYING"):
            found.append((f"{task} " if line.startswith("fatal: ") else "") + line[:400])
    return found[-MOST_TOLD:]


def environment() -> dict[str, str]:
    """Give the environment of every program: ours, with the tools of .venv first on PATH."""
    return dict(os.environ) | {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "LAB_ROOT": str(LAB_ROOT),
        "PYTHONUNBUFFERED": "1",
        # A play that matches no host is an error, not a green run.
        "ANSIBLE_HOST_PATTERN_MISMATCH": "error",
        "ANSIBLE_CONFIG": str(TOP / "ansible.cfg"),
    }


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def stop_on_sigterm() -> None:
    """Make SIGTERM, and a terminal that goes, end the program as Ctrl-C does, so that what it began is taken down."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # not with nohup
        signal.signal(signal.SIGHUP, interrupt)
