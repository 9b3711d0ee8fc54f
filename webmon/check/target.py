"""Targets: what is checked, and the file that lists them.

The file is a plain list (a URL a line, `#` comments) or, where its name ends in .yml or .yaml, a mapping with
`targets` and `defaults`. All its faults are told at once, each with file, line, key, value and what would be right.
"""

import difflib
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import requests
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictStr, ValidationError

from webmon import __version__
from webmon.check import yaml_lines
from webmon.check.pattern import Pattern, PatternError, compile_pattern
from webmon.check.transport import tls_context
from webmon.check.verdict import ANY_SUCCESS, Expectations
from webmon.errors import UserError

DEFAULT_INTERVAL: Final = 60.0
DEFAULT_TIMEOUT: Final = 15.0
"""Seconds; a target with a shorter interval gets that instead."""

_HEADERS: Final = {
    "User-Agent": f"webmon/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "close",
}


@dataclass(frozen=True, slots=True)
class Tls:
    """How a target's certificate is judged."""

    verify: bool = True
    ca: Path | None = None
    """A PEM file trusted for this target beside the rest."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is checked, and what it must be like; two are equal when a check of either is the same."""

    name: str
    """Stable: the key of its results, and part of its place in the schedule."""
    url: str
    interval: float
    """Seconds from slot to slot."""
    timeout: float
    """Seconds that a whole check may take; at most the interval."""
    labels: Mapping[str, str] = field(default_factory=dict)
    expect: Expectations = field(default_factory=Expectations)
    tls: Tls = Tls()
    request: requests.PreparedRequest = field(init=False, repr=False, compare=False)
    """Made once: it costs as much as a tenth of a check."""

    def __post_init__(self) -> None:
        """Prepare the request.

        Raises:
            ValueError: the URL cannot be checked; says what would be right.
        """
        object.__setattr__(self, "request", _prepare(self.url))


def load(
    path: Path, *, interval: float = DEFAULT_INTERVAL, timeout: float | None = None, regex: str | None = None
) -> tuple[Target, ...]:
    """Read a targets file.

    Args:
        path: the file.
        interval: seconds between checks of a target that names no interval.
        timeout: seconds for a check of a target that names no timeout; where its interval is shorter, that counts.
        regex: pattern for every target that names none (MONITORING_TARGETS_REGEX).

    Raises:
        UserError: a line for each fault.
    """
    reader = _Reader(path, interval, timeout, regex)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; right would be a readable list of targets") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; right would be UTF-8 text") from error
    if path.suffix in (".yml", ".yaml"):
        reader.read_yaml(text)
    else:
        reader.read_list(text)
    return reader.finish()


def check_file(path: Path) -> int:
    """Give the number of targets in a file without a fault.

    Raises:
        UserError: a line for each fault.
    """
    return len(load(path))


def without_password(text: str) -> str:
    """Take user and password out of the URLs in a text."""
    return re.sub(r"://\S*@", "://...@", text)


def why_no_authority(error: OSError) -> str:
    """Say why a file of authorities cannot be used, from what tls_context raised."""
    if isinstance(error, ssl.SSLError) or not error.strerror:
        return "holds no PEM certificate"
    return error.strerror


def _prepare(url: str) -> requests.PreparedRequest:
    if any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError("has a space or a control character in it; right would be %20 for a space")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError("right would be a valid host and a port from 1 to 65535") from error
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise ValueError("right would be http://HOST/... or https://HOST/...")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user or a password, and a URL is stored with every result; right would be none")
    if port == 0:
        raise ValueError("right would be a port from 1 to 65535")
    try:
        parts.hostname.encode("idna")
        return requests.Request("GET", url, headers=_HEADERS).prepare()
    except (UnicodeError, requests.RequestException) as error:
        raise ValueError("right would be a valid host name") from error


def _duration(value: object) -> object:
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", value)):
        return float(match[1]) * {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}[match[2] or "s"]
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


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError
    return value


def _right(text: str) -> Any:
    """Say what a right value is, for the message of a wrong one."""
    return Field(default=None, json_schema_extra={"right": text})


