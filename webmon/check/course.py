"""The course of a check of any kind, from its begin to its one result: its clock, its name, its deadline, its guard.

A kind (webmon/check/flow.py for HTTP, webmon/check/kinds for the others) says what is done once the name is an address,
and what came of it. All of it runs in the loop's thread but for the lookups, and nothing of it may block.
"""

import logging
import socket
import traceback
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from webmon.check import failure, networks, verdict
from webmon.check.failure import Phase
from webmon.check.resolver import Addresses, OwnFaultError, is_own, known_without_asking, too_late
from webmon.check.result import ANSWER_LIMIT, SECONDS_LIMIT, CheckResult, Outcome, Phases
from webmon.check.target import Target
from webmon.check.verdict import Verdict

if TYPE_CHECKING:
    from webmon.check.flow import Trace
    from webmon.check.probe import Probe

T = TypeVar("T")

_log = logging.getLogger(__name__)

_FAMILIES: Final = {4: "AF_INET", 6: "AF_INET6"}
_HELD_UP, _HELD_UP_SECS = 0.1, 0.25
"""Share of a check's time, and seconds beside it, that this thread may have been held up, before a timeout is our own
fault."""


class Course:
    """One check. A kind overrides `_start`, `_at_deadline` and, where it has something, `_release` and `_found`."""

    def __init__(
        self,
        probe: "Probe",
        target: Target,
        scheduled_at: datetime,
        done: Callable[[CheckResult], None],
        trace: "Trace | None",
    ) -> None:
        """Take what it is made with; `done` gets the result, once."""
        self._probe = probe
        self._target = target
        self._scheduled_at = scheduled_at
        self._done = done
        self._trace = trace
        self._time = probe.now()
        self._began = probe.monotonic()
        self._phases: dict[Phase, float] = {}
        self._phase: Phase = "dns"
        self._phase_began = self._began
        self._looked_up = 0.0
        """Seconds that the last lookup took."""
        self._give_up: Callable[[], bool] | None = None
        self._ended = False
        self._timer = probe.loop.at(self._began + target.timeout, self._deadline)

    def begin(self) -> None:
        """Begin; never raises."""
        self._guarded(self._start)

    # What a kind says

    def _start(self) -> None:
        """Do the first step; `_finish` is called in the end, by this or a later one."""
        raise NotImplementedError

    def _at_deadline(self) -> Verdict:
        """Say what it was doing when its time was over; for all but names, which are seen to here."""
        raise NotImplementedError

    def _release(self, judged: Verdict) -> None:
        """Give back what it holds: called once, before the result is made."""

    def _found(self) -> dict[str, Any]:
        """Give what it found, as fields of a CheckResult beside those that all kinds have."""
        return {}

    # What all kinds share

    def _guarded(self, step: Callable[[], None]) -> None:
        """Take a step; what nobody foresaw in it is this check's end, and told as our own fault."""
        try:
            step()
        except Exception as error:  # noqa: BLE001
            told = self._target.without_secrets(traceback.format_exc())
            _log.error("%(target)s: a bug in webmon\n%(trace)s", {"target": self._target.name, "trace": told})
            self._finish(Verdict(Outcome.AGENT_ERROR, f"a bug in webmon, {failure.DOING[self._phase]}: {named(error)}"))

    def _elsewhere(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Do what takes long in another thread, and go on with what it gives."""
        call = self._probe.loop.call

        def done() -> None:
            try:
                found = work()
            # Whatever it is, it is told in the loop's thread.
            except Exception as error:  # noqa: BLE001
                call(lambda error=error: self._guarded(lambda: _raise(error)))  # type: ignore[misc]
            else:
                call(lambda: self._guarded(lambda: then(found)))

        self._probe.elsewhere(done)

    def _resolve(self, host: str, port: int, then: Callable[[Addresses], None]) -> None:
        """Look a name up and go on with its addresses of the target's IP version; without one this is the end."""
        self._phase, self._phase_began = "dns", self._probe.monotonic()
        self._looked_up = 0.0
        if (known := known_without_asking(host, port)) is not None:
            self._resolved(known, then)
            return
        loop = self._probe.loop

        def answered(answer: Addresses | Exception) -> None:
            loop.call(lambda: self._guarded(lambda: self._resolved(answer, then)))

        self._give_up = self._probe.resolver.ask(host, port, answered)

    def _resolved(self, answer: Addresses | Exception, then: Callable[[Addresses], None]) -> None:
        if self._ended:
            return
        self._give_up = None
        self._looked_up = self._probe.monotonic() - self._phase_began
        if isinstance(answer, Exception):
            self._spend("dns", self._looked_up)
            self._unresolved(answer)
            return
        version = self._target.ip_version
        if version != "any":
            answer = [address for address in answer if address[0].name == _FAMILIES[version]]
        if not answer:
            kind = "" if version == "any" else f" IPv{version}"
            self._unresolved(socket.gaierror(socket.EAI_NODATA, f"the name has no{kind} address"))
            return
        if not self._is_forbidden(answer):
            then(networks.permitted(answer, self._probe.forbidden))

    def _is_forbidden(self, addresses: Addresses) -> bool:
        """Tell whether no check may connect to any of these addresses; then this is the end."""
        why = networks.why_forbidden(addresses, self._probe.forbidden)
        if why is not None:
            self._spend("dns", self._looked_up)
            text = f"{failure.DOING['connect']}: {why}, which MONITORING_FORBIDDEN_NETWORKS forbids to every check"
            self._finish(Verdict(Outcome.CONNECT_ERROR, text))
        return why is not None

    def _unresolved(self, error: Exception) -> None:
        doing = failure.DOING["dns"]
        proxy = f"the proxy {self._target.proxy}: " if self._target.proxy else ""
        if isinstance(error, TimeoutError):
            self._finish(self._timeout(doing))
        elif isinstance(error, OSError) and not is_own(error):
            outcome = Outcome.CONNECT_ERROR if proxy else Outcome.DNS_ERROR
            self._finish(Verdict(outcome, f"{proxy}{doing}: {error.strerror or named(error)}"))
        elif isinstance(error, OSError | OwnFaultError):
            self._finish(Verdict(Outcome.AGENT_ERROR, f"{doing}: {getattr(error, 'strerror', None) or error}"))
        else:
            raise error

    def _deadline(self) -> None:
        if self._ended:
            return
        if self._give_up is not None:
            begun = self._give_up()
            self._spend("dns", self._probe.monotonic() - self._phase_began)
            self._unresolved(too_late(self._target.asked.host, begun=begun))
            return
        self._guarded(lambda: self._finish(self._at_deadline()))

    def _timeout(self, doing: str) -> Verdict:
        """Say that the time is over; where it is this thread that took it, that is no site's fault."""
        held_up = self._probe.loop.late_since(self._began)
        late = self._probe.monotonic() - self._began - self._target.timeout
        if max(held_up, late) > _HELD_UP * self._target.timeout + _HELD_UP_SECS:
            text = (
                f"{doing}: this vantage was too busy: of {self._target.timeout:g} s it stood still for {held_up:.1f} s"
            )
            return Verdict(Outcome.AGENT_ERROR, text)
        return Verdict(Outcome.TIMEOUT, f"not done within {self._target.timeout:g} s: {doing}")

    def _spend(self, phase: Phase, seconds: float) -> None:
        self._phases[phase] = self._phases.get(phase, 0.0) + max(0.0, seconds)

    def _finish(self, judged: Verdict) -> None:
        if self._ended:
            return
        self._ended = True
        self._timer.cancel()
        self._release(judged)
        target = self._target
        found = self._found()
        if (answer := found.get("answer")) is not None:
            found["answer"] = verdict.one_line(target.without_secrets(answer), ANSWER_LIMIT)
        if (waited := found.get("response_time")) is not None:
            found["response_time"] = min(waited, SECONDS_LIMIT)
        self._done(
            CheckResult(
                target=target.name,
                url=target.url,
                kind=target.kind,
                labels=dict(target.labels),
                agent=self._probe.agent,
                scheduled_at=self._scheduled_at,
                time=self._time,
                interval=target.interval,
                outcome=judged.outcome,
                error=verdict.one_line(target.without_secrets(judged.error)) if judged.error else None,
                # A host that stood still for days must not make a result that nobody reads.
                total_time=min(self._probe.monotonic() - self._began, SECONDS_LIMIT),
                phases=Phases(**{name: min(secs, SECONDS_LIMIT) for name, secs in self._phases.items()}),
                **found,
            )
        )


def _raise(error: Exception) -> None:
    raise error


def named(error: Exception) -> str:
    """Write an exception for people who know Python."""
    return f"{type(error).__name__}: {error}"
