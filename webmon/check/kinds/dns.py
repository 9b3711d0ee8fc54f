"""The course of a check of a resolver: one question by UDP, by TCP where the answer was cut off, and what came.

The socket is connected and its port the kernel's choice; what comes with another id or to another question is passed
over, as anybody may send it (RFC 5452). Messages are made by dnspython and read with its parsers, record by record: its
reader of whole messages takes 15 s for 64 KB that are made for it.
"""

import contextlib
import dataclasses
import errno
import os
import select
import socket
from collections import deque
from typing import Any, Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.wire
from dns.rdtypes.ANY.CNAME import CNAME

from webmon.check import failure, question, verdict
from webmon.check.course import Course
from webmon.check.loop import Timer
from webmon.check.resolver import Addresses
from webmon.check.result import Outcome
from webmon.check.verdict import Verdict

_PAYLOAD: Final = 1232
"""Bytes of an answer that we take by UDP: no fragment gets lost then (https://www.dnsflagday.net/2020/)."""
_AGAIN_SECS: Final = (1.0, 2.0, 4.0)
"""How long an answer is waited for until the question is sent again."""
_MOST_ADDRESSES: Final = 4
"""Of the resolver's that are asked."""
_AT_ONCE: Final = 16
"""Datagrams, or pieces of a stream, that are taken before others have their turn."""
_PIECE: Final = 65535
_LARGE: Final = _PAYLOAD
"""Bytes from which on an answer is read in another thread."""
_MOST_RECORDS: Final = 1000
"""Of an answer that is read: more take too long, and nobody has them."""
_NO_QUESTION: Final = frozenset({dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED})
"""What a resolver may answer without repeating the question."""
_CONNECTING: Final = "connecting over TCP (the answer over UDP was cut off)"
_WAITING: Final = "waiting for the resolver's answer"
_READING: Final = "reading the answer"

