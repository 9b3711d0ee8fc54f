"""`webmon agent`: put the parts together, tell systemd, and stop in good order."""

import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client import Metric

from webmon.agent.metrics import Metrics
from webmon.agent.outbox import Outbox
from webmon.agent.publisher import Publisher
from webmon.agent.rounds import Rounds
from webmon.agent.schedule import PAUSE, SECOND
from webmon.agent.telling import Telling
from webmon.check.probe import utc_now
from webmon.check.result import CheckResult, UnreadableResultError, decode, encode
from webmon.check.target import Target
from webmon.daemon import log, systemd, threads
from webmon.daemon.listener import Listener, listen
from webmon.daemon.metrics import age, counter, counters, gauge
from webmon.daemon.signals import Signals
from webmon.errors import UserError
from webmon.kafka import certificate
from webmon.settings import AgentSettings, Monitoring, check_files
from webmon.targets import commands as commands_file
from webmon.targets import file as targets_file
from webmon.targets.shard import mine

_log = logging.getLogger(__name__)

_TICK_SECS: Final = 1.0
_STATUS_SECS: Final = 5.0
_CHECKS_STOP_SECS: Final = 10.0
_PUBLISHER_STOP_SECS: Final = 6.0
_OUTBOX_STOP_SECS: Final = 3.0
"""Together below the 20 s in which an agent stops."""

Environment = Callable[[], Mapping[str, str]]
"""Reads the variables of the .env and the process environment, where the targets' secrets are."""


def run(settings: AgentSettings, environment: Environment) -> int:
    """Run an agent until SIGTERM or SIGINT; give the exit status.

    Args:
        settings: what the agent reads at its start.
        environment: where the targets' secrets are; asked at each reading of the targets, and may raise UserError.

    Raises:
        UserError: the targets or the outbox cannot be used.
    """
    log.configure(settings.common.log_level)
    targets = _load_targets(settings.monitoring, environment)
    signals = Signals(hears_hangup=True)
    agent = Agent(settings, targets)
    agent.start()
    systemd.notify("READY=1", f"STATUS={agent.status()}")
    status_at = time.monotonic()
    while (came := signals.wait(_TICK_SECS)) in (None, signal.SIGHUP):
        if came == signal.SIGHUP:
            _reload(agent, settings, environment)
        if agent.tick():
            systemd.notify("WATCHDOG=1")
        if time.monotonic() - status_at >= _STATUS_SECS:
            systemd.notify(f"STATUS={agent.status()}")
            status_at = time.monotonic()
    systemd.notify("STOPPING=1", "STATUS=stopping: running checks end, results go to the outbox")
    agent.stop()
    return threads.exit_status()


