"""Checks of a resolver against servers on loopback that answer well, badly, or what nobody asked."""

import os
import re
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from tests.deadline import check_in_time
from tests.hostile import hang, reset
from tests.waiting import wait_until
from webmon.check import course, question
from webmon.check.kinds import dns as kind
from webmon.check.pattern import compile_pattern
from webmon.check.probe import Probe
from webmon.check.resolver import Addresses, resolve_here
from webmon.check.result import ANSWER_LIMIT, CheckResult, Outcome, decode, encode
from webmon.check.target import Target
from webmon.check.verdict import Expectations
from webmon.errors import UserError
from webmon.targets.file import check_file

SLOT = datetime(2026, 1, 2, tzinfo=UTC)
TIMEOUT = 0.8
"""Of checks that are meant to reach their deadline."""
ENOUGH = 10.0

Datagrams = Callable[[bytes], list[bytes]]
"""What a resolver sends for a question."""
Stream = Callable[[socket.socket], object]


class Resolver:
    """Answers by UDP, and by TCP on the same port where it is told how."""

    def __init__(self, datagrams: Datagrams, stream: Stream | None = None, *, address: str = "127.0.0.1") -> None:
        self.asked: list[bytes] = []
        self._datagrams, self._stream = datagrams, stream
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        while True:
            self._listener = socket.socket(family, socket.SOCK_STREAM)
            self._listener.bind((address, 0))
            self.port: int = self._listener.getsockname()[1]
            self._udp = socket.socket(family, socket.SOCK_DGRAM)
            try:
                self._udp.bind((address, self.port))
                break
            except OSError:  # another's
                self._udp.close()
                self._listener.close()
        if stream is not None:
            self._listener.listen()
        self.at = f"dns://{f'[{address}]' if ':' in address else address}:{self.port}"
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        if stream is not None:
            self._threads.append(threading.Thread(target=self._accept, daemon=True))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._udp, self._listener):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(10)
        self._udp.close()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                query, where = self._udp.recvfrom(4096)
                if not where or not query:
                    return
                self.asked.append(query)
                for datagram in self._datagrams(query):
                    self._udp.sendto(datagram, where)

    def _accept(self) -> None:
        assert self._stream is not None
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._speak, args=(connection,), daemon=True).start()

    def _speak(self, connection: socket.socket) -> None:
        assert self._stream is not None
        with suppress(OSError), connection:
            self._stream(connection)


def reply(query: bytes, *records: str, rcode: str = "NOERROR", flags: int = 0) -> bytes:
    """Answer a question with these records, each `NAME TYPE DATA`."""
    made = dns.message.make_response(dns.message.from_wire(query))
    made.set_rcode(dns.rcode.from_text(rcode))
    made.flags |= flags
    for record in records:
        name, of_type, data = record.split(" ", 2)
        made.answer.append(dns.rrset.from_text(name, 60, "IN", of_type, data))
    return made.to_wire(max_size=65535)


def answering(*records: str, **more: Any) -> Datagrams:
    return lambda query: [reply(query, *records, **more)]


def cut_off(query: bytes) -> list[bytes]:
    return [reply(query, flags=dns.flags.TC)]


def silent(_query: bytes) -> list[bytes]:
    return []


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


def heard(connection: socket.socket) -> bytes:
    """Read a question from a stream."""
    came = b""
    while len(came) < 2 or len(came) < 2 + int.from_bytes(came[:2], "big"):
        if not (part := connection.recv(4096)):
            raise ConnectionError
        came += part
    return came[2:]


def says(*pieces: Callable[[bytes], bytes], then: Stream | None = None) -> Stream:
    def behave(connection: socket.socket) -> None:
        query = heard(connection)
        for piece in pieces:
            connection.sendall(piece(query))
        if then is not None:
            then(connection)

    return behave


def drip(connection: socket.socket) -> None:
    for _ in range(500):
        connection.sendall(b"\xff")
        time.sleep(0.02)


def raw(query: bytes, count: int, records: bytes, *, flags: int = 0x8180) -> bytes:
    """Answer with the question and these bytes, whatever they are."""
    end = query.index(b"\x00", 12) + 5
    return query[:2] + struct.pack("!5H", flags, 1, count, 0, 0) + query[12:end] + records


