"""The targets file as a model: its keys, their types, and what a right value of each is.

The messages of `webmon targets check` and the JSON Schema for editors are both made from it. A copy of the schema is
checked in as webmon/targets.schema.json.
"""

import json
import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)

from webmon.check.jsonpath import JsonPath, compile_path
from webmon.check.pattern import Pattern, compile_pattern
from webmon.check.result import LABEL_LIMIT, LABELS_LIMIT, NAME_LIMIT, URL_LIMIT
from webmon.check.target import ConnectionUse, HttpVersion, IpVersion, TlsVersion
from webmon.targets.alarm import AlarmModel
from webmon.targets.keys import Model, fields_of, length, right

_SIZES: Final = {"": 1, "KB": 1 << 10, "MB": 1 << 20}
_HEADER_NAME: Final = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"
"""RFC 9110, 5.6.2."""
PROXY_URL: Final = r"^http://(?:([^:@/\s]+):([^:@/\s]+)@)?([0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\]):([1-9][0-9]{0,4})/?$"
"""User, password, host and port; what else a user or a password has in it stands as %XX, or in a secret."""


def _size(value: object) -> object:
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,9})\s*(KB|MB)?", value)):
        return int(match[1]) * _SIZES[match[2] or ""]
    return value


def _status(value: object) -> object:
    return tuple(_status_range(item) for item in (value if isinstance(value, list) else [value]))


def _status_range(item: object) -> tuple[int, int]:
    text = str(item) if isinstance(item, int | str) and not isinstance(item, bool) else ""
    if match := re.fullmatch(r"([1-9])xx", text.lower()):
        return int(match[1]) * 100, int(match[1]) * 100 + 99
    if match := re.fullmatch(r"([1-9]\d\d)(?:\s*-\s*([1-9]\d\d))?", text):
        low, high = int(match[1]), int(match[2] or match[1])
        if low <= high:
            return low, high
    raise ValueError


def _one_line(value: object) -> object:
    if isinstance(value, str) and not value.isprintable():
        raise ValueError
    return value


def _pattern(value: object) -> object:
    return compile_pattern(value) if isinstance(value, str) else value


def _json_path(value: object) -> object:
    return compile_path(value) if isinstance(value, str) and _one_line(value) else value


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_ONE_STATUS: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 100, "maximum": 999},
        {"type": "string", "pattern": r"^([1-9]\d\d(\s*-\s*[1-9]\d\d)?|[1-9][xX][xX])$"},
    ]
}
Duration = Annotated[
    float,
    BeforeValidator(length),
    Field(gt=0, le=86400, allow_inf_nan=False),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": 86400},
                {"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h)?$"},
            ]
        }
    ),
]
Interval = Annotated[Duration, Field(ge=1)]
Size = Annotated[
    StrictInt,
    BeforeValidator(_size),
    Field(ge=1, le=64 << 20),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 64 << 20},
                {"type": "string", "pattern": r"^\d{1,9}\s*(KB|MB)?$"},
            ]
        }
    ),
]
Text = Annotated[StrictStr, BeforeValidator(_one_line)]
LabelKey = Annotated[Text, Field(max_length=NAME_LIMIT)]
LabelValue = Annotated[Text, Field(max_length=LABEL_LIMIT)]
Parent = Annotated[Text, Field(min_length=1, max_length=URL_LIMIT)]
Statuses = Annotated[
    tuple[tuple[int, int], ...],
    BeforeValidator(_status),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [*_ONE_STATUS["anyOf"], {"type": "array", "items": _ONE_STATUS, "minItems": 1}]}),
]
Re2 = Annotated[Pattern, BeforeValidator(_pattern), WithJsonSchema({"type": "string"})]
Path = Annotated[JsonPath, BeforeValidator(_json_path), WithJsonSchema({"type": "string", "pattern": r"^\$"})]
ProxyUrl = Annotated[StrictStr, Field(pattern=PROXY_URL)]
HeaderName = Annotated[StrictStr, Field(pattern=_HEADER_NAME)]
Minimum = Annotated[TlsVersion, BeforeValidator(_number_as_text), WithJsonSchema({"enum": ["1.2", "1.3", 1.2, 1.3]})]
HttpVersionValue = Annotated[
    HttpVersion, BeforeValidator(_number_as_text), WithJsonSchema({"enum": ["auto", "1.1", "2", "3", 1.1, 2, 3]})
]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_A_PEM_FILE: Final = "the path of a PEM file"


class Basic(Model):
    """User and password (RFC 7617)."""

    username: Annotated[Text, Field(pattern="^[^:]*$")] = Field(description="a name without a colon, in quotes")
    password: Text = Field(description="${NAME} of a secret")


class Auth(Model):
    """How we make ourselves known: one of the two."""

    basic: Basic | None = right("a mapping with username, password")
    bearer: Text | None = right("${NAME} of a secret")


class JsonModel(Model):
    """What a place of a JSON body must hold."""

    model_config = ConfigDict(title="Json")

    path: Path = Field(description="a JSONPath (RFC 9535), such as $.status")
    equals: StrictStr | StrictBool | StrictInt | float | None = right("a text in quotes, a number, true or false")
    matches: Re2 | None = right("an RE2 pattern, in quotes")
    above: Number | None = right("a number")
    below: Number | None = right("a number")


