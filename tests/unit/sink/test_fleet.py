"""What a sink writes of the fleet, without a database; tests/integration/test_real_fleet.py has one."""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Self

import psycopg2
import pytest

from tests.contract.faults import Plan
from tests.contract.memory import MemoryPair
from tests.contract.sink import TurnedSink, keys, result
from tests.waiting import wait_until
from webmon import __version__
from webmon.check.result import AgentStatus, CheckResult
from webmon.daemon import threads
from webmon.errors import UserError
from webmon.kafka.decode import Unreadable
from webmon.settings import Postgres
from webmon.sink.fleet import Fleet, name_of
from webmon.sink.state import State

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
SETTINGS = Postgres.model_validate({"POSTGRES_HOST": "127.0.0.1", "POSTGRES_USER": "webmon", "POSTGRES_PASSWORD": "x"})


class OfContentError(psycopg2.DataError):
    """The database does not take what a statement holds."""

    pgcode = "22000"


class Database:
    """Takes what is written, or does not."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.sinks: list[dict[str, Any]] = []
        self.agents: list[dict[str, tuple[Any, ...]]] = []
        self.faults: list[Exception] = []
        """Of the next statements about agents."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @contextlib.contextmanager
    def cursor(self) -> Iterator["Database"]:
        yield self

    def execute(self, _: object, values: Mapping[str, Any]) -> None:
        if "names" not in values:
            self.sinks.append(dict(values))
            return
        if self.faults:
            raise self.faults.pop(0)
        rows = zip(*(values[name] for name in ("at", "versions", "waiting", "certificate_ends")), strict=True)
        self.agents.append(dict(zip(values["names"], rows, strict=True)))

    def close(self) -> None:
        pass


class Written:
    """A sink's part of the fleet, and what it wrote."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 3600.0
        self.state = State(clock=lambda: self.now)
        self.database = Database()
        self.fleet = Fleet(SETTINGS, "sink1", self.state, certificate_ends=lambda: NOW, pass_secs=0.01)
        monkeypatch.setattr(self.fleet, "_open", lambda: self.database)

    def write(self) -> dict[str, Any]:
        """Write once; give the sink's own row."""
        self.fleet._pass()
        return self.database.sinks[-1]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Written:
    return Written(monkeypatch)


def said(agent: str, seconds: float, **changes: Any) -> CheckResult:
    """Give a result in which an agent tells of itself."""
    at = NOW + timedelta(seconds=seconds)
    values: dict[str, Any] = {"version": "1.2.3", "waiting": 7} | changes
    return result(0, agent=agent, time=at, scheduled_at=at, agent_status=AgentStatus(**values))


def row(seconds: float, waiting: int) -> tuple[Any, ...]:
    return NOW + timedelta(seconds=seconds), "1.2.3", waiting, None


def test_of_each_agent_the_newest_is_written_once(written: Written) -> None:
    written.fleet.note([said("a", 5), said("b", 1), said("a", 3, waiting=9), result(1)], [], NOW)
    written.fleet.note([said("b", 20, waiting=8)], [], NOW)
    written.write()
    written.write()
    assert written.database.agents == [{"a": row(5, 7), "b": row(20, 8)}]


def test_a_database_that_is_away_loses_none_and_what_came_meanwhile_is_newer(written: Written) -> None:
    written.fleet.note([said("a", 1), said("b", 1)], [], NOW)
    written.database.faults = [psycopg2.OperationalError("gone")]
    with pytest.raises(psycopg2.OperationalError):
        written.write()
    written.fleet.note([said("a", 9)], [], NOW)
    written.write()
    assert written.database.agents == [{"a": row(9, 7), "b": row(1, 7)}]


