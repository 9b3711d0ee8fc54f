"""What needs no installation: checks in a terminal, one or on and on, and a look at a targets file or a .env."""

import argparse
from pathlib import Path
from typing import Any

from webmon.cli.options import COMPONENTS, argument, group, named, seconds
from webmon.errors import UserError


def add_to(commands: Any) -> None:
    """Add the commands."""
    _add_check(commands)
    _add_watch(commands)
    _add_targets(commands)
    _add_settings(commands)


def _add_check(commands: Any) -> None:
    text = "Make one check now and show what it found."
    more = """It shows outcome, redirects, certificate and phases. It needs no .env, no Kafka and no database, and
    stores nothing. Exit status: 0 if up or slow, 2 for a mistake in the command or in the targets file, 1 for anything
    else."""
    parser = commands.add_parser("check", help=text, description=f"{text} {more}")
    parser.add_argument("what", metavar="URL|NAME", help="the URL to check, or with --targets the name of a target")
    parser.add_argument("--targets", type=Path, metavar="FILE", help="check a target of this file, as an agent would")
    parser.add_argument("--timeout", type=seconds, metavar="S", help="seconds for the whole check (default: 15)")
    _add_surroundings(parser)
    parser.add_argument("--json", action="store_true", help="print the very message that Kafka would get")
    parser.set_defaults(run=_check)


def _add_surroundings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--ca", type=Path, metavar="FILE", help="a PEM file of authorities to trust beside the system's"
    )
    parser.add_argument(
        "--env-file",
        type=named,
        metavar="FILE",
        help="a .env with the secrets that the targets file names, and other variables of an agent (default: the "
        "environment alone)",
    )


def _check(arguments: argparse.Namespace) -> int:
    from webmon.env_file import environment
    from webmon.once.run import run

    target = {"targets": arguments.targets, "timeout": arguments.timeout, "authority": arguments.ca}
    return run(arguments.what, secrets=environment(arguments.env_file), as_json=arguments.json, **target)


def _add_watch(commands: Any) -> None:
    text = "Check on schedule, and show what is up, what is not, and what an alarm would have said."
    more = """All of it happens in this process, in memory: it needs no .env, no Kafka and no database, stores nothing
    and tells nobody. In a terminal it is a table, else a line for each change of a state; Ctrl-C ends it with a
    summary. Exit status: 0, 2 for a mistake in the command or in a file, 1 for anything else."""
    parser = commands.add_parser("watch", help=text, description=f"{text} {more}")
    parser.add_argument(
        "what", nargs="*", metavar="FILE|URL", help="a targets file, or URLs (default: targets.yml of this directory)"
    )
    parser.add_argument(
        "--every",
        type=_every,
        metavar="S",
        help="seconds between two checks of a target (default: as the file says; 10 for URLs)",
    )
    parser.add_argument(
        "--page", action="store_true", help="show it in a browser, too: the operators' page, on 127.0.0.1 alone"
    )
    parser.add_argument(
        "--rules", type=Path, metavar="FILE", help="a file of alarms' rules (default: what counts without one)"
    )
    _add_surroundings(parser)
    parser.add_argument(
        "--json", action="store_true", help="print each check as the message that Kafka would get, a line each"
    )
    parser.set_defaults(run=_watch)


@argument
def _every(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 1 <= number <= 86_400:
        raise ValueError(f"{text!r}; right would be a number of seconds from 1 to 86400")
    return number


def _watch(arguments: argparse.Namespace) -> int:
    from webmon.env_file import environment
    from webmon.watch.run import run

    return run(
        arguments.what,
        every=arguments.every,
        page=arguments.page,
        rules=arguments.rules,
        authority=arguments.ca,
        variables=environment(arguments.env_file),
        as_json=arguments.json,
    )


def _add_targets(commands: Any) -> None:
    text = "Find every fault of a targets file."
    parser = group(commands, "targets", "Look at targets files.").add_parser("check", help=text, description=text)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--as",
        type=Path,
        dest="stands_at",
        metavar="PATH",
        help="check FILE, a copy, as if it stood there: relative paths start there, and the name tells its kind",
    )
    parser.add_argument(
        "--commands",
        type=Path,
        metavar="COMMANDS",
        help="check this file of commands too, and that each named is there",
    )
    parser.set_defaults(run=_targets_check)


def _targets_check(arguments: argparse.Namespace) -> int:
    from webmon.targets.file import check_file

    count = check_file(arguments.file, stands_at=arguments.stands_at, commands=arguments.commands)
    print(f"{arguments.stands_at or arguments.file}: {count} targets, no fault")
    return 0


def _add_settings(commands: Any) -> None:
    text = "Find every fault of a .env."
    more = """It is judged by itself, as at the start of a component; what stands in this environment changes nothing.
    Exit status: 0, or 2 where there is a fault."""
    parser = group(commands, "settings", "Look at a .env.").add_parser("check", help=text, description=f"{text} {more}")
    parser.add_argument("file", type=named, metavar="FILE")
    parser.add_argument(
        "--component",
        choices=COMPONENTS,
        metavar="NAME",
        help=f"whose it is, of {', '.join(COMPONENTS)}: what it needs must be there (default: judge what is set)",
    )
    parser.add_argument(
        "--without-files",
        action="store_false",
        dest="with_files",
        help="judge one for another host: the files that it names need not be here",
    )
    parser.set_defaults(run=_settings_check)


def _settings_check(arguments: argparse.Namespace) -> int:
    from webmon.settings import check

    if faults := check(arguments.file, arguments.component, with_files=arguments.with_files):
        raise UserError(*faults)
    print(f"{arguments.file}: no fault")
    return 0