class Agent:
    """The parts of an agent, connected."""

    def __init__(self, settings: AgentSettings, targets: tuple[Target, ...]) -> None:
        """Open the outbox and make everything else; nothing is checked yet.

        Raises:
            UserError: the outbox cannot be used.
        """
        monitoring = settings.monitoring
        self._outbox = Outbox(monitoring.outbox_path, monitoring.outbox_bytes)
        self._publisher = Publisher(settings.kafka, self._outbox, mac_key=monitoring.mac_key)
        self._rounds = Rounds(
            monitoring.vantage,
            self._keep,
            canaries=monitoring.canaries or settings.kafka.brokers,
            authorities=(monitoring.ca_certificates,) if monitoring.ca_certificates else (),
            forbidden=monitoring.forbidden_networks,
        )
        self._targets = targets
        self._metrics = Metrics(monitoring.vantage, self._own_metrics)
        self._certificate_ends = certificate.Expiry(settings.kafka)
        self._telling = Telling(self._outbox.__len__)
        self._metrics_address = monitoring.metrics_address
        self._listener: Listener | None = None
        self._told_faults: set[str] = set()
        """Parts that stand still, which was logged."""
        self._ticked = time.monotonic()

    def start(self) -> None:
        """Begin to check and to publish."""
        self._telling.certificate_ends = self._certificate_ends()
        self._publisher.start()
        self.use(self._targets)
        assert self._rounds.vantage is not None  # the brokers at least are canaries
        self._rounds.vantage.tell_local_canaries()
        self._listener = listen(
            self._metrics_address, "MONITORING_METRICS_ADDRESS", self._metrics, lambda: not self.faults(), self._said
        )

    def use(self, targets: tuple[Target, ...]) -> None:
        """Check this list from now on, with what its certificate files hold now.

        Raises:
            UserError: a file cannot be used; the list before goes on.
        """
        try:
            self._rounds.probe.prepare(targets)
        except OSError as error:  # of a file that was good when it was looked at, a moment ago
            raise UserError(f"MONITORING_CA_CERTIFICATES, or tls of a target: a file can't be used: {error}") from error
        self._targets = targets
        self._metrics.use(target.name for target in targets)
        self._rounds.checks.replace_targets(targets)
        _log.info("%(targets)d targets", {"targets": len(targets)})

    def tick(self) -> bool:
        """Look after the parts, once a second; give whether all of them go on, as far as can be seen from outside."""
        now = time.monotonic()
        self._ticked, before = now, self._ticked
        self._telling.certificate_ends = self._certificate_ends()
        if (now - before) * SECOND > PAUSE:
            return False  # the whole process stood still: the parts have their turn first
        faults = self.faults()
        parts = {fault.partition(":")[0] for fault in faults}
        for fault in faults:
            if fault.partition(":")[0] not in self._told_faults:
                _log.error("not well, so systemd's watchdog is not fed: %(fault)s", {"fault": fault})
        self._told_faults = parts
        return not faults

    def faults(self) -> list[str]:
        """Tell, a line each, which part stands still; each begins with the part's name."""
        return [*self._rounds.checks.faults(), *self._outbox.faults(), *self._publisher.faults()]

    def _said(self) -> str:
        return "\n".join(self.faults())

    def _own_metrics(self) -> Iterator[Metric]:
        yield gauge("webmon_targets", "Targets of this agent", len(self._targets))
        yield gauge("webmon_checks_running", "Checks that run", len(self._rounds.checks))
        late = self._rounds.probe.loop.late
        yield counter("webmon_loop_late_seconds_total", "Time for which all checks were held up", late)
        schedule = self._rounds.schedule
        yield counter("webmon_slots_kept_total", "Slots of the schedule that were kept", schedule.kept)
        yield counter("webmon_slots_missed_total", "Slots that could not be kept", schedule.missed)
        yield gauge("webmon_outbox_results", "Results that Kafka has not acknowledged", len(self._outbox))
        yield gauge("webmon_outbox_bytes", "Bytes in use for them on disk", self._outbox.used())
        yield gauge("webmon_outbox_oldest_age_seconds", "Age of the oldest of them", self._oldest_age())
        yield counter(
            "webmon_outbox_dropped_total",
            "Results dropped because the outbox was full or its disk failed",
            self._outbox.dropped,
        )
        yield counter("webmon_published_total", "Results that Kafka acknowledged", self._publisher.acknowledged)
        yield counter("webmon_publish_refused_total", "Results that Kafka refused for good", self._publisher.refused)
        errors = dict(self._publisher.errors)
        yield counters("webmon_publish_errors_total", "How often nothing could be sent to Kafka", "kind", errors)
        yield gauge("webmon_publishing", "0 while nothing gets through to Kafka", not self._publisher.away_cause)
        acknowledged = age(self._publisher.last_acknowledged)
        yield gauge("webmon_last_acknowledgement_age_seconds", "Time since Kafka's last acknowledgement", acknowledged)
        ends = certificate.as_metric(self._certificate_ends())
        yield gauge("webmon_kafka_certificate_expiry_timestamp_seconds", certificate.EXPIRY_MEANING, ends)

    def _oldest_age(self) -> float:
        for row in self._outbox.read(0, 1):
            try:
                return (utc_now() - decode(row.value).time).total_seconds()
            except UnreadableResultError:  # written by another version
                return float("nan")
        return 0.0

    def status(self) -> str:
        """Say in one line how the agent is."""
        rate = sum(1 / target.interval for target in self._targets)
        acknowledged = self._publisher.last_acknowledged
        ago = "none yet" if acknowledged is None else f"{time.monotonic() - acknowledged:.0f} s ago"
        parts = [
            f"{len(self._targets)} targets, {rate:.3g} checks/s",
            f"slots kept {self._rounds.schedule.kept}, missed {self._rounds.schedule.missed}",
            f"outbox {len(self._outbox)} results",
            f"last acknowledgement {ago}",
        ]
        if lost := self._outbox.dropped + self._publisher.refused:
            parts.append(f"dropped {lost}")
        parts += [f"not well: {fault}" for fault in self.faults()]
        if cause := self._publisher.away_cause:
            parts.append(f"not publishing: {cause}")
        return "; ".join(parts)

    def stop(self) -> None:
        """Start no new check; what is done is on disk when this ends."""
        if self._listener is not None:
            self._listener.close()
        if left := self._rounds.stop(_CHECKS_STOP_SECS):
            _log.warning("%d checks were still running and were abandoned", left)
        self._publisher.stop(_PUBLISHER_STOP_SECS)
        self._outbox.close(_OUTBOX_STOP_SECS)
        waiting = len(self._outbox) if self._outbox.is_on_disk else 0
        _log.info("stopped; %d results wait in the outbox for the next start", waiting)

    def _keep(self, result: CheckResult) -> None:
        self._outbox.put(result.target.encode(), encode(self._telling.add(result)))
        self._metrics.note(result)


def _reload(agent: Agent, settings: AgentSettings, environment: Environment) -> None:
    """Take the files that the settings name anew, or none of them where one has a fault."""
    # MONOTONIC_USEC tells systemd which reload this answers (Type=notify-reload).
    systemd.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        check_files(settings)
        agent.use(_load_targets(settings.monitoring, environment))
    except UserError as error:
        for line in error.lines:
            _log.error("%s", line)
        _log.error("the reload is refused: the old list goes on, with the old certificates")
    systemd.notify("READY=1", f"STATUS={agent.status()}")


def _load_targets(monitoring: Monitoring, environment: Environment) -> tuple[Target, ...]:
    targets = targets_file.load(
        monitoring.targets_path,
        interval=monitoring.retry_secs,
        timeout=monitoring.timeout_secs,
        regex=monitoring.targets_regex,
        secrets=environment(),
        commands=commands_file.read(monitoring.commands_path),
    )
    if (shard := monitoring.shard) is None:
        return targets
    part = mine(targets, shard)
    _log.info(
        "instance %(instance)d of %(instances)d has %(targets)d of %(listed)d targets",
        {"instance": shard.instance, "instances": shard.instances, "targets": len(part), "listed": len(targets)},
    )
    return part