def test_what_the_database_does_not_take_is_told_and_not_tried_for_ever(
    written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    written.fleet.note([said("a", 1)], [], NOW)
    written.database.faults = [OfContentError("too\nmuch")]
    written.write()
    assert "what agents say of themselves is not stored: too much" in caplog.text
    written.write()
    assert written.database.agents == []


def test_what_agents_say_is_text_and_moments_that_any_database_takes(written: Written) -> None:
    day = timezone(timedelta(hours=23, minutes=59))
    written.fleet.note([said("a", 0, version="1\n\u202e\ud800", certificate_ends=NOW.astimezone(day))], [], NOW)
    written.write()
    ((_, version, _, ends),) = written.database.agents[0].values()
    assert (version, ends, ends.tzinfo) == ("1   ", NOW, UTC)


def test_who_brings_ever_new_names_fills_no_memory(written: Written) -> None:
    written.fleet.note([said(f"a{number}", 1) for number in range(10_050)], [], NOW)
    written.write()
    assert len(written.database.agents[0]) == 10_000


def test_a_sink_tells_its_version_since_when_it_runs_and_until_when_it_is_certified(written: Written) -> None:
    own = written.write()
    assert (own["name"], own["version"], own["certificate_ends"]) == ("sink1", __version__, NOW)
    assert datetime.now(UTC) - own["since"] < timedelta(minutes=1)
    assert (own["stored_at"], own["dead_letters"], own["dead_letter_at"], own["dead_letter_reason"]) == (
        None, 0, None, None
    )  # fmt: skip


def test_the_newest_dead_letter_is_told_with_its_reason_in_one_bounded_line(written: Written) -> None:
    record = object()
    written.fleet.note([result(0)], [Unreadable(record, "first"), Unreadable(record, "bad\n\x1b[2J" + "x" * 900)], NOW)
    own = written.write()
    assert (own["stored_at"], own["dead_letter_at"]) == (NOW, NOW)
    assert own["dead_letter_reason"] == "bad  [2J" + "x" * 492
    # A batch without one changes nothing of that.
    written.fleet.note([result(0)], [], NOW + timedelta(minutes=1))
    own = written.write()
    assert (own["stored_at"], own["dead_letter_at"]) == (NOW + timedelta(minutes=1), NOW)


def test_the_lag_is_what_waits_on_all_partitions_and_not_known_while_kafka_is_away(written: Written) -> None:
    state = written.state
    assert written.write()["waiting"] is None
    state.lags = {0: 5, 2: 6}
    assert written.write()["waiting"] == 11
    for outage in (state.broker, state.reading):
        outage.begins("connection refused")
        assert written.write()["waiting"] is None
        outage.ends()
    assert written.write()["waiting"] == 11


def test_a_sink_that_hangs_says_nothing_so_that_its_age_tells(written: Written) -> None:
    written.write()
    written.now += 61
    written.fleet.note([said("a", 1)], [], NOW)
    written.write()
    assert len(written.database.sinks) == 1
    assert len(written.database.agents) == 1


def test_a_right_that_lacks_is_told_once_and_ends_nothing(
    written: Written, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    died: list[str] = []
    monkeypatch.setattr(threads, "end_process", died.append)
    monkeypatch.setattr("webmon.sink.worker._AWAY_SECS", 0.01)
    tried = []

    def refuse() -> None:
        tried.append(1)
        raise UserError("permission denied for table x_fleet")

    monkeypatch.setattr(written.fleet, "_pass", refuse)
    written.fleet.start()
    wait_until(lambda: len(tried) > 3, "several tries")
    written.fleet.stop(5)
    assert not died
    told = [one.getMessage() for one in caplog.records if one.name == "webmon.sink.worker"]
    assert told == ["fleet: waiting: permission denied for table x_fleet"]


def test_the_loop_notes_what_is_in_its_place_and_what_became_a_dead_letter() -> None:
    pair = MemoryPair()
    noted: list[tuple[list[CheckResult], list[str]]] = []

    def note(results: list[CheckResult], unreadable: list[Unreadable], now: datetime) -> None:
        assert set(keys(results)) <= set(pair.stored())
        assert now.tzinfo is UTC
        noted.append((results, [one.reason for one in unreadable]))

    sink = TurnedSink(pair, Plan(), note=note)
    pair.publish([said_now(), b"junk"])
    sink.turn_until(lambda: sum(len(results) for results, _ in noted) == 1, "noted")
    sink.turn_until(lambda: sum(len(reasons) for _, reasons in noted) == 1, "the dead letter noted")
    (one,) = [one for results, _ in noted for one in results]
    assert one.agent_status == AgentStatus(version="1", waiting=3)


def said_now() -> CheckResult:
    return result(0, agent_status=AgentStatus(version="1", waiting=3))


def test_several_sinks_of_a_host_have_a_name_each() -> None:
    host = socket.gethostname()
    assert [name_of(1), name_of(2)] == [host, f"{host}-2"]
