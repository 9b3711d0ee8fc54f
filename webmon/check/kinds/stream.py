"""Streams: a TCP connection (tcp), one by TLS (tls), and mail servers up to their STARTTLS (smtp, imap, pop3).

STARTTLS of a mail server is libcurl's, which knows how each of them asks for it (RFC 3207, RFC 9051, RFC 2595); that of
a tcp dialogue is Python's, as only the dialogue knows when it begins.
"""

import contextlib
import functools
import re
import select
from typing import Final

import pycurl

from webmon.check import chain, failure
from webmon.check.kind import MAIL
from webmon.check.kinds.starttls import LaterTls
from webmon.check.kinds.talk import LIMIT, Talk
from webmon.check.loop import Timer
from webmon.check.pattern import Pattern, compile_pattern
from webmon.check.result import Outcome
from webmon.check.transfer import Facts
from webmon.check.verdict import Verdict

_AT_ONCE: Final = 16 << 10
"""Bytes that are read at once."""
_GOODBYE: Final = {"smtp": b"QUIT\r\n", "imap": b"Z LOGOUT\r\n", "pop3": b"QUIT\r\n"}
_QUIET_SECS: Final = 0.5
"""After which a line that has no end so far, such as a prompt, is taken for a whole one."""
_READ_IN_A_ROW: Final = 16
"""Times that TLS may read before others have their turn."""
_MORE: Final = b"x"
"""What may still come: with it before it, no line and no word has ended."""
_OF_TLS: Final = (0x15, 0x16)
"""What the first byte of a server that speaks TLS may be: an alert, a handshake (RFC 8446, 5.1)."""


