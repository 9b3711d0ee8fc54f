"""Apprise: a hundred services by their URLs (https://appriseit.com), where `webmon[apprise]` is installed.

It is imported when a channel needs it. What it made of each URL is judged by itself, and only what failed is due again;
it does not say whether a failure is for good, so none is. It neither tries again by itself nor follows a redirect.
"""

import logging
from dataclasses import replace
from typing import Any, Final

from webmon.alarm.channels import Apprise
from webmon.alarm.notice import Notice
from webmon.alarm.senders import message
from webmon.alarm.senders.answer import DEADLINE, Answer, again, line, taken, within
from webmon.alarm.senders.http import words_of
from webmon.check import secrets
from webmon.errors import UserError

_SPARE: Final = 2.0
"""Seconds that Apprise gets less than we wait for it, so that it can say what became of each."""
_WIDE: Final = 0xFEE0
"""From a sign of ASCII to its wide form, which people read alike and no chat takes for markup."""
_CALLS: Final = str.maketrans({mark: chr(ord(mark) + _WIDE) for mark in "@<["})
"""What calls people or begins a link, in one chat or another."""
_MARKUP: Final = _CALLS | str.maketrans({mark: chr(ord(mark) + _WIDE) for mark in ">]*_`~|"})


class AppriseSender:
    """Sends to all URLs of a channel at once."""

    def __init__(self, way: Apprise, name: str, deadline: float = DEADLINE) -> None:
        """Take the URLs of a channel.

        Raises:
            UserError: Apprise is not installed, or does not know a URL.
        """
        try:
            import apprise  # noqa: PLC0415 (an extra: who has no such channel needs no Apprise)
        except ImportError:
            raise UserError(
                f"channel {name!r} needs Apprise, which is not installed; right would be webmon[apprise]"
            ) from None
        # It says in its own log what our answer says, and more of what a service sent. We read it there.
        log = logging.getLogger("apprise")
        log.propagate = False
        log.setLevel(logging.WARNING)
        if not log.handlers:
            log.addHandler(logging.NullHandler())
        self._apprise: Any = apprise
        self._asset = apprise.AppriseAsset(
            app_id="webmon", app_desc="webmon", default_service_retry=0, http_redirects=False, storage_mode="memory"
        )
        self._deadline = deadline
        # Of some services the host is a token.
        self._hidden = tuple(word for url in way.urls for word in words_of(url, host_too=True))
        self._services: dict[str, Any] = {}
        for number, url in enumerate(way.urls, 1):
            service = apprise.Apprise.instantiate(url, asset=self._asset, tag=[f"n{number}"])
            if service is None:
                raise UserError(
                    f"channel {name!r}: Apprise does not know what URL {number} is (it may be a secret and is not "
                    "shown); right would be one of https://appriseit.com/services/"
                )
            service.retry = 0
            self._services[f"n{number}"] = service

    def send(self, notice: Notice, only: tuple[str, ...] = ()) -> Answer:
        """Send a notice to all, or to those that it is still due to."""
        due = {tag: service for tag, service in self._services.items() if not only or tag in only}
        return within(self._deadline, lambda: self._send(notice, due), lambda: None)

    def close(self) -> None:
        """Nothing is open between two messages."""

    def _send(self, notice: Notice, due: dict[str, Any]) -> Answer:
        told = self._apprise.Apprise(asset=self._asset)
        told.add(list(due.values()))
        kinds = self._apprise.NotifyType
        is_over = notice.is_over and all(other.is_over for other in notice.others)
        kind = kinds.SUCCESS if is_over else kinds.FAILURE if notice.severity == "critical" else kinds.WARNING
        notice = _harmless(notice)
        with told.notify(
            title=message.subject(notice),
            body=message.text(notice),
            notify_type=kind,
            body_format=self._apprise.NotifyFormat.TEXT,
            timeout=max(0.1, self._deadline - _SPARE),
        ) as result:
            failed = {tag: one for one in result if not one for tag in one.tag}
            if result:
                return taken(f"taken by {', '.join(sorted({one.name for one in result}))}")
            left = tuple(tag for tag in due if tag in failed) or tuple(due)
            said = "; ".join(f"{one.name}: {self._why(one)}" for one in failed.values())
            return again(said or "Apprise sent nothing", left=left)

    def _why(self, one: Any) -> str:
        """Give the last that Apprise says of a service that did not take it."""
        said = [entry.message for entry in one.logs() if entry.level in ("WARNING", "ERROR", "CRITICAL")]
        why = str(said[-1]) if said else "not done in time" if one.status.name == "TIMEOUT" else "not taken"
        return secrets.without(line(why), self._hidden)


def _harmless(notice: Notice) -> Notice:
    """Let nothing that a site or an agent says call people or be markup: each service has its own, and Apprise escapes
    that of few.
    """
    seen = tuple(
        replace(one, error=one.error and one.error.translate(_MARKUP).replace("://", ":\uff0f\uff0f"))
        for one in notice.seen
    )
    others = tuple(_harmless(other) for other in notice.others)
    what = notice.what and notice.what.translate(_CALLS)
    return replace(notice, target=notice.target.translate(_CALLS), what=what, seen=seen, others=others)
