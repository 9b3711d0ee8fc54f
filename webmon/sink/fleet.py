"""The worker of a sink that writes how the fleet is: what agents say of themselves in results, and how it is itself.

The loop only notes what came; nothing that goes wrong here holds up a row.
"""

import logging
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import psycopg2

from webmon import __version__
from webmon.check.result import NAME_LIMIT, AgentStatus, CheckResult
from webmon.kafka.decode import Unreadable
from webmon.render import printable
from webmon.settings import Postgres
from webmon.sink.state import State
from webmon.sink.worker import Worker
from webmon.store import postgres
from webmon.store.fleet import REASON_LIMIT, TELL_AGENTS, TELL_SINK

_log = logging.getLogger(__name__)

PASS_SECS: Final = 10.0
"""Rest between two times that it is written."""
_STATEMENT_SECS: Final = 10
_MOST_AGENTS: Final = 10_000
"""Of which something is kept that could not be written yet."""


class _Said(NamedTuple):
    at: datetime
    status: AgentStatus


class _Dead(NamedTuple):
    at: datetime
    reason: str


def name_of(number: int) -> str:
    """Give what a sink is called: by its host, and where several share that by its number from the second one on."""
    host = socket.gethostname()[: NAME_LIMIT - 10]
    return host if number == 1 else f"{host}-{number}"


class Fleet(Worker):
    """A thread that writes it every few seconds; the loop notes, in another one."""

    def __init__(
        self,
        settings: Postgres,
        name: str,
        state: State,
        *,
        certificate_ends: Callable[[], datetime | None] = lambda: None,
        pass_secs: float = PASS_SECS,
    ) -> None:
        """Take what is told; nothing is connected and no thread runs yet.

        Args:
            settings: the way to the database.
            name: what this sink is called.
            state: how it is.
            certificate_ends: gives when its certificate for Kafka ends.
            pass_secs: the rest between two times that it is written.
        """
        super().__init__("fleet", settings, pass_secs=pass_secs, statement_secs=_STATEMENT_SECS)
        self._sink = name
        self._state = state
        self._certificate_ends = certificate_ends
        self._since = datetime.now(UTC)
        self._lock = threading.Lock()
        self._agents: dict[str, _Said] = {}
        """What each agent said last, where it is not written yet."""
        self._stored_at: datetime | None = None
        self._dead: _Dead | None = None

    def note(self, results: Sequence[CheckResult], unreadable: Sequence[Unreadable], now: datetime) -> None:
        """Note a batch that is in its place: what was stored, what became a dead letter, and when."""
        if results:
            self._stored_at = now
        if unreadable:
            self._dead = _Dead(now, printable(unreadable[-1].reason)[:REASON_LIMIT])
        for result in results:
            # Nearly none has it, and this is done for every result.
            if status := result.agent_status:
                with self._lock:
                    self._keep(result.agent, _Said(result.time, status))

    def _keep(self, agent: str, said: _Said) -> None:
        known = self._agents.get(agent)
        if (known is None and len(self._agents) < _MOST_AGENTS) or (known is not None and known.at < said.at):
            self._agents[agent] = said

    def _pass(self) -> None:
        connection = self._open()
        # A loop that hangs is told by the age of what it said last.
        if self._state.is_alive():
            with connection, connection.cursor() as cursor:
                cursor.execute(self._tables.fill(TELL_SINK, with_values=True), self._own())
        with self._lock:
            said, self._agents = self._agents, {}
        if not said:
            return
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(self._tables.fill(TELL_AGENTS, with_values=True), _columns(said))
        except (psycopg2.Error, ValueError) as error:
            if postgres.is_content_fault(error):
                # None is expected, as all of it has bounds; but it would be the same the next time.
                _log.warning("what agents say of themselves is not stored: %s", " ".join(str(error).split()))
                return
            with self._lock:
                for agent, one in said.items():
                    self._keep(agent, one)
            raise

    def _own(self) -> dict[str, Any]:
        state, dead = self._state, self._dead
        # What Kafka told before it went away says nothing of what waits there now.
        knows = state.lags is not None and not state.broker.lasts and not state.reading.lasts
        return {
            "name": self._sink,
            "version": __version__,
            "waiting": sum((state.lags or {}).values()) if knows else None,
            "certificate_ends": self._certificate_ends(),
            "since": self._since,
            "stored_at": self._stored_at,
            "dead_letters": state.metrics.dead_letters,
            "dead_letter_at": dead.at if dead else None,
            "dead_letter_reason": dead.reason if dead else None,
        }


def _ends(said: _Said) -> datetime | None:
    return said.status.certificate_ends


def _columns(said: Mapping[str, _Said]) -> dict[str, list[Any]]:
    return {
        "names": list(said),
        # The database knows no zone of a day, which JSON may have.
        "at": [one.at.astimezone(UTC) for one in said.values()],
        # A text that PostgreSQL does not store would be everybody's fault.
        "versions": [printable(one.status.version) for one in said.values()],
        "waiting": [one.status.waiting for one in said.values()],
        "certificate_ends": [ends and ends.astimezone(UTC) for ends in map(_ends, said.values())],
    }