Address = tuple[socket.AddressFamily, tuple[Any, ...]]


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a resolver answered."""

    rcode: str
    aliases: tuple[str, ...]
    """The data of the CNAMEs that lead from the name on, in their order."""
    records: tuple[str, ...]
    """The data of the records of the asked type at their end, as ASCII text with escapes (RFC 1035, 5.1), sorted."""

    @property
    def lines(self) -> tuple[str, ...]:
        """All of it."""
        return self.aliases + self.records


class DnsCheck(Course):
    """One check of a URL of dns."""

    _query: dns.message.QueryMessage
    _with_edns: dns.message.QueryMessage | None = None
    """The one before, where the resolver knows no EDNS; what was sent again it refuses again."""
    _asked: question.Question
    _tcp: socket.socket | None = None
    _answer: Answer | None = None
    _again: Timer | None = None
    _remote_ip: str | None = None
    _regex_match: bool | None = None
    _answered_after: float | None = None

    def _start(self) -> None:
        self._doing = _WAITING
        self._udp: dict[int, tuple[socket.socket, Address]] = {}
        self._untried: deque[Address] = deque()
        self._refusal: str | None = None
        self._own_fault: str | None = None
        self._strange = 0
        self._sent_again = 0
        self._asked = question.read(self._target.asked.target)
        self._query = dns.message.make_query(self._asked.name, self._asked.type, use_edns=0, payload=_PAYLOAD)
        self._wire = self._query.to_wire()
        self._resolve(self._target.asked.host, self._target.asked.port, self._ask)

    # By UDP

    def _ask(self, addresses: Addresses) -> None:
        self._spend("dns", self._looked_up)
        self._phase = "first_byte"
        self._sent = self._phase_began = self._probe.monotonic()
        self._untried.extend(addresses[:_MOST_ADDRESSES])
        self._ask_next()
        self._wait()

    def _ask_next(self) -> None:
        """Ask at the next address that a question can be sent to; without one, and with nobody asked, it is the end."""
        while self._untried:
            family, address = self._untried.popleft()
            try:
                sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            except OSError as error:
                self._own_fault = _reason(error)
                continue
            try:
                sock.connect(address)
                sock.send(self._wire)
            except OSError as error:  # of this host alone: nothing was sent yet
                sock.close()
                self._own_fault = _reason(error)
                continue
            self._udp[sock.fileno()] = sock, (family, address)
            self._probe.loop.watch(sock.fileno(), select.EPOLLIN, self._datagram)
            return
        if not self._udp:
            if self._refusal is not None:
                self._finish(Verdict(Outcome.CONNECT_ERROR, f"asking the resolver: {self._refusal}"))
            else:
                self._finish(Verdict(Outcome.AGENT_ERROR, f"asking the resolver: {self._own_fault}"))

    def _wait(self) -> None:
        if not self._ended and self._sent_again < len(_AGAIN_SECS):
            moment = self._probe.monotonic() + _AGAIN_SECS[self._sent_again]
            self._again = self._probe.loop.at(moment, lambda: self._guarded(self._ask_again))

    def _ask_again(self) -> None:
        """Ask where nobody was asked yet, or anew: a datagram may get lost."""
        self._sent_again += 1
        if self._untried:
            self._ask_next()
        else:
            fd = list(self._udp)[self._sent_again % len(self._udp)]
            try:
                self._udp[fd][0].send(self._wire)
            except BlockingIOError:
                pass
            except OSError as error:
                self._refused(fd, error)
        self._wait()

    def _ask_without_edns(self, address: Address) -> None:
        """Ask a resolver that is too old for EDNS as those before it did (RFC 6891, 7)."""
        self._with_edns = self._query
        self._query = dns.message.make_query(self._asked.name, self._asked.type, use_edns=False)
        self._wire = self._query.to_wire()
        for sock, where in self._udp.values():
            if where == address:
                with contextlib.suppress(OSError):  # it is sent again
                    sock.send(self._wire)

    def _datagram(self, fd: int, _events: int) -> None:
        self._guarded(lambda: self._receive(fd))

    def _receive(self, fd: int) -> None:
        sock, address = self._udp[fd]
        for _ in range(_AT_ONCE):
            try:
                wire = sock.recv(_PIECE)
            except BlockingIOError:
                return
            except OSError as error:
                self._refused(fd, error)
                return
            self._came(wire, address)
            if self._ended or fd not in self._udp:
                return

    def _refused(self, fd: int, error: OSError) -> None:
        """Go on with the next address: this one said that nobody listens."""
        self._refusal = _reason(error)
        self._close_udp(fd)
        self._ask_next()

    def _close_udp(self, fd: int) -> None:
        sock, _ = self._udp.pop(fd)
        self._probe.loop.unwatch(fd)
        sock.close()

    def _ask_no_more(self) -> None:
        if self._again is not None:
            self._again.cancel()
        for fd in list(self._udp):
            self._close_udp(fd)

    # By TCP (RFC 7766)

    def _connect(self, address: Address) -> None:
        self._phase, self._doing, self._phase_began = "connect", _CONNECTING, self._probe.monotonic()
        self._out = len(self._wire).to_bytes(2, "big") + self._wire
        self._in = bytearray()
        self._address = address
        try:
            self._tcp = socket.socket(address[0], socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            self._finish(Verdict(Outcome.AGENT_ERROR, f"{_CONNECTING}: {_reason(error)}"))
            return
        code = self._tcp.connect_ex(address[1])
        if code not in (0, errno.EINPROGRESS):
            self._not_connected(code)
            return
        self._probe.loop.watch(self._tcp.fileno(), select.EPOLLOUT, self._stream)

    def _not_connected(self, code: int) -> None:
        outcome = Outcome.AGENT_ERROR if code in failure.OWN_FAULTS else Outcome.CONNECT_ERROR
        self._finish(Verdict(outcome, f"{_CONNECTING}: {os.strerror(code)}"))

    def _stream(self, _fd: int, events: int) -> None:
        # What only came in is said of a socket that had the number before.
        if self._phase != "connect" or events & ~select.EPOLLIN:
            self._guarded(self._go_on)

    def _go_on(self) -> None:
        assert self._tcp is not None
        if self._phase == "connect":
            if (code := self._tcp.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) != 0:
                self._not_connected(code)
                return
            now = self._probe.monotonic()
            self._spend("connect", now - self._phase_began)
            self._phase, self._doing, self._phase_began = "first_byte", f"{_WAITING} over TCP", now
        try:
            if self._out:
                self._out = self._out[self._tcp.send(self._out) :]
                if not self._out:
                    self._probe.loop.watch(self._tcp.fileno(), select.EPOLLIN, self._stream)
                return
            self._take_pieces(self._tcp)
        except BlockingIOError:
            return
        except OSError as error:
            self._finish(Verdict(Outcome.READ_ERROR, f"{self._doing}: {_reason(error)}"))

    def _take_pieces(self, tcp: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            piece = tcp.recv(_PIECE)
            if not piece:
                self._closed()
                return
            self._in += piece
            while len(self._in) >= 2 and len(self._in) - 2 >= (size := int.from_bytes(self._in[:2], "big")):
                wire = bytes(self._in[2 : 2 + size])
                del self._in[: 2 + size]
                self._came(wire, self._address)
                if self._ended or self._tcp is None:
                    return

    def _closed(self) -> None:
        came, size = len(self._in), int.from_bytes(self._in[:2], "big")
        far = f"after {came - 2} of the {size} bytes of its answer" if came >= 2 else "without an answer"
        self._finish(Verdict(Outcome.READ_ERROR, f"{self._doing}: the resolver closed the connection {far}"))

    def _close_tcp(self) -> None:
        if self._tcp is not None:
            self._probe.loop.unwatch(self._tcp.fileno())
            self._tcp.close()
            self._tcp = None

    # What came

    def _came(self, wire: bytes, address: Address) -> None:
        """Take a message, which may be anybody's."""
        try:
            if not is_answer_to(self._query, wire):
                if self._with_edns is None or not is_answer_to(self._with_edns, wire):
                    self._strange += 1
                    return
                if _knows_no_edns(wire):
                    return
        except dns.exception.DNSException as error:
            self._unreadable(error)
            return
        if self._tcp is None and self._query.edns >= 0 and _knows_no_edns(wire):
            self._ask_without_edns(address)
            return
        now = self._probe.monotonic()
        self._spend("first_byte", now - self._phase_began)
        self._remote_ip = address[1][0]
        over_tcp = self._tcp is not None
        self._ask_no_more()
        self._close_tcp()
        if _flags(wire) & dns.flags.TC and not over_tcp:
            self._connect(address)
            return
        self._answered_after = now - self._sent
        self._doing, self._phase_began = _READING, now
        if len(wire) <= _LARGE:
            self._judge(self._read(wire))
        else:
            self._elsewhere(lambda: self._read(wire), self._judge)

    def _read(self, wire: bytes) -> tuple[Answer, Verdict, bool | None] | dns.exception.DNSException:
        """Read an answer to the question, in any thread; give it, how it is judged, and whether `body` is in it."""
        expect, found = self._target.expect, None
        try:
            answer = read(wire, self._asked)
        except dns.exception.DNSException as error:
            return error
        # Where `body_not` alone is given, an alias without a record of the type is as good as none.
        text = "\n".join(answer.lines if answer.records or expect.body is not None else ()).encode()
        if expect.body is not None and answer.rcode == expect.rcode:
            found = expect.body.found_in(text)
        return answer, verdict.of_answer(expect, response_time=self._answered_after, text=text), found

    def _judge(self, told: tuple[Answer, Verdict, bool | None] | dns.exception.DNSException) -> None:
        if self._ended:
            return
        if isinstance(told, dns.exception.DNSException):
            self._unreadable(told)
            return
        answer, judged, self._regex_match = told
        self._answer = answer
        expect = self._target.expect
        if answer.rcode != expect.rcode:
            judged = Verdict(Outcome.STATUS_MISMATCH, f"{answer.rcode}, expected {expect.rcode}")
        elif answer.rcode == "NOERROR" and not answer.records and (expect.body or not expect.body_not):
            judged = Verdict(Outcome.BODY_MISMATCH, f"no record of type {self._asked.type}")
        self._finish(judged)

    def _unreadable(self, error: dns.exception.DNSException) -> None:
        self._finish(Verdict(Outcome.READ_ERROR, f"{_READING}: {str(error).rstrip('.')}"))

    # The end

    def _at_deadline(self) -> Verdict:
        doing = self._doing
        if doing != _READING:
            self._spend(self._phase, self._probe.monotonic() - self._phase_began)
        if self._strange:
            doing += f"; {self._strange} that came {'was' if self._strange == 1 else 'were'} to another question"
        return self._timeout(doing)

    def _release(self, judged: Verdict) -> None:  # noqa: ARG002 (it gives all back, whatever came of it)
        if hasattr(self, "_udp"):
            self._ask_no_more()
        self._close_tcp()

    def _found(self) -> dict[str, Any]:
        answer = self._answer
        return {
            "answer": (", ".join(answer.lines) or answer.rcode) if answer else None,
            "response_time": self._answered_after if answer else None,
            "regex_match": self._regex_match,
            "remote_ip": self._remote_ip,
        }


