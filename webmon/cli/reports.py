"""The reports: what each is asked by, and what answers it."""

import argparse
import functools
import importlib
from typing import Any, Final, NamedTuple

from webmon.cli.options import add, add_forms, argument, count, load, moment


class Report(NamedTuple):
    """A question to the database, which webmon.report.NAME answers."""

    name: str
    text: str
    """One line for the list of commands."""
    more: str = ""
    """What its own --help says after that line."""
    since: str | None = None
    """Where its span begins if the user names no time; None where it is about now."""
    by: bool = False
    """Whether the user may choose what has a line of its own."""
    limit: int | None = None
    """How many lines it has if the user does not say; None where it has all."""


REPORTS: Final = (
    Report("status", "Show the state of each target, and what each vantage saw last."),
    Report(
        "uptime",
        "Show the uptime of each target, and how much of the time was watched.",
        "Uptime is the share of the checks that found the target up. Silence is not uptime: beside it stands which "
        "share of the time was watched at all. An agent_error is our own trouble and counts for neither side. The "
        "answer is for the whole hours (UTC) around the span. A vantage that gave any result of a target in the span "
        "owes results until its end.",
        since="30d",
        by=True,
    ),
    Report(
        "incidents",
        "Show when each target was down, for how long, and who saw it.",
        "An incident lasts from the first check that failed to the first that found the target up again, also where "
        "that is outside the span. What several vantages saw at the same time is one incident; it is told by its first "
        "failure. An agent_error, or silence, neither begins nor ends one.",
        since="7d",
    ),
    Report(
        "slowest",
        "Show the targets with the longest response times.",
        "Half, 95 % and 99 % of the responses took no longer than the times shown, within 5 %; beside them stands the "
        "longest of all. The answer is for the whole hours (UTC) around the span.",
        since="1d",
        by=True,
        limit=20,
    ),
)


def add_to(commands: Any) -> None:
    """Add the reports."""
    for report in REPORTS:
        _add_report(commands, report)


def _add_report(commands: Any, report: Report) -> None:
    run = functools.partial(_report, report.name)
    parser = add(commands, report.name, run, report.text, reads="report", more=report.more)
    options = []
    if report.since:
        when = "90m, 12h, 30d or 4w ago, a day (2026-11-01) or a time (2026-11-01T12:30Z); UTC"
        which = "only targets of this name; * stands for any text, ? for any character; may be given several times"
        options = [
            parser.add_argument(
                "--since", type=moment, default=report.since, metavar="T", help=f"{when} (default: {report.since})"
            ),
            parser.add_argument("--until", type=moment, metavar="T", help="likewise (default: now)"),
            parser.add_argument("--target", action="append", dest="patterns", metavar="NAME", help=which),
        ]
    if report.by:
        by = "a line for each target, each vantage, or each value of a label, such as label=team (default: target)"
        options.append(
            parser.add_argument("--by", type=_by, default="target", metavar="target|agent|label=KEY", help=by)
        )
    if report.limit:
        most = f"at most N lines (default: {report.limit})"
        options.append(parser.add_argument("--limit", type=count, default=report.limit, metavar="N", help=most))
    add_forms(parser)
    parser.set_defaults(options=[option.dest for option in options])


def _report(name: str, arguments: argparse.Namespace) -> int:
    from webmon.render import Form
    from webmon.settings import ReportSettings

    options = {option: getattr(arguments, option) for option in arguments.options}
    answer = importlib.import_module(f"webmon.report.{name}").run
    status: int = answer(load(ReportSettings, arguments), form=Form(arguments.form), **options)
    return status


@argument
def _by(text: str) -> object:
    from webmon.report.choice import By

    return By.parse(text)
