"""Webhook: a POST of JSON, signed as https://www.standardwebhooks.com has it.

`webhook-signature` is `v1,` and the base64 of HMAC-SHA256 over `ID.TIMESTAMP.BODY`, of the headers `webhook-id` and
`webhook-timestamp`. The id is the same each time that a message is sent, and so is Idempotency-Key.
"""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from webmon.alarm.channels import Webhook
from webmon.alarm.notice import Notice
from webmon.alarm.senders import message
from webmon.alarm.senders.answer import DEADLINE, Answer
from webmon.alarm.senders.http import Poster

SCHEMA: Final = 1
_PREFIX: Final = "whsec_"


class WebhookSender:
    """Posts to one URL."""

    def __init__(self, way: Webhook, authority: Path | None = None, deadline: float = DEADLINE) -> None:
        """Take where it goes; it raises as Poster."""
        self._secret = way.secret
        hidden = (way.secret, way.secret.removeprefix(_PREFIX)) if way.secret else ()
        self._poster = Poster(way.url, authority, hidden=hidden, deadline=deadline)

    def send(self, notice: Notice, only: tuple[str, ...] = ()) -> Answer:  # noqa: ARG002 (there is one recipient)
        """Send a notice."""
        body = json.dumps(payload(notice), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        stamp = str(int(time.time()))
        headers = {"Idempotency-Key": notice.key, "webhook-id": notice.key, "webhook-timestamp": stamp}
        if self._secret is not None:
            headers["webhook-signature"] = signature(self._secret, notice.key, stamp, body)
        return self._poster.post(body, headers)

    def close(self) -> None:
        """Close the connection."""
        self._poster.close()


def signature(secret: str, key: str, stamp: str, body: bytes) -> str:
    """Sign a message: `whsec_` and base64 is a key of that standard, anything else counts as it is."""
    octets = base64.b64decode(secret.removeprefix(_PREFIX)) if secret.startswith(_PREFIX) else secret.encode()
    signed = hmac.new(octets, f"{key}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def payload(notice: Notice) -> dict[str, Any]:
    """Give a notice as JSON has it: times in UTC, durations in seconds, texts as they came."""
    return {
        "schema": SCHEMA,
        "key": notice.key,
        "episode": notice.episode,
        "event": notice.event,
        "condition": notice.condition,
        "severity": notice.severity,
        "subject": message.subject(notice),
        "text": message.text(notice),
        "target": notice.target,
        "url": notice.url,
        "labels": dict(notice.labels),
        "what": notice.what,
        "since": _utc(notice.since),
        "until": _utc(notice.until),
        "duration": notice.duration,
        "seen": [{"vantage": seen.vantage, "outcome": seen.outcome, "error": seen.error} for seen in notice.seen],
        "failing": notice.failing,
        "vantages": notice.vantages,
        "before": notice.before,
        "link": notice.link,
        "acknowledge": notice.acknowledge,
        "late": notice.late,
        "others": [_brief(other) for other in notice.others],
    }


def _brief(notice: Notice) -> dict[str, Any]:
    """Give what is told beside another: there may be thousands."""
    return {
        "episode": notice.episode,
        "event": notice.event,
        "condition": notice.condition,
        "severity": notice.severity,
        "target": notice.target,
        "url": notice.url,
        "since": _utc(notice.since),
        "until": _utc(notice.until),
    }


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()