A_RECORD = struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4) + b"\xc0\x00\x02\x01"


@pytest.fixture(autouse=True)
def a_machine_that_is_busy_is_no_subject_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "_HELD_UP_SECS", 60.0)


@pytest.fixture(scope="module")
def probe() -> Iterator[Probe]:
    with closing(Probe(agent="here", resolve=resolve_here)) as made:
        yield made


def make_target(url: str, **more: Any) -> Target:
    settings: dict[str, Any] = {"name": "t", "url": url, "interval": 60, "timeout": ENOUGH}
    return Target(**(settings | more))


def check(probe: Probe, url: str, **more: Any) -> CheckResult:
    result = check_in_time(probe, make_target(url, **more), SLOT)
    assert decode(encode(result)) == result
    return result


def check_resolver(
    probe: Probe, datagrams: Datagrams, stream: Stream | None = None, asked: str = "example.org", **more: Any
) -> CheckResult:
    with Resolver(datagrams, stream) as resolver:
        return check(probe, f"{resolver.at}/{asked}", **more)


def expecting(**rules: Any) -> dict[str, Any]:
    return {"expect": Expectations(**rules)}


# What is well


def test_a_resolver_that_answers_is_up_with_what_it_answered(probe: Probe) -> None:
    result = check_resolver(probe, answering("example.org. A 192.0.2.9", "example.org. A 192.0.2.10"))
    assert (result.outcome, result.error, result.kind) == (Outcome.UP, None, "dns")
    assert result.answer == "192.0.2.10, 192.0.2.9"
    assert result.remote_ip == "127.0.0.1"
    assert result.response_time is not None
    assert result.phases.first_byte == pytest.approx(result.response_time)
    assert (result.phases.connect, result.phases.tls, result.http_status, result.regex_match) == (None,) * 4


def test_what_is_asked_is_the_name_and_type_of_the_url_with_recursion_and_edns(probe: Probe) -> None:
    with Resolver(answering("b\xfccher.example. MX 5 mail.example.".encode("idna").decode())) as resolver:
        assert check(probe, f"{resolver.at}/b\xfccher.example?type=mx").outcome is Outcome.UP
    query = dns.message.from_wire(resolver.asked[0])
    assert [entry.to_text() for entry in query.question] == ["xn--bcher-kva.example. IN MX"]
    assert query.flags & dns.flags.RD
    assert (query.edns, query.payload) == (0, 1232)


def test_each_check_asks_with_an_id_of_its_own_from_a_port_of_its_own(probe: Probe) -> None:
    with Resolver(answering("example.org. A 192.0.2.1")) as resolver:
        for _ in range(8):
            check(probe, f"{resolver.at}/example.org")
    assert len({query[:2] for query in resolver.asked}) > 4


def test_an_answer_is_the_same_in_whatever_order_its_records_come(probe: Probe) -> None:
    records = [f"example.org. MX {number} mx{number}.example." for number in (10, 20, 5)]
    answers = {
        check_resolver(probe, answering(*order), asked="example.org?type=MX").answer
        for order in (records, records[::-1], records[1:] + records[:1])
    }
    assert answers == {"10 mx10.example., 20 mx20.example., 5 mx5.example."}


def test_an_alias_is_followed_and_shown_and_what_belongs_to_others_is_not(probe: Probe) -> None:
    told = answering(
        "cdn.example. A 192.0.2.7",
        "other.example. A 192.0.2.66",
        "www.example. CNAME edge.example.",
        "edge.example. CNAME cdn.example.",
    )
    assert check_resolver(probe, told, asked="WWW.example").answer == "edge.example., cdn.example., 192.0.2.7"
    own = answering("www.example. CNAME edge.example.")
    assert check_resolver(probe, own, asked="www.example?type=CNAME").answer == "edge.example."


def test_a_loop_of_aliases_is_no_record(probe: Probe) -> None:
    loop = answering("a.example. CNAME b.example.", "b.example. CNAME a.example.")
    result = check_resolver(probe, loop, asked="a.example")
    assert (result.outcome, result.error) == (Outcome.BODY_MISMATCH, "no record of type A")


