"""`webmon page`: what people look at, and a look at what of it is public."""

import argparse
import getpass
import sys
from pathlib import Path
from typing import Any, Final

from webmon.cli.options import add, load
from webmon.errors import UserError

OK = 0
_LONGEST: Final = 1000
"""Bytes of a password."""


def add_to(commands: Any) -> None:
    """Add `page` and its commands."""
    daemon = add(
        commands,
        "page",
        _daemon,
        "Show visitors and operators how the targets are, on web pages.",
        reads="page",
        more="Public is what the file of PAGE_FILE_PATH names; the operator's page listens on a loopback address.",
    )
    page = daemon.add_subparsers(title="commands", metavar="COMMAND")
    text = "Find every fault of a page's file."
    checked = page.add_parser("check", help=text, description=text)
    checked.add_argument("file", type=Path, metavar="FILE")
    checked.set_defaults(run=_check)
    text = "Ask for a new password, and print the operator's line for the file of PAGE_AUTH=basic:FILE."
    password = page.add_parser("password", help=text, description=f"{text} What it prints is scrypt's hash.")
    password.add_argument("name", metavar="NAME", help="the operator's name")
    password.set_defaults(run=_password)


def _daemon(arguments: argparse.Namespace) -> int:
    from webmon.page.run import run
    from webmon.settings import PageSettings

    return run(load(PageSettings, arguments))


def _password(arguments: argparse.Namespace) -> int:
    from webmon.page.access import line_for

    try:
        if sys.stdin.isatty():
            first, second = (getpass.getpass(f"{said} for {arguments.name}: ") for said in ("Password", "Once more"))
        else:
            first = second = _line()
    except EOFError:
        raise UserError("no password; nothing was made") from None
    except UnicodeDecodeError:
        raise UserError("the password is no UTF-8; right would be letters of UTF-8") from None
    if first != second:
        raise UserError("the two are not the same; nothing was made")
    if not first:
        raise UserError("an empty password; right would be a long one")
    try:
        print(line_for(arguments.name, first))
    except ValueError as error:
        raise UserError(f"NAME: {error}") from error
    return OK


def _line() -> str:
    """Read the first line of what is piped in, without its end."""
    said = sys.stdin.buffer.readline(_LONGEST + 2).rstrip(b"\r\n")
    if len(said) > _LONGEST:
        raise UserError(f"the password is longer than {_LONGEST} bytes")
    return said.decode()


def _check(arguments: argparse.Namespace) -> int:
    from webmon.page.file import load as load_file

    file = load_file(arguments.file, named=True)
    print(f"{arguments.file}: {len(file.groups)} groups, {len(file.named)} targets by name, no fault")
    return OK
