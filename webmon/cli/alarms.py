"""`webmon alarm`: a look at the rules, and a message by one of their channels."""

import argparse
from pathlib import Path
from typing import Any

from webmon.cli.options import add, count, group, load

OK, FAILED = 0, 1


def add_to(commands: Any) -> None:
    """Add `alarm` and its commands."""
    alarm = group(commands, "alarm", "Tell people of what is down.")
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
