"""Snapshots that nobody read: of few and many targets, well and not, with names that a hostile person gives, too."""

import random
import uuid
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from webmon.alarm.match import Match
from webmon.check.result import Outcome
from webmon.page.file import Entry, Group, Public
from webmon.page.slug import slug
from webmon.page.snapshot import (
    BARS,
    RESPONSE_WINDOWS,
    WINDOWS,
    Agent,
    AgentSaid,
    Announcement,
    Day,
    Episode,
    Fleet,
    History,
    Look,
    Maintenance,
    Notice,
    Phases,
    Responses,
    Seen,
    Silence,
    Sink,
    Snapshot,
    Tally,
    Target,
    Vantage,
    Window,
)

NOW: Final = datetime(2026, 11, 28, 14, 2, 10, tzinfo=UTC)
VANTAGES: Final = ("amsterdam", "frankfurt", "oslo")

HOSTILE: Final = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; DROP TABLE targets; --",
    "]]><![CDATA[<x>",
    "</title></svg><script>alert(1)</script>",
    "{{7*7}}${7*7}<%= 7*7 %>",
    '=HYPERLINK("https://evil.example")',
    "name\r\nSet-Cookie: a=b",
    "../../etc/passwd",
    "a\u202eexe.txt\u2066",
    "\x1b[2J\x07\x00end",
    "&amp;&lt;&#x27;",
    "javascript:alert(1)",
    "\ud7ff\uffff\U000e0041",
)
"""What a stranger may call something, or answer."""
LONG: Final = ("An unusually long name of a service that nobody would like to read in a table " * 3)[:200]
WIDE: Final = "W" * 200
RIGHT_TO_LEFT: Final = ("متجر الكتب الإلكتروني", "שירות התשלומים", "فروشگاه (آزمایشی) v2")
OTHERS: Final = ("Überwachung", "магазин", "東京のサーバー", "🚀 launch", "e\u0301te\u0301")


def vantage(name: str = "oslo", outcome: Outcome = Outcome.UP, *, age: float = 12, **changes: Any) -> Vantage:
    """Give what a vantage saw, some seconds before NOW."""
    failed = outcome.is_down or outcome is Outcome.AGENT_ERROR
    values: dict[str, Any] = {
        "name": name,
        "outcome": outcome,
        "time": NOW - timedelta(seconds=age),
        "interval": 60.0,
        "http_status": None if failed else 200,
        "error": "connecting: Connection refused" if failed else None,
        "response": None if failed else 1.6 if outcome is Outcome.SLOW else 0.123,
        "total": 0.2,
        "phases": Phases(0.004, 0.011) if failed else Phases(0.004, 0.011, 0.024, 0.084, 0.006),
        "remote_ip": "192.0.2.7",
        "http_version": None if failed else "2",
        "tls_version": None if failed else "TLSv1.3",
        "certificate_ends": None if failed else NOW + timedelta(days=62),
    }
    return Vantage(**(values | changes))


def tally(days: float, *, down: float = 0, slow: float = 0, watched: float = 1, maintenance_hours: float = 0) -> Tally:
    """Give what three vantages find each minute of some days; shares of the checks, and of the time."""
    owed = len(VANTAGES) * (days * 86_400 - maintenance_hours * 3600)
    told = round(owed * watched / 60)
    bad = round(told * down)
    return Tally(
        up=told - bad,
        slow=round((told - bad) * slow),
        down=bad,
        covered_secs=told * 60.0,
        owed_secs=owed,
        maintenance_secs=len(VANTAGES) * maintenance_hours * 3600,
    )


def days(*, down: float = 0, slow: float = 0, known: int = BARS, seed: int = 1) -> list[Day]:
    """Give 90 days: of some a share was down or slow, of some not all was watched, one had maintenance."""
    chance = random.Random(seed)
    found = []
    for ago in range(known - 1, -1, -1):
        length = 1.0 if ago else (NOW - datetime(NOW.year, NOW.month, NOW.day, tzinfo=UTC)).total_seconds() / 86_400
        bad = down if ago == 0 else chance.choice([0, 0, 0, 0, 0, 0.001, 0.02, 0.4]) * (chance.random() < 0.4)
        watched = chance.choice([1, 1, 1, 1, 1, 0.993, 0.6])
        work = 2.0 if ago % 28 == 13 else 0.0
        found.append(
            Day(
                NOW.date() - timedelta(days=ago),
                tally(length, down=bad, slow=slow, watched=watched, maintenance_hours=work),
            )
        )
    return found