def is_answer_to(query: dns.message.QueryMessage, wire: bytes) -> bool:
    """Tell whether a message answers a query: its id, and its question, are the same (RFC 5452, 9).

    Raises:
        dns.exception.DNSException: it says that it does, and its question cannot be read.
    """
    if len(wire) < 12 or int.from_bytes(wire[:2], "big") != query.id:
        return False
    flags = _flags(wire)
    if not flags & dns.flags.QR or flags & 0x7800:  # another opcode than QUERY
        return False
    parser = dns.wire.Parser(wire, 4)
    questions = parser.get_uint16()
    if questions == 0:
        return flags & 0xF in _NO_QUESTION
    parser.seek(12)
    name, asked = dns.name.from_wire_parser(parser), query.question[0]
    return questions == 1 and (name, *parser.get_struct("!HH")) == (asked.name, asked.rdtype, asked.rdclass)


def read(wire: bytes, asked: question.Question) -> Answer:
    """Read an answer to the question: the records of its type, and the CNAMEs on the way to them.

    Raises:
        dns.exception.DNSException: it cannot be read.
    """
    wanted = dns.rdatatype.from_text(asked.type)
    parser = dns.wire.Parser(wire, 4)
    questions, count = parser.get_struct("!HH")
    if count > _MOST_RECORDS:
        fault = f"it has {count} records, and more than {_MOST_RECORDS} are not read"
        raise dns.exception.FormError(fault)  # type: ignore[no-untyped-call]
    parser.seek(12)
    for _ in range(questions):
        dns.name.from_wire_parser(parser)
        parser.get_struct("!HH")
    found: list[tuple[dns.name.Name, dns.rdata.Rdata]] = []
    for _ in range(count):
        owner = dns.name.from_wire_parser(parser)
        kind, of_class, _ttl, size = parser.get_struct("!HHIH")
        if of_class == dns.rdataclass.IN and kind in (wanted, dns.rdatatype.CNAME):
            with parser.restrict_to(size):
                found.append((owner, dns.rdata.from_wire_parser(of_class, kind, parser)))
        else:
            parser.get_bytes(size)
    at, aliases = dns.name.from_text(asked.name), []
    if wanted != dns.rdatatype.CNAME:
        leading = {owner: rdata for owner, rdata in found if isinstance(rdata, CNAME)}
        while (alias := leading.pop(at, None)) is not None:
            aliases.append(alias.to_text())
            at = alias.target
    records = sorted(rdata.to_text() for owner, rdata in found if owner == at and rdata.rdtype == wanted)
    return Answer(dns.rcode.to_text(dns.rcode.Rcode.make(_flags(wire) & 0xF)), tuple(aliases), tuple(records))


def _knows_no_edns(wire: bytes) -> bool:
    """Tell whether a resolver refuses a question for what it does not know of it."""
    return _flags(wire) & 0xF in (dns.rcode.FORMERR, dns.rcode.NOTIMP)


def _flags(wire: bytes) -> int:
    return int.from_bytes(wire[2:4], "big")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
