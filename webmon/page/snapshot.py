"""One snapshot: what the store held at one moment, which both faces of the page are made from.

Times are UTC. Whatever came from a target or an agent (names, labels, URLs, errors, answers) is text of a stranger's.
"""

from datetime import date, datetime
from typing import Final, Literal

import msgspec

from webmon.check.kind import kind_of
from webmon.check.result import Outcome

FORMAT: Final = 1
"""Of the snapshot on disk; one of another format is not read."""
WINDOWS: Final = (1, 7, 30, 90, 365)
"""Days of the spans that uptimes are told of."""
RESPONSE_WINDOWS: Final = (1, 7, 30)
"""Days of the spans that percentiles of response times are told of."""
BARS: Final = 90
"""Days that have a bar."""


class Tally(msgspec.Struct, array_like=True):
    """What the checks of a span found, added up over the vantages of a target; maintenance is not in it."""

    up: int = 0
    """Slow ones too."""
    slow: int = 0
    down: int = 0
    agent_error: int = 0
    covered_secs: float = 0.0
    """Of `owed_secs`, those that results tell of."""
    owed_secs: float = 0.0
    """What the vantages owed, had each given every result of its schedule."""
    maintenance_secs: float = 0.0
    """What was maintenance in the span, over the vantages: beside `owed_secs`, and not in it."""

    @property
    def told(self) -> int:
        """How many checks say something of the target."""
        return self.up + self.down

    @property
    def uptime(self) -> float | None:
        """The share of those that found it up; None where none says anything."""
        return self.up / self.told if self.told else None

    @property
    def watched(self) -> float:
        """The share of the time that was watched, maintenance aside."""
        return self.covered_secs / self.owed_secs if self.owed_secs else 0.0

    @property
    def maintenance(self) -> float:
        """The share of the time that was maintenance."""
        whole = self.owed_secs + self.maintenance_secs
        return self.maintenance_secs / whole if whole else 0.0


class Window(msgspec.Struct, kw_only=True):
    """The uptime of a span that ends with the snapshot."""

    days: int
    """One of WINDOWS."""
    since: datetime
    """The whole hour that it begins with, as with `webmon uptime`."""
    tally: Tally


class Responses(msgspec.Struct, kw_only=True):
    """The response times of a span that ends with the snapshot: seconds, percentiles within 5 %."""

    days: int
    """One of RESPONSE_WINDOWS."""
    count: int = 0
    """Where it is 0, the times say nothing."""
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    most: float = 0.0


class Day(msgspec.Struct, array_like=True):
    """One day (UTC) of a target; the last one goes until the snapshot."""

    day: date
    tally: Tally


class Phases(msgspec.Struct, array_like=True, frozen=True):
    """Seconds that each phase of a check took; None where it was not reached."""

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None
    transfer: float | None = None