def target(name: str = "shop", outcomes: Sequence[Outcome] = (Outcome.UP,) * 3, **changes: Any) -> Target:
    """Give a target as its vantages saw it last."""
    ours = days(down=0.03 if any(outcome.is_down for outcome in outcomes) else 0, seed=len(name))
    values: dict[str, Any] = {
        "name": name,
        "url": f"https://{name}.example.org/" if name.isascii() and name.isalnum() else "https://example.org/health",
        "labels": {"team": "shop"},
        "first_seen": NOW - timedelta(days=400),
        "vantages": [vantage(where, outcome) for where, outcome in zip(VANTAGES, outcomes, strict=False)],
        "uptime": [
            Window(
                days=length,
                since=(NOW - timedelta(days=length)).replace(minute=0, second=0),
                tally=tally(length, down=0.0002 * (length > 1), watched=0.998, maintenance_hours=2.0 * (length > 7)),
            )
            for length in WINDOWS
        ],
        "responses": [
            Responses(days=length, count=4320 * length, p50=0.118, p95=0.245, p99=0.81, most=2.4)
            for length in RESPONSE_WINDOWS
        ],
        "days": ours,
    }
    return Target(**(values | changes))


def episode(subject: str = "shop", condition: str = "down", *, ago: float = 900, **changes: Any) -> Episode:
    """Give one that goes on, begun some seconds before NOW."""
    since = NOW - timedelta(seconds=ago)
    values: dict[str, Any] = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{subject} {condition} {ago}")),
        "condition": condition,
        "subject": subject,
        "severity": "critical" if condition == "down" else "warning",
        "since": since,
        "opened": since + timedelta(seconds=125),
        "url": "https://shop.example.org/",
        "labels": {"team": "shop"},
        "detail": "connecting: Connection refused",
        "seen": [Seen(name, "connect_error", "connecting: Connection refused") for name in VANTAGES],
        "voters": 3,
    }
    return Episode(**(values | changes))


def ended(subject: str = "shop", *, ago: float = 86_400, lasted: float = 1380, **changes: Any) -> Episode:
    """Give one that is over."""
    end = NOW - timedelta(seconds=ago - lasted)
    return episode(subject, ago=ago, ended=end, closed=end + timedelta(seconds=120), **changes)


def maintenance(match: str = "shop", *, begins: float = -3600, lasts: float = 7200, **changes: Any) -> Maintenance:
    """Give a time of maintenance: when it begins, in seconds from NOW, and how long it lasts."""
    start = NOW + timedelta(seconds=begins)
    values: dict[str, Any] = {
        "id": f"work-{slug(match)}-{begins:g}",
        "name": "New database",
        "match": match,
        "begins": start,
        "until": start + timedelta(seconds=lasts),
        "by": "kim",
        "reason": "the old one is full",
        "public": True,
    }
    return Maintenance(**(values | changes))


def announcement(title: str = "We are looking into it", *, ago: float = 600, **changes: Any) -> Announcement:
    """Give what somebody told the readers some seconds before NOW."""
    values: dict[str, Any] = {
        "id": f"note-{ago:g}",
        "title": title,
        "text": "The provider has trouble with its network.",
        "begins": NOW - timedelta(seconds=ago),
        "by": "kim",
    }
    return Announcement(**(values | changes))


def notice(of: Episode, **changes: Any) -> Notice:
    """Give a message that nobody got."""
    values: dict[str, Any] = {
        "id": "00000000-0000-5000-8000-0000000000aa",
        "episode": of.id,
        "channel": "mail",
        "event": "opened",
        "made": of.opened,
        "due": of.opened,
        "state": "waiting",
    }
    return Notice(**(values | changes))


def silence(match: str = "shop", **changes: Any) -> Silence:
    """Give one that is on."""
    values: dict[str, Any] = {
        "id": f"silence-{match}",
        "match": match,
        "begins": NOW - timedelta(hours=1),
        "until": NOW + timedelta(hours=1),
        "by": "kim",
        "reason": "known",
    }
    return Silence(**(values | changes))


def said(name: str, *, ago: float = 8, **changes: Any) -> AgentSaid:
    """Give what an agent said of itself some seconds before NOW."""
    values: dict[str, Any] = {"version": "1.4.0", "waiting": 2, "certificate_ends": NOW + timedelta(days=300)}
    return AgentSaid(name=name, at=NOW - timedelta(seconds=ago), **(values | changes))


def sink(name: str, *, ago: float = 4, **changes: Any) -> Sink:
    """Give what a sink said of itself some seconds before NOW."""
    values: dict[str, Any] = {
        "version": "1.4.0",
        "since": NOW - timedelta(days=3),
        "waiting": 0,
        "stored_at": NOW - timedelta(seconds=5),
        "certificate_ends": NOW + timedelta(days=300),
    }
    return Sink(name=name, at=NOW - timedelta(seconds=ago), **(values | changes))


def fleet(**changes: Any) -> Fleet:
    """Give three vantages that are well."""
    agents = [
        Agent(
            name=name,
            first_seen=NOW - timedelta(days=400),
            newest=NOW - timedelta(seconds=3),
            targets=3,
            said=said(name),
        )
        for name in VANTAGES
    ]
    newest = NOW - timedelta(seconds=3)
    values: dict[str, Any] = {"agents": agents, "newest": newest, "marked_hours": 3, "schema": 9}
    values["sinks"] = [sink("sink1"), sink("sink2", waiting=4711)]
    return Fleet(**(values | changes))


