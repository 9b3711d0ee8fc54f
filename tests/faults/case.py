"""One case: load, the fault, the wait until all is well again, the verdict."""

import contextlib
import dataclasses
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import psycopg2
from kafka.errors import KafkaError

from tests.faults import judge, told
from tests.faults.lab import CHANNELS, CaseError, Lab, await_
from tests.lab.steps import say

TARGETS = 40
INTERVAL_SECS = 3.0
TIMEOUT_SECS = 3.0
FRESH_SECS = 5.0
"""What a row may be older than its target's interval and still be fresh."""
START_SECS = 90.0
SETTLE_SECS = 180.0
GROUP_SECS = 5.0
"""For how long what fails after the first waits for more (tests/faults/rules.yml)."""
FAST_SECS = INTERVAL_SECS + 2.0
"""Within which a failure is told: every vantage has looked once by then."""
SILENT_SECS = 80.0
"""Of silence of a vantage, after which somebody must be told."""


class Run:
    """A case that runs: what its function is given."""

    def __init__(self, lab: Lab, number: int, seed: int, scale: float) -> None:
        """Take the lab, the case's number, the seed of its chances and the scale of its lengths."""
        self.lab = lab
        self.scale = scale
        self.random = random.Random(f"{seed}-{number}")
        self.began = datetime.now(UTC)
        self.notices_begin = lab.notices_end()
        # Names of its own, so that nothing of another run is counted.
        self.prefix = f"c{number:02d}-{int(time.time()):x}-"
        self.names = [f"{self.prefix}{place:03d}" for place in range(TARGETS)]
        self.interval = INTERVAL_SECS
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.is_healthy: Callable[[judge.Key], bool] = lambda _: True
        """Which targets are the plain sites of web1, that were up all the time; a case may have others."""
        self.allowed: dict[str, int] = {}
        """How much of what Verdict.faults tells this case may have, as where a file that is corrupt is lost."""
        self.downs: list[told.Down] = []
        """When which of the plain sites were down."""
        self.at_fault: dict[str, bool] = {}
        """Vantages that the case gives a fault of their own, and whether somebody must be told of it."""
        self.judges_killed = False
        """Whether a judge may have sent what it could not note any more."""
        self.gap_may_be: float = float("inf")
        self.recover_within: float = 120.0
        self.fault_over: datetime | None = None

    def secs(self, full: float, least: float = 3.0) -> float:
        """Scale a length of time."""
        return max(least, full * self.scale)

    def times(self, full: int, least: int = 3) -> int:
        """Scale a count."""
        return max(least, round(full * self.scale))

    def expect(self, holds: object, what: str) -> None:
        """Note a problem where something does not hold; the case goes on."""
        if not holds:
            self.problems.append(what)

    def note(self, text: str) -> None:
        """Say something for the table's last column."""
        self.notes.append(text)
        say(f"      {text}")

    def sleep(self, seconds: float) -> None:
        """Let the load go on."""
        time.sleep(seconds)

    def at_random(self, most: float = 3.0) -> None:
        """Wait for a random moment."""
        time.sleep(self.random.uniform(0.05, most))

    def ends_fault(self) -> None:
        """Say that the fault is over now; else it is when the case's function returns."""
        self.fault_over = datetime.now(UTC)

    def is_fresh(self, agents: Sequence[str] = (), *, since: datetime | None = None) -> bool:
        """Tell whether each agent's newest row is of just now, and of a check that was made since a time."""
        try:
            newest = self.lab.newest(self.prefix)
        except psycopg2.OperationalError:  # the database is not there yet
            return False
        oldest = datetime.now(UTC) - timedelta(seconds=self.interval + FRESH_SECS)
        oldest = max(oldest, since or oldest)
        return all(agent in newest and newest[agent] >= oldest for agent in agents or self.lab.agents)

    def count(self) -> int:
        """Give how many rows the case has."""
        return int(
            self.lab.sql(
                "SELECT count(*) FROM {t} AS m JOIN {t_series} AS s ON s.id = m.series_id "
                "JOIN {t_targets} AS t ON t.id = s.target_id WHERE starts_with(t.target, %s)",
                self.prefix,
            )[0][0]
        )

    def has_rows_of(self, names: Sequence[str]) -> bool:
        """Tell whether each agent has a row of each of these targets."""
        have = {(key.agent, key.target) for key, _ in self.lab.rows(self.prefix)}
        return all((agent, name) in have for agent in self.lab.agents for name in names)

    def was_down(self, key: judge.Key) -> bool:
        """Tell whether a site was down when it was checked."""
        return any(key.target in down.names and down.has(key.time) for down in self.downs)

    def goes_down(self, names: Sequence[str]) -> told.Down:
        """Let some of the plain sites fail."""
        down = told.Down(frozenset(names), datetime.now(UTC))
        self.downs.append(down)
        self._let_fail()
        return down

    def comes_up(self, down: told.Down) -> None:
        """Let them serve again."""
        down.until = datetime.now(UTC)
        self._let_fail()
        # It is the answer that counts.
        down.until = datetime.now(UTC)

    def _let_fail(self) -> None:
        self.lab.let_fail([name for down in self.downs if down.until is None for name in down.names])

    def tellings(self) -> list[told.Telling]:
        """Give what receivers were told since the case began."""
        return self.lab.tellings(self.notices_begin)

    def await_told(self, down: told.Down, seconds: float, *, endings: bool = False) -> list[told.Telling]:
        """Wait until every channel was told of sites that are down, or that they are up again.

        Returns:
            What told each channel first of each site, the earliest first.

        Raises:
            CaseError: not within so many seconds.
        """
        what = "the ending" if endings else "the failure"
        await_(
            lambda: not told.untold(self.tellings(), down, CHANNELS, endings=endings),
            f"every channel told of {what} of {len(down.names)} sites",
            seconds,
            every=0.5,
        )
        return sorted(told.first_tellings(self.tellings(), down, CHANNELS, endings=endings).values())

    @contextlib.contextmanager
    def held_batches(self) -> Iterator[None]:
        """Hold every sink in the middle of its batch, by a lock on the table; return when one waits for it."""
        with self.lab.product.database() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"LOCK TABLE {self.lab.product.table} IN SHARE ROW EXCLUSIVE MODE")
            waits = (
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE application_name = 'webmon-sink' AND wait_event_type = 'Lock'"
            )
            await_(lambda: int(self.lab.psql(waits)) > 0, "a sink in the middle of its batch", 40)
            yield
            with contextlib.suppress(psycopg2.Error):  # the server may be gone, which ends the lock as well
                cursor.execute("ROLLBACK")