Duration = Annotated[float, BeforeValidator(_duration), Field(gt=0, le=86400, allow_inf_nan=False)]
Text = Annotated[StrictStr, BeforeValidator(lambda v: _one_line(v) if isinstance(v, str) else v)]
Statuses = Annotated[tuple[tuple[int, int], ...], BeforeValidator(_status), Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class _ExpectModel(_Model):
    status: Statuses | None = _right("codes and ranges: 200, 200-299, 2xx, or a list of them")
    body: Annotated[Pattern, BeforeValidator(lambda v: compile_pattern(v) if isinstance(v, str) else v)] | None = (
        _right("an RE2 pattern, in quotes")
    )
    max_response_time: Duration | None = _right("seconds, or 500ms, 2s")


class _TlsModel(_Model):
    verify: StrictBool | None = _right("true or false")
    ca: StrictStr | None = _right("the path of a PEM file")


class _Common(_Model):
    """What a target may say, and the defaults for all."""

    interval: Annotated[Duration, Field(ge=1)] | None = _right("seconds from 1 to 86400, or 30s, 5m, 1h")
    timeout: Duration | None = _right("seconds above 0, or 500ms, 10s")
    labels: dict[Text, Text] | None = _right("a mapping of words, each value in quotes")
    expect: _ExpectModel | None = _right("a mapping with status, body, max_response_time")
    tls: _TlsModel | None = _right("a mapping with verify, ca")


class _TargetModel(_Common):
    name: Annotated[Text, Field(min_length=1, max_length=200)] | None = _right("text of 1 to 200 characters, in quotes")
    url: Annotated[StrictStr, Field(max_length=2000)] = Field(
        json_schema_extra={"right": "http://HOST/... or https://HOST/..."}
    )


class _Reader:
    """Reads one file; gathers targets and faults."""

    def __init__(self, path: Path, interval: float, timeout: float | None, regex: str | None) -> None:
        self._path = path
        self._interval = interval
        self._timeout = timeout if timeout is not None else DEFAULT_TIMEOUT
        self._faults: list[str] = []
        self._targets: dict[str, tuple[Target, int]] = {}
        self._pattern: Pattern | None = None
        self._document = yaml_lines.Document()
        if regex:
            try:
                self._pattern = compile_pattern(regex)
            except PatternError as error:
                self._faults.append(f"MONITORING_TARGETS_REGEX is {regex!r}: {error}")

    def finish(self) -> tuple[Target, ...]:
        if not self._targets and not self._faults:
            self._faults.append(f"{self._path}: names no target; right would be one URL at least")
        if self._faults:
            raise UserError(*self._faults)
        return tuple(target for target, _ in self._targets.values())

    def read_list(self, text: str) -> None:
        for number, line in enumerate(text.splitlines(), 1):
            url = re.sub(r"(^|\s)#.*", "", line).strip()
            if re.match(r"(targets|defaults)\s*:", url):
                self._fault(number, "this is YAML; right would be a file name that ends in .yml")
                return
            if url:
                self._add(number, f"{url!r}", name=url, url=url)

    def read_yaml(self, text: str) -> None:
        document = self._document = yaml_lines.read(text)
        for line, message in document.faults:
            self._fault(line, message)
        if document.value is None and document.faults:
            return
        if not isinstance(document.value, dict) or not isinstance(document.value.get("targets"), list):
            self._fault(1, "right would be a mapping with `targets`, a list, and maybe `defaults`")
            return
        for key in document.value.keys() - {"targets", "defaults"}:
            self._unknown(document.line((key,)), "", key, ("targets", "defaults"))
        defaults = document.value.get("defaults") or {}
        if not isinstance(defaults, dict):
            self._fault(document.line(("defaults",)), f"defaults is {defaults!r}; right would be a mapping")
            defaults = {}
        wrong = {path[0] for path in self._validate(_Common, defaults, ("defaults",), "defaults")[1]}
        defaults = {key: value for key, value in defaults.items() if key not in wrong}
        for position, given in enumerate(document.value["targets"]):
            self._target(("targets", position), {"url": given} if isinstance(given, str) else given, defaults)

    def _target(self, path: yaml_lines.Path, given: Any, defaults: Mapping[str, Any]) -> None:
        line = self._document.line(path)
        if not isinstance(given, dict):
            self._fault(line, f"a target is {given!r}; right would be a URL or a mapping with `url`")
            return
        who = f"target {given.get('name') or given.get('url') or path[-1]!r}"
        model, _ = self._validate(_TargetModel, _merged(defaults, given), path, who)
        if not isinstance(model, _TargetModel):
            return
        interval = model.interval or self._interval
        timeout = model.timeout or min(self._timeout, interval)
        if timeout > interval:
            self._fault(
                self._document.line((*path, "timeout") if "timeout" in given else path),
                f"{who}: timeout is {timeout:g} s, longer than its interval of {interval:g} s; "
                "right would be at most that",
            )
        expect, tls = model.expect or _ExpectModel(), model.tls or _TlsModel()
        ca = self._path.parent / tls.ca if tls.ca else None
        if ca is not None:
            try:
                tls_context(authorities=(ca,))
            except OSError as error:
                why = why_no_authority(error)
                self._fault(self._document.line((*path, "tls", "ca")), f"{who}: tls.ca is {tls.ca!r}: {why}")
        self._add(
            line,
            who,
            name=model.name or model.url,
            url=model.url,
            interval=interval,
            timeout=timeout,
            labels=model.labels or {},
            expect=Expectations(
                status=expect.status or ANY_SUCCESS,
                body=expect.body or self._pattern,
                max_response_time=expect.max_response_time,
            ),
            tls=Tls(verify=tls.verify is not False, ca=ca),
        )

    def _add(self, line: int, who: str, *, name: str, url: str, **more: Any) -> None:
        if name in self._targets:
            self._fault(
                line, f"{who} is listed twice, first on line {self._targets[name][1]}; right would be a name of its own"
            )
            return
        settings = {
            "interval": self._interval,
            "timeout": min(self._timeout, self._interval),
            "expect": Expectations(body=self._pattern),
            **more,
        }
        try:
            self._targets[name] = Target(name=name, url=url, **settings), line
        except ValueError as error:
            self._fault(line, f"{who}: url is {url!r}: {error}")

    def _validate(
        self, model: type[_Common], value: Mapping[str, Any], path: yaml_lines.Path, who: str
    ) -> tuple[_Common | None, Sequence[tuple[str, ...]]]:
        """Give the model, or None and the keys that are wrong."""
        try:
            return model.model_validate(value), ()
        except ValidationError as error:
            wrong = []
            for fault in error.errors(include_url=False):
                keys = tuple(_keys(model, fault["loc"]))
                wrong.append(keys)
                self._tell(model, fault, keys, path, who)
            return None, wrong

    def _tell(self, model: type[_Common], fault: Any, keys: tuple[str, ...], path: yaml_lines.Path, who: str) -> None:
        line = self._document.line((*path, *keys))
        key, value = ".".join(keys), fault["input"]
        around, right = _described(model, keys)
        if fault["type"] == "extra_forbidden":
            self._unknown(line, who, key, tuple(around.model_fields))
        elif fault["type"] == "missing":
            self._fault(line, f"{who}: {key} is missing; right would be {right}")
        elif isinstance(cause := fault.get("ctx", {}).get("error"), PatternError):
            self._fault(line, f"{who}: {key} is {value!r}: {cause}")
        else:
            so = " (YAML reads yes, no, on and off so)" if isinstance(value, bool) else ""
            self._fault(line, f"{who}: {key} is {value!r}{so}; right would be {right}")

    def _unknown(self, line: int, who: str, key: str, known: tuple[str, ...]) -> None:
        near = difflib.get_close_matches(key.rpartition(".")[2], known, n=1)
        right = near[0] if near else "one of " + ", ".join(known)
        self._fault(line, f"{who}{': ' if who else ''}{key} is not known; right would be {right}")

    def _fault(self, line: int, message: str) -> None:
        # A URL with a password in it is a fault itself; the message must not carry the password on.
        self._faults.append(f"{self._path}:{line}: {without_password(message)}")


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a target's keys over the defaults, one level into labels, expect and tls."""
    merged = {**defaults, **given}
    for key in ("labels", "expect", "tls"):
        ours, theirs = given.get(key), defaults.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            merged[key] = {**theirs, **ours}
    return merged


def _keys(model: type[BaseModel], location: Sequence[str | int]) -> Iterator[str]:
    """Give the file's own keys of a fault's location; pydantic adds names of types and positions after them."""
    for part in location:
        yield str(part)
        if part == "labels":
            yield from map(str, location[1:2])
        inner = _inner(model, str(part))
        if inner is None:
            return
        model = inner


def _inner(model: type[BaseModel], key: str) -> type[BaseModel] | None:
    inner: dict[str, type[BaseModel]] = {"expect": _ExpectModel, "tls": _TlsModel}
    return inner.get(key) if issubclass(model, _Common) else None


def _described(model: type[BaseModel], keys: tuple[str, ...]) -> tuple[type[BaseModel], str]:
    """Give the model that the last key belongs to, and what a right value is of the last key that a model knows."""
    right = ""
    for key in keys:
        known = model.model_fields.get(key)
        if known is not None and isinstance(known.json_schema_extra, dict):
            right = str(known.json_schema_extra["right"])
        if key != keys[-1]:
            model = _inner(model, key) or model
    return model, right