def snapshot(targets: Sequence[Target] = (), history: History | None = None, **changes: Any) -> Snapshot:
    """Give a snapshot of NOW."""
    values: dict[str, Any] = {
        "as_of": NOW,
        "refresh_secs": 10.0,
        "targets": sorted(targets, key=lambda one: one.name),
        "history": History(as_of=NOW) if history is None else history,
        "fleet": fleet(),
    }
    return Snapshot(**(values | changes))


def many(number: int, state: str = "well") -> Snapshot:
    """Give a snapshot of so many targets.

    Args:
        number: 3, 50, 500 or any other.
        state: `well`, `one down`, `unknown` (nothing is newer than two hours), or `maintenance` (of all, until 16:02).
    """
    names = [f"service-{place:03}" for place in range(1, number + 1)]
    history = History(as_of=NOW, episodes=[ended(names[0], ago=86_400.0 * ago) for ago in (2, 9, 40)])
    targets = [target(name, labels={"team": "ABC"[place % 3]}) for place, name in enumerate(names)]
    if state == "one down":
        targets[0] = target(names[0], [Outcome.CONNECT_ERROR] * 3)
        now_down = episode(names[0])
        history.episodes.insert(0, now_down)
        history.announcements.append(announcement(episode=now_down.id))
        history.notices.append(notice(now_down))
    elif state == "unknown":
        for one in targets:
            one.vantages = [vantage(where, age=7200) for where in VANTAGES]
    elif state == "maintenance":
        history.maintenance.append(maintenance("*"))
        targets[0] = target(names[0], [Outcome.CONNECT_ERROR] * 3)
    elif state != "well":
        raise ValueError(state)
    return snapshot(targets, history)


def strange() -> Snapshot:
    """Give a snapshot whose every text is long, right-to-left or hostile."""
    names = [*HOSTILE, LONG, WIDE, *RIGHT_TO_LEFT, *OTHERS]
    targets = []
    for place, name in enumerate(names):
        odd = HOSTILE[place % len(HOSTILE)]
        one = target(name, [Outcome.STATUS_MISMATCH, Outcome.UP, Outcome.CONNECT_ERROR])
        one.labels = {odd: odd, "team": LONG}
        one.url = f"https://example.org/{odd}"
        for seen in one.vantages:
            seen.error, seen.answer, seen.name = odd, odd, f"{seen.name} {odd}"
        targets.append(one)
    episodes = [
        episode(name, detail=odd, reason=odd, ack_by=odd, ack_at=NOW, ack_note=odd, seen=[Seen(odd, odd, odd)])
        for name, odd in zip(names, HOSTILE * 2, strict=False)
    ]
    odd = HOSTILE[1]
    history = History(
        as_of=NOW,
        episodes=episodes,
        notices=[notice(episodes[0], channel=odd)],
        silences=[silence(odd, by=odd, reason=odd)],
        maintenance=[maintenance("*", begins=3600, name=odd, by=odd, reason=odd)],
        announcements=[
            announcement(odd, text=odd, by=odd, episode=episodes[0].id),
            announcement(odd, ago=60, text=odd),
        ],
    )
    agents = [
        Agent(name=odd, first_seen=NOW, newest=NOW, said=said(odd, version=odd[:50]))
        for odd in (*HOSTILE, LONG, *RIGHT_TO_LEFT)
    ]
    sinks = [sink(odd, version=odd[:50], dead_letters=1, dead_letter_at=NOW, dead_letter_reason=odd) for odd in HOSTILE]
    return snapshot(targets, history, fleet=fleet(agents=agents, sinks=sinks))


def page_file(*groups: Group, title: str = "Example status") -> Public:
    """Give what is public; without groups, every target."""
    ours = groups or (Group("Services", "services", match=Match(("*",)), show=frozenset({"response", "vantages"})),)
    return Public(title, ours, {entry.target: entry for group in ours for entry in group.entries})


def by_team() -> Public:
    """Give what is public, in three groups, with one target under another name."""
    return page_file(
        Group("Shop", "shop", (Entry("service-001", "Checkout", "checkout"),), Match(labels={"team": "A"})),
        Group("API", "api", match=Match(labels={"team": "B"}), show=frozenset({"response"})),
        Group("Internal", "internal", match=Match(labels={"team": "C"}), show=frozenset({"vantages", "error", "url"})),
    )


def look(of: Snapshot, **changes: Any) -> Look:
    """Give what the collector has."""
    values: dict[str, Any] = {"snapshot": of, "number": 1}
    return Look(**(values | changes))


def today() -> date:
    """Give the day of NOW."""
    return NOW.date()
