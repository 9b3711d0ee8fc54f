"""`webmon check`: the target that somebody names, checked now, without an agent."""

import dataclasses
import difflib
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from webmon.check.flow import Trace
from webmon.check.networks import Network
from webmon.check.probe import Probe, utc_now
from webmon.check.resolver import Resolve
from webmon.check.result import CheckResult, encode
from webmon.check.target import DEFAULT_INTERVAL, DEFAULT_TIMEOUT, Target, without_password
from webmon.env_file import WORKSPACE
from webmon.errors import UserError
from webmon.once import show
from webmon.settings import METADATA, NETWORKS, networks
from webmon.targets import commands as commands_file
from webmon.targets import file as targets_file
from webmon.targets.commands import Commands


def run(
    what: str,
    *,
    targets: Path | None,
    secrets: Mapping[str, str],
    timeout: float | None,
    authority: Path | None,
    as_json: bool,
) -> int:
    """Make one check and print what it found, for people or as the message of the topic.

    The arguments are those of `choose` and `check`.

    Returns:
        The exit status: 0 where the target is up or slow, else 1.

    Raises:
        UserError: as `choose` and `check`.
    """
    target = choose(what, targets=targets, secrets=secrets, timeout=timeout)
    result, trace = check(target, authority=authority, forbidden=forbidden_by(secrets))
    if as_json:
        print(encode(result).decode())
    else:
        for line in show.lines(target, result, trace):
            print(line)
    return 0 if result.outcome.is_up else 1


def choose(
    what: str, *, targets: Path | None = None, secrets: Mapping[str, str] | None = None, timeout: float | None = None
) -> Target:
    """Give the target that somebody means.

    Args:
        what: a URL; with `targets` the name of a target in that file.
        targets: a targets file.
        secrets: what ${NAME} in the file stands for; where it is a command, MONITORING_COMMANDS_PATH among them.
        timeout: seconds for the whole check, in place of the target's own.

    Raises:
        UserError: the URL cannot be checked, the file has faults, or it names no such target; or a command may not be
            run.
    """
    chosen = _named(what, targets, secrets) if targets else _of_url(what)
    if chosen.kind == "command":
        chosen = _with_command(chosen, secrets or {})
    return chosen if timeout is None else dataclasses.replace(chosen, timeout=timeout)


def check(
    target: Target,
    *,
    resolve: Resolve | None = None,
    authority: Path | None = None,
    forbidden: Sequence[Network] = (),
) -> tuple[CheckResult, Trace]:
    """Check a target now, as an agent on this host would; give the result, and what was seen beside it.

    Args:
        target: what to check.
        resolve: how names become addresses.
        authority: a PEM file trusted beside the system's.
        forbidden: networks that are not connected to.

    Raises:
        UserError: the PEM file cannot be used.
    """
    authorities = (authority,) if authority else ()
    probe = Probe(agent=socket.gethostname(), resolve=resolve, authorities=authorities, forbidden=forbidden)
    prepare(probe, [target], authority)
    trace = Trace()
    try:
        return probe.check(target, utc_now(), trace), trace
    finally:
        probe.close()


def prepare(probe: Probe, targets: Iterable[Target], authority: Path | None) -> None:
    """Read the certificate files for these targets.

    Raises:
        UserError: one of them cannot be used.
    """
    try:
        probe.prepare(targets)
    except OSError as error:
        why = targets_file.why_no_authority(error)
        raise UserError(f"{error.filename or authority}: {why}; right would be a readable PEM file") from error


def forbidden_by(variables: Mapping[str, str]) -> Sequence[Network]:
    """Give the networks that no check connects to, as MONITORING_FORBIDDEN_NETWORKS has them.

    Raises:
        UserError: it is no list of networks.
    """
    text = variables.get("MONITORING_FORBIDDEN_NETWORKS") or METADATA
    try:
        return networks(text)
    except ValueError as error:
        raise UserError(f"MONITORING_FORBIDDEN_NETWORKS is {text!r}; right would be {NETWORKS}") from error


def commands_of(variables: Mapping[str, str]) -> Commands:
    """Give what may be run, as the file of MONITORING_COMMANDS_PATH has it."""
    path = variables.get("MONITORING_COMMANDS_PATH")
    try:
        return commands_file.read(Path(variables.get(WORKSPACE, "")) / Path(path).expanduser() if path else None)
    except RuntimeError as error:  # ~ of a user whom this host does not know
        raise UserError(f"MONITORING_COMMANDS_PATH is {path!r}; right would be a path of this host") from error


def _of_url(url: str) -> Target:
    try:
        return Target(name=url, url=url, interval=DEFAULT_INTERVAL, timeout=DEFAULT_TIMEOUT)
    except ValueError as error:
        raise UserError(f"{without_password(repr(url))}: {error}") from error


def _with_command(target: Target, variables: Mapping[str, str]) -> Target:
    commands = commands_of(variables)
    if commands.faults:
        raise UserError(*commands.faults)
    try:
        return commands.fill(target)
    except ValueError as error:
        raise UserError(f"{target.url!r}: {error}") from error


def _named(name: str, path: Path, secrets: Mapping[str, str] | None) -> Target:
    found = {target.name: target for target in targets_file.load(path, secrets=secrets, only=name, named=True)}
    if name in found:
        return found[name]
    near = difflib.get_close_matches(name, found, n=1)
    right = f"{near[0]!r}" if near else f"one of its {len(found)} names"
    raise UserError(f"{path}: no target is named {name!r}; right would be {right}")
