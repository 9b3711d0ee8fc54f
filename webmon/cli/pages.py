"""`webmon page`: what people look at, and a look at what of it is public."""

import argparse
from pathlib import Path
from typing import Any

from webmon.cli.options import add, load

OK = 0


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


def _daemon(arguments: argparse.Namespace) -> int:
    from webmon.page.run import run
    from webmon.settings import PageSettings

    return run(load(PageSettings, arguments))


def _check(arguments: argparse.Namespace) -> int:
    from webmon.page.file import load as load_file

    file = load_file(arguments.file, named=True)
    print(f"{arguments.file}: {len(file.groups)} groups, {len(file.named)} targets by name, no fault")
    return OK
