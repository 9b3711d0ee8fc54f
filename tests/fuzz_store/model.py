"""What rows, rollups and reports must say, in plain Python, from the messages that were accepted.

Nothing here knows SQL, rollups or the day of a chunk: each answer is a count over all results.
"""

import math
import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from webmon.check.result import CheckResult, Outcome

Key = tuple[str, str, datetime]
"""Target, agent and time: what there is one row of."""

_STALE: Final = 2.5
_GONE: Final = 10
_DOWN: Final = [outcome for outcome in Outcome if outcome.is_down]


def real(value: float | None) -> float | None:
    """Give a number as a column of type real has it."""
    return None if value is None else float(struct.unpack(">f", struct.pack(">f", value))[0])


def is_near(one: Any, other: Any, share: float = 1e-5) -> bool:
    """Tell whether two numbers are the same but for how they were added up; None is itself alone."""
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=share, abs_tol=1e-30)


def by_hour(moment: datetime) -> datetime:
    """Give the hour of a time (UTC)."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


# ---------------------------------------------------------------- rows


def row_of(result: CheckResult) -> tuple[Any, ...]:
    """Give what is stored of a result beside its key."""
    phases = result.phases
    return (
        real((result.time - result.scheduled_at).total_seconds()),
        *(real(secs) for secs in (result.total_time, result.response_time)),
        *(real(secs) for secs in (phases.dns, phases.connect, phases.tls, phases.first_byte, phases.transfer)),
        list(Outcome).index(result.outcome) + 1,
        *(result.body_bytes, result.http_status, result.error, result.answer),
        *(real(result.interval), result.redirects, result.regex_match, result.body_truncated),
        *(_address(result.remote_ip), result.http_version, result.tls_version, result.tls_not_after),
    )


ROWS: Final = """
SELECT t.target, a.agent, m.time, m.delay_secs, m.total_secs, m.response_secs, m.dns_secs, m.connect_secs, m.tls_secs,
    m.first_byte_secs, m.transfer_secs, m.outcome, m.body_bytes, m.http_status, e.error, e.answer, c.interval_secs,
    c.redirects, c.regex_match, c.body_truncated, host(c.remote_ip), c.http_version, c.tls_version, c.tls_not_after
FROM {t} AS m
JOIN {t_series} AS s ON s.id = m.series_id
JOIN {t_targets} AS t ON t.id = s.target_id
JOIN {t_agents} AS a ON a.id = s.agent_id
JOIN {t_contexts} AS c ON c.id = m.context_id
LEFT JOIN {t_errors} AS e ON e.series_id = m.series_id AND e.time = m.time
"""
"""The key, and `row_of`."""


def _address(text: str | None) -> str | None:
    return text.partition("%")[0] or None if text else None


def is_row(stored: Sequence[Any], result: CheckResult) -> bool:
    """Tell whether a row is a result's."""
    return all(
        is_near(had, wanted, 1e-6) if isinstance(wanted, float) else had == wanted
        for had, wanted in zip(stored, row_of(result), strict=True)
    )


# ---------------------------------------------------------------- rollups

ROLLUP: Final = """
SELECT {bucket}, target, agent, results, up, slow, down, agent_error, covered_secs, responses, response_sum,
    response_min, response_max, failures, buckets, counts
FROM {{t_{view}}} JOIN {{t_targets}} AS t ON t.id = target_id JOIN {{t_agents}} AS a ON a.id = agent_id
"""


def rollups(results: Iterable[CheckResult], bucket: Callable[[datetime], Any]) -> dict[Any, tuple[Any, ...]]:
    """Give the rollups as ROLLUP has them: by bucket, target and agent."""
    grouped = defaultdict(list)
    for result in results:
        grouped[bucket(result.time), result.target, result.agent].append(result)
    return {key: _rollup(held) for key, held in grouped.items()}


