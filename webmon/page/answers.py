"""How an answer goes out: its validator, how long it may be kept, in which coding; and what else stands in its head."""

import dataclasses
import functools
import gzip
import hashlib
import re
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGES: Final = "public, max-age=15, stale-while-revalidate=60, stale-if-error=86400"
STATES: Final = "public, max-age=15, stale-while-revalidate=60, stale-if-error=300"
"""Of badges and of JSON, which say no time that a person would look at: a day later they would still be green."""
FOREVER: Final = "public, max-age=31536000, immutable"
"""Of a file whose name has its hash."""
PRIVATE: Final = "no-store"
HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"
SVG: Final = "image/svg+xml; charset=utf-8"
_SMALL: Final = 500
"""Bytes that are not worth a compression."""


@dataclasses.dataclass(frozen=True)
class Made:
    """The body of an answer, made once and given to many."""

    body: bytes
    kind: str
    status: int = 200

    @functools.cached_property
    def etag(self) -> str:
        """Its validator: weak, as the same is given in two codings (RFC 9110, 8.8.1)."""
        return f'W/"{hashlib.blake2b(self.body, digest_size=12).hexdigest()}"'

    @functools.cached_property
    def packed(self) -> bytes | None:
        """It with gzip; None where that is not worth it."""
        return gzip.compress(self.body, 6, mtime=0) if len(self.body) > _SMALL else None


def answer(request: Request, made: Made, *, keep: str, vary: str = "Accept-Encoding") -> Response:
    """Give what was made, or 304 where the client has it (RFC 9110, 13.1.2)."""
    headers = {"Cache-Control": keep, "Vary": vary}
    if made.status == 200 and keep != PRIVATE:
        headers["ETag"] = made.etag
        if _has(request.headers.get("if-none-match"), made.etag):
            return Response(status_code=304, headers=headers)
    body = made.body
    if made.packed is not None and takes_gzip(request.headers):
        body = made.packed
        headers["Content-Encoding"] = "gzip"
    headers["Content-Type"] = made.kind
    return Response(body, made.status, headers)


def _has(field: str | None, etag: str) -> bool:
    if field is None:
        return False
    opaque = etag.removeprefix("W/")
    return any(tag in ("*", opaque) for tag in (part.strip().removeprefix("W/") for part in field.split(",")))


def takes_gzip(headers: Headers) -> bool:
    """Tell whether a client takes gzip (RFC 9110, 12.5.3)."""
    for part in headers.get("accept-encoding", "").split(","):
        coding, _, parameters = part.partition(";")
        if coding.strip().lower() in ("gzip", "*"):
            return not re.fullmatch(r"\s*q=0(\.0*)?\s*", parameters)
    return False


def _policy(*, acts: bool) -> str:
    forms = "'self'" if acts else "'none'"
    sources = [f"{kind}-src 'self'" for kind in ("style", "script", "img", "connect")]
    ends = ["base-uri 'none'", "frame-ancestors 'none'"]
    return "; ".join(["default-src 'none'", *sources, f"form-action {forms}", *ends])


class Heads:
    """Puts into the head of each answer what keeps a browser from doing more than it should."""

    def __init__(self, app: ASGIApp, *, acts: bool) -> None:
        """Take whom it stands before, and whether its pages have forms that act."""
        self._app = app
        fields = {
            "content-security-policy": _policy(acts=acts),
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
            "referrer-policy": "same-origin" if acts else "no-referrer",
            "cross-origin-opener-policy": "same-origin",
            "permissions-policy": "camera=(), geolocation=(), microphone=()",
        }
        self._fields = [(name.encode(), value.encode()) for name, value in fields.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        path = scope.get("path", "")
        # Programs and other pages may read these.
        is_open = path.startswith(("/api/", "/badge/"))
        resource = (b"cross-origin-resource-policy", b"cross-origin" if is_open else b"same-origin")
        more = [*self._fields, resource, *([(b"access-control-allow-origin", b"*")] if is_open else [])]

        async def with_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *more]
            await send(message)

        await self._app(scope, receive, with_head)
