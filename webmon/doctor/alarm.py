"""The judge on its host: its rules, whom they tell, and by names that can be resolved. No message is sent."""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from webmon.alarm import rules as rules_file
from webmon.alarm.channels import Alertmanager, Apprise, Channel, Mail, Webhook
from webmon.alarm.ruleset import Ruleset
from webmon.alarm.senders.make import make
from webmon.doctor.finding import Finding, failed, ok, warning
from webmon.errors import UserError
from webmon.settings import Alarm

_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


def examine(settings: Alarm, secrets: Mapping[str, str]) -> Iterator[Finding]:
    """Look at the rules, at what targets say themselves, and at each channel."""
    try:
        rules = rules_file.of_settings(settings, secrets)
    except UserError as error:
        for line in error.lines:
            yield failed("rules", line)
        return
    if settings.rules_path is None:
        yield ok("rules", "no ALARM_RULES_PATH: the defaults, and the one channel of the settings")
    else:
        counts = f"{len(rules.rules)} rules, {len(rules.routes)} routes, {len(rules.channels)} channels"
        yield ok("rules", f"{settings.rules_path} has {counts}, without a fault")
    yield _targets(settings, rules)
    for channel in rules.channels.values():
        yield _channel(channel, settings)
    if settings.heartbeat_url is None:
        yield warning(
            "heartbeat",
            "ALARM_HEARTBEAT_URL is not set, so nobody is told where the judge itself is silent; right would be a "
            "service that tells when it is not called any more",
        )
    else:
        host = urlsplit(settings.heartbeat_url.get_secret_value()).hostname or ""
        fault = _fault_of_name(host)
        yield (
            failed("heartbeat", f"ALARM_HEARTBEAT_URL: {fault}") if fault else ok("heartbeat", f"{host} has an address")
        )


def _targets(settings: Alarm, rules: Ruleset) -> Finding:
    path = settings.targets_path
    if path is None:
        return ok("targets", "no ALARM_TARGETS_PATH: `alarm` and `depends_on` in the agents' list do not count")
    return ok("targets", f"{path} can be read, and {len(rules.targets)} targets in it say something of alarms")


def _channel(channel: Channel, settings: Alarm) -> Finding:
    subject = f"channel {channel.name}"
    try:
        with contextlib.closing(make(channel, settings)):
            pass
    except UserError as error:
        return failed(subject, "; ".join(error.lines))
    except OSError as error:
        return failed(subject, f"ALARM_CA_CERTIFICATES {settings.ca_certificates} can't be used: {error}")
    hosts = _hosts(channel, settings)
    if hosts is None:
        return ok(subject, f"Apprise knows what it is; `webmon alarm test {channel.name}` sends a message")
    faults = [fault for host in hosts if (fault := _fault_of_name(host)) is not None]
    if faults:
        return failed(subject, "; ".join(faults))
    told = "has an address" if len(hosts) == 1 else "have addresses"
    return ok(subject, f"{', '.join(hosts)} {told}; `webmon alarm test {channel.name}` sends a message")


def _hosts(channel: Channel, settings: Alarm) -> list[str] | None:
    """Give the names that a channel connects to; None where only Apprise knows them."""
    match channel.way:
        case Mail():
            return [settings.smtp_host]
        case Webhook() as way:
            return [urlsplit(way.url).hostname or ""]
        case Alertmanager() as way:
            return [urlsplit(url).hostname or "" for url in way.urls]
        case Apprise():
            return None


def _fault_of_name(host: str) -> str | None:
    """Say why a name has no address; None where it has one."""
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _NO_SUCH_NAME:
            return f"no host is called {host!r}"
        return f"the name {host!r} can't be resolved at the moment: {error.strerror}"
    except UnicodeError:
        return f"{host!r} is no name of a host"
    return None
