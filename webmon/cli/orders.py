"""`webmon alarms ...`: what people order of the judge."""

import argparse
from typing import Any

from webmon.cli.options import add, argument, load

OK = 0
_BY = "who says so (default: the one who calls)"


def add_to(alarms: Any) -> None:
    """Add the commands below `alarms`."""
    ack = add(
        alarms, "ack", _ack, "Say that somebody has an episode in hand: no reminder, no next step.", reads="alarm"
    )
    ack.add_argument("id", metavar="ID", help="the episode's, as the message has it, or how it begins")
    ack.add_argument("--note", default="", metavar="TEXT", help="what is to be known of it")
    resend = add(alarms, "resend", _resend, "Send a message once more.", reads="alarm")
    resend.add_argument("id", metavar="ID", help="the notice's, or how it begins")
    silence = add(alarms, "silence", _silence, "Have nothing told of some targets for a while.", reads="alarm")
    _add_match(silence)
    silence.add_argument("--reason", required=True, metavar="TEXT", help="why")
    maintenance = add(alarms, "maintenance", _maintenance, "Say that some targets are worked on now.", reads="alarm")
    _add_match(maintenance)
    maintenance.add_argument("--reason", default="", metavar="TEXT", help="why")
    maintenance.add_argument("--public", action="store_true", help="the page tells it to its visitors, too")
    announce = add(alarms, "announce", _announce, "Tell something to the readers of the page.", reads="alarm")
    announce.add_argument("title", metavar="TITLE", help="one line")
    announce.add_argument("--text", default="", metavar="TEXT", help="what is to be said beside it")
    announce.add_argument(
        "--for", type=_span, dest="seconds", metavar="SPAN", help="how long (default: until it is ended)"
    )
    announce.add_argument("--episode", metavar="ID", help="the incident that it is about")
    ended = add(alarms, "end", _end, "End a silence, a maintenance or an announcement now.", reads="alarm")
    ended.add_argument("id", metavar="ID", help="its id, as it was printed, or how it begins")
    for command in (ack, resend, silence, maintenance, announce, ended):
        command.add_argument("--by", metavar="NAME", help=_BY)


def _add_match(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("match", metavar="MATCH", help="a whole name, a pattern such as 'db-*', or label=value")
    parser.add_argument(
        "--for", type=_span, dest="seconds", required=True, metavar="SPAN", help="how long: 90s, 2h, 1d"
    )


def _ack(arguments: argparse.Namespace) -> int:
    from webmon.alarm import acts
    from webmon.settings import AlarmSettings

    settings = load(AlarmSettings, arguments)
    acts.acknowledge(settings, arguments.id, by=arguments.by or acts.who(), note=arguments.note)
    return OK


def _resend(arguments: argparse.Namespace) -> int:
    from webmon.alarm import acts
    from webmon.settings import AlarmSettings

    acts.resend(load(AlarmSettings, arguments), arguments.id, by=arguments.by or acts.who())
    return OK


def _silence(arguments: argparse.Namespace) -> int:
    from webmon.alarm import acts
    from webmon.settings import AlarmSettings

    acts.silence(
        load(AlarmSettings, arguments),
        arguments.match,
        seconds=arguments.seconds,
        by=arguments.by or acts.who(),
        reason=arguments.reason,
    )
    return OK


def _maintenance(arguments: argparse.Namespace) -> int:
    from webmon.alarm import acts
    from webmon.settings import AlarmSettings

    acts.maintain(
        load(AlarmSettings, arguments),
        arguments.match,
        seconds=arguments.seconds,
        by=arguments.by or acts.who(),
        reason=arguments.reason,
        public=arguments.public,
    )
    return OK


def _announce(arguments: argparse.Namespace) -> int:
    from webmon.alarm import acts
    from webmon.settings import AlarmSettings

    acts.announce(
        load(AlarmSettings, arguments),
        arguments.title,
        text=arguments.text,
        seconds=arguments.seconds,
        by=arguments.by or acts.who(),
        episode=arguments.episode,
    )
    return OK


def _end(arguments: argparse.Namespace) -> int:
    from webmon.alarm import acts
    from webmon.settings import AlarmSettings

    acts.end(load(AlarmSettings, arguments), arguments.id, by=arguments.by or acts.who())
    return OK


@argument
def _span(text: str) -> float:
    from webmon.targets.keys import length

    seconds = length(text, "s|m|h|d")
    if not isinstance(seconds, float) or not 0 < seconds <= 366 * 86_400:
        raise ValueError(f"{text!r}; right would be a span such as 90s, 30m, 2h or 1d, of a year at most")
    return seconds