class StepModel(Model):
    """One step of a dialogue: one of these."""

    model_config = ConfigDict(title="Step")

    expect: Re2 | None = right("an RE2 pattern, in quotes")
    send: StrictStr | None = right("a text, in quotes; a line ends with \\r\\n")
    starttls: Literal[True] | None = right("true")


class Expect(Model):
    """What a response must be like."""

    status: Statuses | None = right("codes and ranges: 200, 200-299, 2xx, or a list of them")
    body: Re2 | None = right("an RE2 pattern, in quotes")
    body_not: Re2 | None = right("an RE2 pattern, in quotes")
    headers: dict[HeaderName, Re2] | None = right("a mapping of header names to RE2 patterns, in quotes")
    headers_not: dict[HeaderName, Re2] | None = right("a mapping of header names to RE2 patterns, in quotes")
    json_: Annotated[list[JsonModel], Field(min_length=1)] | None = Field(
        default=None,
        alias="json",
        description="a list of mappings with path, and equals, matches, above or below",
    )
    rcode: Literal["NOERROR", "NXDOMAIN", "SERVFAIL", "REFUSED", "FORMERR", "NOTIMP"] | None = right(
        "NOERROR, NXDOMAIN, SERVFAIL, REFUSED, FORMERR or NOTIMP"
    )
    max_response_time: Duration | None = right("seconds, or 500ms, 2s")
    certificate_days: Annotated[float, Field(gt=0, le=3650, strict=True)] | None = right("days above 0")


class TlsModel(Model):
    """How the certificate is judged, and what we show of ourselves."""

    model_config = ConfigDict(title="Tls")

    verify: StrictBool | None = right("true or false")
    ca: StrictStr | None = right(_A_PEM_FILE)
    certificate: StrictStr | None = right(_A_PEM_FILE)
    key: StrictStr | None = right(_A_PEM_FILE)
    minimum: Minimum | None = right("1.2 or 1.3")


class Common(Model):
    """What a target may say, and the defaults for all."""

    model_config = ConfigDict(title="Defaults")

    interval: Interval | None = right("seconds from 1 to 86400, or 30s, 5m, 1h")
    timeout: Duration | None = right("seconds above 0, or 500ms, 10s")
    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=LABELS_LIMIT)] | None = right(
        f"a mapping of at most {LABELS_LIMIT} words of {NAME_LIMIT} characters, each value of {LABEL_LIMIT} at most "
        "and in quotes"
    )
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] | None = right(
        "GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS"
    )
    headers: dict[HeaderName, StrictStr] | None = right("a mapping of header names to texts, each in quotes")
    body: StrictStr | None = right("a text, in quotes")
    auth: Auth | None = right("a mapping with basic or bearer")
    ip_version: IpVersion | None = right("any, 4 or 6")
    proxy: ProxyUrl | None = right("http://HOST:PORT, with USER:${PASSWORD}@ before HOST where it asks for one")
    connection: ConnectionUse | None = right("fresh or reused")
    http_version: HttpVersionValue | None = right("auto, 1.1, 2 or 3")
    follow_redirects: StrictBool | None = right("true or false")
    max_redirects: Annotated[StrictInt, Field(ge=0, le=50)] | None = right("a whole number from 0 to 50")
    allow_private: StrictBool | None = right("true or false")
    dialogue: Annotated[list[StepModel], Field(min_length=1, max_length=50)] | None = right(
        "a list of steps, each {expect: an RE2 pattern}, {send: a text} or {starttls: true}"
    )
    body_limit: Size | None = right("bytes from 1 to 67108864, or 64KB, 2MB")
    expect: Expect | None = right("a mapping with " + ", ".join(fields_of(Expect)))
    tls: TlsModel | None = right("a mapping with " + ", ".join(fields_of(TlsModel)))
    alarm: AlarmModel | None = right("a mapping with " + ", ".join(fields_of(AlarmModel)))
    depends_on: Annotated[list[Parent], Field(max_length=20)] | None = right(
        "a list of at most 20 names of targets, in quotes"
    )


class TargetModel(Common):
    """A target."""

    model_config = ConfigDict(title="Target")

    name: Annotated[Text, Field(min_length=1, max_length=NAME_LIMIT)] | None = right(
        "text of 1 to 200 characters, in quotes"
    )
    url: Annotated[StrictStr, Field(max_length=URL_LIMIT)] = Field(
        description="http://HOST/..., https://HOST/..., or a URL of another kind of probe"
    )


class TargetsFile(Model):
    """A targets file: what webmon's agents check."""

    defaults: Common | None = right("a mapping of what counts for every target that does not say otherwise")
    targets: Annotated[list[StrictStr | TargetModel], Field(min_length=1)] = Field(
        description="a list of URLs and of mappings with `url`"
    )


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of a targets file, for editors."""
    schema = TargetsFile.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "webmon targets file",
    }


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
