"""The public page over HTTP: which address gives what. It reads only, sets no cookie, shows nothing of a request."""

import asyncio
import re
from collections.abc import Callable
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from webmon import __version__
from webmon.page import api, badges, feeds, public_pages, statuspage
from webmon.page.answers import FOREVER, PAGES, PRIVATE, STATES, SVG, Heads, Made, answer
from webmon.page.icons import icon
from webmon.page.markup import static, static_path
from webmon.page.model import PublicPage, State
from webmon.page.site import PublicSite
from webmon.page.texts import LANGUAGES, Texts, chosen

STATIC: Final = {
    static_path(name): Made(static(name), kind)
    for name, kind in (("style.css", "text/css; charset=utf-8"), ("page.js", "text/javascript; charset=utf-8"))
}
ICONS: Final = {state.value: Made(icon(state), SVG) for state in State}
_NO_PREFLIGHT_SECS: Final = "86400"


def public_app(site: PublicSite, *, url: str | None = None) -> ASGIApp:
    """Give the application.

    Args:
        site: what it shows.
        url: PAGE_URL, the only source of absolute links.
    """
    faces = _Faces(site, url)
    open_to_all = {"methods": ["GET", "OPTIONS"]}
    return Heads(
        Starlette(
            routes=[
                *files(),
                Route("/feed.{kind}", faces.feed),
                Route("/badge/{id}/{kind}.svg", faces.badge, **open_to_all),  # type: ignore[arg-type]
                Route("/api/openapi.json", faces.openapi, **open_to_all),  # type: ignore[arg-type]
                Route("/api/v1/{call:path}", faces.v1, **open_to_all),  # type: ignore[arg-type]
                Route("/api/v2/{name}.json", faces.v2, **open_to_all),  # type: ignore[arg-type]
                Route("/{path:path}", faces.page),
            ],
            # A line's end in an address is in none of these.
            exception_handlers={404: faces.lost},  # type: ignore[dict-item]
        ),
        acts=False,
    )


def files() -> list[Route]:
    """Give the addresses of what both faces load: style, script, and the tab's icon."""
    return [Route("/static/{name}", _static), Route("/icon/{state}.svg", _icon)]


async def _static(request: Request) -> Response:
    made = STATIC.get(f"static/{request.path_params['name']}")
    return answer(request, made, keep=FOREVER) if made else Response("no such file\n", 404, media_type="text/plain")


async def _icon(request: Request) -> Response:
    made = ICONS.get(request.path_params["state"])
    # Its name is the state itself: it never changes, but a release may draw it anew.
    return answer(request, made, keep=PAGES) if made else Response("no such icon\n", 404, media_type="text/plain")