def test_a_resolver_of_ipv6_is_asked(probe: Probe) -> None:
    with Resolver(answering("example.org. AAAA 2001:db8::1"), address="::1") as resolver:
        result = check(probe, f"{resolver.at}/example.org?type=AAAA")
    assert (result.answer, result.remote_ip) == ("2001:db8::1", "::1")


def test_the_next_address_of_a_resolver_is_asked_where_nobody_listens_at_the_first(probe: Probe) -> None:
    with Resolver(answering("example.org. A 192.0.2.1")) as resolver:  # localhost is ::1 first
        result = check(probe, f"dns://localhost:{resolver.port}/example.org")
    assert (result.outcome, result.remote_ip) == (Outcome.UP, "127.0.0.1")


def test_the_next_address_of_a_resolver_is_asked_where_the_first_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "_AGAIN_SECS", (0.05,))
    with Resolver(silent) as dead, Resolver(answering("example.org. A 192.0.2.1")) as well:
        addresses: Addresses = [(socket.AF_INET, ("127.0.0.1", one.port)) for one in (dead, well)]
        with closing(Probe(agent="here", resolve=lambda *_: addresses)) as probe:
            assert check(probe, "dns://resolver.example/example.org").outcome is Outcome.UP
    assert len(dead.asked) == len(well.asked) == 1


def test_a_question_that_gets_lost_is_sent_again_and_the_time_counts_from_the_first(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "_AGAIN_SECS", (0.1, 0.1, 0.1))

    def third(query: bytes) -> list[bytes]:
        return [reply(query, "example.org. A 192.0.2.1")] if len(resolver.asked) == 3 else []

    with Resolver(third) as resolver:
        result = check(probe, f"{resolver.at}/example.org")
    assert result.outcome is Outcome.UP
    assert result.response_time is not None
    assert result.response_time >= 0.2
    assert len(set(resolver.asked)) == 1


def test_a_question_is_sent_a_bounded_number_of_times(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind, "_AGAIN_SECS", (0.01, 0.01, 0.01))
    with Resolver(silent) as resolver:
        check(probe, f"{resolver.at}/example.org", timeout=TIMEOUT)
    assert len(resolver.asked) == 4


def test_an_answer_that_was_cut_off_is_asked_for_by_tcp(probe: Probe) -> None:
    def whole(query: bytes) -> bytes:
        return framed(reply(query, *(f"example.org. A 192.0.2.{number}" for number in range(200))))

    def first_half(query: bytes) -> bytes:
        return whole(query)[:999]

    result = check_resolver(probe, cut_off, says(first_half, lambda query: whole(query)[999:]))
    assert result.outcome is Outcome.UP, result.error
    assert result.answer is not None
    assert result.answer.startswith("192.0.2.0, 192.0.2.1, 192.0.2.10, ")
    assert len(result.answer) == ANSWER_LIMIT
    assert None not in (result.phases.connect, result.phases.first_byte)


# What is expected


@pytest.mark.parametrize("rcode", ["NXDOMAIN", "SERVFAIL", "REFUSED"])
def test_another_rcode_than_expected_is_told_with_both(probe: Probe, rcode: str) -> None:
    result = check_resolver(probe, answering(rcode=rcode))
    assert (result.outcome, result.error) == (Outcome.STATUS_MISMATCH, f"{rcode}, expected NOERROR")
    assert result.answer == rcode
    assert result.remote_ip == "127.0.0.1"


def test_a_name_that_must_not_be_there_is_up_while_it_is_not(probe: Probe) -> None:
    rule = expecting(rcode="NXDOMAIN")
    assert check_resolver(probe, answering(rcode="NXDOMAIN"), **rule).outcome is Outcome.UP
    result = check_resolver(probe, answering("example.org. A 192.0.2.1"), **rule)
    assert (result.outcome, result.error) == (Outcome.STATUS_MISMATCH, "NOERROR, expected NXDOMAIN")
    assert result.answer == "192.0.2.1"


