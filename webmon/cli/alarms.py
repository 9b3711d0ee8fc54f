"""`webmon alarm`: the judge, its rules, a message by a channel, a replay; and `webmon alarms`, which lists."""

import argparse
from pathlib import Path
from typing import Any

from webmon.cli import orders
from webmon.cli.options import FOR_PROGRAMS, add, add_forms, count, load, moment

OK, FAILED = 0, 1


def add_to(commands: Any) -> None:
    """Add `alarm` and its commands."""
    daemon = add(
        commands,
        "alarm",
        _daemon,
        "Judge the results from Kafka, and tell people of what is down.",
        reads="alarm",
        more="Of several on different hosts one judges, and the others stand by.",
    )
    alarm = daemon.add_subparsers(title="commands", metavar="COMMAND")
    text = "Find every fault of a rules file."
    checked = alarm.add_parser("check", help=text, description=text)
    checked.add_argument("file", type=Path, metavar="FILE")
    checked.add_argument(
        "--targets", type=Path, metavar="TARGETS", help="the agents' list of targets, whose `alarm` is checked, too"
    )
    checked.add_argument(
        "--vantages", type=count, metavar="N", help="how many vantages check a target: more can't agree"
    )
    checked.set_defaults(run=_check)
    tested = add(
        alarm,
        "test",
        _test,
        "Send one message by a channel, and say what the receiver answered.",
        reads="alarm",
        more="Exit status: 0 if it was taken, 2 for a mistake in settings or rules, 1 for anything else.",
    )
    tested.add_argument("channel", metavar="CHANNEL", help="its name in the rules file; `alarm` where there is none")

    _add_replay(alarm)
    _add_listing(commands)


def _add_replay(alarm: Any) -> None:
    replayed = add(
        alarm,
        "replay",
        _replay,
        "Show what rules would have told in the past, when and to whom, beside what was told.",
        reads="report",
        more="Stored results are judged anew; nothing is sent or written. Targets have the labels that they have now.",
    )
    replayed.add_argument("--file", type=Path, required=True, metavar="FILE", help="the rules")
    replayed.add_argument("--targets", type=Path, metavar="TARGETS", help="the agents' list, whose `alarm` counts, too")
    replayed.add_argument(
        "--since",
        type=moment,
        default="30d",
        metavar="T",
        help="12h, 30d or 4w ago, a day or a time in UTC (default: 30d)",
    )
    add_forms(replayed)


def _add_listing(commands: Any) -> None:
    listing = add(
        commands,
        "alarms",
        _list,
        "Show what is wrong now, who was told and who has it in hand.",
        reads="report",
        more="Beside it stands what is in force of silences and maintenance, and which messages no receiver took. It "
        "is read from the database, which may lag behind the alarms.",
    )
    listing.add_argument("--all", action="store_true", dest="everything", help="also what is over")
    when = "what was over since then, too: 12h, 30d or 4w ago, a day or a time in UTC (default with --all: 7d)"
    listing.add_argument("--since", type=moment, metavar="T", help=when)
    listing.set_defaults(form="table")
    listing.add_argument("--json", action="store_const", const="json", dest="form", help=FOR_PROGRAMS)
    orders.add_to(listing.add_subparsers(title="commands", metavar="COMMAND"))


def _list(arguments: argparse.Namespace) -> int:
    from webmon.render import Form
    from webmon.report.alarms import run
    from webmon.settings import ReportSettings

    settings = load(ReportSettings, arguments)
    return run(settings, form=Form(arguments.form), everything=arguments.everything, since=arguments.since)


def _replay(arguments: argparse.Namespace) -> int:
    from webmon.alarm.replayed import run
    from webmon.alarm.rules import load as load_rules
    from webmon.render import Form
    from webmon.settings import ReportSettings

    settings = load(ReportSettings, arguments)
    rules = load_rules(arguments.file, targets=arguments.targets, named=True)
    return run(settings, rules, form=Form(arguments.form), since=arguments.since)


def _daemon(arguments: argparse.Namespace) -> int:
    from webmon.alarm.run import run
    from webmon.cli.options import env_file_of
    from webmon.env_file import environment
    from webmon.settings import AlarmSettings

    env_file = env_file_of(arguments)
    return run(load(AlarmSettings, arguments), lambda: environment(env_file))


def _check(arguments: argparse.Namespace) -> int:
    from webmon.alarm.rules import load as load_rules

    rules = load_rules(arguments.file, targets=arguments.targets, vantages=arguments.vantages, named=True)
    counts = f"{len(rules.rules)} rules, {len(rules.routes)} routes, {len(rules.channels)} channels"
    print(f"{arguments.file}: {counts}, {len(rules.maintenance)} times of maintenance, no fault")
    return OK


def _test(arguments: argparse.Namespace) -> int:
    from webmon.alarm.trial import run
    from webmon.cli.options import env_file_of
    from webmon.env_file import environment
    from webmon.settings import TrialSettings

    settings = load(TrialSettings, arguments)
    return OK if run(settings.alarm, arguments.channel, environment(env_file_of(arguments))) else FAILED
