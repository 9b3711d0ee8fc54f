"""Reading snapshots one after the other: what is over is kept, and read is what is new, marked or was long not read.

Whatever is kept is read again within some minutes: an hour may have been marked and rolled up again between two
snapshots.
"""

from collections.abc import Iterable, Mapping, Sequence

from webmon.check.result import Outcome
from webmon.page import spans
from webmon.page.counted import Counted
from webmon.page.newest import Newest
from webmon.page.past import Written, read_written
from webmon.page.response_times import ResponseTimes
from webmon.page.scene import Basis, Named, Scene, maintenance, read_basis, read_names
from webmon.page.snapshot import Agent, Fleet, Snapshot, Tally, Target, Vantage, Window
from webmon.store.reader import Session


class Memory:
    """Reads snapshots of one set of tables; one thread uses it."""

    def __init__(self, refresh_secs: float) -> None:
        """Take the seconds from one snapshot to the next; nothing is kept yet."""
        self._refresh_secs = refresh_secs
        self._counted = Counted()
        self._response_times = ResponseTimes()
        self._newest = Newest()

    def read(self, session: Session) -> Snapshot:
        """Read a snapshot.

        Raises:
            UserError: the schema is older than what can be read.
            psycopg2.Error: the database refused, or is away; what is kept stays right.
        """
        basis = read_basis(session)
        targets, agents = read_names(session)
        written = read_written(session, basis)
        scene = Scene(basis, targets, agents, maintenance(written.history, targets, basis))
        windows = spans.windows(basis.now, basis.floors)
        tallies, days = self._counted.read(session, scene, windows)
        responses = self._response_times.read(session, basis)
        seen = self._newest.read(session, basis, targets)
        return Snapshot(
            as_of=basis.now,
            refresh_secs=self._refresh_secs,
            targets=sorted(
                (
                    Target(
                        name=one.name,
                        url=one.url,
                        labels=one.labels,
                        first_seen=one.first_seen,
                        vantages=seen.get(number, []),
                        uptime=[
                            Window(days=length, since=span.since, tally=tallies[length].get(number) or Tally())
                            for length, span in windows.items()
                        ],
                        responses=responses.get(number, []),
                        days=days.get(number, []),
                    )
                    for number, one in targets.items()
                ),
                key=lambda target: target.name,
            ),
            history=written.history,
            fleet=_fleet(basis, agents, seen.values(), written),
        )


def _fleet(basis: Basis, agents: Mapping[int, Named], seen: Iterable[Sequence[Vantage]], written: Written) -> Fleet:
    known = {
        one.name: Agent(name=one.name, first_seen=one.first_seen, said=written.agents.get(one.name))
        for one in agents.values()
    }
    for vantages in seen:
        for vantage in vantages:
            agent = known.get(vantage.name)
            if agent is None:
                continue
            if agent.newest is None or vantage.time > agent.newest:
                agent.newest = vantage.time
            agent.targets += 1
            agent.failing += vantage.outcome.is_down
            agent.agent_errors += vantage.outcome is Outcome.AGENT_ERROR
    return Fleet(
        agents=sorted(known.values(), key=lambda agent: agent.name),
        sinks=written.sinks,
        newest=max((agent.newest for agent in known.values() if agent.newest), default=None),
        marked_hours=basis.waiting,
        oldest_mark=min(basis.marked, default=None),
        schema=basis.schema,
        rows_since=basis.floors.rows,
        days_since=basis.floors.days,
    )
