"""What runs on the hosts of an installation: agent, sink, init, reread, retention, drain, and the doctor."""

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from webmon.cli.options import COMPONENTS, add, env_file_of, load, moment, named, seconds
from webmon.errors import UserError


def add_to(commands: Any) -> None:
    """Add the commands that run a component."""
    add(commands, "agent", _agent, "Check the targets on schedule and publish every result to Kafka.", reads="agent")
    add(commands, "sink", _sink, "Store the results from Kafka in TimescaleDB, each one once.", reads="sink")
    add(commands, "init", _init, "Create topics, tables, roles and rights; a second run changes nothing.", reads="init")
    revoke = add(
        commands,
        "revoke",
        _revoke,
        "Take from principals of Kafka the rights that init gave them, as of an agent that is gone.",
        reads="init",
        more="Exit status: 0, or 1 where Kafka does not let us.",
    )
    revoke.add_argument("principals", nargs="+", metavar="PRINCIPAL", help="as init has it: User:webmon-agent-NAME")
    reread = add(
        commands,
        "reread",
        _reread,
        "Have the sinks read the topic again, as after the database was restored; what is stored changes nothing.",
        reads="init",
        more="No sink may run meanwhile. A sink that was behind stored messages long after they came, so without "
        "--since all is read again that the topic has.",
    )
    reread.add_argument("--since", type=moment, metavar="TIME", help="only what came since then, as 2026-11-01T12:30Z")
    retention = add(
        commands,
        "retention",
        _retention,
        "Drop results and rollups that are older than POSTGRES_KEEP_... allows.",
        reads="init",
    )
    retention.add_argument("--dry-run", action="store_true", help="show what would be dropped, and drop nothing")
    drain = add(
        commands, "drain", _drain, "Send what the outbox of a retired agent still holds, and remove it.", reads="agent"
    )
    drain.add_argument("file", type=Path, nargs="?", metavar="FILE", help="the outbox (default: the one of the .env)")
    drain.add_argument("--timeout", type=seconds, default=60, metavar="S", help="give up after S seconds (default: 60)")
    _add_doctor(commands)


def _agent(arguments: argparse.Namespace) -> int:
    from webmon.agent.run import run
    from webmon.env_file import environment
    from webmon.settings import AgentSettings

    env_file = env_file_of(arguments)
    return run(load(AgentSettings, arguments), lambda: environment(env_file))


def _drain(arguments: argparse.Namespace) -> int:
    from webmon.agent.drain import run
    from webmon.settings import AgentSettings

    return run(load(AgentSettings, arguments), arguments.file, arguments.timeout)


def _sink(arguments: argparse.Namespace) -> int:
    from webmon.settings import SinkSettings
    from webmon.sink.run import run

    return run(load(SinkSettings, arguments))


def _init(arguments: argparse.Namespace) -> int:
    from webmon.init.run import run
    from webmon.settings import InitSettings

    return run(load(InitSettings, arguments))


def _revoke(arguments: argparse.Namespace) -> int:
    from webmon.init.run import revoke
    from webmon.settings import InitSettings

    return revoke(load(InitSettings, arguments), arguments.principals)


def _reread(arguments: argparse.Namespace) -> int:
    from webmon.init.reread import run
    from webmon.settings import InitSettings

    since = arguments.since
    return run(load(InitSettings, arguments), datetime.now(UTC) - since if isinstance(since, timedelta) else since)


def _retention(arguments: argparse.Namespace) -> int:
    from webmon.init.retention import run
    from webmon.settings import RetentionSettings

    return run(load(RetentionSettings, arguments), dry_run=arguments.dry_run)


def _add_doctor(commands: Any) -> None:
    text = "Look over the components of this host, and say what to do about what is not well."
    more = """It looks at settings and who may read them, certificate, broker, topic, rights on both sides, database,
    schema, targets, outbox, and the newest result; a line for each: ok, warning or FAILED. It changes nothing. Exit
    status: 0, or 1 if anything FAILED."""
    parser = commands.add_parser("doctor", help=text, description=f"{text} {more}")
    parser.add_argument(
        "component",
        nargs="?",
        choices=COMPONENTS,
        metavar="|".join(COMPONENTS),
        help="the one to look over, as its user (default: all of this host, as root)",
    )
    parser.add_argument(
        "--env-file", type=named, metavar="FILE", help="its settings (default: as the component finds them)"
    )
    parser.add_argument(
        "--clock",
        type=seconds,
        metavar="EPOCH",
        help="compare this host's clock with EPOCH, as date +%%s.%%N gives it elsewhere",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from webmon.doctor.run import run

    arguments.reads = arguments.component
    if arguments.env_file and not arguments.component:
        raise UserError("--env-file is of one component; right would be `webmon doctor COMPONENT --env-file FILE`")
    env_file = env_file_of(arguments) if arguments.component else None
    return run(arguments.component, env_file, their_clock=arguments.clock, as_json=arguments.json)
