"""WebSockets (RFC 6455): up when the server goes over to one, and then what the dialogue says, message by message."""

import base64
import contextlib
import hashlib
import os
import select
from collections.abc import Mapping
from typing import Any, Final

import pycurl

from webmon.check.failure import Failure
from webmon.check.kinds.talk import LIMIT, Talk
from webmon.check.pattern import Pattern
from webmon.check.resolver import Addresses
from webmon.check.result import Outcome
from webmon.check.transfer import Facts, Handle, Head, header_line
from webmon.check.verdict import Verdict, one_line

_SWITCHED: Final = 101
_REFUSED: Final = 22
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455, 1.3."""
_NOT_SENT: Final = frozenset({"accept", "accept-encoding", "connection", "sec-websocket-key"})
"""Headers of every request that are none of an upgrade, and the one that is ours."""
_AT_ONCE: Final = 16 << 10
_LEAST: Final = 64
"""Bytes that a frame counts for at least, so that empty ones have an end as well."""
_GOODBYE: Final = b"\x03\xe8"
"""1000: a normal closure (RFC 6455, 7.4.1)."""
_NO_TEXT: Final = pycurl.WS_PING | pycurl.WS_PONG | pycurl.WS_CLOSE


class WebSocket(Talk):
    """One check of ws or wss."""

    _answered_at: float | None = None
    """When the upgrade was answered."""
    _heard = 0
    """What the frames since the step before count for."""
    _message = b""
    """The one that has not ended yet."""
    _control = b""
    """What came of a ping, a pong or a close that has not ended yet."""
    _status: int | None = None

    def _prepare(self, handle: Handle, addresses: Addresses) -> None:
        given = {name.lower() for name in self._target.headers} - {"sec-websocket-key"}
        headers = {
            name: value
            for name, value in self._target.sent_headers().items()
            if name.lower() not in _NOT_SENT or name.lower() in given
        }
        self._key = base64.b64encode(os.urandom(16))
        lines = [header_line(name, value) for name, value in headers.items()]
        lines.append(b"Sec-WebSocket-Key: " + self._key)
        handle.connect(self._target.asked, trust=self._trust, addresses=addresses, headers=lines, on_head=self._on_head)

    def _on_head(self, head: Head) -> bool:
        self._answered_at = self._probe.monotonic()
        self._status = head.status
        return True

    def _note(self, facts: Facts) -> None:
        super()._note(facts)
        if self._answered_at is not None:
            self._response_time = max(0.0, self._answered_at - self._phase_began - facts.sent_after)

    def _made(self, elapsed: float) -> Verdict | None:  # noqa: ARG002
        """Ask for what a browser asks for, and libcurl does not: what else would be up that nobody can open."""
        assert self._handle is not None
        head = self._handle.head
        assert head is not None
        wrong = self._wrong_in(head.joined())
        return None if wrong is None else Verdict(Outcome.HEADER_MISMATCH, one_line(f"header {wrong}"))

    def _wrong_in(self, said: Mapping[str, str]) -> str | None:
        """Give what is wrong with the headers of the answer (RFC 6455, 4.1)."""
        upgrade, connection = said.get("upgrade"), said.get("connection")
        if (upgrade or "").lower() != "websocket":
            return f"Upgrade {_there(upgrade)}, expected 'websocket'"
        if "upgrade" not in _words((connection or "").lower()):
            return f"Connection {_there(connection)}, expected 'Upgrade'"
        # The server's word that it read this very request.
        proof = base64.b64encode(hashlib.sha1(self._key + _GUID, usedforsecurity=False).digest()).decode()
        if (accept := said.get("sec-websocket-accept")) != proof:
            there = _there(accept) + ("" if accept is None else ", the answer to another request")
            return f"Sec-WebSocket-Accept {there}, expected {proof!r}"
        return self._wrong_extension(said) or self._wrong_protocol(said)

    def _wrong_extension(self, said: Mapping[str, str]) -> str | None:
        agreed = said.get("sec-websocket-extensions", "")
        if _extensions(agreed) <= _extensions(self._asked_for("sec-websocket-extensions")):
            return None
        return f"Sec-WebSocket-Extensions {_there(agreed)}, nobody asked for it"

    def _wrong_protocol(self, said: Mapping[str, str]) -> str | None:
        """Ask for one of the protocols where some were asked for (https://websockets.spec.whatwg.org, 2)."""
        agreed = said.get("sec-websocket-protocol")
        asked = _words(self._asked_for("sec-websocket-protocol"))
        if agreed in asked or (not agreed and not asked):
            return None
        # What was asked for may be what lets us in, and is not shown.
        right = "expected one of those that were asked for" if asked else "nobody asked for it"
        return f"Sec-WebSocket-Protocol {_there(agreed)}, {right}"

    def _asked_for(self, name: str) -> str:
        return next((value for given, value in self._target.headers.items() if given.lower() == name), "")

    def _failed(self, told: Failure) -> Verdict:
        if told.code == _REFUSED and self._status is not None:
            return Verdict(Outcome.STATUS_MISMATCH, f"status {self._status}, expected {_SWITCHED}")
        return super()._failed(told)

    # Messages

    def _look(self) -> None:
        # What ends right after it was there was there.
        with contextlib.suppress(pycurl.error):
            self._answer = self._next() or b""

    def _expect(self, pattern: Pattern) -> bool:
        while (message := self._next()) is not None:
            if pattern.found_in(message):
                self._came.clear()
                self._heard = 0
                return True
        if not self._ended:
            self._wait(select.EPOLLIN)
        return False

    def _next(self) -> bytes | None:
        """Give the next message that is whole; None: there is none yet, or never, and then that is told."""
        assert self._handle is not None
        curl = self._handle.curl
        while self._heard < LIMIT:
            try:
                piece, frame = curl.ws_recv(_AT_ONCE)
            except BlockingIOError:
                return None
            self._heard += max(len(piece), _LEAST)
            if frame.flags & _NO_TEXT:
                self._control += piece
                if frame.bytesleft:
                    continue
                control, self._control = self._control, b""
                if frame.flags & pycurl.WS_CLOSE:
                    self._closed(control)
                    return None
                if frame.flags & pycurl.WS_PING:
                    with contextlib.suppress(BlockingIOError):
                        curl.ws_send(control, pycurl.WS_PONG)
            else:
                self._take_in(piece)
                self._message += piece
                if not frame.bytesleft and not frame.flags & pycurl.WS_CONT:
                    message, self._message = self._message, b""
                    self._has_answered = True
                    return message
        if self._target.dialogue:
            self._finish(self._mismatch(is_full=True))
        return None

    def _closed(self, told: bytes) -> None:
        if not self._target.dialogue:
            return
        code = f" with {int.from_bytes(told[:2])}" if told else ""
        after = f", after {self._shown()}" if self._came else ""
        outcome = Outcome.BODY_MISMATCH if self._came else Outcome.READ_ERROR
        self._finish(Verdict(outcome, f"{self._doing()}: the server closed the WebSocket{code}{after}"))

    def _write(self, data: memoryview) -> int:
        assert self._handle is not None
        return int(self._handle.curl.ws_send(data, pycurl.WS_TEXT))

    def _part(self) -> None:
        assert self._handle is not None
        self._handle.curl.ws_send(_GOODBYE, pycurl.WS_CLOSE)

    def _found(self) -> dict[str, Any]:
        http_version = self._facts.http_version if self._facts and self._status else None
        return super()._found() | {"http_status": self._status, "http_version": http_version}


def _there(value: str | None) -> str:
    return "is not there" if value is None else f"is {value!r}"


def _words(value: str) -> set[str]:
    """Give the words of a list with commas."""
    return {word.strip() for word in value.split(",")} - {""}


def _extensions(value: str) -> set[str]:
    """Give the names of extensions, without their parameters."""
    return {word.partition(";")[0].strip().lower() for word in _words(value)}
