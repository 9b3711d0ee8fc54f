"""What stands before the operator's page: it is asked by its own name, by somebody who may, and acts for nobody else.

A page elsewhere can't read it (DNS rebinding: Host; framing: the head of each answer) nor act by it (cross-site
requests: Origin, Sec-Fetch-Site, and a token in each form).
"""

import hmac
import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from webmon.page.access import Access, Operator, open_to_all
from webmon.page.answers import PRIVATE

FORM_BYTES: Final = 64 * 1024
_FIELDS: Final = 50
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]@]+)(?::\d{1,5})?")


class RefusedError(Exception):
    """A request that is not carried out, and why, for who made it."""

    def __init__(self, status: int, text: str) -> None:
        """Take the HTTP status."""
        super().__init__(text)
        self.status = status


class Guard:
    """Lets through who may see the operator's page, and puts the name into `request.state.operator`."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        """Take whom it stands before, and how one is known."""
        self._app = app
        self._access = access
        # Guesses of passwords must not take the threads that pages are made in.
        self._askers = CapacityLimiter(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] != "http":
            return
        request = HTTPConnection(scope)
        refused = self._by_host(request)
        if refused is None:
            who = (
                self._access(request)
                if self._access is open_to_all
                else await to_thread.run_sync(self._access, request, limiter=self._askers)
            )
            if isinstance(who, Operator):
                scope.setdefault("state", {})["operator"] = who
                await self._app(scope, receive, send)
                return
            challenge = {"WWW-Authenticate": who.challenge} if who.challenge else {}
            refused = _plain(who.status, who.text, challenge)
        await refused(scope, receive, send)

    def _by_host(self, request: HTTPConnection) -> PlainTextResponse | None:
        """Refuse a name that another made for our address, where nobody is asked for a name or a password."""
        hosts = request.headers.getlist("host")
        found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if found is None:
            return _plain(400, "One Host is needed.")
        if self._access is open_to_all and not _is_loopback(found[1]):
            return _plain(421, "This page is at a loopback address, such as http://127.0.0.1:9466/ or by SSH's -L.")
        return None


def _plain(status: int, text: str, headers: Mapping[str, str] | None = None) -> PlainTextResponse:
    return PlainTextResponse(f"{text}\n", status, {"Cache-Control": PRIVATE, **(headers or {})})


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Tokens:
    """Makes and knows the token of an operator's forms; those of a former start are not known any more."""

    def __init__(self) -> None:
        """Take a new secret."""
        self._secret = os.urandom(32)

    def of(self, operator: Operator) -> str:
        """Give an operator's token."""
        return hmac.digest(self._secret, operator.name.encode(), "sha256").hex()

    async def form(self, request: Request) -> dict[str, str]:
        """Read the fields of a form that one of our own pages sent.

        Raises:
            RefusedError: it comes from elsewhere, or is none.
        """
        _check_origin(request)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
            raise RefusedError(415, "A form of this page is needed.")
        body = await _body(request)
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS, errors="strict")
        except ValueError:
            raise RefusedError(400, "That is no form.") from None
        fields = dict(pairs)
        if not hmac.compare_digest(fields.pop("token", "").encode(), self.of(request.state.operator).encode()):
            raise RefusedError(403, "This form is from before a restart of the page: go back, load anew, try again.")
        return fields


def _check_origin(request: Request) -> None:
    """Refuse what another site has a browser send: no site can change these two fields."""
    elsewhere = RefusedError(403, "This was sent by a page of another site.")
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        if site != "same-origin":
            raise elsewhere
    elif origin is None or urlsplit(origin).netloc != request.headers["host"]:
        raise elsewhere


async def _body(request: Request) -> bytes:
    too_long = RefusedError(413, f"More than {FORM_BYTES} bytes.")
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > FORM_BYTES:
        raise too_long
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES:
            raise too_long
    return bytes(body)