class Stream(Talk):
    """One check of tcp, tls, smtp, imap or pop3."""

    _tls: LaterTls | None = None
    """Once the dialogue says so."""
    _line_is_open = False
    """Whether the line of the last match has not ended with it: the rest of it belongs to nobody."""
    _before = b""
    """The last byte of that match, where it ended amid a line."""
    _came_at = 0.0
    """When something came last."""
    _is_at_end = False
    """Whether what is awaited is there if nothing else comes: `$` at the end of what came."""
    _quiet: Timer | None = None
    """Looks whether nothing else came for a while."""
    _passed_over = 0
    """Bytes of that rest."""
    _unsent = b""
    """Of the handshake."""

    def _note(self, facts: Facts) -> None:
        super()._note(facts)
        if self._handle is not None and self._handle.greeting is not None:
            self._answer = self._handle.greeting

    def _look(self) -> None:
        if self._target.kind not in MAIL:
            # What ends right after it was there was there.
            with contextlib.suppress(pycurl.error):
                self._answer = self._receive() or b""

    def _part(self) -> None:
        if (goodbye := _GOODBYE.get(self._target.kind)) is not None:
            self._curl.send(goodbye)

    # Reading and writing

    @property
    def _curl(self) -> pycurl.Curl:
        assert self._handle is not None
        return self._handle.curl

    def _expect(self, pattern: Pattern) -> bool:
        searched = _by_lines(pattern.text)
        while not self._is_there(searched):
            if len(self._came) >= LIMIT:
                self._finish(self._mismatch(is_full=True))
                return False
            try:
                piece = self._receive() if self._tls is None else self._unsealed(self._tls)
            except pycurl.error:
                if self._is_there(searched, is_all=True):
                    return True
                raise
            if piece:
                self._take_in(piece)
                self._came_at = self._probe.monotonic()
            elif (piece is not None or self._is_quiet()) and self._is_there(searched, is_all=True):
                return True
            elif piece is None:
                self._wait(select.EPOLLIN)
                return False
            else:
                self._broken()
                return False
        return True

    def _is_there(self, searched: Pattern, *, is_all: bool = False) -> bool:
        """Look for a pattern in what came, and take it off.

        Args:
            searched: the pattern.
            is_all: whether nothing comes any more that would go on with the last line.
        """
        came = bytes(self._came)
        end = _end(searched, came, self._before) if came else None
        self._is_at_end = end is not None
        if end is not None and not is_all:
            end = _end(searched, came, self._before, _MORE)
        if end is None:
            return False
        self._line_is_open = came[end - 1 : end] != b"\n"
        if end:
            self._before = came[end - 1 : end] if self._line_is_open else b""
        del self._came[:end]
        self._idle = self._probe.monotonic() - max(self._came_at, self._said_at) if is_all else 0.0
        return True

    def _is_quiet(self) -> bool:
        """Tell whether what is awaited is there and nothing came for a while; where it is too early, look again."""
        if not self._is_at_end:
            return False
        moment = self._came_at + _QUIET_SECS
        is_quiet = self._probe.monotonic() >= moment
        if not is_quiet and self._quiet is None:
            self._quiet = self._probe.loop.at(moment, self._look_again)
        return is_quiet

    def _look_again(self) -> None:
        self._quiet = None
        if not self._ended:
            self._guarded(self._go_on)

    def _send(self, data: bytes) -> bool:
        """Send, and forget the rest of the line that was awaited: it is no answer to this."""
        if self._line_is_open:
            _, newline, rest = bytes(self._came).partition(b"\n")
            if newline or not self._came:  # else it has not ended so far
                self._line_is_open, self._before, self._came = False, b"", bytearray(rest)
        return super()._send(data)

    def _receive(self) -> bytes | None:
        """Give what came; None: nothing is there; nothing: it has ended."""
        try:
            return bytes(self._curl.recv(_AT_ONCE))
        except BlockingIOError:
            return None

    def _write(self, data: memoryview) -> int:
        return int(self._curl.send(data))

    # TLS on the way

    def _sealed(self, data: bytes) -> bytes:
        return data if self._tls is None else self._tls.sealed(data)

    def _unsealed(self, tls: LaterTls) -> bytes | None:
        for _ in range(_READ_IN_A_ROW):
            if (piece := tls.read()) is not None:
                return piece
            sealed = self._receive()
            if not sealed:
                return sealed
            tls.feed(sealed)
        return None  # what came so far was TLS's own; others have their turn

    def _secure(self) -> bool:
        if self._tls is None and not self._begin_tls():
            return False
        assert self._tls is not None
        return self._go_on_with(self._tls)

    def _begin_tls(self) -> bool:
        """Begin TLS; False where what is there already must not be taken for it (CVE-2011-0411)."""
        while (piece := self._receive()) and len(self._came) < LIMIT:
            self._take_in(piece)
        if self._without_open_line(bytes(self._came)):
            fault = f"{failure.DOING['tls']}: {failure.CAME_BEFORE_TLS}"
            self._finish(Verdict(Outcome.TLS_ERROR, fault))
            return False
        self._came.clear()
        self._before = b""
        self._enter("tls")
        self._trust = self._probe.trust(self._target.tls)
        self._tls = LaterTls(self._trust, self._target.asked.host)
        return True

    def _go_on_with(self, tls: LaterTls) -> bool:
        for _ in range(_READ_IN_A_ROW):
            done = tls.shake_hands()
            self._unsent += tls.to_send()
            while self._unsent:
                try:
                    self._unsent = self._unsent[self._curl.send(self._unsent) :]
                except BlockingIOError:
                    self._wait(select.EPOLLOUT)
                    return False
            if done:
                return self._is_trusted(tls)
            sealed = self._receive()
            if sealed is None:
                self._wait(select.EPOLLIN)
                return False
            if not sealed:
                self._finish(Verdict(Outcome.TLS_ERROR, f"{self._doing()}: the server closed the connection"))
                return False
            self._line_is_open = self._line_is_open and sealed[0] not in _OF_TLS
            tls.feed(self._without_open_line(sealed))
            if self._passed_over > LIMIT:
                self._finish(Verdict(Outcome.TLS_ERROR, f"{self._doing()}: the go-ahead to TLS is a line without end"))
                return False
        self._wait(select.EPOLLIN)  # others have their turn
        return False

    def _without_open_line(self, data: bytes) -> bytes:
        """Take off what ends the line of the go-ahead."""
        if not self._line_is_open:
            return data
        _, newline, rest = data.partition(b"\n")
        self._line_is_open = not newline
        self._passed_over += len(data) - len(rest)
        return rest

    def _is_trusted(self, tls: LaterTls) -> bool:
        self._see(tls.chain())
        assert self._facts is not None
        self._facts = self._facts._replace(tls_version=tls.version)
        if (fault := chain.why_refused(self._chain)) is not None:
            self._finish(Verdict(Outcome.TLS_ERROR, f"{failure.DOING['tls']}: {fault}"))
            return False
        self._enter("transfer")
        self._said_at = self._probe.monotonic()
        return True


@functools.lru_cache(4096)
def _by_lines(text: str) -> Pattern:
    """Compile a pattern in which ^ and $ are those of a line: what came is a stream, and begins and ends nowhere."""
    return compile_pattern(f"(?m){text}")


def _end(searched: Pattern, came: bytes, before: bytes, after: bytes = b"") -> int | None:
    """Give where what is searched ends in what came, or None; a line ends before its CR LF, too."""
    if (end := searched.end_in(came, before=before, after=after)) is not None or b"\r\n" not in came:
        return end
    end = searched.end_in(came.replace(b"\r\n", b"\n"), before=before, after=after)
    for match in re.finditer(b"\r\n", came):
        if end is None or end <= match.start():
            break
        end += 1
    return end