def _rollup(results: Sequence[CheckResult]) -> tuple[Any, ...]:
    outcomes = Counter(result.outcome for result in results)
    down = [outcomes[outcome] for outcome in _DOWN]
    times = _times(results)
    histogram = sorted(Counter(map(_bucket, times)).items())
    return (
        len(results),
        outcomes[Outcome.UP] + outcomes[Outcome.SLOW],
        outcomes[Outcome.SLOW],
        sum(down),
        outcomes[Outcome.AGENT_ERROR],
        math.fsum(real(result.interval) or 0 for result in results if result.outcome is not Outcome.AGENT_ERROR),
        len(times),
        math.fsum(times),
        min(times, default=None),
        max(times, default=None),
        down if any(down) else None,
        [bucket for bucket, _ in histogram],
        [count for _, count in histogram],
    )


def _times(results: Iterable[CheckResult]) -> list[float]:
    return [time for result in results if (time := real(result.response_time)) is not None]


def _bucket(seconds: float) -> int:
    return math.floor(math.log(seconds) / math.log(1.1)) if seconds > 0 else -32_768


# ---------------------------------------------------------------- uptime and slowest


class Group(NamedTuple):
    """A line of an answer: its name, and the results that are in it."""

    name: str | None
    results: list[CheckResult]


def groups(results: Iterable[CheckResult], name: Callable[[CheckResult], str | None]) -> dict[str | None, list[Any]]:
    """Give results by their group."""
    found: defaultdict[str | None, list[CheckResult]] = defaultdict(list)
    for result in results:
        found[name(result)].append(result)
    return found


def uptime(
    results: Sequence[CheckResult], everything: Collection[CheckResult], since: datetime, until: datetime
) -> dict[str, Any]:
    """Give the numbers of a line of `webmon uptime`, from its results of the span and from all that there are."""
    outcomes = Counter(result.outcome for result in results)
    up, down = outcomes[Outcome.UP] + outcomes[Outcome.SLOW], sum(outcomes[outcome] for outcome in _DOWN)
    times = _times(results)
    first_of = _first(everything, lambda result: result.target) | _first(everything, lambda result: (result.agent,))
    covered = owed = 0.0
    series = {(result.target, result.agent) for result in results}
    for target, agent in series:
        ours = [result for result in results if (result.target, result.agent) == (target, agent)]
        begin = max(since, first_of[target], first_of[(agent,)])
        owes = max(0.0, (until - begin).total_seconds())
        told = math.fsum(real(r.interval) or 0 for r in ours if r.outcome is not Outcome.AGENT_ERROR)
        covered, owed = covered + min(told, owes), owed + owes
    return {
        "uptime": up / (up + down) if up + down else None,
        "coverage": covered / owed if owed else 0.0,
        "results": len(results),
        "up": up,
        "slow": outcomes[Outcome.SLOW],
        "down": down,
        "agent_error": outcomes[Outcome.AGENT_ERROR],
        "response_mean": math.fsum(times) / len(times) if times else None,
    }


def _first(results: Iterable[CheckResult], name: Callable[[CheckResult], Hashable]) -> dict[Hashable, datetime]:
    first: dict[Hashable, datetime] = {}
    for result in results:
        key = name(result)
        first[key] = min(first.get(key, result.time), result.time)
    return first


def slowest(results: Sequence[CheckResult]) -> dict[str, Any] | None:
    """Give the numbers of a line of `webmon slowest`; None where no response is in it."""
    times = sorted(_times(results))
    if not times:
        return None
    answered = [result for result in results if result.response_time is not None]
    ranks = {share: next(n for n in range(len(times)) if n + 1 >= share * len(times)) for share in (0.5, 0.95, 0.99)}
    return {
        "responses": len(times),
        # Those of an hour in which nothing answered are in no line.
        "slow": None if len(answered) < len(results) else sum(r.outcome is Outcome.SLOW for r in results),
        "response_max": times[-1],
        **{f"response_p{share * 100:.0f}": times[rank] for share, rank in ranks.items()},
    }


# ---------------------------------------------------------------- incidents


