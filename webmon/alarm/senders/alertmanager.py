"""Alertmanager's API v2, as it wants to be told: all that lasts, again and again, at each of its peers.

https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml. An alert that is not told again ends by itself
at its endsAt, two minutes ahead; so what ended is told for some minutes more, with its end. What an alert is told by,
its labels and its startsAt, never changes; severity, counts and errors are annotations.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from webmon.alarm.channels import Alertmanager
from webmon.alarm.notice import Notice
from webmon.alarm.senders import message
from webmon.alarm.senders.answer import DEADLINE, Answer, again, failed, side_by_side, taken
from webmon.alarm.senders.http import Poster
from webmon.render import printable

EVERY_SECS: Final = 30.0
"""Seconds from one time that all is told to the next."""
ENDED_SECS: Final = 300.0
"""Seconds that what ended is told with its end."""
LASTS: Final = timedelta(minutes=2)
"""How long an alert lasts that is not told again."""
_PATH: Final = "/api/v2/alerts"
_NAMES: Final = {
    "down": "WebmonDown",
    "partial": "WebmonPartlyDown",
    "slow": "WebmonSlow",
    "certificate": "WebmonCertificate",
    "no_data": "WebmonNoData",
    "flapping": "WebmonFlapping",
    "vantage_silent": "WebmonVantageSilent",
    "vantage_at_fault": "WebmonVantageAtFault",
    "many_down": "WebmonManyDown",
    "monitor": "WebmonMonitor",
}
WATCHDOG: Final = "WebmonWatchdog"
"""What is told as long as results are judged and alarms are told: its absence is the alarm."""
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_BATCH: Final = 500
"""Alerts in one request."""


class AlertmanagerSender:
    """Tells each peer of one cluster."""

    def __init__(self, way: Alertmanager, authority: Path | None = None, deadline: float = DEADLINE) -> None:
        """Take the peers; it raises as Poster."""
        self._deadline = deadline
        self._peers = [
            Poster(url.rstrip("/").removesuffix(_PATH) + _PATH, authority, deadline=deadline) for url in way.urls
        ]

    def send(self, notice: Notice, only: tuple[str, ...] = ()) -> Answer:  # noqa: ARG002 (peers tell each other)
        """Tell of one episode."""
        return self.post([notice])

    def post(self, notices: Iterable[Notice], *, watchdog: bool = False, now: datetime | None = None) -> Answer:
        """Tell of all episodes that last, and of those that ended less than ENDED_SECS ago.

        It is `taken` where one peer took all of it: they tell each other. What the others said is told as well.

        Args:
            notices: the newest of each episode; `until` tells that it ended.
            watchdog: whether WebmonWatchdog is told, too.
            now: the moment; None: this one.
        """
        now = now or datetime.now(UTC)
        alerts = [alert(notice, now) for notice in notices]
        if watchdog:
            alerts.append(_dated({"alertname": WATCHDOG}, {}, now, now + LASTS))
        # Side by side: one that hangs may not let alerts end at the others.
        until = time.monotonic() + self._deadline
        answers = side_by_side([partial(self._tell, peer, alerts, until) for peer in self._peers])
        said = "; ".join(f"{peer.host}: {answer.said}" for peer, answer in zip(self._peers, answers, strict=True))
        refused = tuple(
            f"{peer.host}: {answer.said}"
            for peer, answer in zip(self._peers, answers, strict=True)
            if answer.state == "failed"
        )
        if any(answer.state == "taken" for answer in answers):
            return taken(said, refused)
        if due := [answer for answer in answers if answer.state == "again"]:
            waits = [answer.after for answer in due if answer.after is not None]
            # Who did not say how long is asked again soon.
            return again(said, min(waits) if len(waits) == len(due) else None, refused=refused)
        return failed(said, refused)

    def close(self) -> None:
        """Close the connections."""
        for peer in self._peers:
            peer.close()

    def _tell(self, peer: Poster, alerts: list[dict[str, Any]], until: float) -> Answer:
        answer = taken("nothing to tell")
        for start in range(0, len(alerts), _BATCH):
            left = until - time.monotonic()
            if left <= 0:
                return again("not done in time")
            answer = peer.post(json.dumps(alerts[start : start + _BATCH]).encode(), {}, seconds=left)
            if answer.state != "taken":
                break
        return answer


def alert(notice: Notice, now: datetime) -> dict[str, Any]:
    """Give an episode as the API has it."""
    ours = {
        "alertname": _NAMES.get(notice.condition, f"Webmon_{notice.condition}"),
        "condition": notice.condition,
        "target": _plain(notice.target),
    }
    annotations = {
        "summary": message.subject(notice),
        "description": message.text(notice),
        "severity": notice.severity,
        "vantages": f"{notice.failing} of {notice.vantages}" if notice.vantages else "",
        "episode": notice.episode,
        "acknowledge": notice.acknowledge or "",
    }
    end = notice.until if notice.until is not None else now + LASTS
    made = _dated({**label_names(notice.labels, taken=ours), **ours}, annotations, notice.since, end)
    if (url := notice.link or notice.url) is not None and re.fullmatch(r"https?://[!-~]+", url):
        made["generatorURL"] = url
    return made


def label_names(labels: Mapping[str, str], *, taken: Iterable[str] = ()) -> dict[str, str]:
    """Give labels by names that Prometheus knows: letters, digits and underscores, no digit first, each its own.

    Of the names that have to change, one that would be another's gets a few letters of its own. What has no value is
    left out.
    """
    ours = set(taken)
    kept = {name for name in labels if _LABEL.fullmatch(name) and not name.startswith("__")} - ours
    known, named = ours | kept, {}
    for name in sorted(labels):
        mapped = name
        if name not in kept:
            mapped = re.sub(r"[^a-zA-Z0-9_]", "_", name).lstrip("_") or "label"
            mapped = f"_{mapped}" if mapped[0].isdigit() else mapped
            mapped = f"{mapped}_{hashlib.sha256(name.encode()).hexdigest()[:8]}" if mapped in known else mapped
            known.add(mapped)
        if value := _plain(labels[name]):
            named[mapped] = value
    return named


def _dated(labels: dict[str, str], annotations: Mapping[str, str], start: datetime, end: datetime) -> dict[str, Any]:
    return {
        "labels": labels,
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": start.astimezone(UTC).isoformat(),
        "endsAt": end.astimezone(UTC).isoformat(),
    }


def _plain(value: str) -> str:
    return " ".join(printable(value).split())