def test_a_refusal_without_a_question_is_one(probe: Probe) -> None:
    result = check_resolver(probe, lambda query: [query[:2] + struct.pack("!5H", 0x8185, 0, 0, 0, 0)])
    assert result.error == "REFUSED, expected NOERROR"


@pytest.mark.parametrize("rcode", ["FORMERR", "NOTIMP"])
def test_a_resolver_that_is_too_old_for_edns_is_asked_without(probe: Probe, rcode: str) -> None:
    def old(query: bytes) -> list[bytes]:
        asked = dns.message.from_wire(query)
        if asked.edns < 0:
            return [reply(query, "example.org. A 192.0.2.1")]
        return [query[:2] + struct.pack("!5H", 0x8180 | dns.rcode.from_text(rcode), 0, 0, 0, 0)]

    result = check_resolver(probe, old)
    assert (result.outcome, result.answer) == (Outcome.UP, "192.0.2.1")
    refused = check_resolver(probe, answering(rcode=rcode))
    assert refused.error == f"{rcode}, expected NOERROR"


def test_a_resolver_that_refuses_edns_and_says_so_with_edns_is_asked_without(probe: Probe) -> None:
    def strange(query: bytes) -> list[bytes]:
        has_edns = dns.message.from_wire(query).edns >= 0
        return [reply(query, rcode="FORMERR") if has_edns else reply(query, "example.org. A 192.0.2.1")]

    result = check_resolver(probe, strange)
    assert (result.outcome, result.answer) == (Outcome.UP, "192.0.2.1")


def test_a_resolver_that_refuses_edns_late_is_judged_by_its_answer_without(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "_AGAIN_SECS", (0.1,))
    held: list[bytes] = []

    def late(query: bytes) -> list[bytes]:
        if dns.message.from_wire(query).edns < 0:
            return [reply(query, "example.org. A 192.0.2.1")]
        held.append(query)
        return [reply(query, rcode="FORMERR") for query in held] if len(held) == 2 else []

    result = check_resolver(probe, late)
    assert (result.outcome, result.error, result.answer) == (Outcome.UP, None, "192.0.2.1")


def test_an_answer_without_a_record_of_the_type_is_a_mismatch(probe: Probe) -> None:
    result = check_resolver(probe, answering(), asked="example.org?type=AAAA")
    assert (result.outcome, result.error) == (Outcome.BODY_MISMATCH, "no record of type AAAA")
    assert result.answer == "NOERROR"


def test_an_answer_without_a_record_is_up_where_only_what_must_not_be_there_is_asked(probe: Probe) -> None:
    rule = expecting(body_not=compile_pattern("."))
    assert check_resolver(probe, answering(), **rule).outcome is Outcome.UP
    result = check_resolver(probe, answering("example.org. A 192.0.2.1"), **rule)
    assert (result.outcome, result.error) == (
        Outcome.BODY_MISMATCH,
        "something in the answer matches '.', and nothing may",
    )


def test_an_alias_without_a_record_of_the_type_is_as_good_as_no_record(probe: Probe) -> None:
    alias, asked = "www.example.org. CNAME cdn.example.", "www.example.org?type=AAAA"
    rule = expecting(body_not=compile_pattern("."))
    result = check_resolver(probe, answering(alias), asked=asked, **rule)
    assert (result.outcome, result.error, result.answer) == (Outcome.UP, None, "cdn.example.")
    there = check_resolver(probe, answering(alias, "cdn.example. AAAA 2001:db8::1"), asked=asked, **rule)
    assert there.outcome is Outcome.BODY_MISMATCH
    named = expecting(body_not=compile_pattern("^cdn"))
    there = check_resolver(probe, answering(alias, "cdn.example. AAAA 2001:db8::1"), asked=asked, **named)
    assert there.outcome is Outcome.BODY_MISMATCH
    wanted = expecting(body=compile_pattern("."))
    assert check_resolver(probe, answering(alias), asked=asked, **wanted).error == "no record of type AAAA"


