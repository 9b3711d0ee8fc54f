"""A connection of its own and what is said on it: the course that streams and WebSockets share.

libcurl makes the connection, with all that it knows of addresses and certificates; then it is spoken on, never waiting
for it: what cannot go on is taken up again when the socket is ready.
"""

import contextlib
import select
import ssl
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pycurl

from webmon.check import chain, failure, verdict
from webmon.check.chain import Chain
from webmon.check.course import Course
from webmon.check.failure import SHOWN, Failure, Phase
from webmon.check.kind import TLS_KINDS
from webmon.check.kinds.starttls import why
from webmon.check.pattern import Pattern
from webmon.check.resolver import Addresses
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Step, Target
from webmon.check.transfer import Facts, Handle
from webmon.check.verdict import Verdict

if TYPE_CHECKING:
    from webmon.check.flow import Trace
    from webmon.check.probe import Probe

LIMIT: Final = 64 << 10
"""Bytes that may come without one of them being waited for."""
_CLOSED, _CLOSED_WITHOUT_A_WORD = 56, 52
"""Codes of libcurl for a connection that ended."""


class Talk(Course):
    """A check whose connection is there to be spoken on. A kind overrides what it is made with and how it is spoken."""

    def __init__(
        self,
        probe: "Probe",
        target: Target,
        scheduled_at: datetime,
        done: Callable[[CheckResult], None],
        trace: "Trace | None",
    ) -> None:
        """Take what it is made with; `done` gets the result, once."""
        super().__init__(probe, target, scheduled_at, done, trace)
        self._handle: Handle | None = None
        self._fd = -1
        """The socket, once it is spoken on."""
        self._step = 0
        """Of the dialogue."""
        self._left: memoryview | None = None
        """What is still to be sent of a step."""
        self._came = bytearray()
        """What nobody has waited for yet."""
        self._answer = b""
        """What came first."""
        self._has_answered = False
        """Whether that is all of it."""
        self._said_at = 0.0
        """When our last word was out."""
        self._idle = 0.0
        """Seconds for which what was awaited was there, and was not yet known to be all."""
        self._response_time: float | None = None
        self._facts: Facts | None = None
        self._chain: Chain | None = None

    # What a kind says

    def _prepare(self, handle: Handle, addresses: Addresses) -> None:
        """Set what the connection is made with."""
        handle.connect(self._target.asked, trust=self._trust, addresses=addresses)

    def _made(self, elapsed: float) -> Verdict | None:
        """Look at a connection that is there after so many seconds; give what is wrong with it, or None."""
        self._response_time = elapsed
        return None

    def _look(self) -> None:
        """Take what is there, without waiting for it."""

    def _expect(self, pattern: Pattern) -> bool:
        """Read until the pattern is there; False: not yet, or never, and then it is told."""
        raise NotImplementedError

    def _write(self, data: memoryview) -> int:
        """Send what can be sent, and give how much that was."""
        raise NotImplementedError

    def _sealed(self, data: bytes) -> bytes:
        """Make of what a step sends what goes over the wire."""
        return data

    def _secure(self) -> bool:
        """Go on towards TLS; False: it is not there yet, or never, and then it is told."""
        raise NotImplementedError

    def _part(self) -> None:
        """Say goodbye, where that can be done at once."""

    # The connection

    def _start(self) -> None:
        self._resolve(self._target.asked.host, self._target.asked.port, self._connect)

    def _connect(self, addresses: Addresses) -> None:
        self._phase, self._phase_began = "connect", self._probe.monotonic()
        target = self._target
        self._trust = self._probe.trust(target.tls) if target.kind in TLS_KINDS else None
        self._bundle = self._trust.bundle if self._trust else ""
        self._handle = self._probe.take_handle(target)
        self._prepare(self._handle, addresses)
        self._probe.loop.add(self._handle.curl, self._bundle, self._transferred, stays=True)

    def _transferred(self, code: int, text: str) -> None:
        self._guarded(lambda: self._settle(code, text))

    def _settle(self, code: int, text: str) -> None:
        handle = self._handle
        assert handle is not None
        elapsed = self._probe.monotonic() - self._phase_began
        if not handle.is_well(code):
            told = handle.failure(code, text)
            self._note(handle.facts(elapsed, told.phase))
            self._finish(self._failed(told))
            return
        self._note(handle.facts(elapsed))
        if (fault := chain.why_refused(self._chain)) is not None:
            self._finish(Verdict(Outcome.TLS_ERROR, f"{failure.DOING['tls']}: {fault}"))
            return
        if (wrong := self._made(elapsed)) is not None:
            self._finish(wrong)
            return
        self._fd = handle.curl.getinfo(pycurl.ACTIVESOCKET)
        is_answered = self._facts is not None and "first_byte" in self._facts.phases
        self._phase, self._phase_began = "transfer" if is_answered else "first_byte", self._probe.monotonic()
        self._said_at = self._phase_began
        self._go_on()

    def _failed(self, told: Failure) -> Verdict:
        """Say what a connection that could not be made says of the target."""
        return Verdict(*failure.judge(told))

    def _note(self, facts: Facts) -> None:
        self._facts = facts
        self._spend("dns", self._looked_up)
        for phase, seconds in facts.phases.items():
            self._spend(phase, seconds)
        if self._trust is not None and self._trust.verify and facts.certificates:
            self._see(chain.read(facts.certificates, self._trust.anchors, self._probe.now()))

    def _see(self, found: Chain | None) -> None:
        """Take the certificates of the connection."""
        self._chain = found
        if self._trace is not None:
            self._trace.chain = found

    # The dialogue

    def _go_on(self) -> None:
        """Do all of the dialogue that can be done now."""
        if not self._target.dialogue:
            self._look()
        while not self._ended and self._step < len(self._target.dialogue):
            if not self._take(self._target.dialogue[self._step]):
                return
            self._step += 1
        if not self._ended:
            left = self._chain.ends - self._probe.now() if self._chain else None
            expect = self._target.expect
            self._finish(verdict.of_answer(expect, certificate_left=left, response_time=self._response_time))

    def _take(self, step: Step) -> bool:
        """Take a step; False: it is not done yet, or never, and then that is told."""
        try:
            if step.expect is not None:
                if not self._expect(step.expect):
                    return False
                self._response_time = self._probe.monotonic() - self._said_at - self._idle
                self._has_answered = True
                return True
            return self._secure() if step.starttls else self._send(step.send or b"")
        except pycurl.error as error:
            code, text = error.args
            self._broken(code, text)
        except ssl.SSLError as error:
            self._finish(Verdict(Outcome.TLS_ERROR, f"{self._doing()}: {why(error)}"))
        return False

    def _send(self, data: bytes) -> bool:
        if self._left is None:
            self._left = memoryview(self._sealed(data))
        while self._left:
            try:
                sent = self._write(self._left)
            except BlockingIOError:
                self._wait(select.EPOLLOUT)
                return False
            self._left = self._left[sent:]
        self._left = None
        self._said_at = self._probe.monotonic()
        return True

    def _wait(self, wanted: int) -> None:
        self._probe.loop.watch(self._fd, wanted, lambda _fd, _events: self._guarded(self._go_on))

    def _take_in(self, piece: bytes) -> None:
        """Take what came."""
        if self._phase == "first_byte":
            self._enter("transfer")
        if not self._has_answered and len(self._answer) < SHOWN:
            self._answer += piece[:SHOWN]
        self._came += piece

    def _enter(self, phase: Phase) -> None:
        now = self._probe.monotonic()
        self._spend(self._phase, now - self._phase_began)
        self._phase, self._phase_began = phase, now

    # What goes wrong

    def _doing(self) -> str:
        step = self._target.dialogue[self._step]
        if step.expect is not None:
            return f"waiting for {step.expect.text!r}"
        return failure.DOING["tls"] if step.starttls else "sending"

    def _broken(self, code: int = _CLOSED, text: str = "") -> None:
        """End it with what ended the connection."""
        if not self._came and not text:
            code = _CLOSED_WITHOUT_A_WORD
        outcome, line = failure.judge(Failure(code, text, self._phase, doing=self._doing()))
        if outcome is Outcome.READ_ERROR and self._came:
            outcome, line = Outcome.BODY_MISMATCH, f"{line}, after {self._shown()}"
        self._finish(Verdict(outcome, line))

    def _mismatch(self, *, is_full: bool = False) -> Verdict:
        where = f"nothing in the first {LIMIT} bytes matches" if is_full else "what came does not match"
        return Verdict(Outcome.BODY_MISMATCH, f"{self._doing()}: {where}: {self._shown()}")

    def _shown(self) -> str:
        return repr(self._came[:SHOWN].decode(errors="replace"))

    def _at_deadline(self) -> Verdict:
        handle = self._handle
        if handle is None:
            return self._timeout(failure.DOING[self._phase])
        if self._fd < 0:
            phase = handle.reached()
            self._note(handle.facts(self._probe.monotonic() - self._phase_began, phase))
            return self._timeout(failure.DOING[phase])
        told = self._timeout(self._doing())
        is_expecting = self._target.dialogue[self._step].expect is not None
        return self._mismatch() if told.outcome is Outcome.TIMEOUT and is_expecting and self._came else told

    # The end

    def _release(self, judged: Verdict) -> None:
        handle = self._handle
        if handle is None:
            return
        if self._fd >= 0:
            if self._target.dialogue:
                self._enter(self._phase)
            self._probe.loop.unwatch(self._fd)
            with contextlib.suppress(pycurl.error, BlockingIOError):
                self._part()
        self._probe.loop.remove(handle.curl, self._bundle)
        self._probe.give_back(self._target, handle, is_well=judged.outcome.is_up)
        self._handle = None

    def _found(self) -> dict[str, Any]:
        facts = self._facts
        return {
            "answer": verdict.one_line(self._answer.decode(errors="replace"), SHOWN) or None,
            "response_time": self._response_time,
            "remote_ip": facts.remote_ip if facts else None,
            "tls_version": facts.tls_version if facts else None,
            "tls_not_after": self._chain.not_after if self._chain else None,
        }
