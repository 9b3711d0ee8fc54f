"""The command line: `webmon COMMAND ...`."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from webmon import __version__, settings
from webmon.env_file import environment, find_env_file
from webmon.errors import UserError

OK, FAILED, USER_MISTAKE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; give its exit status: 0 fine, 2 the user's mistake, 1 anything else."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except UserError as error:
        for line in error.lines:
            print(f"webmon: {line}", file=sys.stderr)
        return USER_MISTAKE
    except BrokenPipeError:
        # The reader (head, less) has seen enough; what is still buffered must not fail at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="webmon", description="Watch websites from many hosts.")
    parser.add_argument("--version", action="version", version=f"webmon {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def component(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument(
            "--env-file",
            type=Path,
            metavar="FILE",
            help="where the settings are (default: $_WORKSPACE_PATH/.env, else ./.env, else /etc/webmon/.../.env)",
        )
        added.set_defaults(command=command)
        return added

    component("agent", _agent, "Check the targets on schedule and publish every result to Kafka.")
    component("sink", _sink, "Store the results from Kafka in TimescaleDB, once each.")
    component("init", _init, "Create topics, tables, roles and rights; a second run changes nothing.")
    retention = component("retention", _retention, "Drop what is older than its age; it reads the .env of init.")
    retention.add_argument("--dry-run", action="store_true", help="tell what would go, and change nothing")
    _add_forms(component("status", _status, "Print a line for each target: its state and what each vantage saw last."))

    _add_reports(component)

    drain = component("drain", _drain, "Send what the outbox of an agent that is no more still holds, and remove it.")
    drain.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the outbox (default: that of the .env)")
    drain.add_argument("--timeout", type=_seconds, default=60, metavar="S", help="seconds to try (default: 60)")

    _add_doctor(commands.add_parser("doctor", help="Look over the components of this host.", description=_DOCTOR))
    _add_letters(commands.add_parser("dead-letters", help="Look at what could not be stored.", description=_LETTERS))

    _add_check(commands.add_parser("check", help="Make one check now and show what it found.", description=_CHECK))

    targets = commands.add_parser("targets", help="Look at targets files.").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    check = targets.add_parser("check", help="Tell every fault of a targets file.")
    check.add_argument("file", type=Path, metavar="FILE")
    check.add_argument(
        "--as",
        type=Path,
        dest="stands_at",
        metavar="PATH",
        help="check FILE, a copy, as if it stood there: relative paths start there, and the name tells its kind",
    )
    check.set_defaults(command=_targets_check)
    return parser


_DOCTOR = """Look over the components of this host: settings and who may read them, certificate, broker, topic, rights
on both sides, database, schema, targets, outbox, the newest result. A line for each: ok, warning, or FAILED with what
to do. It changes nothing. Exit status: 0, or 1 where something failed."""


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "component",
        nargs="?",
        choices=get_args(settings.Component),
        metavar="agent|sink|init|report",
        help="the one to look over, as its user (default: all of this host, as root)",
    )
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="its settings (default: as the component finds them)"
    )
    parser.add_argument(
        "--clock", type=_seconds, metavar="EPOCH", help="seconds since 1970 by a clock to compare ours with"
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    parser.set_defaults(command=_doctor)


_UPTIME = """Print which share of the checks found each target up, and beside it which share of the time was watched at
all: silence is not uptime. An agent_error is our own trouble and counts for neither side. The answer is for the whole
hours (UTC) around the span. A vantage owes results of a target until the end of the span where it gave any in it."""
_INCIDENTS = """Print when each target was down: from the first check that failed to the first that was up again,
whatever the span; which of the vantages saw it, and what the first failure said. Failures that several vantages saw at
the same time are one incident. An agent_error, or silence, neither begins nor ends one."""
_SLOWEST = """Print the response times that half, 95 % and 99 % of the responses do not exceed, within 5 %, and the
longest; the longest 95 % first. The answer is for the whole hours (UTC) around the span."""


def _add_reports(component: Callable[..., argparse.ArgumentParser]) -> None:
    uptime = component("uptime", _uptime, "Print the uptime of each target, with the share of time that was watched.")
    uptime.description = _UPTIME
    incidents = component("incidents", _incidents, "Print when each target was down, for how long, seen by whom.")
    incidents.description = _INCIDENTS
    slowest = component("slowest", _slowest, "Print the targets with the longest response times.")
    slowest.description = _SLOWEST
    for parser, since in ((uptime, "30d"), (incidents, "7d"), (slowest, "1d")):
        _add_span(parser, default=since)
        if parser is not incidents:
            _add_by(parser)
        _add_forms(parser)
    slowest.add_argument("--limit", type=_count, default=20, metavar="N", help="lines at most (default: 20)")


def _add_span(parser: argparse.ArgumentParser, *, default: str) -> None:
    parser.add_argument(
        "--since",
        type=_moment,
        default=default,
        metavar="T",
        help=f"90m, 12h, 30d or 4w ago, a day (2026-11-01) or a time (2026-11-01T12:30Z); UTC (default: {default})",
    )
    parser.add_argument("--until", type=_moment, metavar="T", help="the same (default: now)")
    parser.add_argument(
        "--target",
        action="append",
        metavar="NAME",
        help="only this target; * stands for any text, ? for any character; may be given several times",
    )


def _add_by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--by",
        type=_by,
        default="target",
        metavar="target|agent|label=KEY",
        help="a line for each target, for each vantage, or for each value of a label, such as label=team",
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r}; right would be a whole number above 0")
    return int(text)


def _moment(text: str) -> object:
    from webmon.report.span import parse  # noqa: PLC0415

    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _by(text: str) -> object:
    from webmon.report.choice import By  # noqa: PLC0415

    try:
        return By.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_forms(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(form="table")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_const", const="json", dest="form", help="print JSON for programs")
    forms.add_argument("--csv", action="store_const", const="csv", dest="form", help="print CSV with a header row")


_LETTERS = """Look at the messages that a sink could not store, and send them back once the cause is mended. It reads
the .env of init, whose certificate may read dead letters and write results; the certificate of a sink may not."""


def _add_letters(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.add_argument(
            "--env-file", type=Path, metavar="FILE", help="where the settings are (default: as `webmon init` has it)"
        )
        added.set_defaults(command=command)
        return added

    listed = add("list", _letters_list, "Print a line for each dead letter: where it stood and why it is here.")
    listed.add_argument("--all", action="store_true", help="also those that were sent back")
    _add_forms(listed)
    shown = add("show", _letters_show, "Print all of one dead letter: why it is here, its headers, its bytes.")
    shown.add_argument("id", type=_letter_id, metavar="ID", help="as `list` has it: PARTITION:OFFSET")
    shown.add_argument("--raw", action="store_true", help="print the message's bytes as they are, and nothing else")
    sent = add(
        "redrive",
        _letters_redrive,
        "Send letters back to the topic of the results, as they came; one that fails again is a new letter. Exit "
        "status: 0 all sent back, 1 some could not be.",
    )
    which = sent.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--id", type=_letter_id, nargs="+", metavar="ID", help="these, also if they were sent back before"
    )
    which.add_argument("--all", action="store_true", help="every one that was not sent back yet")


def _letter_id(text: str) -> tuple[int, int]:
    partition, _, offset = text.partition(":")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise argparse.ArgumentTypeError(
            f"{text!r}; right would be PARTITION:OFFSET, as `webmon dead-letters list` has it"
        )
    return int(partition), int(offset)


_CHECK = """Make one check now and show what it found: outcome, redirects, certificate, phases. It needs no .env, no
Kafka and no database, and stores nothing. Exit status: 0 up or slow, 1 anything else, 2 a mistake in the command or
in the targets file."""


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="URL|NAME", help="the URL to check, or with --targets the name of a target")
    parser.add_argument("--targets", type=Path, metavar="FILE", help="check a target of this file, as an agent would")
    parser.add_argument("--timeout", type=_seconds, metavar="S", help="seconds for the whole check (default: 15)")
    parser.add_argument("--ca", type=Path, metavar="FILE", help="PEM file of authorities to trust beside the system's")
    parser.add_argument(
        "--env-file", type=Path, metavar="FILE", help="where the file's secrets are, beside the environment"
    )
    parser.add_argument("--json", action="store_true", help="print the very message that the topic would get")
    parser.set_defaults(command=_check)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not (math.isfinite(seconds) and seconds > 0):
        raise argparse.ArgumentTypeError(f"{text!r}; right would be a number of seconds above 0")
    return seconds


def _env_file(arguments: argparse.Namespace, component: settings.Component) -> Path | None:
    chosen: Path | None = arguments.env_file
    return chosen or find_env_file(component)


# Each command imports its component when it runs: a daemon loads only what it needs.


def _agent(arguments: argparse.Namespace) -> int:
    from webmon.agent.run import run  # noqa: PLC0415

    env_file = _env_file(arguments, "agent")
    return run(settings.load(settings.AgentSettings, env_file), lambda: environment(env_file))


def _drain(arguments: argparse.Namespace) -> int:
    from webmon.agent.drain import run  # noqa: PLC0415

    loaded = settings.load(settings.AgentSettings, _env_file(arguments, "agent"))
    return run(loaded, arguments.file, arguments.timeout)


def _sink(arguments: argparse.Namespace) -> int:
    from webmon.sink.run import run  # noqa: PLC0415

    return run(settings.load(settings.SinkSettings, _env_file(arguments, "sink")))


def _retention(arguments: argparse.Namespace) -> int:
    from webmon.init.retention import run  # noqa: PLC0415

    read = settings.load(settings.RetentionSettings, _env_file(arguments, "init"))
    return run(read, dry_run=arguments.dry_run)


def _init(arguments: argparse.Namespace) -> int:
    from webmon.init.run import run  # noqa: PLC0415

    return run(settings.load(settings.InitSettings, _env_file(arguments, "init")))


def _doctor(arguments: argparse.Namespace) -> int:
    from webmon.doctor.run import run  # noqa: PLC0415

    component = arguments.component
    env_file = _env_file(arguments, component) if component else None
    return run(component, env_file, as_json=arguments.json)


def _status(arguments: argparse.Namespace) -> int:
    from webmon.render import Form  # noqa: PLC0415
    from webmon.report.status import run  # noqa: PLC0415

    return run(_report_settings(arguments), form=Form(arguments.form))


def _uptime(arguments: argparse.Namespace) -> int:
    from webmon.render import Form  # noqa: PLC0415
    from webmon.report.uptime import run  # noqa: PLC0415

    return run(
        _report_settings(arguments),
        form=Form(arguments.form),
        since=arguments.since,
        until=arguments.until,
        patterns=arguments.target,
        by=arguments.by,
    )


def _incidents(arguments: argparse.Namespace) -> int:
    from webmon.render import Form  # noqa: PLC0415
    from webmon.report.incidents import run  # noqa: PLC0415

    return run(
        _report_settings(arguments),
        form=Form(arguments.form),
        since=arguments.since,
        until=arguments.until,
        patterns=arguments.target,
    )


def _slowest(arguments: argparse.Namespace) -> int:
    from webmon.render import Form  # noqa: PLC0415
    from webmon.report.slowest import run  # noqa: PLC0415

    return run(
        _report_settings(arguments),
        form=Form(arguments.form),
        since=arguments.since,
        until=arguments.until,
        patterns=arguments.target,
        by=arguments.by,
        limit=arguments.limit,
    )


def _report_settings(arguments: argparse.Namespace) -> settings.ReportSettings:
    return settings.load(settings.ReportSettings, _env_file(arguments, "report"))


def _letters_settings(arguments: argparse.Namespace) -> settings.LettersSettings:
    return settings.load(settings.LettersSettings, _env_file(arguments, "init"))


def _letters_list(arguments: argparse.Namespace) -> int:
    from webmon.render import Form  # noqa: PLC0415
    from webmon.sink.redrive import print_list  # noqa: PLC0415

    print_list(_letters_settings(arguments), also_sent_back=arguments.all, form=Form(arguments.form))
    return OK


def _letters_show(arguments: argparse.Namespace) -> int:
    from webmon.sink.redrive import print_letter  # noqa: PLC0415

    print_letter(_letters_settings(arguments), arguments.id, raw=arguments.raw)
    return OK


def _letters_redrive(arguments: argparse.Namespace) -> int:
    from webmon.sink.redrive import redrive  # noqa: PLC0415

    return OK if redrive(_letters_settings(arguments), arguments.id) else FAILED


def _check(arguments: argparse.Namespace) -> int:
    from webmon.once.run import run  # noqa: PLC0415

    target = {"targets": arguments.targets, "timeout": arguments.timeout, "authority": arguments.ca}
    return run(arguments.what, secrets=environment(arguments.env_file), as_json=arguments.json, **target)


def _targets_check(arguments: argparse.Namespace) -> int:
    from webmon.targets.file import check_file  # noqa: PLC0415

    count = check_file(arguments.file, stands_at=arguments.stands_at)
    print(f"{arguments.stands_at or arguments.file}: {count} targets, no fault")
    return OK