def test_records_are_held_against_the_pattern_a_line_each(probe: Probe) -> None:
    told = answering("example.org. A 192.0.2.1", "example.org. A 192.0.2.22")
    result = check_resolver(probe, told, **expecting(body=compile_pattern(r"(?m)^192\.0\.2\.1$")))
    assert (result.outcome, result.regex_match) == (Outcome.UP, True)
    result = check_resolver(probe, told, **expecting(body=compile_pattern(r"(?m)^192\.0\.2\.2$")))
    assert (result.outcome, result.regex_match) == (Outcome.BODY_MISMATCH, False)
    assert result.error == r"nothing in the answer matches '(?m)^192\\.0\\.2\\.2$'"


def test_an_answer_over_the_limit_is_slow(probe: Probe) -> None:
    def late(query: bytes) -> list[bytes]:
        time.sleep(0.05)
        return [reply(query, "example.org. A 192.0.2.1")]

    result = check_resolver(probe, late, **expecting(max_response_time=0.01))
    assert result.outcome is Outcome.SLOW
    assert "over the limit of 0.01 s" in str(result.error)


# What is not believed


def _forged(query: bytes) -> list[bytes]:
    other_id = bytes([query[0] ^ 1]) + query[1:]
    other_name = dns.message.make_query("evil.example", "A", id=int.from_bytes(query[:2], "big"))
    other_type = dns.message.make_query("example.org", "TXT", id=int.from_bytes(query[:2], "big"))
    return [
        reply(other_id, "example.org. A 192.0.2.66"),
        reply(other_name.to_wire(), "evil.example. A 192.0.2.66"),
        reply(other_type.to_wire()),
        query,
        raw(query, 1, A_RECORD, flags=0xA980),
        b"",
        b"\xff" * 300,
    ]


def test_what_comes_with_another_id_or_to_another_question_is_passed_over(probe: Probe) -> None:
    result = check_resolver(probe, lambda query: [*_forged(query), reply(query, "example.org. A 192.0.2.1")])
    assert (result.outcome, result.answer) == (Outcome.UP, "192.0.2.1")


def test_a_timeout_says_that_something_else_came(probe: Probe) -> None:
    result = check_resolver(probe, _forged, timeout=TIMEOUT)
    assert (result.outcome, result.remote_ip, result.answer) == (Outcome.TIMEOUT, None, None)
    assert result.error == (
        "not done within 0.8 s: waiting for the resolver's answer; 7 that came were to another question"
    )


def test_a_datagram_of_somebody_else_is_not_received_at_all(probe: Probe) -> None:
    with Resolver(silent) as resolver, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:

        def from_elsewhere(query: bytes) -> list[bytes]:
            forged = reply(query, "example.org. A 192.0.2.66")
            for port in ports():
                stranger.sendto(forged, ("127.0.0.1", port))
            return []

        resolver._datagrams = from_elsewhere
        result = check(probe, f"{resolver.at}/example.org", timeout=TIMEOUT)
    assert result.error == "not done within 0.8 s: waiting for the resolver's answer"


def ports() -> list[int]:
    """Give the local ports of all connected UDP sockets of the host."""
    lines = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]
    return [int(line.split()[1].split(":")[1], 16) for line in lines if line.split()[2] != "00000000:0000"]


# Hostile resolvers


def _names_all_the_way(query: bytes) -> bytes:
    """64 KB that cost dnspython's reader of whole messages 15 s: each record has two names of 126 labels."""
    long = b"".join(b"\x01" + bytes([97 + number % 26]) for number in range(126)) + b"\x00"
    start = raw(query, 0, b"")
    pointer = struct.pack("!H", 0xC000 | len(start))
    records = long + struct.pack("!HHIH", 1, 1, 5, 4) + b"\xc0\x00\x02\x01"
    each = pointer + struct.pack("!HHIH", 5, 1, 5, 2) + pointer
    count = (65000 - len(start) - len(records)) // len(each)
    return raw(query, count + 1, records + each * count)


def _of_names(count: int) -> Callable[[bytes], bytes]:
    return lambda query: framed(raw(query, count, _names_all_the_way(query)[len(raw(query, 0, b"")) :]))


