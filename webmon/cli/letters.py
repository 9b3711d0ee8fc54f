"""`webmon dead-letters`: what could not be stored."""

import argparse
from typing import Any

from webmon.cli.options import add, add_forms, argument, group, load

OK, FAILED = 0, 1


def add_to(commands: Any) -> None:
    """Add `dead-letters` and its commands."""
    letters = group(
        commands,
        "dead-letters",
        "Look at the messages that could not be stored, and send them back.",
        "Send them back once the cause is mended. All of it takes init's certificate, and so its .env: a sink's may "
        "neither read dead letters nor write results.",
    )
    listed = add(
        letters,
        "list",
        _letters_list,
        "Print a line for each dead letter: where it stood and why it is here.",
        reads="init",
    )
    listed.add_argument("--all", action="store_true", help="also those that were sent back")
    add_forms(listed)
    shown = add(
        letters,
        "show",
        _letters_show,
        "Print all of one dead letter: why it is here, its headers, its bytes.",
        reads="init",
    )
    shown.add_argument(
        "id", type=_letter_id, metavar="ID", help="PARTITION:OFFSET, as `webmon dead-letters list` has it"
    )
    shown.add_argument("--raw", action="store_true", help="print the message's bytes as they are, and nothing else")
    sent = add(
        letters,
        "redrive",
        _letters_redrive,
        "Send dead letters back to the topic of the results, as they came.",
        reads="init",
        more="One that fails again is a new dead letter. Exit status: 0 if all were sent back, 1 if some could not be.",
    )
    which = sent.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--id", type=_letter_id, nargs="+", metavar="ID", help="these, even if they were sent back before"
    )
    which.add_argument("--all", action="store_true", help="every one that was not sent back yet")


def _letters_list(arguments: argparse.Namespace) -> int:
    from webmon.render import Form
    from webmon.settings import LettersSettings
    from webmon.sink.redrive import print_list

    print_list(load(LettersSettings, arguments), also_sent_back=arguments.all, form=Form(arguments.form))
    return OK


def _letters_show(arguments: argparse.Namespace) -> int:
    from webmon.settings import LettersSettings
    from webmon.sink.redrive import print_letter

    print_letter(load(LettersSettings, arguments), arguments.id, raw=arguments.raw)
    return OK


def _letters_redrive(arguments: argparse.Namespace) -> int:
    from webmon.settings import LettersSettings
    from webmon.sink.redrive import redrive

    return OK if redrive(load(LettersSettings, arguments), arguments.id) else FAILED


@argument
def _letter_id(text: str) -> tuple[int, int]:
    partition, _, offset = text.partition(":")
    if not (text.isascii() and partition.isdecimal() and offset.isdecimal()):
        raise ValueError(f"{text!r}; right would be PARTITION:OFFSET, as `webmon dead-letters list` has it")
    return int(partition), int(offset)
