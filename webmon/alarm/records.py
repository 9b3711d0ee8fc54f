"""What the alarm log holds: each record under its key, as one JSON object; and the ids, made from what happened.

Times are whole milliseconds since the epoch (UTC), as Kafka's own.
"""

import uuid
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from webmon.alarm.conditions import Condition, Severity

Milliseconds = int

ID_LIMIT: Final = 100
"""Characters of an id that a person or a program gives."""
LINE_LIMIT: Final = 1000
"""Characters of a name, a reason or a note."""
TITLE_LIMIT: Final = 200
TEXT_LIMIT: Final = 10_000
"""Characters of what readers of the page are told."""

_NAMESPACE: Final = uuid.UUID("2f7b5f3e-4f0c-5f43-9a43-6d6f6e2d616c")


def make_id(*parts: object) -> str:
    """Give the id (UUID 5, RFC 9562) of what these parts name; the same parts give the same id for ever."""
    return str(uuid.uuid5(_NAMESPACE, "\0".join(map(str, parts))))


Held = Literal["", "maintenance", "silence", "flapping", "vantage", "partition", "parent", "many", "behind"]
"""Why an opening is not told for now."""
Event = Literal["opened", "changed", "reminder", "ended", "over"]
"""`changed`: a certificate passed its next step; `over`: it ended before it could be told, so one has both times."""
State = Literal["waiting", "sent", "failed", "dropped"]
"""Of a notice: a receiver is still to take it, took it, refused it for good, or it is not sent any more."""


class Seen(msgspec.Struct, omit_defaults=True):
    """What a vantage saw of a target."""

    vantage: str
    outcome: str
    error: str | None = None
    http_status: int | None = None


class Ack(msgspec.Struct, omit_defaults=True):
    """That somebody has it in hand."""

    by: str
    at: Milliseconds
    note: str = ""


