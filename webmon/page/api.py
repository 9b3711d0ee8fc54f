"""/api/v1: what the public page shows, for programs. Shares are ratios, cut to four digits; durations are seconds."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec

from webmon.page.answers import JSON, Made
from webmon.page.bars import Uptime as Numbers
from webmon.page.feeds import moment_text
from webmon.page.model import Counts, Incident, PublicPage, PublicTarget, State
from webmon.page.texts import ALL

_EN: Final = ALL["en"]


class GroupOut(msgspec.Struct, kw_only=True):
    """Targets that stand together."""

    id: str
    name: str
    state: State
    counts: Counts
    targets: list[str]
    """Their ids."""


class StatusOut(msgspec.Struct, kw_only=True):
    """How all are."""

    title: str
    as_of: datetime
    is_old: bool
    """Whether newer data should have come."""
    state: State
    sentence: str
    counts: Counts
    groups: list[GroupOut]


class VantageOut(msgspec.Struct, kw_only=True):
    """What one vantage saw last."""

    name: str
    state: State
    time: datetime
    response: float | None


class TargetOut(msgspec.Struct, kw_only=True):
    """One target. What is not public of it is null."""

    id: str
    name: str
    group: str
    state: State
    newest: datetime | None
    """When its newest check began."""
    maintenance_until: datetime | None
    response: float | None
    certificate_ends: datetime | None
    url: str | None
    error: str | None
    vantages: list[VantageOut] | None
    incidents: list[str]


class SpanOut(msgspec.Struct, kw_only=True):
    """The uptime of the last days."""

    days: int
    uptime: float | None
    """Null: nothing was watched."""
    watched: float
    maintenance: float


class DayOut(msgspec.Struct, kw_only=True):
    """One day (UTC)."""

    day: date
    uptime: float | None
    watched: float
    maintenance: float


class UptimeOut(msgspec.Struct, kw_only=True):
    """The uptime of a target."""

    id: str
    name: str
    spans: list[SpanOut]
    days: list[DayOut]
    """The oldest first."""


class ResponseSpanOut(msgspec.Struct, kw_only=True):
    """Response times of the last days; null where there are none."""

    days: int
    count: int
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class ResponseOut(msgspec.Struct, kw_only=True):
    """The response times of a target."""

    id: str
    name: str
    spans: list[ResponseSpanOut]


class MomentOut(msgspec.Struct, kw_only=True):
    """One entry of a timeline."""

    at: datetime
    step: Literal["began", "confirmed", "error", "announced", "ended", "closed"]
    text: str


class IncidentOut(msgspec.Struct, kw_only=True):
    """One time that a target did not work."""

    id: str
    condition: str
    target: str
    name: str
    began: datetime
    ended: datetime | None
    is_open: bool
    timeline: list[MomentOut]


class WorkOut(msgspec.Struct, kw_only=True):
    """A time of maintenance."""

    id: str
    name: str
    begins: datetime
    until: datetime
    when: Literal["coming", "now", "past"]
    targets: list[str]


class ErrorOut(msgspec.Struct, kw_only=True):
    """Why there is no answer."""

    error: str


class Call(NamedTuple):
    """One thing that can be asked."""

    path: str
    """Below /api/v1; `{id}` stands for an id."""
    answer: Any
    """Its type."""
    text: str
    make: Callable[[PublicPage, str], Any]
    """Gives the answer; None where there is no such thing, or it is not public."""


def _status(page: PublicPage, _: str) -> StatusOut:
    groups = [
        GroupOut(id=one.id, name=one.name, state=one.state, counts=one.counts, targets=[t.id for t in one.targets])
        for one in page.groups
    ]
    said = page.sentence
    return StatusOut(
        title=page.title,
        as_of=page.as_of,
        is_old=page.is_old,
        state=said.state,
        sentence=said.text,
        counts=said.counts,
        groups=groups,
    )


def _target(one: PublicTarget) -> TargetOut:
    vantages = one.vantages
    return TargetOut(
        id=one.id,
        name=one.name,
        group=one.group,
        state=one.state,
        newest=one.newest,
        maintenance_until=one.until,
        response=one.response,
        certificate_ends=one.certificate_ends,
        url=one.url,
        error=one.error,
        vantages=None
        if vantages is None
        else [VantageOut(name=v.name, state=v.state, time=v.time, response=v.response) for v in vantages],
        incidents=one.incidents,
    )


def _targets(page: PublicPage, _: str) -> list[TargetOut]:
    return [_target(one) for group in page.groups for one in group.targets]


def _one_target(page: PublicPage, number: str) -> TargetOut | None:
    found = page.target(number)
    return None if found is None else _target(found)


def _uptime(page: PublicPage, number: str) -> UptimeOut | None:
    found = page.target(number)
    if found is None:
        return None
    spans = [SpanOut(days=one.days, **_shares(one)) for one in found.uptimes]
    days = [DayOut(day=bar.day, **_shares(bar.numbers)) for bar in found.bars]
    return UptimeOut(id=found.id, name=found.name, spans=spans, days=days)


def _shares(numbers: Numbers) -> dict[str, Any]:
    return {
        "uptime": None if numbers.uptime is None else numbers.uptime / 10_000,
        "watched": numbers.watched / 10_000,
        "maintenance": numbers.maintenance / 10_000,
    }


def _response(page: PublicPage, number: str) -> ResponseOut | None:
    found = page.target(number)
    if found is None or found.responses is None:
        return None
    spans = []
    for one in found.responses:
        p50, p95, p99, most = (one.p50, one.p95, one.p99, one.most) if one.count else (None,) * 4
        spans.append(ResponseSpanOut(days=one.days, count=one.count, p50=p50, p95=p95, p99=p99, max=most))
    return ResponseOut(id=found.id, name=found.name, spans=spans)


def _incident(one: Incident) -> IncidentOut:
    timeline = [MomentOut(at=m.at, step=m.step, text=moment_text(one, m, _EN)) for m in one.timeline]
    return IncidentOut(
        id=one.id,
        condition=one.condition,
        target=one.target,
        name=one.name,
        began=one.began,
        ended=one.ended,
        is_open=one.is_open,
        timeline=timeline,
    )


def _incidents(page: PublicPage, _: str) -> list[IncidentOut]:
    return [_incident(one) for one in page.incidents]


def _one_incident(page: PublicPage, number: str) -> IncidentOut | None:
    return next((_incident(one) for one in page.incidents if one.id == number), None)


def _maintenance(page: PublicPage, _: str) -> list[WorkOut]:
    return [
        WorkOut(id=one.id, name=one.name, begins=one.begins, until=one.until, when=one.when, targets=one.targets)
        for one in page.maintenance
    ]


CALLS: Final = (
    Call("status", StatusOut, "How all are", _status),
    Call("targets", list[TargetOut], "All targets", _targets),
    Call("targets/{id}", TargetOut, "One target", _one_target),
    Call("targets/{id}/uptime", UptimeOut, "Its uptime, and day by day", _uptime),
    Call("targets/{id}/response", ResponseOut, "Its response times", _response),
    Call("incidents", list[IncidentOut], "Incidents: those that go on first, then the newest", _incidents),
    Call("incidents/{id}", IncidentOut, "One incident", _one_incident),
    Call("maintenance", list[WorkOut], "Maintenance, past and to come; the oldest first", _maintenance),
)

_encoder: Final = msgspec.json.Encoder()


def as_json(value: Any, status: int = 200) -> Made:
    """Give a value as JSON."""
    return Made(_encoder.encode(value) + b"\n", JSON, status)


def error(status: int, text: str) -> Made:
    """Give why there is no answer."""
    return as_json(ErrorOut(error=text), status)


def openapi(url: str | None, version: str) -> Made:
    """Give the description of all calls (OpenAPI 3.1); `url` is where the public page is, if that is known."""
    types = [*(call.answer for call in CALLS), ErrorOut]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    not_there = _content("There is no such thing, or it is not public", schemas[-1])
    not_yet = _content("Nothing is known yet: the page has just been started", schemas[-1])
    paths: dict[str, Mapping[str, Any]] = {}
    for call, schema in zip(CALLS, schemas, strict=False):
        has_id = "{id}" in call.path
        answers = {"200": _content(call.text, schema), "503": not_yet} | ({"404": not_there} if has_id else {})
        operation: dict[str, Any] = {
            "operationId": call.path.replace("/{id}", "_one").replace("/", "_"),
            "summary": call.text,
            "responses": answers,
        }
        if has_id:
            schema_of_id = {"type": "string", "pattern": "^[A-Za-z0-9-]{1,100}$"}
            operation["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": schema_of_id}]
        paths[f"/api/v1/{call.path}"] = {"get": operation}
    return as_json(
        {
            "openapi": "3.1.0",
            "info": {"title": "webmon page", "version": version, "description": (__doc__ or "").strip()},
            "servers": [{"url": url.rstrip("/") if url else "../"}],
            "paths": paths,
            "components": {"schemas": components},
        }
    )


def _content(text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {JSON: {"schema": schema}}}
