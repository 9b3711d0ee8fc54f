"""The course of a check of a host by ICMP: four echo requests, of which one must be answered.

They go through a datagram socket of ICMP, which needs no capability but net.ipv4.ping_group_range to hold the process's
group (icmp(7)); the kernel sets the id, and keeps the replies to other processes apart.
"""

import errno
import os
import secrets
import select
import socket
import statistics
import struct
from typing import Any, Final

from webmon.check import failure, verdict
from webmon.check.course import Course
from webmon.check.loop import Timer
from webmon.check.resolver import Addresses
from webmon.check.result import Outcome
from webmon.check.verdict import Verdict

_REQUESTS: Final = 4
_GAP_SECS: Final = 0.25
"""Between two requests; less where the time is short."""
_PART_OF_THE_TIME: Final = 8
"""A gap is so small a part of the time at most: more than half of it is left for the last request."""
_GRACE_SECS: Final = 1.0
"""How long the others are waited for once one was answered and all are sent."""
_AT_ONCE: Final = 16
"""Datagrams that are taken before others have their turn."""
_PROTOCOLS: Final = {
    socket.AF_INET: (socket.IPPROTO_ICMP, 8),
    socket.AF_INET6: (socket.IPPROTO_ICMPV6, 128),
}
"""Of each family: its protocol, and the type of an echo request (RFC 792, RFC 4443)."""
_TELL_ERRORS: Final = {
    socket.AF_INET: (socket.IPPROTO_IP, 11),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 25),
}
"""IP_RECVERR and IPV6_RECVERR of <linux/in.h>: have the kernel queue what routers say (ip(7)); Python has no names."""
_ERROR: Final = struct.Struct("=IBBBxII")
"""struct sock_extended_err: errno, origin, type, code, info, data; the address of who said it stands behind."""
_BY_ICMP: Final = {2: 4, 3: 8}
"""Origins of an error that are ICMP and ICMPv6: where the address begins behind family, port and flow."""
_SAID: Final = {
    (2, 3, 0): "network unreachable",
    (2, 3, 1): "host unreachable",
    (2, 3, 9): "administratively prohibited",
    (2, 3, 10): "administratively prohibited",
    (2, 3, 13): "administratively prohibited",
    (2, 11, 0): "the time to live ran out on the way",
    (3, 1, 0): "no route to the host",
    (3, 1, 1): "administratively prohibited",
    (3, 1, 3): "host unreachable",
    (3, 3, 0): "the hop limit was reached on the way",
}
"""By origin, type and code."""
_WAITING: Final = "waiting for an answer"
NO_RIGHT: Final = (
    "this process may not send ICMP: right would be its group in net.ipv4.ping_group_range "
    "(sysctl; the role agent sees to it)"
)


def open_socket(family: socket.AddressFamily) -> socket.socket:
    """Open a socket for echo requests that does not block.

    Raises:
        PermissionError: this process's group may not.
        OSError: there is none to be had.
    """
    return socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, _PROTOCOLS[family][0])


