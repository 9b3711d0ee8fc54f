"""What was seen since the start, as the page's snapshot: its operators' face shows it as it shows a store's."""

from datetime import timedelta
from typing import Any, Final, TypeVar

import msgspec

from webmon.alarm import records
from webmon.alarm.quiet import as_moment
from webmon.check.result import CheckResult, Outcome
from webmon.page import snapshot as page
from webmon.page.operator_app import operator_app
from webmon.page.operator_site import OperatorSite
from webmon.page.server import Face, Server, bind
from webmon.settings import HostPort
from webmon.watch.memory import Memory, Seen

_REFRESH_SECS: Final = 1.0
_TIMES: Final = frozenset({"since", "opened", "ended", "closed", "not_after", "begins", "until", "ack_at"})
"""Fields that are milliseconds in a record of the judge, and moments here."""
T = TypeVar("T", bound=msgspec.Struct)


class Page:
    """Serves a memory; what is ordered on it is an order to the memory's judge."""

    def __init__(self, memory: Memory, address: HostPort) -> None:
        """Take the address, a loopback one.

        Raises:
            UserError: it can't be had.
        """
        self._memory = memory
        taken = bind(address, "--page")
        self.url = f"http://{address.host}:{taken.getsockname()[1]}/"
        app = operator_app(OperatorSite(self._look, lambda: None), charts=self._chart, send=memory.order)
        self._server = Server([Face(app, taken)])
        self.start, self.stop = self._server.start, self._server.stop

    def _look(self) -> page.Look:
        with self._memory.lock:
            return page.Look(snapshot=snapshot(self._memory), number=self._memory.turns)

    def _chart(self, target: page.Target, secs: float) -> page.Chart:
        with self._memory.lock:
            now = self._memory.now
            since = max(now - timedelta(seconds=secs), self._memory.began)
            points = [point for point in self._memory.seen[target.name].points if point.time >= since]
        return page.Chart(since=since, until=now, vantages={vantage.name: points for vantage in target.vantages})


def snapshot(memory: Memory) -> page.Snapshot:
    """Give what there is now; the spans of all uptimes begin with the memory."""
    judge, targets = memory.judge, [_target(seen, memory) for _, seen in sorted(memory.seen.items())]
    history = page.History(as_of=memory.now)
    for episode in sorted(judge.episodes(), key=lambda one: one.since, reverse=True):
        ack = (
            {} if episode.ack is None else {f"ack_{name}": getattr(episode.ack, name) for name in ("by", "at", "note")}
        )
        history.episodes.append(_converted(page.Episode, episode, **ack))
    for order in judge.book.orders.values():
        if isinstance(order, records.Silence):
            history.silences.append(_converted(page.Silence, order))
        elif isinstance(order, records.Maintenance):
            history.maintenance.append(_converted(page.Maintenance, order))
        else:
            history.announcements.append(_converted(page.Announcement, order))
    newest = [vantage for target in targets for vantage in target.vantages]
    agent = page.Agent(
        name=memory.vantage,
        first_seen=memory.began,
        newest=max((vantage.time for vantage in newest), default=None),
        targets=len(newest),
        failing=sum(vantage.outcome.is_down for vantage in newest),
        agent_errors=sum(vantage.outcome is Outcome.AGENT_ERROR for vantage in newest),
    )
    fleet = page.Fleet(agents=[agent], newest=agent.newest)
    return page.Snapshot(as_of=memory.now, refresh_secs=_REFRESH_SECS, targets=targets, history=history, fleet=fleet)


def _converted(kind: type[T], record: records.Record, **more: Any) -> T:
    fields = msgspec.to_builtins(record) | more
    return msgspec.convert({n: as_moment(v) if n in _TIMES and v is not None else v for n, v in fields.items()}, kind)


def _target(seen: Seen, memory: Memory) -> page.Target:
    tally, times = seen.tally, sorted(point.response for point in seen.points if point.response is not None)
    shares = {name: times[int(len(times) * share)] for name, share in _SHARES.items()} if times else {}
    return page.Target(
        name=seen.target.name,
        url=seen.target.url,
        labels=dict(seen.target.labels),
        first_seen=memory.began,
        vantages=[] if seen.last is None else [_vantage(seen.last)],
        uptime=[page.Window(days=days, since=memory.began, tally=tally) for days in page.WINDOWS],
        responses=[page.Responses(days=days, count=len(times), **shares) for days in page.RESPONSE_WINDOWS],
        days=[page.Day(day, counted) for day, counted in seen.days.items()],
    )


_SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "most": 1 - 1e-9}


def _vantage(result: CheckResult) -> page.Vantage:
    return page.Vantage(
        name=result.agent,
        outcome=result.outcome,
        time=result.time,
        interval=result.interval,
        http_status=result.http_status,
        answer=result.answer,
        error=result.error,
        response=result.response_time,
        total=result.total_time,
        phases=page.Phases(*msgspec.structs.astuple(result.phases)),
        redirects=result.redirects,
        remote_ip=result.remote_ip,
        http_version=result.http_version,
        tls_version=result.tls_version,
        certificate_ends=result.tls_not_after,
    )