@dataclasses.dataclass(frozen=True)
class Case:
    """A case of the table."""

    number: int
    title: str
    function: Callable[[Run], None]
    is_short: bool
    """Whether it is one of the most telling, that `make test` runs."""


CASES: dict[int, Case] = {}


def case(number: int, title: str, *, short: bool = False) -> Callable[[Callable[[Run], None]], Callable[[Run], None]]:
    """Put a function in the table of cases. It is called with the load running, and returns when its fault is over."""

    def put(function: Callable[[Run], None]) -> Callable[[Run], None]:
        assert number not in CASES, number
        CASES[number] = Case(number, title, function, short)
        return function

    return put


@dataclasses.dataclass
class Result:
    """A line of the table."""

    case: int
    title: str
    seed: int
    scale: float
    verdict: judge.Verdict | None
    told: told.Told | None
    recovered: float | None
    """Seconds from the end of the fault until every agent had fresh rows, of checks made since then."""
    problems: list[str]
    notes: list[str]
    seconds: float
    at: str


def run_case(lab: Lab, chosen: Case, seed: int, scale: float) -> Result:
    """Run a case; whatever goes wrong is in the result, and what it leaves behind is mended before the next."""
    began = time.monotonic()
    run = Run(lab, chosen.number, seed, scale)
    verdict, tellings, recovered = None, None, None
    try:
        lab.mend()
        lab.watch(run.names, run.interval)
        await_(run.is_fresh, "fresh rows of every agent before the fault", START_SECS)
        chosen.function(run)
        over = run.fault_over or datetime.now(UTC)
        within = run.recover_within + SETTLE_SECS
        await_(lambda: run.is_fresh(since=over), "fresh rows of every agent after the fault", within)
        recovered = (datetime.now(UTC) - over).total_seconds()
        run.expect(recovered <= run.recover_within, f"rows were fresh only after {recovered:.0f} s")
        run.sleep(run.interval)
        verdict = settle(run)
        run.problems += verdict.faults(run.allowed)
        tellings = judge_tellings(run)
        run.problems += tellings.faults(run.at_fault, may_repeat=run.judges_killed)
        run.problems += judge.rollup_faults(lab.rollups_that_differ(run.prefix))
        run.expect(verdict.longest_gap <= run.gap_may_be, f"no check of a target for {verdict.longest_gap:.0f} s")
    except (CaseError, KafkaError, psycopg2.Error) as error:
        run.problems.append(f"{type(error).__name__}: {error}")
    seconds = time.monotonic() - began
    return Result(
        case=chosen.number,
        title=chosen.title,
        seed=seed,
        scale=scale,
        verdict=verdict,
        told=tellings,
        recovered=recovered,
        problems=run.problems,
        notes=run.notes,
        seconds=seconds,
        at=f"{run.began:%Y-%m-%d %H:%M} UTC",
    )


def settle(run: Run) -> judge.Verdict:
    """End the load, wait until all that was made must be stored, and judge."""
    lab = run.lab
    lab.watch([], 60)
    # A check that was under way when the list changed puts its result yet.
    run.sleep(TIMEOUT_SECS + 1)
    with contextlib.suppress(CaseError):  # what then is missing, the verdict tells
        await_(lambda: not any(lab.waiting(agent, run.prefix) for agent in lab.agents), "empty outboxes", SETTLE_SECS)
        await_(lambda: lab.lag() == 0, "no message that the sinks have before them", SETTLE_SECS)
        await_(lambda: lab.notices_waiting() == 0, "no notice that waits", SETTLE_SECS)
    return judge.judge(
        lab.recorded(run.prefix),
        lab.rows(run.prefix),
        lab.served(run.prefix),
        interval=run.interval,
        timeout=TIMEOUT_SECS,
        is_healthy=run.is_healthy,
        was_down=run.was_down,
    )


def judge_tellings(run: Run) -> told.Told:
    """Judge what receivers were told."""
    return told.judge(
        run.tellings(),
        run.downs,
        CHANNELS,
        prefix=run.prefix,
        may_fail=lambda name, at: not run.is_healthy(judge.Key("", name, at)),
    )
