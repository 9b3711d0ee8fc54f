"""The course of a check of HTTP: a transfer, the redirects, the verdict.

What is meant for one origin stays there: credentials and secrets are not carried to another.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from webmon.check import chain, cookie, failure, networks, reading, verdict
from webmon.check.chain import Chain
from webmon.check.course import Course, named
from webmon.check.loop import Timer
from webmon.check.resolver import Addresses, known_without_asking
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Target
from webmon.check.transfer import Facts, Handle, Head, Kept, Request, Ways, header_line
from webmon.check.unpack import Unpacker, UnpackError
from webmon.check.url import Url, join
from webmon.check.verdict import Response, Verdict

if TYPE_CHECKING:
    from webmon.check.probe import Probe

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_OF_ONE_HOST: Final = frozenset({"authorization", "host"})
"""Headers that a redirect to another origin must not carry there; cookies are apart."""
_OF_A_BODY: Final = frozenset({"content-length", "content-type", "transfer-encoding"})
_PASSED_OVER: Final = 64 << 10
"""Bytes of the page of a redirect that are read, so that its connection may be used for the next request."""
_WAITED_FOR_SECS: Final = 0.5
"""How long such a page is waited for."""
_LARGE: Final = 64 << 10
"""Bytes of a body from which on it is searched in another thread."""
_LARGE_JSON: Final = 2 << 10
"""The same where it is read as JSON, of which each value costs up to 20 us."""
_PASSED_OVER_BY_BROWSERS: Final = frozenset({"Header without colon", "Carriage return found in header"})
"""Lines that end a transfer of libcurl, and that browsers pass over."""
_OTHER_CODING: Final = "Unsolicited Transfer-Encoding"
"""The same of one whose body is packed for the way; it is of no use where that is the page of a redirect."""
_PROXY_WANTS_A_USER: Final = 407
_OF_LIBCURL: Final = "br"
"""A coding that we do not ask for and libcurl alone can unpack."""
_HARMLESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that may be sent twice."""
_SHORT_KEY: Final = "dh key too small"
"""What OpenSSL says of old servers that prefer Diffie-Hellman without curves, which browsers do not speak."""
_NOTHING_IN_COMMON: Final = "alert handshake failure"
"""What OpenSSL says of servers that take none of our ways, be it that they agree on keys by X25519MLKEM768 alone."""
_IDLE: Final = "408"
"""Of a connection that was kept; browsers ask again on another."""
_OF_THE_CONNECTION: Final = re.compile(
    r"Invalid HTTP header field was received: .*"
    r"name: \[(connection|keep-alive|proxy-connection|transfer-encoding|upgrade|te|content-length|:[a-z]+)]"
)
"""What libcurl says of a header that HTTP/2 does not have (RFC 9113, 8.2.2 and 8.3) and servers behind a proxy send all
the same; and of a Content-Length that is no number, stands twice, or is of a response that has no body."""
_MORE_THAN_PROMISED: Final = re.compile(r"received invalid frame: FRAME\[DATA, .*error -505")
"""What libcurl says of a body in HTTP/2 that is longer than its length, or should not be: nothing of the frame came."""
_LESS_THAN_PROMISED: Final = re.compile(r"received invalid frame: FRAME\[(DATA|HEADERS), .*eos=1.*error -532")
"""The same of one that is shorter: all of it came, and that this is its end was said (RFC 9113, 8.1.1)."""


@dataclass(slots=True)
class Trace:
    """What a check saw that its result does not keep: for a person who looks on, never stored."""

    responses: list[tuple[int, str]] = field(default_factory=list)
    """Status and URL of each response, redirects first."""
    chain: Chain | None = None
    """The last server's; None without TLS, or where it was not verified."""
    last: Response | None = None
    """The response that was judged."""


