"""`webmon alarm`: a look at the rules."""

import argparse
from pathlib import Path
from typing import Any

from webmon.cli.options import count, group

OK = 0


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


def _check(arguments: argparse.Namespace) -> int:
    from webmon.alarm.rules import load as load_rules

    rules = load_rules(arguments.file, targets=arguments.targets, vantages=arguments.vantages, named=True)
    counts = f"{len(rules.rules)} rules, {len(rules.routes)} routes, {len(rules.channels)} channels"
    print(f"{arguments.file}: {counts}, {len(rules.maintenance)} times of maintenance, no fault")
    return OK
