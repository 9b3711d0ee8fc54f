"""The standard health check of gRPC, version 1: one call over HTTP/2, judged by its status and the service's state.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md says what is asked, doc/PROTOCOL-HTTP2.md of the same
place how it looks on the wire. A message of one field each way needs no library of protobuf.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from webmon.check import failure, verdict
from webmon.check.flow import Check, Trace
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Target
from webmon.check.transfer import Head
from webmon.check.url import Url
from webmon.check.verdict import Response, Verdict

if TYPE_CHECKING:
    from webmon.check.probe import Probe

_METHOD: Final = "/grpc.health.v1.Health/Check"
_LIMIT: Final = 64 << 10
"""Bytes of an answer; a good one has 7."""
_FRAME: Final = 5
"""Bytes before a message: whether it is compressed, and its length."""
_STATES: Final = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
"""HealthCheckResponse.ServingStatus."""
_STATUSES: Final = {
    "0": "OK",
    "1": "CANCELLED",
    "2": "UNKNOWN",
    "3": "INVALID_ARGUMENT",
    "4": "DEADLINE_EXCEEDED",
    "5": "NOT_FOUND",
    "6": "ALREADY_EXISTS",
    "7": "PERMISSION_DENIED",
    "8": "RESOURCE_EXHAUSTED",
    "9": "FAILED_PRECONDITION",
    "10": "ABORTED",
    "11": "OUT_OF_RANGE",
    "12": "UNIMPLEMENTED",
    "13": "INTERNAL",
    "14": "UNAVAILABLE",
    "15": "DATA_LOSS",
    "16": "UNAUTHENTICATED",
}
"""What grpc-status may be (doc/statuscodes.md)."""
_VARINT, _BYTES = 0, 2
_SIZES: Final = {_VARINT: 0, 1: 8, _BYTES: 0, 5: 4}
"""Wire types of protobuf, and the bytes of a value of those that have a fixed size."""


class GrpcCheck(Check):
    """One check of a URL of grpc or grpcs."""

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
        asked = target.asked
        self._service = unquote(asked.target.removeprefix("/"))
        self._url = Url("https" if asked.scheme == "grpcs" else "http", asked.host, asked.port, _METHOD)
        self._method, self._body = "POST", request(self._service)
        self._headers = {
            "User-Agent": self._headers["User-Agent"],
            "Content-Type": "application/grpc",
            "TE": "trailers",
        }
        self._http_version = "2 alone"
        self._answer: str | None = None

    def _location(self, head: Head) -> None:
        """Follow no redirect: no client of gRPC does."""

    def _on_body(self, piece: bytes) -> bool:
        self._pieces.append(piece)
        self._body_bytes = (self._body_bytes or 0) + len(piece)
        return self._body_bytes <= _LIMIT

    def _judge(self, head: Head) -> None:
        assert self._handle is not None
        fields = {**head.joined(), **dict(self._handle.trailers())}
        if head.status != 200:
            told = Verdict(Outcome.STATUS_MISMATCH, f"status {head.status}, expected 200")
        elif (fault := self._fault(fields)) is not None:
            told = Verdict(Outcome.READ_ERROR, f"{failure.DOING['transfer']}: {verdict.one_line(fault)}")
        elif self._answer is None:
            refused = self._refused(fields["grpc-status"], unquote(fields.get("grpc-message", "")))
            told = Verdict(Outcome.STATUS_MISMATCH, verdict.one_line(refused))
        elif self._answer != "SERVING":
            told = Verdict(Outcome.BODY_MISMATCH, f"the service is {self._answer}, expected SERVING")
        else:
            told = self._judged(head)
        self._finish(told)

    def _fault(self, fields: Mapping[str, str]) -> str | None:
        """Say why this is no answer to the call; where it is one, and a good one, keep the state that it tells."""
        content_type = fields.get("content-type", "")
        if content_type.lower().partition(";")[0].strip().partition("+")[0] != "application/grpc":
            named = f"its content-type is {content_type!r}" if content_type else "it names no content-type"
            return f"the answer is not one of gRPC: {named}"
        if (self._body_bytes or 0) > _LIMIT:
            return f"the answer is longer than {_LIMIT >> 10} KB"
        if "grpc-status" not in fields:
            return "the answer has no grpc-status"
        if fields["grpc-status"] == "0":
            try:
                number = state(b"".join(self._pieces))
            except ValueError as error:
                return str(error)
            self._answer = _STATES.get(number, f"in a state that is not known ({number})")
        return None

    def _refused(self, status: str, message: str) -> str:
        name = _STATUSES.get(status, repr(status))
        told = f"grpc-status {name}" + (f": {message}" if message else "")
        if name == "UNIMPLEMENTED":
            return f"the server has no health service ({told})"
        if name == "NOT_FOUND":
            what = f"no service {self._service!r}" if self._service else "nothing of itself as a whole"
            return f"the server knows {what} ({told})"
        return f"expected grpc-status OK, came {told}"

    def _judged(self, head: Head) -> Verdict:
        response = Response(
            status=head.status,
            headers=head.joined(),
            body=b"",
            texts=(),
            body_truncated=False,
            response_time=(self._answered_at or 0.0) - (self._first_sent or 0.0),
            certificate_left=self._ends - self._probe.now() if self._ends else None,
        )
        if self._trace is not None:
            self._trace.last = response
        return verdict.of_response(self._target.expect, response, regex_match=None)

    def _found(self) -> dict[str, Any]:
        return {**super()._found(), "answer": self._answer}


def request(service: str) -> bytes:
    """Give the body that asks for a service: a frame with a HealthCheckRequest."""
    name = service.encode()
    message = bytes([1 << 3 | _BYTES]) + _as_varint(len(name)) + name if name else b""
    return bytes(1) + len(message).to_bytes(4) + message


def state(body: bytes) -> int:
    """Give the number of the state that a body tells: a frame with a HealthCheckResponse.

    Raises:
        ValueError: it is none; says in plain words what is wrong.
    """
    if body[:1] == b"\1":
        raise ValueError("the answer is compressed, which was not asked for")
    message = body[_FRAME:]
    if len(body) < _FRAME or body[0] or int.from_bytes(body[1:_FRAME]) != len(message):
        raise ValueError(f"the answer of {len(body)} bytes is not one message of gRPC")
    try:
        return _first_number(message)
    except (ValueError, IndexError):
        raise ValueError(f"the answer of {len(body)} bytes is none of a health check") from None


def _first_number(message: bytes) -> int:
    """Give what field 1 holds; 0 where it is not there (https://protobuf.dev/programming-guides/encoding/)."""
    at = found = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, wire_type = tag >> 3, tag & 7
        if field == 0 or wire_type not in _SIZES:
            raise ValueError
        if wire_type == _VARINT:
            value, at = _varint(message, at)
            found = value if field == 1 else found
        else:
            size = _SIZES[wire_type]
            if wire_type == _BYTES:
                size, at = _varint(message, at)
            at += size
    if at > len(message):
        raise ValueError
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Give a number, and where the next begins."""
    value = 0
    for place in range(10):
        byte = message[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError


def _as_varint(value: int) -> bytes:
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*written, value))