class IcmpCheck(Course):
    """One check of a URL of icmp."""

    _socket: socket.socket | None = None
    _remote_ip: str | None = None
    _timer_of_own: Timer | None = None

    def _start(self) -> None:
        self._token = secrets.token_bytes(16)
        self._sent: list[float] = []
        self._took: dict[int, float] = {}
        self._errors = 0
        self._error: Verdict | None = None
        self._resolve(self._target.asked.host, 0, self._ask)

    def _ask(self, addresses: Addresses) -> None:
        self._spend("dns", self._looked_up)
        self._phase, self._phase_began = "first_byte", self._probe.monotonic()
        fault: OSError | None = None
        for family, address in addresses:
            try:
                sock = open_socket(family)
            except PermissionError:
                self._finish(Verdict(Outcome.AGENT_ERROR, NO_RIGHT))
                return
            except OSError as error:
                fault = error
                continue
            try:
                sock.setsockopt(*_TELL_ERRORS[family], 1)
                sock.connect(address)
            except OSError as error:  # of this host alone: nothing was sent yet
                sock.close()
                fault = error
                continue
            self._socket, self._family, self._address = sock, family, address[0]
            self._probe.loop.watch(sock.fileno(), select.EPOLLIN, self._ready)
            left = self._began + self._target.timeout - self._probe.monotonic()
            self._gap = max(0.0, min(_GAP_SECS, left / _PART_OF_THE_TIME))
            self._send()
            return
        assert fault is not None
        self._finish(Verdict(Outcome.AGENT_ERROR, f"sending the echo request: {_reason(fault)}"))

    def _send(self) -> None:
        sock, number = self._socket, len(self._sent)
        assert sock is not None
        self._sent.append(self._probe.monotonic())
        request = struct.pack("!BBHHH", _PROTOCOLS[self._family][1], 0, 0, 0, number) + self._token
        try:
            sock.send(request)
        except BlockingIOError:
            pass  # as good as lost
        except OSError as error:
            # It is that of a request before, or of this one; what routers said is told by the queue.
            if not self._take_errors(sock):
                self._note_local(error)
        if self._look():
            return
        if len(self._sent) < _REQUESTS:
            self._at(self._sent[-1] + self._gap, self._send)
        else:
            self._at(self._sent[-1] + _GRACE_SECS, self._enough)

    def _at(self, moment: float, what: Any) -> None:
        self._timer_of_own = self._probe.loop.at(moment, lambda: self._guarded(what))

    def _ready(self, _fd: int, events: int) -> None:
        self._guarded(lambda: self._receive(events))

    def _receive(self, events: int) -> None:
        sock = self._socket
        assert sock is not None
        if events & select.EPOLLERR:
            self._take_errors(sock)
        for _ in range(_AT_ONCE):
            try:
                packet = sock.recv(65535)
            except BlockingIOError:
                break
            except OSError as error:
                if not self._take_errors(sock) and self._error is None:
                    self._note_local(error)
                break
            self._take(packet)
        self._look()

    def _take(self, packet: bytes) -> None:
        if packet[8:] != self._token:  # the kernel hands over nothing but replies with its id
            return
        number = int.from_bytes(packet[6:8], "big")
        if number < len(self._sent) and number not in self._took:
            self._took[number] = self._probe.monotonic() - self._sent[number]
            self._remote_ip = self._address

    def _take_errors(self, sock: socket.socket) -> bool:
        """Take what routers said of our requests; tell whether there was anything."""
        there = False
        for _ in range(_AT_ONCE):
            try:
                _, told, _, _ = sock.recvmsg(256, 512, socket.MSG_ERRQUEUE)
            except OSError:
                break
            for level, kind, data in told:
                if (level, kind) == _TELL_ERRORS[self._family] and len(data) >= _ERROR.size:
                    there = True
                    self._note(data)
        return there

    def _note(self, data: bytes) -> None:
        code, origin, *what, _, _ = _ERROR.unpack_from(data)
        if origin not in _BY_ICMP:
            self._note_local(OSError(code, os.strerror(code)))
            return
        self._errors += 1
        said = _SAID.get((origin, *what), os.strerror(code))
        size = 4 if origin == 2 else 16
        who = data[_ERROR.size + _BY_ICMP[origin] :][:size]
        by = f"{socket.inet_ntop(self._family, who)} says: " if len(who) == size else ""
        self._error = Verdict(Outcome.CONNECT_ERROR, f"{_WAITING}: {by}{said}")

    def _note_local(self, error: OSError) -> None:
        """Note what this host's kernel says of a request: it did not leave."""
        self._errors += 1
        own = error.errno in failure.OWN_FAULTS or not failure.has_way(self._family, self._address)
        outcome = Outcome.AGENT_ERROR if own else Outcome.CONNECT_ERROR
        self._error = self._error or Verdict(outcome, f"sending the echo request: {_reason(error)}")

    def _look(self) -> bool:
        """End it where nothing more can come; tell whether it has ended."""
        if not self._ended and len(self._sent) == _REQUESTS and len(self._took) + self._errors >= _REQUESTS:
            self._judge()
        return self._ended

    def _enough(self) -> None:
        if self._took:
            self._judge()

    def _judge(self) -> None:
        self._finish(self._judged())

    def _judged(self) -> Verdict:
        if not self._took:
            self._spend("first_byte", self._probe.monotonic() - self._phase_began)
            return self._error or self._timeout(_WAITING)
        self._spend("first_byte", self._median())
        return verdict.of_answer(self._target.expect, response_time=self._median())

    def _median(self) -> float:
        return statistics.median(self._took.values())

    def _at_deadline(self) -> Verdict:
        return self._judged()

    def _release(self, judged: Verdict) -> None:  # noqa: ARG002 (it gives all back, whatever came of it)
        if self._timer_of_own is not None:
            self._timer_of_own.cancel()
        if self._socket is not None:
            self._probe.loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _found(self) -> dict[str, Any]:
        if self._remote_ip is None:
            return {}
        return {
            "answer": f"{len(self._took)} of {_REQUESTS} answered",
            "response_time": self._median(),
            "remote_ip": self._remote_ip,
        }


def _reason(error: OSError) -> str:
    return error.strerror or (errno.errorcode.get(error.errno or 0) or str(error))