class Episode(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One time that a condition held for a subject."""

    id: str
    condition: Condition
    subject: str
    """A target, a vantage, a group of targets (`label=value`, or `*` for all), or a part of our own."""
    severity: Severity
    since: Milliseconds
    """Begin of the first failure."""
    opened: Milliseconds
    """When that was judged, by the arrival of the result or by the clock."""
    url: str = ""
    labels: dict[str, str] = {}
    detail: str = ""
    seen: list[Seen] = []
    voters: int = 0
    """Vantages that were asked; those that failed stand in `seen`."""
    ended: Milliseconds | None = None
    """Begin of the first up."""
    closed: Milliseconds | None = None
    reason: str = ""
    """Why it ended, where nothing got well: `down` opened, the target was `removed`, `gone` for a week, or is up
    with `no certificate`."""
    days: int | None = None
    """The step that a certificate passed last."""
    not_after: Milliseconds | None = None
    """When the certificate ends."""
    threshold: int = 0
    """Of a group: how many made it one."""
    excludes: bool = False
    """Whether a vantage's votes do not count meanwhile."""
    held: Held = ""
    under: str = ""
    """The episode that it hangs under."""
    judged: Milliseconds = 0
    """The judge's clock when it was opened."""
    late: bool = False
    """Whether it is told late, as nobody judged meanwhile."""
    ack: Ack | None = None
    steps: list[tuple[Milliseconds, list[str]]] = []
    """Who is told after how long; as the rules said when it was first told."""
    next_step: int = 0
    first_taken: Milliseconds | None = None
    """When the first receiver took a message of it, from which on steps are counted; where the first step tells nobody,
    when it would have; where it changed, when it did.
    """
    told_at: Milliseconds | None = None
    """When a message was last taken, or a reminder last due."""
    reminders: int = 0
    changed: bool = False
    """Whether it is still to be told that it changed, as nothing is told of it for now."""
    partition: int = -1
    offset: int = -1
    """The result that changed it last; -1: the clock did, and the partition is where a target was last heard of."""

    @property
    def key(self) -> str:
        """Its key in the log."""
        return f"episode/{self.id}"

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.closed is None


class Notice(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What one channel is to be told of one episode; notices of one group are one message."""

    id: str
    episode: str
    channel: str
    event: Event
    step: int = 0
    made: Milliseconds
    due: Milliseconds
    group: str
    """The message that it is a part of; what a receiver tells repeats by."""
    window: Milliseconds = 0
    """When the group's window began; 0: it waits for nothing."""
    state: State = "waiting"
    at: Milliseconds | None = None
    """When it was taken or refused."""
    to: str | None = None
    """Whom it was sent to, as the sender wrote it down; an ending goes there again."""
    instead_of: str = ""
    """The channel that refused it, whose fallback this is."""

    @property
    def key(self) -> str:
        """Its key in the log."""
        return f"notice/{self.id}"


class Silence(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Some targets are not told of until a time."""

    id: str
    match: str
    """A shell pattern of the whole name, or `label=value`."""
    begins: Milliseconds
    until: Milliseconds
    by: str = ""
    reason: str = ""

    @property
    def key(self) -> str:
        """Its key in the log."""
        return f"silence/{self.id}"


class Maintenance(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Some targets are worked on until a time."""

    id: str
    match: str
    """As of a silence, or as webmon.alarm.match.Match.texts has it."""
    begins: Milliseconds
    until: Milliseconds
    by: str = ""
    reason: str = ""
    public: bool = False
    name: str = ""
    """Of a window of the rules file, which is here for those who read it; the judge asks the rules."""

    @property
    def key(self) -> str:
        """Its key in the log."""
        return f"maintenance/{self.id}"


class Announcement(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What is told to the readers of a page; the judge only keeps it."""

    id: str
    title: str
    text: str = ""
    begins: Milliseconds
    until: Milliseconds | None = None
    by: str = ""
    episode: str = ""
    """The incident whose timeline it is written into."""

    @property
    def key(self) -> str:
        """Its key in the log."""
        return f"announcement/{self.id}"


class Certificates(msgspec.Struct, omit_defaults=True, kw_only=True):
    """How long a target's certificates live, where that leaves out a step: no result says it, so only who saw one come
    knows it. For the judges alone; a judge of a release without it leaves it where it is.
    """

    target: str
    lifetimes: dict[Milliseconds, Milliseconds] = {}
    """By when they end."""

    @property
    def key(self) -> str:
        """Its key in the log."""
        return f"certificates/{make_id('certificates', self.target)}"


Record = Episode | Notice | Silence | Maintenance | Announcement
"""What history has, too."""
AnyRecord = Record | Certificates


class Change(NamedTuple):
    """A record as the log is to hold it from now on; None: no more."""

    key: str
    value: bytes | None


_KINDS: Final[Mapping[str, type[AnyRecord]]] = {
    "episode": Episode,
    "notice": Notice,
    "silence": Silence,
    "maintenance": Maintenance,
    "announcement": Announcement,
    "certificates": Certificates,
}
_encoder: Final = msgspec.json.Encoder()
_decoders: Final = {kind: msgspec.json.Decoder(type_) for kind, type_ in _KINDS.items()}


def encode(record: AnyRecord) -> bytes:
    """Give a record's value."""
    return _encoder.encode(record)


def decode(key: str, value: bytes) -> AnyRecord:
    """Read the record under a key.

    Raises:
        ValueError: records have no such key.
        msgspec.MsgspecError: the value is no record of that kind.
    """
    kind = key.partition("/")[0]
    if kind not in _KINDS:
        raise ValueError(f"{kind[:50]!r} is no kind of record")
    return _decoders[kind].decode(value)


def read(pairs: Iterable[tuple[str, bytes | None]]) -> list[AnyRecord]:
    """Give the records of a log, the newest under each key, in the order of their first appearance.

    Keys of another kind (`position`, `epoch`) are left to who writes them.

    Raises:
        msgspec.DecodeError: a value is no record of its kind.
    """
    newest: dict[str, bytes] = {}
    for key, value in pairs:
        if value is None:
            newest.pop(key, None)
        elif key.partition("/")[0] in _KINDS:
            newest[key] = value
    return [_decoders[key.partition("/")[0]].decode(value) for key, value in newest.items()]