class _Faces:
    """Answers each kind of request."""

    def __init__(self, site: PublicSite, url: str | None) -> None:
        self._site = site
        self._url = url
        self._making = asyncio.Lock()
        """One answer is made at a time: many who want the same wait for one."""

    async def _made(self, key: object, make: Callable[[PublicPage], Made | None]) -> Made | None:
        """Give an answer that is kept, or have it made; None where there is no page or no such thing."""
        made = self._site.kept(key)
        if made is not None:
            return made
        async with self._making:
            made = self._site.kept(key)
            return made if made is not None else await run_in_threadpool(self._make, key, make)

    def _make(self, key: object, make: Callable[[PublicPage], Made | None]) -> Made | None:
        page = self._site.page()
        made = make(page) if page is not None else None
        if made is None or page is None:
            return None
        # Here and not in the server's thread.
        _ = made.etag, made.packed
        return self._site.keep(key, page, made)

    async def _has_page(self) -> bool:
        return await run_in_threadpool(self._site.page) is not None

    async def page(self, request: Request) -> Response:
        t, query = _language(request)
        path = public_pages.path_of(request.url.path)
        made = None
        if path is not None:
            made = await self._made(
                (path, t.language, query), lambda page: public_pages.make(page, path, t, query=query)
            )
        if made is None:
            if path == ("index",):
                made = public_pages.nothing(t, self._site.title, is_public=self._site.is_public)
            else:
                depth = request.url.path.count("/") - 1
                made = public_pages.missing(t, self._site.title, min(depth, 20), query=query)
        keep = PAGES if made.status == 200 else PRIVATE
        return answer(request, made, keep=keep, vary="Accept-Language, Accept-Encoding")

    async def lost(self, request: Request, error: HTTPException) -> Response:  # noqa: ARG002 (it is Starlette's)
        if request.url.path.startswith("/api/"):
            return answer(request, api.error(404, "no such call; /api/openapi.json lists them"), keep=PRIVATE)
        return await self.page(request)

    async def feed(self, request: Request) -> Response:
        makers = {"atom": feeds.atom, "rss": feeds.rss}
        make = makers.get(request.path_params["kind"])
        if make is None:
            return await self.page(request)
        t, _ = _language(request)
        made = await self._made((make, t.language), lambda page: make(page, t, self._url))
        if made is None:
            return _plain(503, "Nothing is known yet.")
        return answer(request, made, keep=STATES, vary="Accept-Language, Accept-Encoding")

    async def badge(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return _preflight()
        number, kind = request.path_params["id"], request.path_params["kind"]
        # An <img> of another page says the language of its reader, and a badge is one picture for all.
        t = chosen("", request.query_params.get("lang"))

        def make(page: PublicPage) -> Made | None:
            target = page.target(number)
            return badges.badge(target, kind, t) if target else None

        made = await self._made(("badge", number, kind, t.language), make)
        if made is None:
            made = badges.unknown(t, status=404 if await self._has_page() else 200)
        return answer(request, made, keep=STATES if made.status == 200 else PRIVATE)

    async def openapi(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return _preflight()
        return answer(request, api.openapi(self._url, __version__), keep=STATES)

    async def v1(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return _preflight()
        wanted = request.path_params["call"]
        for call in api.CALLS:
            pattern = re.escape(call.path).replace(r"\{id\}", "([A-Za-z0-9-]{1,100})")
            if found := re.fullmatch(pattern, wanted):
                number = found[1] if found.groups() else ""
                made = await self._made(("v1", wanted), _v1(call, number))
                return await self._programs(request, made)
        return answer(request, api.error(404, "no such call; /api/openapi.json lists them"), keep=PRIVATE)

    async def v2(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return _preflight()
        name = request.path_params["name"]
        if name not in statuspage.NAMES:
            return answer(request, api.error(404, "no such call"), keep=PRIVATE)
        made = await self._made(("v2", name), lambda page: api.as_json(statuspage.answer(page, name, self._url)))
        return await self._programs(request, made)

    async def _programs(self, request: Request, made: Made | None) -> Response:
        if made is not None:
            return answer(request, made, keep=STATES)
        if await self._has_page():
            return answer(request, api.error(404, "no such thing, or it is not public"), keep=PRIVATE)
        return answer(request, api.error(503, "nothing is known yet"), keep=PRIVATE)


def _v1(call: api.Call, number: str) -> Callable[[PublicPage], Made | None]:
    def make(page: PublicPage) -> Made | None:
        found = call.make(page, number)
        return None if found is None else api.as_json(found)

    return make


def _language(request: Request) -> tuple[Texts, str]:
    """Give the language of a request, and what its links are asked with."""
    asked = request.query_params.get("lang")
    if asked not in LANGUAGES:
        asked = None
    return chosen(request.headers.get("accept-language", ""), asked), f"?lang={asked}" if asked else ""


def _plain(status: int, text: str) -> Response:
    return Response(f"{text}\n", status, {"Cache-Control": PRIVATE}, "text/plain")


def _preflight() -> Response:
    """Let a script of any page ask (https://fetch.spec.whatwg.org/#cors-preflight-fetch)."""
    headers = {
        "Access-Control-Allow-Methods": "GET",
        "Access-Control-Allow-Headers": "If-None-Match",
        "Access-Control-Max-Age": _NO_PREFLIGHT_SECS,
        "Cache-Control": PRIVATE,
    }
    return Response(status_code=204, headers=headers)
