"""The rules file as a model: its keys, their types, and what a right value of each is.

The messages of `webmon alarm check` and the JSON Schema for editors are both made from it. A copy of the schema is
checked in as webmon/alarm.schema.json.
"""

import json
from datetime import datetime
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, ConfigDict, Field, StrictBool, StrictStr, WithJsonSchema

from webmon.alarm.conditions import Condition, Severity
from webmon.alarm.maintenance import EVERY
from webmon.check.result import LABEL_LIMIT, NAME_LIMIT, URL_LIMIT
from webmon.settings import MAIL_ADDRESS
from webmon.targets.alarm import SPAN, AlarmModel, Span
from webmon.targets.keys import Model, fields_of, right

_A_LABELS: Final = "a mapping of labels to their values, in quotes"
_CHANNELS: Final = "a list of names of channels"
_YEARS: Final = range(1970, 9999)
"""What Python can reckon with, in any time zone."""


def _one_line(value: object) -> object:
    if isinstance(value, str) and not value.isprintable():
        raise ValueError
    return value


def _moment(value: object) -> object:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError from None  # what would be right says more than that
    if not isinstance(value, datetime) or value.tzinfo is None or value.year not in _YEARS:
        raise ValueError
    return value


def _zone(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError  # noqa: TRY004 (pydantic tells of no other)
    try:
        return ZoneInfo(value)
    except (OSError, ValueError, KeyError):  # a directory of zones, a path out of theirs, an unknown one
        raise ValueError from None


Text = Annotated[StrictStr, BeforeValidator(_one_line), Field(min_length=1)]
Name = Annotated[Text, Field(max_length=NAME_LIMIT)]
Labels = Annotated[
    dict[Annotated[Text, Field(max_length=NAME_LIMIT)], Annotated[Text, Field(max_length=LABEL_LIMIT)]],
    Field(min_length=1),
]
Patterns = Annotated[list[Annotated[Text, Field(max_length=URL_LIMIT)]], Field(min_length=1)]
ChannelNames = Annotated[list[Name], Field(max_length=50)]
Moment = Annotated[
    datetime, BeforeValidator(_moment), WithJsonSchema({"type": "string", "pattern": r"(Z|[+-][0-9]{2}:?[0-9]{2})$"})
]
Zone = Annotated[ZoneInfo, BeforeValidator(_zone), WithJsonSchema({"type": "string", "pattern": r"^[A-Za-z]"})]
Address = Annotated[StrictStr, Field(pattern=f"^{MAIL_ADDRESS}$", max_length=254)]
Addresses = Annotated[list[Address], Field(min_length=1, max_length=100)]
Secret = Annotated[Text, Field(max_length=URL_LIMIT)]


class MatchModel(Model):
    """Which targets are meant: all that is said must fit."""

    model_config = ConfigDict(title="Match")

    names: Patterns | None = right('a list of patterns for whole names, in quotes, such as ["db-*"]')
    labels: Labels | None = right(_A_LABELS)


class RuleModel(AlarmModel):
    """What differs from the defaults, for the targets that it matches."""

    model_config = ConfigDict(title="Rule")

    match: MatchModel = Field(description="a mapping with names or labels")


class RouteMatchModel(Model):
    """What a route is for: all that is said must fit."""

    model_config = ConfigDict(title="RouteMatch")

    labels: Labels | None = right(_A_LABELS)
    severity: Severity | None = right(" or ".join(Severity))
    condition: Condition | None = right(", ".join(Condition))


class ThenModel(Model):
    """Whom it goes to later, unless it was acknowledged."""

    model_config = ConfigDict(title="Then")

    after: Span = Field(description=SPAN)
    to: ChannelNames = Field(description=_CHANNELS)


class RouteModel(Model):
    """Whom something goes to."""

    model_config = ConfigDict(title="Route")

    match: RouteMatchModel | None = right("a mapping with " + ", ".join(RouteMatchModel.model_fields))
    to: ChannelNames = Field(description=_CHANNELS)
    then: Annotated[list[ThenModel], Field(max_length=20)] | None = right(
        "a list of steps, each {after: 10m, to: [...]}"
    )
    continue_: StrictBool | None = Field(default=None, alias="continue", description="true or false")


class MailModel(Model):
    """Mail, by the server of ALARM_SMTP_HOST."""

    model_config = ConfigDict(title="Mail")

    to: Addresses = Field(description="a list of addresses, such as [ops@example.org]")
    from_: Address | None = Field(default=None, alias="from", description="an address, such as webmon@example.org")


class WebhookModel(Model):
    """A POST of JSON."""

    model_config = ConfigDict(title="Webhook")

    url: Secret = Field(description="https://HOST/..., or ${NAME} of a secret")
    secret: Secret | None = right("${NAME} of a secret")


class ChannelModel(Model):
    """A way to people: one of the four."""

    model_config = ConfigDict(title="Channel")

    mail: MailModel | None = right("a mapping with to, and maybe from")
    webhook: WebhookModel | None = right("a mapping with url, and maybe secret")
    alertmanager: Annotated[list[Secret], Field(min_length=1, max_length=20)] | None = right(
        "a list of URLs, such as [https://am1:9093, https://am2:9093]"
    )
    apprise: Secret | Annotated[list[Secret], Field(min_length=1, max_length=20)] | None = right(
        "a URL of Apprise (https://appriseit.com) or a list of them; ${NAME} of a secret"
    )
    fallback: Name | None = right("the name of another channel")


class WindowModel(Model):
    """A time of maintenance: `every` and `for`, or `from` and `until`."""

    model_config = ConfigDict(title="Maintenance")

    name: Name = Field(description="a text, in quotes")
    match: MatchModel | None = right("a mapping with names or labels")
    every: Annotated[StrictStr, Field(pattern=EVERY)] | None = right(
        '"Sun 02:00", "day 1 02:00" (of a month) or "daily 02:00", in quotes'
    )
    for_: Span | None = Field(default=None, alias="for", description=SPAN)
    timezone: Zone | None = right("a name of the IANA time zones, such as Europe/Helsinki")
    from_: Moment | None = Field(
        default=None,
        alias="from",
        description="a time from 1970 to 9998 with its offset, such as 2026-12-01T02:00:00+02:00",
    )
    until: Moment | None = right("a time from 1970 to 9998 with its offset, such as 2026-12-01T04:00:00+02:00")
    public: StrictBool | None = right("true or false")


class RulesFile(Model):
    """A rules file: what is told of webmon's targets, and to whom."""

    defaults: AlarmModel | None = right("a mapping with " + ", ".join(fields_of(AlarmModel)))
    rules: list[RuleModel] | None = right("a list of mappings with `match` and what differs from the defaults")
    routes: Annotated[list[RouteModel], Field(min_length=1)] = Field(
        description="a list of mappings with `to`, and maybe `match`"
    )
    channels: Annotated[dict[Name, ChannelModel], Field(min_length=1)] = Field(
        description="a mapping of names to mail, webhook, alertmanager or apprise"
    )
    maintenance: list[WindowModel] | None = right("a list of mappings with `name`, and `every` or `from`")


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of a rules file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **RulesFile.model_json_schema(),
        "title": "webmon alarm rules",
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