class Vantage(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The newest result of one vantage for one target."""

    name: str
    outcome: Outcome
    time: datetime
    """When the check began."""
    interval: float
    """Seconds between two checks."""
    http_status: int | None = None
    answer: str | None = None
    """What came where the target is not HTTP."""
    error: str | None = None
    response: float | None = None
    """Seconds."""
    total: float = 0.0
    """Seconds of the whole check."""
    phases: Phases = Phases()
    redirects: int = 0
    remote_ip: str | None = None
    http_version: str | None = None
    tls_version: str | None = None
    certificate_ends: datetime | None = None


class Target(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One target."""

    name: str
    url: str
    labels: dict[str, str] = {}
    first_seen: datetime
    vantages: list[Vantage] = []
    """By name; one that has been silent for hours while others go on is none any more."""
    uptime: list[Window] = []
    """One for each of WINDOWS."""
    responses: list[Responses] = []
    """One for each of RESPONSE_WINDOWS."""
    days: list[Day] = []
    """The last BARS days, the oldest first, without those in which nothing was owed."""

    @property
    def kind(self) -> str:
        """The kind of probe."""
        return kind_of(self.url)


class Seen(msgspec.Struct, omit_defaults=True):
    """What a vantage saw when an episode began."""

    vantage: str
    outcome: str
    error: str | None = None
    http_status: int | None = None


class Episode(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One time that a condition held for a subject, as the judge tells it (webmon/alarm/records.py)."""

    id: str
    condition: str
    subject: str
    """A target, a vantage, a group of targets (`label=value`, or `*` for all), or a part of our own."""
    severity: str
    since: datetime
    opened: datetime
    ended: datetime | None = None
    closed: datetime | None = None
    reason: str = ""
    url: str = ""
    labels: dict[str, str] = {}
    detail: str = ""
    seen: list[Seen] = []
    voters: int = 0
    days: int | None = None
    not_after: datetime | None = None
    held: str = ""
    under: str = ""
    late: bool = False
    ack_by: str = ""
    ack_at: datetime | None = None
    """None: nobody has it in hand."""
    ack_note: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.closed is None


class Notice(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message that was not delivered: it waits, or its receiver refused it."""

    id: str
    episode: str
    channel: str
    event: str
    step: int = 0
    made: datetime
    due: datetime
    state: str
    """`waiting` or `failed`."""
    at: datetime | None = None


class Silence(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Some targets are not told of until a time."""

    id: str
    match: str
    """A shell pattern of the whole name, or `label=value`."""
    begins: datetime
    until: datetime
    by: str = ""
    reason: str = ""


class Maintenance(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Some targets are worked on until a time."""

    id: str
    name: str = ""
    match: str
    """As of a silence."""
    begins: datetime
    until: datetime
    by: str = ""
    reason: str = ""
    public: bool = False


class Announcement(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What somebody tells the readers of the page."""

    id: str
    title: str
    text: str = ""
    begins: datetime
    until: datetime | None = None
    by: str = ""
    episode: str = ""
    """The incident whose timeline it is written into."""


class History(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What the judge wrote into the database."""

    as_of: datetime | None = None
    """When it last wrote; None: never."""
    episodes: list[Episode] = []
    """Those that go on, and of the others the newest of BARS days; the newest first."""
    notices: list[Notice] = []
    silences: list[Silence] = []
    """Those that are not over."""
    maintenance: list[Maintenance] = []
    """Those to come, and those of a year; the oldest first."""
    announcements: list[Announcement] = []
    """Of BARS days; the newest first."""
    fault: str = ""
    """What of it can't be read, and is left out; one line for operators."""


class AgentSaid(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How an agent was, as it said itself."""

    name: str
    at: datetime
    version: str
    waiting: int | None = None
    """Results in its outbox."""
    certificate_ends: datetime | None = None
    """Of its certificate for Kafka; None where a password stands for it, or it can't be used."""


class Sink(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How a sink was, as it said itself."""

    name: str
    at: datetime
    version: str
    since: datetime | None = None
    """When the process began."""
    waiting: int | None = None
    """Messages on its partitions, its lag; None while it does not know, as when Kafka is away."""
    stored_at: datetime | None = None
    """When it last stored results."""
    dead_letters: int = 0
    """That it wrote since it began."""
    dead_letter_at: datetime | None = None
    dead_letter_reason: str = ""
    """Of the newest, which may be older than the process."""
    certificate_ends: datetime | None = None


class Agent(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A vantage of the fleet."""

    name: str
    first_seen: datetime
    newest: datetime | None = None
    """When its newest check of any target began; None: none of the last day."""
    targets: int = 0
    """How many it has checked in the last day."""
    failing: int = 0
    """How many of these it sees down."""
    agent_errors: int = 0
    """Of how many its newest result is an agent_error."""
    said: AgentSaid | None = None
    """None: it is of a release that says nothing, or the store has no place for it."""


class Fleet(msgspec.Struct, kw_only=True, omit_defaults=True, frozen=True):
    """What the store knows of webmon itself."""

    agents: list[Agent] = []
    sinks: list[Sink] | None = None
    """By name; None: the store has no place for them."""
    newest: datetime | None = None
    """When the newest check began: how far behind agents, Kafka and sinks are."""
    marked_hours: int = 0
    """Hours of vantages that wait to be rolled up."""
    oldest_mark: datetime | None = None
    schema: int = 0
    """Version of the store's schema."""
    rows_since: datetime | None = None
    """Before this single results may have been dropped."""
    days_since: datetime | None = None
    """Before this nothing is kept."""


class Snapshot(msgspec.Struct, kw_only=True):
    """All that was read at one moment."""

    format: Literal[1] = FORMAT
    as_of: datetime
    """By the database's clock."""
    refresh_secs: float
    """Seconds to the next one, if all is well."""
    targets: list[Target] = []
    """By name."""
    history: History | None = None
    """None: the schema is older, and has none."""
    fleet: Fleet = Fleet()


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the collector has at the moment: the last snapshot, and why there is no newer one."""

    snapshot: Snapshot | None = None
    trouble: str = ""
    """One line for operators; empty: the last refresh went well."""
    trouble_since: datetime | None = None
    from_disk: bool = False
    """Whether the snapshot is of a former start."""
    number: int = 0
    """Grows with each snapshot."""


class Point(msgspec.Struct, array_like=True):
    """One result in a chart."""

    time: datetime
    outcome: Outcome
    response: float | None
    """Seconds."""
    phases: Phases


class Chart(msgspec.Struct, kw_only=True):
    """The last hours of a target, for the operator: asked for one target at a time (webmon/page/chart.py)."""

    since: datetime
    until: datetime
    vantages: dict[str, list[Point]] = {}
    """Each vantage's results, the oldest first."""
    errors: list[tuple[datetime, str, str, str]] = []
    """Time, vantage, outcome and error of the last ones that have one, the newest first."""
