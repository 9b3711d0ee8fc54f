"""How a check of each kind is made, beside those of HTTP (webmon/check/flow.py): one file a kind, or a few like it.

Called by the probe alone, in the loop's thread: nothing here blocks. What a kind's URLs and keys are stands in
webmon/check/kind.py; what all checks share, from the name to the result, in webmon/check/course.py.
"""

from typing import Final

from webmon.check.course import Course
from webmon.check.flow import Check
from webmon.check.kind import HTTP, MAIL, WEBSOCKET
from webmon.check.kinds.command import CommandCheck
from webmon.check.kinds.dns import DnsCheck
from webmon.check.kinds.grpc import GrpcCheck
from webmon.check.kinds.icmp import IcmpCheck
from webmon.check.kinds.stream import Stream
from webmon.check.kinds.websocket import WebSocket

_COURSES: Final[dict[str, type[Course]]] = {
    **dict.fromkeys(HTTP, Check),
    **dict.fromkeys(("tcp", "tls", *MAIL), Stream),
    **dict.fromkeys(WEBSOCKET, WebSocket),
    "dns": DnsCheck,
    "icmp": IcmpCheck,
    "grpc": GrpcCheck,
    "grpcs": GrpcCheck,
    "command": CommandCheck,
}


def course_of(kind: str) -> type[Course]:
    """Give what makes checks of a kind."""
    return _COURSES[kind]