class Check(Course):
    """One check of a URL of http or https."""

    def __init__(
        self,
        probe: "Probe",
        target: Target,
        scheduled_at: datetime,
        done: Callable[[CheckResult], None],
        trace: Trace | None,
    ) -> None:
        """Take what it is made with; `done` gets the result, once."""
        super().__init__(probe, target, scheduled_at, done, trace)
        self._url = target.asked
        self._method, self._body = target.method, target.body
        headers = target.sent_headers()
        self._cookie = next((headers.pop(name) for name in list(headers) if name.lower() == "cookie"), None)
        self._headers = headers
        self._http_version: str = target.http_version
        self._ways = Ways()
        self._first_refusal: tuple[Outcome, str] | None = None
        """What is told where a handshake that was tried in another way fails, too."""
        self._handle: Handle | None = None
        self._on_the_way = False
        self._first_sent: float | None = None
        self._answered_at: float | None = None
        self._redirects = 0
        self._status: int | None = None
        self._regex_match: bool | None = None
        self._body_bytes: int | None = None
        self._truncated = False
        self._following: Url | None = None
        self._patience: Timer | None = None
        """When the page of a redirect is waited for no longer."""
        self._began_private: bool | None = None
        """Whether what answered first was in a private network; None: nothing did yet."""
        self._facts: Facts | None = None
        self._chain: Chain | None = None
        self._ends: datetime | None = None

    def _start(self) -> None:
        if self._handle is None:
            self._handle = self._probe.take_handle(self._target)
        if (kept := self._handle.kept) is not None and kept.origin == self._url.origin:
            self._looked_up = 0.0
            self._go(kept.addresses)
            return
        proxy = self._target.proxy
        if proxy is None:
            self._resolve(self._url.host, self._url.port, self._go)
            return
        self._looked_up = 0.0
        # A proxy resolves for itself: of the site no more is known than an address in its URL.
        known = known_without_asking(self._url.host, self._url.port)
        if known is None or not (self._is_forbidden(known) or self._leads_inside(known)):
            self._resolve(proxy.host, proxy.port, self._transfer)

    def _go(self, addresses: Addresses) -> None:
        """Go on to a site's addresses, those aside where a redirect may not lead."""
        if not self._leads_inside(addresses):
            self._transfer(addresses if self._may_go_inside() else networks.public(addresses))

    def _may_go_inside(self) -> bool:
        """Tell whether this may be a private address: the target's own, or where one that is private redirects to."""
        return self._redirects == 0 or self._target.allow_private or bool(self._began_private)

    def _leads_inside(self, addresses: Addresses) -> bool:
        """Tell whether a redirect leads to private addresses alone from a public one; then this is the end."""
        if self._may_go_inside() or networks.public(addresses):
            return False
        self._spend("dns", self._looked_up)
        text = (
            f"redirect to {self._url._replace(target='/')}: {addresses[0][1][0]} is a private address; "
            "right would be allow_private: true if it is yours"
        )
        self._finish(Verdict(Outcome.CONNECT_ERROR, text))
        return True

    # Transfers

    def _transfer(self, addresses: Addresses) -> None:
        self._phase, self._phase_began = "connect", self._probe.monotonic()
        assert self._handle is not None
        self._addresses = addresses
        self._trust = self._probe.trust(self._target.tls) if self._url.scheme == "https" else None
        self._pieces: list[bytes] = []
        self._body_bytes, self._truncated = None, False
        self._unpacker: Unpacker | None = None
        self._body_fault: str | None = None
        self._following = None
        self._asks_again = False
        self._handle.prepare(
            Request(
                self._url,
                self._method,
                [header_line(name, value) for name, value in self._sent_headers().items()],
                self._cookie.encode("latin-1")
                if self._cookie and not _is_elsewhere(self._target.asked, self._url)
                else None,
                self._body,
            ),
            trust=self._trust,
            addresses=addresses,
            proxy=self._target.proxy,
            http_version=self._http_version,
            may_reuse=(self._may_go_inside() or not self._handle.was_inside) and not self._is_asked_again(),
            ways=self._ways,
            on_head=self._on_head,
            on_body=self._on_body,
        )
        self._bundle = self._trust.bundle if self._trust else ""
        self._probe.loop.add(self._handle.curl, self._bundle, self._transferred)
        self._on_the_way = True

    def _is_asked_again(self) -> bool:
        """Tell whether the same was asked before; now it is asked on a connection of its own, which may end with it."""
        return self._ways._replace(without_dhe=False, post_quantum=False) != Ways()

    def _sent_headers(self) -> dict[str, str]:
        if self._target.connection == "fresh" or not self._ways.ignores_length:
            return self._headers
        others = {name: value for name, value in self._headers.items() if name.lower() != "connection"}
        return others | {"Connection": "close"}

    def _on_head(self, head: Head) -> bool:
        """Take the head; False where no more is wanted: the page of a redirect may never come."""
        self._answered_at = self._probe.monotonic()
        self._following = self._location(head)
        self._body_bytes = 0
        if self._following is None:
            words = [word.strip().lower() for value in head.values("content-encoding") for word in value.split(",")]
            if self._ways.ignores_length and _has_two_lengths(head):
                self._body_fault = "the body has two lengths"
                return False
            if _OF_LIBCURL in words and self._may_ask_otherwise(_OF_LIBCURL):
                self._asks_again = True
                return False
            try:
                self._unpacker = Unpacker([] if self._ways.unpacks else words)
            except UnpackError as error:
                self._body_fault = str(error)
            return True
        if self._target.connection == "fresh":
            return False
        self._patience = self._probe.loop.at(
            self._probe.monotonic() + _WAITED_FOR_SECS, lambda: self._guarded(self._pass_over)
        )
        return True

    def _pass_over(self) -> None:
        """Follow a redirect whose own page does not come to its end."""
        if (handle := self._handle) is not None and self._on_the_way:
            self._probe.loop.remove(handle.curl, self._bundle)
            self._on_the_way = False
            self._take_response(handle, self._probe.monotonic() - self._phase_began)

    def _on_body(self, piece: bytes) -> bool:
        """Take a piece of the body; False where no more is wanted. An exception in a callback would be lost."""
        if self._following is not None:
            return (
                self._target.connection == "reused"
                and self._handle is not None
                and self._handle.received < _PASSED_OVER
            )
        if self._unpacker is None:
            return False
        limit = self._target.body_limit
        try:
            for part in self._unpacker(piece):
                room = limit - (self._body_bytes or 0)
                self._pieces.append(part[:room])
                self._body_bytes = (self._body_bytes or 0) + min(room, len(part))
                if len(part) > room:
                    self._truncated = True
                    return False
        except UnpackError as error:
            self._body_fault = str(error)
            return False
        except Exception as error:  # noqa: BLE001
            self._body_fault = f"a bug in webmon: {named(error)}"
            return False
        return True

    def _transferred(self, code: int, text: str) -> None:
        self._guarded(lambda: self._settle(code, text))

    def _settle(self, code: int, text: str) -> None:
        handle = self._handle
        assert handle is not None
        self._on_the_way = False
        if self._patience is not None:
            self._patience.cancel()
        elapsed = self._probe.monotonic() - self._phase_began
        is_whole = handle.is_well(code, text) or self._has_ended(handle, code, text)
        if is_whole and handle.is_left_idle():
            self._asks_again = self._may_ask_otherwise(_IDLE)
        if self._asks_again or (not is_whole and self._may_ask_otherwise(text)):
            if self._ways.post_quantum and self._first_refusal is None:
                # If that is not the reason, this is what is told; and what it took is part of what the check took.
                told = self._told(handle, code, text)
                self._first_refusal = failure.judge(told)
                for phase, seconds in handle.facts(elapsed, told.phase).phases.items():
                    self._spend(phase, seconds)
            self._transfer(self._addresses)
            return
        if not is_whole:
            if self._has_what_it_asks(handle, text):
                self._take_response(handle, elapsed)
                return
            told = self._told(handle, code, text)
            self._see_head(handle)
            self._note(handle.facts(elapsed, told.phase))
            outcome, line = failure.judge(told)
            if self._first_refusal is not None and told.phase in ("connect", "tls"):
                outcome, line = self._first_refusal
            if told.proxy is not None and not told.proxy_status:
                self._status = None
            self._finish(Verdict(outcome, line))
            return
        self._take_response(handle, elapsed)

    def _told(self, handle: Handle, code: int, text: str) -> failure.Failure:
        return handle.failure(code, text)._replace(is_led=self._redirects > 0 and self._target.proxy is None)

    def _take_response(self, handle: Handle, elapsed: float) -> None:
        head = handle.head
        assert head is not None
        self._see_head(handle)
        self._note(handle.facts(elapsed))
        if self._trace is not None:
            self._trace.responses.append((head.status, str(self._url)))
            self._trace.chain = self._chain
        if (fault := chain.why_refused(self._chain)) is not None:
            self._status = None
            self._finish(Verdict(Outcome.TLS_ERROR, f"{failure.DOING['tls']}: {fault}"))
        elif self._is_of_the_proxy(head):
            self._status = None
            wants = f"wants another user or password: {head.status} {head.reason}".rstrip()
            self._finish(Verdict(Outcome.CONNECT_ERROR, f"connecting: the proxy {self._target.proxy} {wants}"))
        elif self._body_fault is not None:
            self._finish(Verdict(Outcome.READ_ERROR, f"{failure.DOING['transfer']}: {self._body_fault}"))
        elif self._following is not None:
            self._follow(self._following, head.status)
        else:
            self._judge(head)

    def _may_ask_otherwise(self, why: str) -> bool:
        """Tell whether the same is asked again, in a way in which libcurl takes what browsers take at once.

        Args:
            why: the text of its error, or what it must unpack.
        """
        before = ways = self._ways
        may_repeat = self._method in _HARMLESS
        if _SHORT_KEY in why:  # nothing was asked yet
            ways = ways._replace(without_dhe=True)
        elif _NOTHING_IN_COMMON in why:  # nor here
            ways = ways._replace(post_quantum=True)
        elif may_repeat and why == _IDLE:
            ways = ways._replace(afresh=True)
        elif may_repeat and why == _OF_LIBCURL and self._looks_at_body():
            ways = ways._replace(unpacks=True)
        elif may_repeat and why.startswith("Invalid Content-Length"):
            ways = ways._replace(ignores_length=True)
        elif may_repeat and self._http_version == "auto" and self._is_of_http_2(why):
            ways = ways._replace(by_http_1=True)
        self._ways = ways
        return ways != before

    def _is_of_http_2(self, why: str) -> bool:
        """Tell whether an error is one of HTTP/2 alone, and of what browsers pass over there."""
        has_head = self._handle is not None and self._handle.head is not None
        return bool(_OF_THE_CONNECTION.search(why) or (has_head and _MORE_THAN_PROMISED.search(why)))

    def _has_ended(self, handle: Handle, code: int, text: str) -> bool:
        """Tell whether a response came whole, for browsers, where libcurl says that it did not."""
        if self._following is not None and handle.head is not None:
            return True  # whatever is wrong with the page of a redirect: it is of no use
        if handle.is_whole_unpacked(code, text, self._body_bytes):
            return True
        if code == 0 and self._url.scheme == "http" and (head := handle.head_so_far()) is not None:
            self._following = self._location(head)  # closed in its header: for browsers, it goes there
            return self._following is not None
        if not _LESS_THAN_PROMISED.search(text) or (head := handle.head_so_far()) is None:
            return False
        self._following = self._location(head)
        return True

    def _has_what_it_asks(self, handle: Handle, text: str) -> bool:
        """Tell whether what came before a line that libcurl refuses says all that is asked: where to, or the status."""
        passed_over = text in _PASSED_OVER_BY_BROWSERS
        head = handle.head_so_far() if passed_over or text.startswith(_OTHER_CODING) else None
        if head is None:
            return False
        self._following = self._location(head)
        if not passed_over:
            return self._following is not None
        more = self._looks_at_body() or self._target.expect.headers or self._target.expect.headers_not
        return self._following is not None or (head.status not in _REDIRECTS and not more)

    def _looks_at_body(self) -> bool:
        expect = self._target.expect
        return bool(expect.body or expect.body_not or expect.json)

    def _see_head(self, handle: Handle) -> None:
        if handle.head is not None:
            self._status = handle.head.status
            self._body_bytes = self._body_bytes or 0
            if self._answered_at is None:
                self._answered_at = self._probe.monotonic()

    def _is_of_the_proxy(self, head: Head) -> bool:
        return self._target.proxy is not None and self._url.scheme == "http" and head.status == _PROXY_WANTS_A_USER

    def _note(self, facts: Facts) -> None:
        """Keep what a transfer told of times and certificates."""
        self._facts = facts
        if not facts.is_reused:
            self._spend("dns", self._looked_up)
        for phase, seconds in facts.phases.items():
            self._spend(phase, seconds)
        if self._handle is not None and facts.remote_ip is not None and networks.is_private(facts.remote_ip):
            self._handle.was_inside = True
        if self._handle is not None and self._target.connection == "reused":
            kept = self._handle.kept
            if facts.is_reused and kept is not None:
                # Nothing of TLS is said again.
                facts = facts._replace(tls_version=kept.tls_version, certificates=kept.certificates)
            else:
                # Where nobody looked up again where it is, the addresses are as old as they were.
                since = kept.looked_up_at if kept and kept.addresses is self._addresses else self._phase_began
                self._handle.kept = Kept(
                    self._url.origin, self._addresses, since, facts.tls_version, facts.certificates
                )
            self._facts = facts
        if self._first_sent is None:
            self._first_sent = self._phase_began + facts.sent_after
        self._chain = None
        if self._trust is not None and self._trust.verify and facts.certificates:
            self._chain = chain.read(facts.certificates, self._trust.anchors, self._probe.now())
        if self._chain is not None:
            self._ends = min(self._ends or self._chain.ends, self._chain.ends)

    # Redirects

    def _location(self, head: Head) -> Url | None:
        """Give where a response sends us; None where it is the one to judge."""
        if head.status not in _REDIRECTS or self._target.max_redirects is None:
            return None
        places = set(head.values("location"))
        if len(places) != 1:
            return None
        there = join(self._url, places.pop())
        if there is None:
            return None
        elsewhere = _is_elsewhere(self._url, there)
        sends_body = self._body is not None and not self._becomes_get(head.status)
        if elsewhere and sends_body and self._target.holds_secret((self._body or b"").decode()):
            return None
        return there

    def _is_inside(self) -> bool:
        """Tell whether what answered now is in a private network; through a proxy, as far as its URL says so."""
        if self._target.proxy is not None:
            known = known_without_asking(self._url.host, self._url.port)
            return known is not None and not networks.public(known)
        ip = self._facts.remote_ip if self._facts else None
        return ip is not None and networks.is_private(ip)

    def _asked_host(self) -> str:
        """Give whose cookies libcurl takes them for: the host of the header Host."""
        given = next((value for name, value in self._headers.items() if name.lower() == "host"), None)
        return re.sub(r":[0-9]*$", "", given).strip("[]").lower() if given else self._url.host

    def _becomes_get(self, status: int) -> bool:
        """Tell whether a redirect is followed by GET and without the body; else what was sent is sent again.

        https://fetch.spec.whatwg.org/#http-redirect-fetch, step 12.
        """
        if status == 303:
            return self._method not in ("GET", "HEAD")
        return status in (301, 302) and self._method == "POST"

    def _follow(self, there: Url, status: int) -> None:
        if self._redirects == self._target.max_redirects:
            limit = self._target.max_redirects
            self._finish(Verdict(Outcome.TOO_MANY_REDIRECTS, f"more than {limit} redirects"))
            return
        self._redirects += 1
        if self._began_private is None:
            self._began_private = self._is_inside()
        if self._handle is not None:
            said = self._handle.head.values("set-cookie") if self._handle.head else []
            self._handle.bound_cookies(cookie.ended(said, self._url.target, self._asked_host(), self._probe.now()))
        if _is_elsewhere(self._url, there):
            self._headers = {
                name: value
                for name, value in self._headers.items()
                if name.lower() not in _OF_ONE_HOST and not self._target.holds_secret(value)
            }
        if self._becomes_get(status):
            self._method, self._body = "GET", None
            self._headers = {name: value for name, value in self._headers.items() if name.lower() not in _OF_A_BODY}
        self._url, self._ways, self._first_refusal = there, Ways(), None
        self._start()

    # The end

    def _judge(self, head: Head) -> None:
        expect = self._target.expect
        body = b"".join(self._pieces)
        headers = head.joined()
        left = self._ends - self._probe.now() if self._ends else None
        answered = (self._answered_at or 0.0) - (self._first_sent or 0.0)

        def judged() -> Verdict:
            texts = (
                tuple(reading.texts(body, headers.get("content-type"))) if expect.body or expect.body_not else (body,)
            )
            response = Response(
                status=head.status,
                headers=headers,
                body=body,
                texts=texts,
                body_truncated=self._truncated,
                response_time=answered,
                certificate_left=left,
            )
            if expect.body is not None:
                self._regex_match = response.find(expect.body) is not None
            if self._trace is not None:
                self._trace.last = response
            return verdict.of_response(expect, response, regex_match=self._regex_match)

        if self._looks_at_body() and len(body) > (_LARGE_JSON if expect.json else _LARGE):
            self._elsewhere(judged, self._finish)
        else:
            self._finish(judged())

    def _at_deadline(self) -> Verdict:
        handle = self._handle
        if handle is None or not self._on_the_way:
            return self._timeout("judging the response")
        phase = handle.reached()
        self._note(handle.facts(self._probe.monotonic() - self._phase_began, phase))
        self._see_head(handle)
        if self._first_refusal is not None and phase in ("connect", "tls"):
            return Verdict(*self._first_refusal)
        at_proxy = self._target.proxy is not None and phase == "connect"
        doing = failure.DOING[phase]
        return self._timeout(f"the proxy {self._target.proxy}: {doing}" if at_proxy else doing)

    def _release(self, judged: Verdict) -> None:
        if self._handle is not None:
            if self._on_the_way:
                self._probe.loop.remove(self._handle.curl, self._bundle)
            self._probe.give_back(self._target, self._handle, is_well=judged.outcome.is_up)
            self._handle = None

    def _found(self) -> dict[str, Any]:
        facts, came = self._facts, self._status is not None
        answered = None
        if came and self._answered_at is not None and self._first_sent is not None:
            answered = max(0.0, self._answered_at - self._first_sent)
        return {
            "http_status": self._status,
            "response_time": answered,
            "regex_match": self._regex_match,
            "body_bytes": self._body_bytes if came and self._following is None else None,
            "body_truncated": self._truncated if came else False,
            "http_version": facts.http_version if facts and came else None,
            "redirects": self._redirects,
            "remote_ip": facts.remote_ip if facts else None,
            "tls_version": facts.tls_version if facts else None,
            "tls_not_after": self._chain.not_after if self._chain else None,
        }


def _has_two_lengths(head: Head) -> bool:
    lengths = {one.strip() for value in head.values("content-length") for one in value.split(",")}
    is_chunked = any("chunked" in value.lower() for value in head.values("transfer-encoding"))  # then no length counts
    return len(lengths) > 1 and not is_chunked


def _is_elsewhere(here: Url, there: Url) -> bool:
    """Tell whether credentials for one URL are not for the other; from http to https of one host they are."""
    if here.host != there.host:
        return True
    if (here.scheme, here.port, there.scheme, there.port) == ("http", 80, "https", 443):
        return False
    return here.origin != there.origin