class Stretch(NamedTuple):
    """One vantage's failures of one target, with none between them that is up."""

    began: datetime
    end: datetime
    """When the next was up; the last failure where none was, and `now` where that is not long ago."""
    state: str
    last_failure: datetime
    agent: str
    outcomes: frozenset[Outcome]
    error: str | None


def incidents(results: Sequence[CheckResult], now: datetime) -> list[dict[str, Any]]:
    """Give the incidents of one target, by when they began."""
    stretches = []
    for agent, ours in groups(results, lambda result: result.agent).items():
        telling = sorted((r for r in ours if r.outcome is not Outcome.AGENT_ERROR), key=lambda r: r.time)
        begin = None
        for place, result in enumerate([*telling, None]):
            if result is not None and result.outcome.is_down:
                begin = place if begin is None else begin
            elif begin is not None:
                down = telling[begin:place]
                stretches.append(_stretch(str(agent), down, result.time if result else None, now))
                begin = None
    found: list[list[Stretch]] = []
    for stretch in sorted(stretches, key=lambda stretch: stretch.began):
        if found and stretch.began <= max(one.end for one in found[-1]):
            found[-1].append(stretch)
        else:
            found.append([stretch])
    return [_incident(results, overlapping) for overlapping in found]


def _stretch(agent: str, down: Sequence[CheckResult], ended: datetime | None, now: datetime) -> Stretch:
    last = down[-1]
    is_open = ended is None and (now - last.time).total_seconds() <= _STALE * (real(last.interval) or 0)
    state = "open" if is_open else "unknown" if ended is None else "ended"
    end = now if is_open else ended or last.time
    return Stretch(down[0].time, end, state, last.time, agent, frozenset(r.outcome for r in down), down[0].error)


def _incident(results: Sequence[CheckResult], stretches: Sequence[Stretch]) -> dict[str, Any]:
    until = max(stretch.end for stretch in stretches)
    last = {stretch.state for stretch in stretches if stretch.end == until}
    states = {"open"} if any(stretch.state == "open" for stretch in stretches) else last
    began = stretches[0].began
    return {
        "began": began,
        # Where two of a kind end together, either may be told.
        "states": states,
        "until": until,
        "last_failure": max(stretch.last_failure for stretch in stretches),
        "vantages": sorted({stretch.agent for stretch in stretches}),
        "outcomes": [o.value for o in Outcome if any(o in stretch.outcomes for stretch in stretches)],
        "errors": {stretch.error for stretch in stretches if stretch.began == began},
        "watching": sorted(
            {r.agent for r in results if began <= r.time <= until and r.outcome is not Outcome.AGENT_ERROR}
        ),
    }


# ---------------------------------------------------------------- status


def status(results: Sequence[CheckResult], now: datetime) -> dict[str, Any]:
    """Give the state of one target, and the newest result of each vantage that still is one."""
    newest = [max(ours, key=lambda result: result.time) for ours in groups(results, lambda r: r.agent).values()]
    last = max(result.time for result in newest)
    present = [r for r in newest if last - r.time < timedelta(seconds=max(_GONE * (real(r.interval) or 0), 3600))]
    heard = [r.outcome for r in present if (now - r.time).total_seconds() <= _STALE * (real(r.interval) or 0)]
    telling = [outcome for outcome in heard if outcome is not Outcome.AGENT_ERROR]
    if not heard:
        state = "stale"
    elif not telling:
        state = "no data"
    elif all(outcome.is_down for outcome in telling):
        state = "DOWN"
    else:
        state = "up" if all(outcome is Outcome.UP for outcome in telling) else "degraded"
    return {"state": state, "vantages": {result.agent: result for result in present}}


def descriptions(results: Sequence[CheckResult]) -> list[tuple[str, Mapping[str, str]]]:
    """Give what a target may be described as: its newest result, or one at most an hour older.

    Of all that were taken: a repeat brings no row, and what it says of its target is told all the same.
    """
    last = max(result.time for result in results)
    return [(r.url, r.labels) for r in results if r.time >= last - timedelta(hours=1)]
