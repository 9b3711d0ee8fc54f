"""The rules file, read whole: what is told, to whom, by which channel, and when nothing is.

Each fault is told with file, line, key, value and what would be right, all at once. Secrets stand in the channels as
${NAME}. Without a file the settings name one channel, and the defaults count.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel

from webmon import files
from webmon.alarm.channels import Alertmanager, Apprise, Channel, Mail, Webhook
from webmon.alarm.conditions import Conditions, Severity, Step
from webmon.alarm.maintenance import Every, Maintenance, Once, every
from webmon.alarm.match import Match
from webmon.alarm.model import (
    ChannelModel,
    MatchModel,
    RouteMatchModel,
    RouteModel,
    RuleModel,
    RulesFile,
    WindowModel,
)
from webmon.alarm.ruleset import DEFAULTS, Route, Rule, Ruleset
from webmon.errors import UserError
from webmon.render import as_duration
from webmon.settings import A_URL, Alarm, is_http_url
from webmon.targets import file as targets_file
from webmon.targets import yaml_lines
from webmon.targets.alarm import AlarmModel
from webmon.targets.faults import NOT_SHOWN, Faults, circles, shown
from webmon.targets.keys import fields_of
from webmon.targets.secrets import NO_NAME, Filling

ONLY: Final = "alarm"
"""The channel that the settings name, where there is no file."""
_CLOSED: Final = ("webhook", "apprise", "alertmanager", "fallback")
"""Keys whose values may be secrets, also by mistake, and are never shown."""
_SIGNING_KEY: Final = r"(?!whsec_).*|whsec_(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_WAYS: Final = ("mail", "webhook", "alertmanager", "apprise")

M = TypeVar("M", bound=BaseModel)


def load(
    path: Path,
    *,
    secrets: Mapping[str, str] | None = None,
    targets: Path | None = None,
    vantages: int | None = None,
    named: bool = False,
) -> Ruleset:
    """Read a rules file.

    Args:
        path: the file.
        secrets: what ${NAME} stands for; None leaves it as it is, for those who only look at the file.
        targets: the agents' list of targets, whose `alarm` and `depends_on` count, too; None: there is none.
        vantages: how many check a target, which no `agree` may exceed; None leaves that open.
        named: whether a person names it now, on the command line, where it may be a pipe (webmon.files).

    Raises:
        UserError: a line for each fault, of both files.
    """
    try:
        text = files.read(path, most=files.LIST, pipe=named).data.decode()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; right would be a readable file of rules") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; right would be UTF-8 text") from error
    reader = _Reader(path, secrets, vantages)
    told: list[str] = []
    rules, said = Ruleset(), dict[str, dict[str, Any]]()
    try:
        rules = reader.read(text)
    except UserError as error:
        told += error.lines
    try:
        said = _of_targets(targets, vantages)
    except UserError as error:
        told += error.lines
    if told:
        raise UserError(*told)
    return replace(rules, targets=said)


def of_settings(settings: Alarm, secrets: Mapping[str, str]) -> Ruleset:
    """Give the rules that settings name: those of their file, or the defaults and one channel.

    Raises:
        UserError: a line for each fault of the file.
    """
    if settings.rules_path is not None:
        return load(settings.rules_path, secrets=secrets, targets=settings.targets_path)
    ways: list[Mail | Webhook] = []
    if settings.mail_to is not None:
        ways.append(Mail(tuple(settings.mail_to)))
    if settings.webhook_url is not None:
        ways.append(Webhook(settings.webhook_url.get_secret_value()))
    names = [ONLY] if len(ways) == 1 else ["mail", "webhook"]
    channels = {name: Channel(name, way) for name, way in zip(names, ways, strict=True)}
    route = Route((Step(0.0, tuple(channels)),))
    return Ruleset(routes=(route,), channels=channels, targets=_of_targets(settings.targets_path, None))


def _of_targets(path: Path | None, vantages: int | None) -> dict[str, dict[str, Any]]:
    if path is None:
        return {}
    said = targets_file.alarms(path)
    many = [
        f"{path}: target {shown(name)}: alarm.agree is {agree}; right would be {vantages} at most, as many as check it"
        for name, changes in said.items()
        if vantages is not None and isinstance(agree := changes.get("agree"), int) and agree > vantages
    ]
    if many:
        raise UserError(*many)
    return said


class _Reader:
    """Reads one file; gathers rules and faults."""

    def __init__(self, path: Path, secrets: Mapping[str, str] | None, vantages: int | None) -> None:
        self._faults = Faults(path, closed=_CLOSED, mappings=("labels",), show=_shown)
        self._secrets = secrets
        self._vantages = vantages

    def read(self, text: str) -> Ruleset:
        """Give what it says.

        Raises:
            UserError: a line for each fault.
        """
        value = self._faults.read(text)
        if not isinstance(value, dict):
            if not self._faults.told:
                self._faults.add(1, "right would be a mapping with `routes` and `channels`")
            self._faults.end()
        known = tuple(fields_of(RulesFile))
        for key in value:
            if key not in known:
                self._faults.unknown(self._faults.document.line((key,)), "", key, known)
        for key in ("routes", "channels"):
            if key not in value:
                self._faults.add(1, f"{key} is missing; right would be {fields_of(RulesFile)[key].description}")
        channels = self._channels(self._inside(value, "channels", dict))
        rules = Ruleset(
            defaults=self._defaults(self._inside(value, "defaults", dict)),
            rules=tuple(self._rules(self._inside(value, "rules", list))),
            routes=tuple(self._routes(self._inside(value, "routes", list), channels)),
            channels={name: channel for name, channel in channels.items() if channel is not None},
            maintenance=tuple(self._maintenance(self._inside(value, "maintenance", list))),
        )
        self._faults.end()
        return rules

    def _inside(self, value: Mapping[str, Any], key: str, kind: type) -> Any:
        """Give a part of the file; an empty one where it is not what it must be, which is told."""
        inside = value.get(key)
        if isinstance(inside, kind) and (inside or key not in ("routes", "channels")):
            return inside
        if key in value and not (inside is None and key not in ("routes", "channels")):
            right = fields_of(RulesFile)[key].description
            self._faults.at((key,), f"{key} is {_shown(inside)}; right would be {right}")
        return kind()

    def _defaults(self, given: dict[str, Any]) -> Conditions:
        model, _ = self._faults.validate(AlarmModel, given, ("defaults",), "defaults")
        if not isinstance(model, AlarmModel):
            return DEFAULTS
        self._agree(model, ("defaults",), "defaults")
        return replace(DEFAULTS, **model.changes())

    def _rules(self, given: list[Any]) -> Iterator[Rule]:
        for place, model in self._models(RuleModel, given, "rules", "rule"):
            path, who = ("rules", place), f"rule {place + 1}"
            self._agree(model, path, who)
            if model.match.names is None and model.match.labels is None:
                self._faults.at((*path, "match"), f"{who}: match says nothing; right would be names or labels")
            yield Rule(_match(model.match), model.changes())

    def _agree(self, model: AlarmModel, path: yaml_lines.Path, who: str) -> None:
        if self._vantages is not None and isinstance(model.agree, int) and model.agree > self._vantages:
            self._faults.at(
                (*path, "agree"),
                f"{who}: agree is {model.agree}; right would be {self._vantages} at most, as many as check a target",
            )

    def _routes(self, given: list[Any], channels: Mapping[str, Channel | None]) -> Iterator[Route]:
        last, told = None, set[Severity]()
        models = list(self._models(RouteModel, given, "routes", "route"))
        for place, model in models:
            path, who = ("routes", place), f"route {place + 1}"
            if last is not None:
                self._faults.at(
                    path, f"{who}: is never reached; right would be before route {last + 1}, or `continue: true` there"
                )
            match = model.match or RouteMatchModel()
            if not match.model_fields_set and not model.continue_:
                last = place
            if not match.labels and match.condition is None:
                told |= {match.severity} if match.severity else set(Severity)
            steps = [Step(0.0, self._known(model.to, (*path, "to"), f"{who}: to", channels))]
            for number, then in enumerate(model.then or ()):
                where = (*path, "then", number)
                to = self._known(then.to, (*where, "to"), f"{who}: then.{number}.to", channels)
                steps.append(Step(then.after, to))
            yield Route(
                steps=tuple(sorted(steps, key=lambda step: step.after_secs)),
                labels=match.labels or {},
                severity=match.severity,
                condition=match.condition,
                goes_on=bool(model.continue_),
            )
        # Of one that can't be read nobody knows what it is for.
        if given and len(models) == len(given) and told != set(Severity):
            self._faults.at(
                ("routes",),
                "routes: what none of them matches is told to nobody; right would be a last one without `match` (with "
                "`to: []` where that is meant)",
            )

    def _known(
        self, names: list[str], path: yaml_lines.Path, key: str, channels: Mapping[str, Channel | None]
    ) -> tuple[str, ...]:
        for place, name in enumerate(names):
            if name not in channels:
                near = difflib.get_close_matches(name, channels, n=1)
                right = near[0] if near else f"one of {', '.join(channels)}" if channels else "a channel of this file"
                self._faults.at(
                    (*path, place), f"{key} names {_shown(name)}, which is no channel; right would be {right}"
                )
        return tuple(dict.fromkeys(names))

    def _channels(self, given: dict[str, Any]) -> dict[str, Channel | None]:
        """Give them by name; None: one with a fault, whose name is known all the same."""
        channels: dict[str, Channel | None] = {}
        fallbacks: dict[str, tuple[str, ...]] = {}
        for name, value in given.items():
            path, who = ("channels", name), f"channel {shown(name)}"
            channels[name] = None
            if not isinstance(value, dict):
                self._faults.at(path, f"{who} is not right; right would be a mapping with one of {', '.join(_WAYS)}")
                continue
            if not name.isprintable() or not 1 <= len(name) <= 200:
                self._faults.at(path, f"{who}: right would be a name of 1 to 200 characters on one line")
            model, _ = self._faults.validate(ChannelModel, value, path, who)
            if not isinstance(model, ChannelModel):
                continue
            if model.fallback is not None:
                fallbacks[name] = (model.fallback,)
            given_ways = [way for way in _WAYS if getattr(model, way) is not None]
            if len(given_ways) != 1:
                found = " and ".join(given_ways) or "none"
                self._faults.at(path, f"{who} has {found}; right would be one of {', '.join(_WAYS)}")
                continue
            channels[name] = Channel(name, self._way(model, path, who), model.fallback)
        for name, (other,) in fallbacks.items():
            self._known([other], ("channels", name, "fallback"), f"channel {shown(name)}: fallback", channels)
        for circle in circles(fallbacks):
            way = " -> ".join([*circle, circle[0]])
            self._faults.at(
                ("channels", circle[0], "fallback"),
                f"channel {shown(circle[0])}: fallback goes round: {way}; right would be an end to it",
            )
        return channels

    def _way(self, model: ChannelModel, path: yaml_lines.Path, who: str) -> Mail | Webhook | Alertmanager | Apprise:
        if model.mail is not None:
            return Mail(tuple(dict.fromkeys(model.mail.to)), model.mail.from_)
        if model.webhook is not None:
            url = self._url(model.webhook.url, (*path, "webhook", "url"), f"{who}: webhook.url")
            secret = model.webhook.secret
            if secret is not None:
                secret = self._filled(secret, (*path, "webhook", "secret"), f"{who}: webhook.secret")
                if "${" not in secret and not re.fullmatch(_SIGNING_KEY, secret):
                    self._faults.at(
                        (*path, "webhook", "secret"),
                        f"{who}: webhook.secret begins with whsec_, and no base64 follows; right would be that, or any "
                        "other text",
                    )
            return Webhook(url, secret)
        if model.alertmanager is not None:
            return Alertmanager(
                tuple(
                    self._url(url, (*path, "alertmanager", place), f"{who}: alertmanager.{place}")
                    for place, url in enumerate(model.alertmanager)
                )
            )
        urls = [model.apprise] if isinstance(model.apprise, str) else model.apprise or []
        return Apprise(tuple(self._service(url, (*path, "apprise"), f"{who}: apprise") for url in urls))

    def _service(self, text: str, path: yaml_lines.Path, key: str) -> str:
        url = self._filled(text, path, key)
        if "${" not in text and not re.match(r"[A-Za-z0-9][A-Za-z0-9+.-]*://", url):
            right = fields_of(ChannelModel)["apprise"].description
            self._faults.at(path, f"{key} is not right ({NOT_SHOWN}); right would be {right}")
        return url

    def _url(self, text: str, path: yaml_lines.Path, key: str) -> str:
        url = self._filled(text, path, key)
        begins_so = "${" in url and self._secrets is None  # what it will be is not known
        if not begins_so and not is_http_url(url):
            self._faults.at(path, f"{key} is not right ({NOT_SHOWN}); right would be {A_URL}")
        return url

    def _filled(self, text: str, path: yaml_lines.Path, key: str) -> str:
        if NO_NAME.search(text):
            self._faults.at(
                path, f"{key} has ${{ and no name behind it; right would be ${{NAME}}, of letters, digits and _"
            )
        filled, missing = Filling(self._secrets).fill(text)
        for name in missing:
            self._faults.at(
                path,
                f"{key} names ${{{name}}}, which is not set; right would be a variable of the .env or the environment",
            )
        return filled

    def _maintenance(self, given: list[Any]) -> Iterator[Maintenance]:
        names: dict[str, int] = {}
        for place, model in self._models(WindowModel, given, "maintenance", "maintenance"):
            path, who = ("maintenance", place), f"maintenance {shown(model.name)}"
            line = self._faults.document.line(path)
            if model.name in names:
                self._faults.add(
                    line, f"{who} is here twice, first on line {names[model.name]}; right would be a name of its own"
                )
            names.setdefault(model.name, line)
            if (when := self._when(model, path, who)) is not None:
                yield Maintenance(model.name, when, _match(model.match or MatchModel()), public=bool(model.public))

    def _when(self, model: WindowModel, path: yaml_lines.Path, who: str) -> Every | Once | None:
        said = {key for key in ("every", "for", "from", "until", "timezone") if _has(model, key)}
        if said not in ({"every", "for"}, {"every", "for", "timezone"}, {"from", "until"}, {"from", "for"}):
            found = ", ".join(sorted(said)) or "no time"
            self._faults.at(path, f"{who} has {found}; right would be every and for (and timezone), or from and until")
            return None
        lasts = timedelta(seconds=model.for_ or 0)
        if model.every is not None:
            found_every = every(model.every, lasts, model.timezone or ZoneInfo("UTC"))
            if lasts > found_every.longest:
                most = as_duration(found_every.longest.total_seconds())
                self._faults.at(
                    (*path, "for"),
                    f"{who}: for is {as_duration(model.for_)}; right would be {most} at most, to end in time",
                )
            return found_every
        assert model.from_ is not None
        try:
            until = model.until or model.from_ + lasts
        except OverflowError:
            self._faults.at((*path, "for"), f"{who}: it ends after the year 9999; right would be an earlier end")
            return None
        if until <= model.from_:
            self._faults.at((*path, "until"), f"{who}: until is not after from; right would be a later time")
        return Once(model.from_, until)

    def _models(self, kind: type[M], given: list[Any], key: str, word: str) -> Iterator[tuple[int, M]]:
        for place, value in enumerate(given):
            if not isinstance(value, dict):
                self._faults.at((key, place), f"{word} {place + 1} is {_shown(value)}; right would be a mapping")
                continue
            who = f"{word} {place + 1}"
            if key == "maintenance" and isinstance(value.get("name"), str):
                who = f"{word} {shown(value['name'])}"
            model, _ = self._faults.validate(kind, value, (key, place), who)
            if model is not None:
                yield place, model


def _shown(value: object) -> str:
    """Write a value for a message: none that may be a channel, with its secrets, in the place of something else."""
    if isinstance(value, (dict, list)) and value:
        return "a mapping" if isinstance(value, dict) else "a list"
    return f"a URL ({NOT_SHOWN})" if isinstance(value, str) and "://" in value else shown(value)


def _has(model: BaseModel, key: str) -> bool:
    return any(
        (field.alias or name) == key and getattr(model, name) is not None
        for name, field in type(model).model_fields.items()
    )


def _match(model: MatchModel) -> Match:
    return Match(tuple(model.names or ()), model.labels or {})
