"""`webmon doctor [COMPONENT]`: look over one component, or all of this host."""

import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from webmon import settings
from webmon.doctor import agent, agents, alarm, broker, certificates, clock, database, host, libraries, service
from webmon.doctor.finding import Finding, Level, failed, ok
from webmon.env_file import environment
from webmon.errors import UserError
from webmon.init.database import ALARM_RIGHTS, READER_RIGHTS, SINK_RIGHTS
from webmon.settings import AgentSettings, AlarmSettings, Component, InitSettings, ReportSettings, SinkSettings

_COLOURS: Final = {Level.OK: "32", Level.WARNING: "33", Level.FAILED: "1;31"}


def run(component: Component | None, env_file: Path | None, *, their_clock: float | None, as_json: bool) -> int:
    """Print a line for each thing; give 0, or 1 where one does not work.

    Args:
        component: whose settings are looked at, and what it needs; None for all of this host.
        env_file: the settings of the one.
        their_clock: seconds since the epoch, as another clock has it now; None to compare ours with none.
        as_json: print one JSON list for programs.

    Raises:
        UserError: a whole host can't be looked over by this user.
    """
    findings: list[tuple[str, Finding]] = []
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    found = ((component, f) for f in _examine(component, env_file)) if component else host.examine()
    if their_clock is not None:
        now = time.time()
        of_clock = clock.examine(now, their_clock, now, whose="the clock that was given")
        found = itertools.chain([(component or "host", of_clock)], found)
    before: str | None = component
    for name, finding in found:
        findings.append((name, finding))
        if as_json:
            continue
        if name != before:
            print(f"{name}:")
            before = name
        line = str(finding)
        print(f"\033[{_COLOURS[finding.level]}m{line[:7]}\033[0m{line[7:]}" if coloured else line, flush=True)
    if as_json:
        documents = [
            {"component": name, "level": f.level, "subject": f.subject, "text": f.text} for name, f in findings
        ]
        print(json.dumps(documents, indent=2))
    return 1 if any(finding.level is Level.FAILED for _, finding in findings) else 0


def _examine(component: Component, env_file: Path | None) -> Iterator[Finding]:
    try:
        yield from _of_component(component, env_file)
    except UserError as error:
        # Of the settings: without them nothing else can be looked at.
        for line in error.lines:
            yield failed("settings", line)


def _of_component(component: Component, env_file: Path | None) -> Iterator[Finding]:
    where = env_file or "the environment"
    if component == "agent":
        of_agent = settings.load(AgentSettings, env_file)
        yield ok("settings", f"{where}: every value is right, and nobody else may read the secrets")
        yield from certificates.examine(of_agent.kafka)
        yield from broker.examine(of_agent.kafka, {of_agent.kafka.topic: ["WRITE"]})
        yield from agent.examine(of_agent.monitoring, environment(env_file))
        yield from libraries.examine()
    elif component == "sink":
        of_sink = settings.load(SinkSettings, env_file)
        yield ok("settings", f"{where}: every value is right, and nobody else may read the secrets")
        yield from certificates.examine(of_sink.kafka)
        rights = {of_sink.kafka.topic: ["READ"], of_sink.kafka.dead_letter_topic: ["WRITE"]}
        yield from broker.examine(of_sink.kafka, rights)
        yield from database.examine(of_sink.postgres, SINK_RIGHTS, wants_results=True)
        yield from agents.examine(of_sink.sink.agents_path, "SINK_AGENTS_PATH")
        yield service.ask(of_sink.sink.metrics_address, "SINK_METRICS_ADDRESS", "webmon-sink")[0]
    elif component == "init":
        of_init = settings.load(InitSettings, env_file)
        yield ok("settings", f"{where}: every value is right, and nobody else may read the secrets")
        yield from certificates.examine(of_init.kafka)
        yield from broker.examine(of_init.kafka, {}, of_init.init)
        yield from database.examine(of_init.postgres, None, wants_results=False)
    elif component == "alarm":
        of_alarm = settings.load(AlarmSettings, env_file)
        yield ok("settings", f"{where}: every value is right, and nobody else may read the secrets")
        kafka = of_alarm.kafka
        yield from certificates.examine(kafka)
        both = ("READ", "WRITE")
        yield from broker.examine(kafka, {kafka.topic: ["READ"], kafka.alarm_topic: both, kafka.orders_topic: both})
        yield from database.examine(of_alarm.postgres, ALARM_RIGHTS, wants_results=False)
        yield from agents.examine(of_alarm.alarm.agents_path, "ALARM_AGENTS_PATH")
        yield from alarm.examine(of_alarm.alarm, environment(env_file))
        yield service.ask(of_alarm.alarm.metrics_address, "ALARM_METRICS_ADDRESS", "webmon-alarm")[0]
    else:
        of_report = settings.load(ReportSettings, env_file)
        yield ok("settings", f"{where}: every value is right, and nobody else may read the secrets")
        yield from database.examine(of_report.postgres, READER_RIGHTS, wants_results=True)
