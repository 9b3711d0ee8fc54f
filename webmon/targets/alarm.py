"""What a target may say of its alarms, as a model: the keys of a rule in the rules file, too."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StrictInt, WithJsonSchema

from webmon.targets.keys import Model, length, right

_UNITS: Final = "ms|s|m|h|d"
_LONGEST: Final = 366 * 86_400


def _span(value: object) -> object:
    return length(value, _UNITS)


def _falling(days: list[int]) -> list[int]:
    return sorted(set(days), reverse=True)


def _schema(least: dict[str, int]) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", **least, "maximum": _LONGEST},
                {"type": "string", "pattern": rf"^[0-9]+(\.[0-9]+)?({_UNITS})?$"},
            ]
        }
    )


Span = Annotated[
    float,
    BeforeValidator(_span),
    Field(gt=0, le=_LONGEST, allow_inf_nan=False, strict=True),
    _schema({"exclusiveMinimum": 0}),
]
"""Seconds above 0; 10m, 4h and 30d are read so."""
SpanOrNone = Annotated[
    float, BeforeValidator(_span), Field(ge=0, le=_LONGEST, allow_inf_nan=False, strict=True), _schema({"minimum": 0})
]
Checks = Annotated[StrictInt, Field(ge=1, le=100)]
Days = Annotated[
    list[Annotated[StrictInt, Field(ge=1, le=3650)]], Field(min_length=1, max_length=20), AfterValidator(_falling)
]
SPAN: Final = "seconds above 0, or 90s, 10m, 4h, 30d"
_CHECKS: Final = "a whole number from 1 to 100"


class AlarmModel(Model):
    """When something is told of a target."""

    model_config = ConfigDict(title="Alarm")

    agree: Literal["majority", "all", "any"] | Annotated[StrictInt, Field(ge=1, le=1000)] | None = right(
        "majority, all, any or a number of vantages"
    )
    confirm: Checks | None = right(_CHECKS)
    recover: Checks | None = right(_CHECKS)
    partial_after: Span | None = right(SPAN)
    slow_checks: Checks | None = right(_CHECKS)
    no_data_after: Span | None = right(SPAN)
    certificate_days: Days | None = right("a list of days, such as [21, 7, 3, 1]")
    flap_count: Annotated[StrictInt, Field(ge=2, le=1000)] | None = right("a whole number from 2 to 1000")
    flap_within: Span | None = right(SPAN)
    flap_quiet: Span | None = right(SPAN)
    remind: SpanOrNone | None = right("seconds, or 30m, 4h; 0 for never")
    group_secs: SpanOrNone | None = right("seconds, or 30s, 2m; 0 for each by itself")
    many: Annotated[StrictInt, Field(ge=2, le=1_000_000)] | None = right("a whole number from 2 to 1000000")

    def changes(self) -> dict[str, Any]:
        """Give what is said, by the names of webmon.alarm.conditions.Conditions."""
        said = {name: getattr(self, name) for name in AlarmModel.model_fields}
        return {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in said.items()
            if value is not None
        }
