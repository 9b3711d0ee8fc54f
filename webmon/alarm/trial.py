"""`webmon alarm test CHANNEL`: one message, and what the receiver answered."""

import contextlib
import socket
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from webmon.alarm import rules as rules_file
from webmon.alarm.notice import Notice
from webmon.alarm.senders.make import make
from webmon.errors import UserError
from webmon.settings import Alarm


def run(settings: Alarm, name: str, secrets: Mapping[str, str]) -> bool:
    """Send one message by a channel and print what became of it; tell whether it was taken.

    Args:
        settings: rules, or the one channel; the mail server.
        name: the channel's.
        secrets: what ${NAME} in the rules stands for.

    Raises:
        UserError: a line for each fault of the rules, or there is no such channel.
    """
    rules = rules_file.of_settings(settings, secrets)
    channel = rules.channels.get(name)
    if channel is None:
        where = settings.rules_path or "the settings"
        raise UserError(f"{where}: no channel is called {name!r}; right would be {' or '.join(rules.channels)}")
    with contextlib.closing(make(channel, settings)) as sender:
        answer = sender.send(_notice(datetime.now(UTC)))
    for refused in answer.refused:
        print(f"webmon: {name}: refused: {refused}", file=sys.stderr)
    if answer.state == "taken":
        print(f"{name}: taken: {answer.said}")
        return True
    later = " (it would be tried again)" if answer.state == "again" else ""
    print(f"webmon: {name}: not taken{later}: {answer.said}", file=sys.stderr)
    return False


def _notice(now: datetime) -> Notice:
    key = str(uuid.uuid4())
    host = socket.gethostname()
    return Notice(
        key=key,
        episode=key,
        event="test",
        condition="monitor",
        severity="warning",
        target="webmon",
        what=f"a message to try the channel, sent by hand on {host}",
        since=now,
        until=now,
    )
