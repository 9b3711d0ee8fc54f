"""What commands share: how one is added, which .env it reads, and how its arguments are read."""

import argparse
import functools
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from webmon.settings import T

Run = Callable[[argparse.Namespace], int]
COMPONENTS: Final = ("agent", "sink", "init", "report", "alarm", "page")
"""What has a .env: the keys of webmon.settings.KINDS, which is loaded only where it is asked."""
FOR_PROGRAMS: Final = "print JSON, for programs"


def add(commands: Any, name: str, run: Run, text: str, *, reads: str, more: str = "") -> argparse.ArgumentParser:
    """Add a command.

    Args:
        commands: what it is one of.
        name: as it is typed.
        run: what it does.
        text: one line for the list of commands.
        reads: the component whose .env it reads where it is told no other.
        more: what its own --help says after that line.
    """
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=f"{text} {more}")
    found = f"$_WORKSPACE_PATH/.env, else ./.env, else /etc/webmon/{reads}/.env"
    # Without a default: that of a command would take the place of what was said before it.
    parser.add_argument(
        "--env-file", type=named, metavar="FILE", default=argparse.SUPPRESS, help=f"the settings (default: {found})"
    )
    parser.set_defaults(run=run, reads=reads)
    return parser


def group(commands: Any, name: str, text: str, more: str = "") -> Any:
    """Add a command that has commands of its own; give what those are added to."""
    parser = commands.add_parser(name, help=text, description=f"{text} {more}")
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


# Each command imports what it runs when it runs: a daemon, --help and --version load only what they need.


def load(kind: "type[T]", arguments: argparse.Namespace) -> "T":
    """Read the settings that a command asks for.

    Raises:
        UserError: one line for each fault in them.
    """
    from webmon import settings

    return settings.load(kind, env_file_of(arguments), _warn)


def _warn(text: str) -> None:
    from webmon.daemon.log import WARNING, stderr_is_the_journal

    print(f"{WARNING if stderr_is_the_journal() else ''}webmon: warning: {text}", file=sys.stderr)


def env_file_of(arguments: argparse.Namespace) -> Path | None:
    """Give the .env that the user names, else the one that is found, if any."""
    from webmon.env_file import find_env_file

    chosen: Path | None = getattr(arguments, "env_file", None)
    return chosen or find_env_file(arguments.reads)


def add_forms(parser: argparse.ArgumentParser) -> None:
    """Let the user choose what the answer is for: `form` becomes a value of webmon.render.Form."""
    parser.set_defaults(form="table")
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_const", const="json", dest="form", help=FOR_PROGRAMS)
    forms.add_argument("--csv", action="store_const", const="csv", dest="form", help="print CSV with a header row")


def argument(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Have argparse say what a reader of an argument says in its ValueError."""

    @functools.wraps(read)
    def told(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return told


def named(text: str) -> Path:
    """Read the path of a .env that the user names: absolute, as webmon.env_file wants it."""
    return Path(text).absolute()


@argument
def seconds(text: str) -> float:
    """Read a number of seconds above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{text!r}; right would be a number of seconds above 0")
    return number


@argument
def count(text: str) -> int:
    """Read a whole number above 0."""
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise ValueError(f"{text!r}; right would be a whole number above 0")
    return int(text)


@argument
def moment(text: str) -> object:
    """Read a time, or how long ago it was: a webmon.report.span.Moment."""
    from webmon.report.span import parse

    return parse(text)