MALFORMED: dict[str, Callable[[bytes], bytes]] = {
    "points to itself": lambda query: raw(query, 1, struct.pack("!H", 0xC000 | len(raw(query, 0, b""))) + A_RECORD[2:]),
    "points forward": lambda query: raw(query, 1, b"\xff\xff" + A_RECORD[2:]),
    "has a label of no kind": lambda query: raw(query, 1, b"\x80" + A_RECORD[2:]),
    "ends in a record": lambda query: raw(query, 1, A_RECORD[:-2]),
    "ends in a name": lambda query: raw(query, 1, b"\x20abc"),
    "promises a record": lambda query: raw(query, 2, A_RECORD),
    "promises 60000 records": lambda query: raw(query, 60000, A_RECORD),
    "has an address of 3 bytes": lambda query: raw(query, 1, A_RECORD[:-6] + b"\x00\x03abc"),
    "has no whole question": lambda query: query[:2] + struct.pack("!5H", 0x8180, 1, 1, 0, 0) + b"\x07exam",
    "has a question that points to itself": lambda query: (
        query[:2] + struct.pack("!5H", 0x8180, 1, 1, 0, 0) + b"\xc0\x0c\x00\x01\x00\x01"
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_an_answer_is_malformed_that(probe: Probe, name: str) -> None:
    result = check_resolver(probe, lambda query: [MALFORMED[name](query)])
    assert result.outcome is Outcome.READ_ERROR
    assert re.fullmatch(r"reading the answer: \w.*\w", str(result.error))
    assert (result.answer, result.response_time) == (None, None)


def test_bytes_behind_an_answer_and_sections_that_nobody_asked_for_are_not_looked_at(probe: Probe) -> None:
    result = check_resolver(probe, lambda query: [raw(query, 1, A_RECORD + b"\xff" * 99)])
    assert result.answer == "192.0.2.1"


HOSTILE: dict[str, tuple[Datagrams, Stream | None, Outcome, str]] = {
    "says nothing": (silent, None, Outcome.TIMEOUT, "not done within 0.8 s: waiting for the resolver's answer"),
    "cuts off and refuses": (
        cut_off,
        None,
        Outcome.CONNECT_ERROR,
        r"connecting over TCP \(the answer over UDP was cut off\): Connection refused",
    ),
    "cuts off and hangs": (
        cut_off,
        hang,
        Outcome.TIMEOUT,
        "not done within 0.8 s: waiting for the resolver's answer over TCP",
    ),
    "cuts off and closes": (
        cut_off,
        heard,
        Outcome.READ_ERROR,
        "waiting for the resolver's answer over TCP: the resolver closed the connection without an answer",
    ),
    "cuts off and closes in the middle": (
        cut_off,
        says(lambda _: b"\x00\x64" + bytes(7)),
        Outcome.READ_ERROR,
        r"waiting for .* over TCP: the resolver closed the connection after 7 of the 100 bytes of its answer",
    ),
    "cuts off and resets": (
        cut_off,
        says(then=reset),
        Outcome.READ_ERROR,
        "waiting for the resolver's answer over TCP: Connection reset by peer",
    ),
    "cuts off and drips": (
        cut_off,
        drip,
        Outcome.TIMEOUT,
        "not done within 0.8 s: waiting for the resolver's answer over TCP",
    ),
    "cuts off and floods": (
        cut_off,
        says(lambda query: framed(query) * 100_000, then=hang),
        Outcome.TIMEOUT,
        r"not done within 0.8 s: waiting .* over TCP; [0-9]+ that came were to another question",
    ),
    "floods": (
        lambda query: [query] * 2000,
        None,
        Outcome.TIMEOUT,
        r"not done within 0.8 s: waiting .*; [0-9]+ that came were to another question",
    ),
    "sends 64 KB of records": (
        cut_off,
        says(lambda query: framed(raw(query, 4000, A_RECORD * 4000)), then=hang),
        Outcome.READ_ERROR,
        "reading the answer: it has 4000 records, and more than 1000 are not read",
    ),
    "sends 64 KB of names": (
        cut_off,
        says(_of_names(1000), then=hang),
        Outcome.BODY_MISMATCH,
        "no record of type A",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_resolver_that(probe: Probe, name: str) -> None:
    datagrams, stream, outcome, text = HOSTILE[name]
    result = check_resolver(probe, datagrams, stream, timeout=TIMEOUT if outcome is Outcome.TIMEOUT else ENOUGH)
    assert result.outcome is outcome, result.error
    assert re.fullmatch(text, str(result.error)), result.error


def test_a_large_answer_is_read_in_another_thread(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    read_in = []

    def noted(wire: bytes, asked: question.Question) -> kind.Answer:
        read_in.append(threading.current_thread().name)
        return read(wire, asked)

    read = kind.read
    monkeypatch.setattr(kind, "read", noted)
    text = " ".join(f'"{"x" * 250}"' for _ in range(200))
    result = check_resolver(
        probe,
        cut_off,
        says(lambda query: framed(reply(query, f'example.org. TXT {text} "end"'))),
        asked="example.org?type=TXT",
        **expecting(body=compile_pattern("end")),
    )
    assert (result.outcome, result.regex_match) == (Outcome.UP, True)
    assert [name.startswith("search") for name in read_in] == [True]


def test_an_answer_that_is_read_for_too_long_does_not_hold_the_check(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(kind, "_LARGE", 0)
    monkeypatch.setattr(kind, "read", lambda *_: go_on.wait(20))
    result = check_resolver(probe, answering("example.org. A 192.0.2.1"), timeout=TIMEOUT)
    go_on.set()
    assert (result.outcome, result.error) == (Outcome.TIMEOUT, "not done within 0.8 s: reading the answer")


@pytest.mark.parametrize(
    ("of_type", "data", "shown"),
    [
        ("TXT", b"\x05\x1b[31m", r'"\027[31m"'),
        ("TXT", "\x06caf\xe9 ".encode(), r'"caf\195\169 "'),
        ("URI", b"\x00\x01\x00\x01http://\x1b[2J\n", r'1 1 "http://\027[2J\010"'),
        ("CNAME", b"\x03\x1b\n.\x00", r"\027\010\.."),
    ],
)
def test_what_stands_in_a_record_is_data_and_never_an_escape_sequence(
    probe: Probe, of_type: str, data: bytes, shown: str
) -> None:
    number = int(dns.rdatatype.from_text(of_type))
    record = struct.pack("!HHHIH", 0xC00C, number, 1, 60, len(data)) + data
    result = check_resolver(probe, lambda query: [raw(query, 1, record)], asked=f"example.org?type={of_type}")
    assert (result.outcome, result.answer) == (Outcome.UP, shown)


def test_a_record_that_is_no_utf_8_is_text_all_the_same(probe: Probe) -> None:
    data = b"\x00\x01\x00\x01http://\xff\x9b31m"
    record = struct.pack("!HHHIH", 0xC00C, int(dns.rdatatype.URI), 1, 60, len(data)) + data
    result = check_resolver(probe, lambda query: [raw(query, 1, record)], asked="example.org?type=URI")
    assert result.outcome is Outcome.UP, result.error
    assert re.fullmatch("[ -~]+", str(result.answer))


# What is no answer


def test_a_port_where_nobody_listens_is_told(probe: Probe) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    result = check(probe, f"dns://127.0.0.1:{port}/example.org")
    assert (result.outcome, result.error) == (Outcome.CONNECT_ERROR, "asking the resolver: Connection refused")
    assert result.remote_ip is None


def test_a_resolver_without_an_address_is_told(probe: Probe) -> None:
    def lookup(host: str, port: int, timeout: float) -> Addresses:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with closing(Probe(agent="here", resolve=lookup)) as other:
        result = check(other, "dns://resolver.example/example.org")
    assert (result.outcome, result.error) == (Outcome.DNS_ERROR, "resolving the name: Name or service not known")


def test_an_address_that_this_host_has_no_way_to_is_our_own_fault(probe: Probe) -> None:
    result = check(probe, "dns://255.255.255.255/example.org")
    assert result.outcome is Outcome.AGENT_ERROR
    assert re.fullmatch("asking the resolver: (Permission denied|Network is unreachable)", str(result.error))


def test_no_descriptors_left_is_our_own_fault(probe: Probe) -> None:
    with Resolver(answering("example.org. A 192.0.2.1")) as resolver:
        target = make_target(f"{resolver.at}/example.org")
        was = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, was[1]))
        try:
            result = probe.check(target, SLOT)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, was)
        assert result.outcome is Outcome.AGENT_ERROR
        assert "Too many open files" in str(result.error)
        assert probe.check(target, SLOT).outcome is Outcome.UP


def test_no_check_leaves_a_descriptor_or_anything_that_is_watched(probe: Probe) -> None:
    check_resolver(probe, answering("example.org. A 192.0.2.1"))
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for datagrams, stream, _, _ in HOSTILE.values():
        check_resolver(probe, datagrams, stream, timeout=0.1)
    # The servers' own threads end a moment later.
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before, "all descriptors are closed")  # noqa: PTH208
    assert not probe.loop._sockets


# What may be asked


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("dns://192.0.2.53/www.example.org", ("www.example.org", "A")),
        ("dns://192.0.2.53/WWW.Example.Org.?type=aaaa", ("www.example.org.", "AAAA")),
        ("dns://[::1]:5353/_dmarc.example.org?type=TXT", ("_dmarc.example.org", "TXT")),
        ("dns://ns.example/*.example.org", ("*.example.org", "A")),
        ("dns://ns.example/.?type=NS", (".", "NS")),
        ("dns://ns.example/4.3.2.1.in-addr.arpa?type=PTR", ("4.3.2.1.in-addr.arpa", "PTR")),
        ("dns://ns.example/b\xfccher.example", ("xn--bcher-kva.example", "A")),
    ],
)
def test_a_url_says_what_is_asked(url: str, asked: tuple[str, str]) -> None:
    assert question.read(make_target(url).asked.target) == asked


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("dns://192.0.2.53", "names nothing to ask for; right would be dns://RESOLVER/NAME?type=A"),
        ("dns://192.0.2.53/?type=A", "names nothing to ask for; right would be dns://RESOLVER/NAME?type=A"),
        ("dns://192.0.2.53/a..b", "right would be a valid name behind the resolver, such as www.example.org"),
        ("dns://192.0.2.53/a/b", "right would be a valid name behind the resolver, such as www.example.org"),
        (f"dns://192.0.2.53/{'a' * 64}.b", "right would be a valid name behind the resolver, such as www.example.org"),
        (f"dns://192.0.2.53/{'a.' * 130}", "right would be a valid name behind the resolver, such as www.example.org"),
        ("dns://192.0.2.53/a?type=BOGUS", "asks for no known type; right would be one of A, AAAA, CAA"),
        ("dns://192.0.2.53/a?type=AXFR", "asks for no known type; right would be one of A, AAAA, CAA"),
        ("dns://192.0.2.53/a?type=", "asks for no known type; right would be one of A, AAAA, CAA"),
        ("dns://192.0.2.53/a?kind=A", "right would be ?type=TYPE alone behind the name"),
        ("dns://192.0.2.53/a?type=A&type=MX", "right would be ?type=TYPE alone behind the name"),
        ("dns://192.0.2.53/a?type=A&x=1", "right would be ?type=TYPE alone behind the name"),
        (
            "dns://192.0.2.53/192.0.2.1?type=PTR",
            "asks for an address; right would be the name of it, 1.2.0.192.in-addr.arpa?type=PTR",
        ),
    ],
)
def test_a_url_that_cannot_be_asked_is_told_with_its_line_and_what_would_be_right(
    tmp_path: Path, url: str, right: str
) -> None:
    file = tmp_path / "targets.yml"
    file.write_text(f'targets:\n  - https://www.example.org/\n  - name: r\n    url: "{url}"\n')
    with pytest.raises(UserError) as told:
        check_file(file)
    (line,) = told.value.lines
    assert line.startswith(f"{file}:")
    assert right in line


@pytest.mark.parametrize("of_type", question.TYPES)
def test_every_type_that_may_be_asked_for_is_known_to_the_library(of_type: str) -> None:
    assert dns.rdatatype.to_text(dns.rdatatype.from_text(of_type)) == of_type
