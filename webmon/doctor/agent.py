"""An agent on its host: its targets, its outbox, and what it says of itself."""

import math
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Final

from webmon.check.kinds import icmp
from webmon.check.target import Target
from webmon.doctor import service
from webmon.doctor.finding import Finding, failed, ok, warning
from webmon.errors import UserError
from webmon.report.status import STALE_INTERVALS
from webmon.settings import Monitoring
from webmon.targets import commands as commands_file
from webmon.targets import file as targets_file
from webmon.targets.shard import mine

_GRACE_SECS: Final = 30.0
"""How late an acknowledgement may be beyond what makes a vantage stale: the way to Kafka."""


def examine(monitoring: Monitoring, secrets: Mapping[str, str]) -> Iterator[Finding]:
    """Look at commands, targets, outbox and the running service."""
    commands = commands_file.read(monitoring.commands_path)
    for line in commands.faults:
        yield failed("commands", line)
    if commands.path is not None and not commands.faults:
        yield ok("commands", f"{commands.path} lists {len(commands.listed)}, and root alone may change them")
    try:
        targets = targets_file.load(
            monitoring.targets_path,
            interval=monitoring.retry_secs,
            timeout=monitoring.timeout_secs,
            regex=monitoring.targets_regex,
            secrets=secrets,
            commands=None if commands.faults else commands,
        )
    except UserError as error:
        for line in error.lines:
            yield failed("targets", line)
        ours: tuple[Target, ...] | None = None
    else:
        ours = mine(targets, monitoring.shard) if monitoring.shard is not None else targets
        yield ok("targets", f"{monitoring.targets_path} holds {len(targets)}, without a fault")
        if any(target.kind == "icmp" for target in targets):
            yield _icmp()
    if monitoring.mac_key is None:
        yield warning(
            "key",
            "MONITORING_MAC_KEY is not set, so results are not signed, and any agent can speak for this one",
        )
    else:
        yield ok("key", "results are signed")
    yield _outbox(monitoring)
    told, metrics = service.ask(monitoring.metrics_address, "MONITORING_METRICS_ADDRESS", "webmon-agent")
    yield told
    if metrics is not None:
        if ours == ():
            yield ok("newest result", "none of the targets is this instance's")
        else:
            yield from _newest(metrics, min((target.interval for target in ours or ()), default=monitoring.retry_secs))


def _icmp() -> Finding:
    try:
        icmp.open_socket(socket.AF_INET).close()
    except PermissionError:
        return failed("icmp", f"the list has a target of icmp, and {icmp.NO_RIGHT}")
    except OSError as error:
        return failed("icmp", f"no socket of ICMP can be opened: {error.strerror}")
    return ok("icmp", "echo requests can be sent")


def _outbox(monitoring: Monitoring) -> Finding:
    path = monitoring.outbox_path
    there = path if os.access(path, os.F_OK) else path.parent
    if not (os.access(path.parent, os.W_OK | os.X_OK) and os.access(there, os.W_OK)):
        return failed("outbox", f"{path} can't be written; right would be a directory of the agent's own")
    free = os.statvfs(path.parent)
    left = free.f_bavail * free.f_frsize
    aside = sorted(path.parent.glob(f"{path.name}.corrupt-*"))
    if aside:
        return warning("outbox", f"{aside[-1]} was set aside as corrupt: look into it, then remove it")
    if left < monitoring.outbox_bytes:
        return warning(
            "outbox",
            f"{path}: the disk has {left >> 20} MB left, and MONITORING_OUTBOX_BYTES lets the outbox grow to "
            f"{monitoring.outbox_bytes >> 20} MB",
        )
    return ok("outbox", f"{path} can be written, with room for all that it may hold")


def _newest(metrics: str, interval: float) -> Iterator[Finding]:
    age = service.value(metrics, "webmon_last_acknowledgement_age_seconds")
    waiting = service.value(metrics, "webmon_outbox_results") or 0
    wait = f"{waiting:.0f} wait in the outbox"
    bound = STALE_INTERVALS * interval + _GRACE_SECS
    if (age is None or math.isnan(age)) and not waiting and service.value(metrics, "webmon_slots_kept_total") == 0:
        yield ok("newest result", "no check was due since the start")
    elif age is None or math.isnan(age):
        yield failed("newest result", f"Kafka has acknowledged none since the start; {wait}")
    elif age > bound:
        late = f"Kafka acknowledged one {age:.0f} s ago, more than {bound:.0f} s"
        yield failed("newest result", f"{late}; {wait}: see journalctl -u webmon-agent")
    else:
        yield ok("newest result", f"Kafka acknowledged one {age:.0f} s ago; {wait}")
    if dropped := service.value(metrics, "webmon_outbox_dropped_total"):
        yield warning("outbox", f"{dropped:.0f} results were dropped since the start, because the outbox was full")
