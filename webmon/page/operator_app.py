"""The operator's page over HTTP: everything that is known, and what can be done about it by orders to the judge.

Nothing of it is kept by a browser or a proxy, and nobody gets past webmon/page/guard.py who may not.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from webmon import __version__
from webmon.alarm.conditions import Condition
from webmon.alarm.orders import Order
from webmon.errors import UserError
from webmon.kafka import certificate
from webmon.page import acts, board, chart_svg, public_pages
from webmon.page.access import Access, open_to_all
from webmon.page.answers import HTML, PRIVATE, Heads, Made, answer
from webmon.page.guard import Guard, RefusedError, Tokens
from webmon.page.markup import render
from webmon.page.model import OperatorPage, OperatorTarget
from webmon.page.operator_site import OperatorSite
from webmon.page.public_app import files
from webmon.page.snapshot import Chart, Notice, Target
from webmon.page.texts import ALL

CHART_HOURS: Final = 6
OF_OUR_OWN: Final = frozenset({Condition.VANTAGE_SILENT, Condition.VANTAGE_AT_FAULT, Condition.MONITOR})
"""Conditions of webmon itself."""
_EVERY: Final = 5
_EN: Final = ALL["en"]
_HEADINGS: Final = {
    "silence": ("Silence some targets", "Silence them"),
    "maintenance": ("Plan maintenance", "Plan it"),
    "announcement": ("Tell the readers of the page", "Publish it"),
}
_DONE: Final = {
    "ack": "You have it in hand",
    "resend": "The message is sent again",
    "silence": "The silence begins",
    "maintenance": "The maintenance is planned",
    "announcement": "It is published",
    "end": "It is ended",
}

Charts = Callable[[Target, float], Chart]
"""Gives the last hours of a target; raises UserError where the database does not."""
Send = Callable[[Order], None]
"""Gives an order to the judge; raises UserError where Kafka does not take it."""


def operator_app(
    site: OperatorSite, *, access: Access = open_to_all, charts: Charts | None = None, send: Send | None = None
) -> ASGIApp:
    """Give the application.

    Args:
        site: what it shows.
        access: how an operator is known.
        charts: asks the database; None: there is nothing to ask.
        send: None: nobody can act, as there is no Kafka.
    """
    faces = _Faces(site, charts, send)
    inner = Starlette(
        routes=[
            *files(),
            Route("/", faces.targets),
            Route("/target", faces.target),
            Route("/episodes", faces.episodes),
            Route("/episode/{id}", faces.episode),
            Route("/plans", faces.plans),
            Route("/fleet", faces.fleet),
            Route("/acts/{kind}", faces.act, methods=["GET", "POST"]),
            Route("/sent/{kind}", faces.sent),
            Route("/{path:path}", faces.missing, methods=["GET", "POST"]),
        ],
        exception_handlers={RefusedError: faces.refused, 404: faces.lost},  # type: ignore[dict-item]
    )
    return Heads(Guard(inner, access), acts=True)


class _Faces:
    """Answers each kind of request."""

    def __init__(self, site: OperatorSite, charts: Charts | None, send: Send | None) -> None:
        self._site = site
        self._charts = charts
        self._send = send
        self._tokens = Tokens()

    async def targets(self, request: Request) -> Response:
        wanted = board.read(request.query_params)

        def values(page: OperatorPage) -> dict[str, Any]:
            counts = page.sentence.counts
            return {
                "filter": wanted,
                "board": board.board(page.targets, wanted),
                "each": board.EACH,
                "labels": self._site.labels(),
                "counts": {name: getattr(counts, name) for name in counts.__struct_fields__},
            }

        return await self._show(request, "op_targets.html", "", values)

    async def target(self, request: Request) -> Response:
        name = request.query_params.get("name", "")
        page = await run_in_threadpool(self._site.page)
        one = next((one for one in page.targets if one.target.name == name), None) if page else None
        if one is None:
            return await self.missing(request)
        chart, no_chart = await run_in_threadpool(self._chart, one)

        def values(page: OperatorPage) -> dict[str, Any]:
            assert one is not None
            return {
                "heading": f"{_EN(one.state)}: {one.target.name}",
                "state": one.state.value,
                "one": one,
                "picture": chart_svg.draw(chart) if chart else None,
                "no_chart": no_chart,
                "errors": chart.errors if chart else [],
                "hours": CHART_HOURS,
                "past": [episode for episode in page.closed_episodes if episode.subject == name][:20],
            }

        return await self._show(request, "op_target.html", "target", values)

    def _chart(self, one: OperatorTarget) -> tuple[Chart | None, str]:
        if self._charts is None:
            return None, "There is no database to ask."
        try:
            chart = self._charts(one.target, CHART_HOURS * 3600.0)
        except UserError as error:
            return None, f"The database does not give the last hours: {error.lines[0]}"
        return chart, f"No result in the last {CHART_HOURS} hours."

    async def episodes(self, request: Request) -> Response:
        def values(page: OperatorPage) -> dict[str, Any]:
            names = {one.id: f"{one.condition}: {one.subject}" for one in (*page.open_episodes, *page.closed_episodes)}

            def of_notice(one: Notice) -> str:
                return names.get(one.episode, one.episode)

            return {"heading": "Episodes", "of_notice": of_notice}

        return await self._show(request, "op_episodes.html", "episodes", values)

    async def episode(self, request: Request) -> Response:
        number = request.path_params["id"]
        page = await run_in_threadpool(self._site.page)
        ours = (*page.open_episodes, *page.closed_episodes) if page else ()
        one = next((one for one in ours if one.id == number), None)
        if one is None:
            return await self.missing(request)
        told = [ann for ann in self._site.history().announcements if ann.episode == number]
        values = {"heading": f"{one.condition}: {one.subject}", "one": one, "announcements": told}
        return await self._show(request, "op_episode.html", "episode", lambda _: values)

    async def plans(self, request: Request) -> Response:
        return await self._show(request, "op_plans.html", "plans", lambda _: {"heading": "Silences and maintenance"})

    async def fleet(self, request: Request) -> Response:
        def values(page: OperatorPage) -> dict[str, Any]:
            troubles = [one for one in page.open_episodes if one.condition in OF_OUR_OWN]
            return {
                "heading": "Fleet",
                "fleet": self._site.fleet(),
                "judged": self._site.history().as_of,
                "troubles": troubles,
                "renew_days": certificate.RENEW_BEFORE.days,
            }

        return await self._show(request, "op_fleet.html", "fleet", values)

    async def act(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in acts.KINDS or (request.method == "GET" and kind not in _HEADINGS):
            return await self.missing(request)
        if self._send is None:
            return await self._message(
                request, 503, "Nobody can act here", "KAFKA_HOST is not set: orders to the judge go through Kafka."
            )
        if request.method == "GET":
            return await self._form(request, kind, dict(request.query_params), {})
        fields = await self._tokens.form(request)
        operator, history = request.state.operator, self._site.history()
        try:
            order = acts.order_of(kind, fields, operator.name, history, self._site.now())
        except acts.WrongError as error:
            return await self._form(request, kind, fields, error.faults, status=422)
        try:
            await run_in_threadpool(self._send, order)
        except UserError as error:
            faults = {"": f"Nothing was done. Kafka does not take it: {error.lines[0]}"}
            return await self._form(request, kind, fields, faults, status=503)
        # So that to load the next page anew does not act again.
        return RedirectResponse(f"/sent/{kind}", 303, {"Cache-Control": PRIVATE})

    async def sent(self, request: Request) -> Response:
        done = _DONE.get(request.path_params["kind"])
        if done is None:
            return await self.missing(request)
        more = "Kafka has the order. The judge takes it within a second or so, and then it is seen here."
        return await self._message(request, 200, done, more, state="up")

    async def missing(self, request: Request) -> Response:
        return await self._message(request, 404, "No such page", "What you look for is not here, or not any more.")

    async def lost(self, request: Request, error: HTTPException) -> Response:  # noqa: ARG002 (it is Starlette's)
        return await self.missing(request)

    async def refused(self, request: Request, error: RefusedError) -> Response:
        return await self._message(request, error.status, "That was not done", str(error), state="down")

    async def _form(
        self, request: Request, kind: str, values: Mapping[str, str], faults: Mapping[str, str], status: int = 200
    ) -> Response:
        heading, button = _HEADINGS.get(kind, ("That was not done", ""))
        shown = {
            "heading": heading,
            "kind": kind,
            "button": button,
            "values": values,
            "faults": faults,
            "lengths": acts.LENGTHS,
            "every": 0,
        }
        return await self._show(request, "op_act.html", "act", lambda _: shown, status=status, bare=True)

    async def _message(
        self, request: Request, status: int, heading: str, more: str, *, state: str = "unknown"
    ) -> Response:
        values = {"heading": heading, "more": more, "state": state, "every": 0}
        return await self._show(request, "op_message.html", "message", lambda _: values, status=status, bare=True)

    async def _show(
        self,
        request: Request,
        template: str,
        here: str,
        values: Callable[[Any], Mapping[str, Any]],
        *,
        status: int = 200,
        bare: bool = False,
    ) -> Response:
        """Show a page; where there is no snapshot yet, that, unless it needs none."""
        page = await run_in_threadpool(self._site.page)
        operator = request.state.operator
        shown: dict[str, Any] = {
            "title": "webmon",
            "face": "op",
            "root": "/",
            "every": _EVERY,
            "page": page,
            "here": here,
            "heading": "",
            "sentence": "No snapshot yet",
            "state": "unknown",
            "operator": operator,
            "token_value": self._tokens.of(operator),
            "can_act": self._send is not None,
            "version": __version__,
            "now": self._site.now(),
            "values": {},
        }

        def make() -> Made:
            named, code = template, status
            if page is not None:
                shown.update(sentence=page.sentence.text, state=public_pages.colour(page.sentence))
            if page is not None or bare:
                shown.update(values(page))
            else:
                named, code = "op_message.html", 503
                shown.update(heading="No snapshot yet", more=self._site.trouble() or "The first one is being read.")
            return Made(render(named, _EN, _link, **shown), HTML, code)

        return answer(request, await run_in_threadpool(make), keep=PRIVATE)


def _link(kind: str, name: str = "") -> str:
    return "/" if kind == "index" else f"/{kind}/{name}"
