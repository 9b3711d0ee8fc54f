"""A command that root listed: its exit status is the outcome and its first line the answer, as a Nagios plugin's are.

The form of both: https://www.monitoring-plugins.org/doc/guidelines.html. What may be run is no part of a target; it
stands in a file of root's alone (webmon/targets/commands.py).
"""

import signal
from typing import Any, Final

from webmon.check import verdict
from webmon.check.course import Course
from webmon.check.process import Process
from webmon.check.result import Outcome
from webmon.check.verdict import Verdict

_OK, _WARNING, _CRITICAL = 0, 1, 2
_WORDS: Final = {1: " (WARNING)", 2: " (CRITICAL)", 3: " (UNKNOWN)"}
_NOT_RUN: Final = (126, 127)
"""What env(1) ends with where a command is not executable, or not there."""
_STARTER_SAYS: Final = "env: "
_LOOKED_AT: Final = 4096
"""Bytes in which the first line is looked for: more than a message holds."""
_LARGE: Final = 16 << 10
"""Bytes of output from which on it is searched in another thread."""


class CommandCheck(Course):
    """One run of a command."""

    _process: Process | None = None
    _response_time: float | None = None
    _regex_match: bool | None = None

    def _start(self) -> None:
        self._phase = "transfer"
        self._probe.elsewhere(self._begin)

    def _begin(self) -> None:
        """Start it; in a thread of the pool, as this blocks until it is loaded."""
        if self._ended:
            return
        begun: Process | Exception
        try:
            begun = self._probe.processes.start(self._target.command)
        except Exception as error:  # noqa: BLE001
            begun = error
        self._probe.loop.call(lambda: self._guarded(lambda: self._begun(begun)))

    def _begun(self, begun: Process | Exception) -> None:
        if isinstance(begun, Process):
            if self._ended:
                begun.end()
                return
            self._process = begun
            begun.follow(lambda: self._guarded(self._over))
        elif isinstance(begun, OSError):
            self._finish(Verdict(Outcome.AGENT_ERROR, f"the command could not be started: {begun.strerror or begun}"))
        else:
            raise begun

    def _over(self) -> None:
        process = self._process
        assert process is not None
        assert process.returned is not None
        if process.returned in (_OK, _WARNING, _CRITICAL):
            self._response_time = process.seconds
        if process.returned not in (_OK, _WARNING):
            self._finish(_of_failure(process))
            return
        # Without the last line's end, so that ^...$ is what the program says.
        said = (bytes(stream).rstrip(b"\r\n") for stream in (process.out, process.err))
        expect, text = self._target.expect, b"\n".join(filter(None, said))

        def judged() -> Verdict:
            answered = verdict.of_answer(expect, response_time=process.seconds, text=text)
            self._regex_match = expect.body.found_in(text) if expect.body is not None else None
            if process.returned == _WARNING and answered.outcome.is_up:
                answered = Verdict(Outcome.SLOW, _told(process))
            return answered

        if len(text) > _LARGE and (expect.body or expect.body_not):
            self._elsewhere(judged, self._finish)
        else:
            self._finish(judged())

    def _at_deadline(self) -> Verdict:
        if self._process is None:
            return Verdict(Outcome.AGENT_ERROR, "the command was not started in time: this vantage was too busy")
        if self._process.returned is not None:
            return self._timeout("searching the output of the command")
        return self._timeout("the command still ran, and was killed")

    def _release(self, judged: Verdict) -> None:  # noqa: ARG002
        if self._process is not None:
            self._process.end()

    def _found(self) -> dict[str, Any]:
        process = self._process
        return {
            "answer": _first_line(process) if process is not None and not _not_run(process) else None,
            "response_time": self._response_time,
            "regex_match": self._regex_match,
        }


def _first_line(process: Process) -> str | None:
    """Give the first line that says something, of stdout or else of stderr, without the numbers behind `|`."""
    for stream in (process.out, process.err):
        for line in bytes(stream[:_LOOKED_AT]).splitlines():
            if text := verdict.one_line(line.partition(b"|")[0].decode(errors="replace")):
                return text
    return None


def _of_failure(process: Process) -> Verdict:
    """Judge all but OK and WARNING: what does not say CRITICAL could not tell how its subject is."""
    status, line = process.returned or 0, _first_line(process)
    if status == _CRITICAL:
        return Verdict(Outcome.STATUS_MISMATCH, _told(process))
    if status < 0:
        said = f": {line}" if line else ""
        return Verdict(Outcome.AGENT_ERROR, f"the command was ended by {_signal(-status)}{said}")
    if (why := _not_run(process)) is not None:
        return Verdict(Outcome.AGENT_ERROR, f"the command could not be run: {why}")
    return Verdict(Outcome.AGENT_ERROR, _told(process))


def _not_run(process: Process) -> str | None:
    """Say why the program was not even run, where it was not."""
    line = _first_line(process) if process.returned in _NOT_RUN else None
    return line.removeprefix(_STARTER_SAYS) if line is not None and line.startswith(_STARTER_SAYS) else None


def _told(process: Process) -> str:
    status = process.returned or 0
    return f"exit status {status}{_WORDS.get(status, '')}: {_first_line(process) or 'it said nothing'}"


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of those for real time but two
        return f"signal {number}"
