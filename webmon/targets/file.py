"""The file that lists the targets: read whole, with all its faults told at once.

It is a plain list (a URL a line, `#` comments) or, where its name ends in .yml or .yaml, a mapping with `targets` and
`defaults`. Each fault is told with file, line, key, value and what would be right.

Secrets stand in it as ${NAME}, in headers, body and auth. What stands there is never repeated in a message.
"""

import base64
import difflib
import re
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from pydantic import ValidationError

from webmon import files
from webmon.check.json_body import JsonRule
from webmon.check.kind import EVERY_KIND, HTTP, KINDS, kind_of
from webmon.check.pattern import Pattern, PatternError, compile_pattern
from webmon.check.target import (
    BODY_LIMIT,
    DEFAULT_INTERVAL,
    DEFAULT_TIMEOUT,
    MAX_REDIRECTS,
    ConnectionUse,
    Proxy,
    Step,
    Target,
    Tls,
)
from webmon.check.trust import tls_context
from webmon.check.verdict import ANY_SUCCESS, Expectations
from webmon.errors import UserError
from webmon.targets import commands as commands_file
from webmon.targets import yaml_lines
from webmon.targets.commands import Commands
from webmon.targets.faults import Faults, circles
from webmon.targets.faults import shown as _shown
from webmon.targets.keys import fields_of
from webmon.targets.model import PROXY_URL, Auth, Common, Expect, StepModel, TargetModel, TargetsFile, TlsModel
from webmon.targets.patterns import mistaken
from webmon.targets.secrets import Filling

_CLOSED: Final = ("headers", "body", "auth", "proxy", "dialogue")
"""Keys whose values may be secrets, and are never shown."""
_OURS: Final = ("connection", "content-length", "transfer-encoding")
"""Headers that only the one who writes the request can set right."""
_LAST_PORT: Final = 65535
_MOST_SHOWN: Final = 8
"""Names of a circle in a message."""
_MAPPINGS: Final = ("labels", "headers", "headers_not")
"""Keys whose values have keys of the user's."""


def load(
    path: Path,
    *,
    interval: float = DEFAULT_INTERVAL,
    timeout: float | None = None,
    regex: str | None = None,
    secrets: Mapping[str, str] | None = None,
    only: str | None = None,
    stands_at: Path | None = None,
    commands: Commands | None = None,
    named: bool = False,
) -> tuple[Target, ...]:
    """Read a targets file.

    Args:
        path: the file.
        interval: seconds between checks of a target that names no interval.
        timeout: seconds for a check of a target that names no timeout; where its interval is shorter, that counts.
        regex: pattern for every target that names none (MONITORING_TARGETS_REGEX).
        secrets: what ${NAME} stands for; None leaves it as it is, for those who only look at the file.
        only: the name of the one target whose secrets are asked for; None: those of all.
        stands_at: where the file will stand, of which `path` is a copy: its kind, the paths in it and the messages are
            those of that place.
        commands: what may be run, whose faults are told too; None leaves that open, for those who only look at the
            file.
        named: whether a person names it now, on the command line, where it may be a pipe (webmon.files).

    Raises:
        UserError: a line for each fault.
    """
    place = stands_at or path
    reader = _Reader(
        place, interval=interval, timeout=timeout, regex=regex, secrets=secrets, only=only, commands=commands
    )
    _read(reader, path, place, named=named)
    return reader.finish()


def load_with_alarms(
    path: Path, *, secrets: Mapping[str, str], commands: Commands
) -> tuple[tuple[Target, ...], dict[str, dict[str, Any]]]:
    """Read a file that a person names, once, as it may be a pipe; give what `load` and `alarms` give.

    Raises:
        UserError: a line for each fault.
    """
    reader = _Reader(
        path, interval=DEFAULT_INTERVAL, timeout=None, regex=None, secrets=secrets, only=None, commands=commands
    )
    _read(reader, path, path, named=True)
    return reader.finish(), reader.alarms


def alarms(path: Path) -> dict[str, dict[str, Any]]:
    """Give what the targets of a file say of their alarms, by name: fields of webmon.alarm.conditions.Conditions.

    Files that it names are not looked at: those are on the agents' hosts.

    Raises:
        UserError: a line for each fault.
    """
    return _alone(path)[1]


def listed(path: Path) -> tuple[Target, ...]:
    """Give the targets of a file as they are told of; the files that it names are not looked at.

    Raises:
        UserError: a line for each fault.
    """
    return _alone(path)[0]


def _alone(path: Path) -> tuple[tuple[Target, ...], dict[str, dict[str, Any]]]:
    reader = _Reader(
        path, interval=DEFAULT_INTERVAL, timeout=None, regex=None, secrets=None, only=None, commands=None, alone=True
    )
    _read(reader, path, path, named=False)
    return reader.finish(), reader.alarms


def _read(reader: "_Reader", path: Path, place: Path, *, named: bool) -> None:
    try:
        text = files.read(path, most=files.LIST, pipe=named).data.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; right would be a readable list of targets") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{place}: not UTF-8 at byte {error.start}; right would be UTF-8 text") from error
    is_handed = named and place.parts[:2] in (("/", "dev"), ("/", "proc"))
    if place.suffix in (".yml", ".yaml") or (is_handed and _begins_as_yaml(text)):
        reader.read_yaml(text)
    else:
        reader.read_list(text)


def _begins_as_yaml(text: str) -> bool:
    """Tell it by the first line, for /dev/stdin and /dev/fd/N, whose names tell nothing."""
    first = next((line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")), "")
    return re.match(r"---|%YAML|\{|(targets|defaults)\s*:", first) is not None


def check_file(path: Path, *, stands_at: Path | None = None, commands: Path | None = None) -> int:
    """Give the number of targets in a file without a fault.

    Args:
        path: the file.
        stands_at: where it will stand, as `load` takes it.
        commands: the file of commands that it may name, which is looked at, too; None leaves that open.

    Raises:
        UserError: a line for each fault.
    """
    listed = commands_file.read(commands) if commands else None
    return len(load(path, stands_at=stands_at, commands=listed, named=True))


def why_no_authority(error: OSError) -> str:
    """Say why a file of authorities cannot be used, from what tls_context raised."""
    if isinstance(error, ssl.SSLError) or not error.strerror:
        return "holds no PEM certificate"
    return error.strerror


class _Reader:
    """Reads one file; gathers targets and faults."""

    def __init__(
        self,
        path: Path,
        *,
        interval: float,
        timeout: float | None,
        regex: str | None,
        secrets: Mapping[str, str] | None,
        only: str | None,
        commands: Commands | None,
        alone: bool = False,
    ) -> None:
        self._path = path
        self._interval = interval
        self._timeout = timeout if timeout is not None else DEFAULT_TIMEOUT
        self._secrets = secrets
        self._only = only
        self._faults = Faults(path, closed=_CLOSED, mappings=_MAPPINGS)
        self._fault = self._faults.add
        self._faults.told += [(0, fault) for fault in commands.faults] if commands else []
        self._commands = commands if commands and not commands.faults else None
        self._alone = alone
        self._tls_errors: dict[Tls, OSError | None] = {}
        self.alarms: dict[str, dict[str, Any]] = {}
        """What a target says of its alarms, by its name: fields of webmon.alarm.conditions.Conditions."""
        self._parents: dict[str, tuple[tuple[str, ...], yaml_lines.Path, str]] = {}
        """By name: whom each target depends on, where it says so, and how messages call it."""
        self._targets: dict[str, tuple[Target, int]] = {}
        self._pattern: Pattern | None = None
        self._document = yaml_lines.Document()
        if regex:
            try:
                self._pattern = compile_pattern(regex)
            except PatternError as error:
                self._faults.told.append((0, f"MONITORING_TARGETS_REGEX is {regex!r}: {error}"))

    def finish(self) -> tuple[Target, ...]:
        if not self._targets and not self._faults.told:
            self._faults.told.append((0, f"{self._path}: names no target; right would be one URL at least"))
        self._faults.end()
        return tuple(target for target, _ in self._targets.values())

    def read_list(self, text: str) -> None:
        for number, line in enumerate(text.splitlines(), 1):
            url = re.sub(r"(^|\s)#.*", "", line).strip()
            if re.match(r"(targets|defaults)\s*:", url):
                self._fault(number, "this is YAML; right would be a file name that ends in .yml")
                return
            if url:
                self._add(number, _shown(url), name=url, url=url)

    def read_yaml(self, text: str) -> None:
        self._faults.read(text)
        document = self._document = self._faults.document
        if document.value is None and document.faults:
            return
        if not isinstance(document.value, dict) or not isinstance(document.value.get("targets"), list):
            self._fault(1, "right would be a mapping with `targets`, a list, and maybe `defaults`")
            return
        known = tuple(sorted(fields_of(TargetsFile), reverse=True))
        for key in (key for key in document.value if key not in known):
            self._faults.unknown(document.line((key,)), "", key, known)
        defaults = document.value.get("defaults") or {}
        if not isinstance(defaults, dict):
            self._fault(document.line(("defaults",)), f"defaults is {_shown(defaults)}; right would be a mapping")
            defaults = {}
        wrong = {path[0] for path in self._faults.validate(Common, defaults, ("defaults",), "defaults")[1]}
        defaults = {key: value for key, value in defaults.items() if key not in wrong}
        self._patterns(defaults, ("defaults",), "defaults")
        for position, given in enumerate(document.value["targets"]):
            self._target(("targets", position), {"url": given} if isinstance(given, str) else given, defaults)
        self._dependencies()

    def _target(self, path: yaml_lines.Path, given: Any, defaults: Mapping[str, Any]) -> None:
        line = self._document.line(path)
        if not isinstance(given, dict):
            self._fault(line, f"a target is {_shown(given)}; right would be a URL or a mapping with `url`")
            return
        who = f"target {_shown(given.get('name') or given.get('url') or path[-1])}"
        kind = kind_of(str(given.get("url", "")))
        self._keys_of_kind(kind, given, path, who)
        self._patterns(given, path, who)
        merged = _merged(_of_kind(kind, defaults), given)
        model, wrong = self._faults.validate(TargetModel, merged, path, who)
        if wrong:
            model = _rest(merged, {str(keys[0]) for keys in wrong})
        if not isinstance(model, TargetModel):
            return
        interval = model.interval or self._interval
        timeout = model.timeout or min(self._timeout, interval)
        if timeout > interval:
            self._fault(
                self._document.line((*path, "timeout") if "timeout" in given else path),
                f"{who}: timeout is {timeout:g} s, longer than its interval of {interval:g} s; "
                "right would be at most that",
            )
        name = model.name or model.url
        self._alarm(name, model, path if "depends_on" in given else ("defaults",), who)
        filling = Filling(self._secrets if self._only in (None, name) else None)
        headers, body = self._request(model, filling, path, who)
        tls = self._tls(model.tls or TlsModel(), path, who)
        if kind == "tcp" and (model.dialogue or not merged.get("dialogue")):
            self._without_tls(model, given, path, who)
        self._add(
            line,
            who,
            name=name,
            url=model.url,
            interval=interval,
            timeout=timeout,
            labels=model.labels or {},
            expect=self._expectations(model, kind, path, who),
            tls=tls,
            method=model.method or "GET",
            headers=headers,
            body=body,
            ip_version=model.ip_version or "any",
            proxy=self._proxy(model, filling, path, who),
            connection=self._connection(model, path, who),
            http_version=model.http_version or "auto",
            max_redirects=self._max_redirects(model, path, who),
            allow_private=bool(model.allow_private),
            body_limit=model.body_limit or BODY_LIMIT,
            dialogue=self._dialogue(model, kind, filling, path, who),
            secrets=tuple(sorted(filling.seen)),
        )

    def _alarm(self, name: str, model: Common, path: yaml_lines.Path, who: str) -> None:
        parents = tuple(dict.fromkeys(model.depends_on or ()))
        if path == ("defaults",):  # what all depend on depends on nobody
            parents = tuple(parent for parent in parents if parent != name)
        said = model.alarm.changes() if model.alarm else {}
        if parents:
            said["depends_on"] = parents
        if said:
            self.alarms[name] = said
        self._parents.setdefault(name, (parents, (*path, "depends_on"), who))

    def _dependencies(self) -> None:
        """Tell of parents that are not listed, and of targets that depend on themselves in the end."""
        told = set()
        for parents, path, who in self._parents.values():
            for place, parent in enumerate(parents):
                where = (*path, place)
                if parent not in self._parents and where not in told:
                    told.add(where)
                    of = "defaults" if path[0] == "defaults" else who
                    near = difflib.get_close_matches(parent, self._parents, n=1)
                    right = repr(near[0]) if near else "the name of a target of this file"
                    self._faults.at(
                        where, f"{of}: depends_on names {_shown(parent)}, which is not listed; right would be {right}"
                    )
        for circle in circles({name: parents for name, (parents, _, _) in self._parents.items()}):
            _, path, who = self._parents[circle[0]]
            way = " -> ".join([*circle[:_MOST_SHOWN], *(["..."] if len(circle) > _MOST_SHOWN else []), circle[0]])
            self._faults.at(path, f"{who}: depends_on goes round: {way}; right would be an end to it")

    def _request(
        self, model: Common, filling: Filling, path: yaml_lines.Path, who: str
    ) -> tuple[dict[str, str], bytes | None]:
        """Give headers and body with their secrets filled in."""
        headers: dict[str, str] = {}
        for name, text in (model.headers or {}).items():
            where = (*path, "headers", name)
            value = self._filled(text, filling, where, f"{who}: headers.{name}")
            if name.lower() in _OURS:
                self._fault(self._document.line(where), f"{who}: headers.{name} is set by webmon; right would be none")
            elif not _is_header_value(value):
                self._fault(
                    self._document.line(where),
                    f"{who}: headers.{name} cannot be sent; right would be one line of Latin-1 text without spaces "
                    "around it",
                )
            else:
                headers[name] = value
        if model.auth is not None:
            if any(name.lower() == "authorization" for name in model.headers or {}):
                self._fault(
                    self._document.line((*path, "auth")),
                    f"{who}: auth and headers.Authorization are both there; right would be one of them",
                )
            headers["Authorization"] = self._authorization(model.auth, filling, (*path, "auth"), who)
        body = None
        if model.body is not None:
            body = self._filled(model.body, filling, (*path, "body"), f"{who}: body").encode()
        return headers, body

    def _authorization(self, auth: Auth, filling: Filling, path: yaml_lines.Path, who: str) -> str:
        if (auth.basic is None) == (auth.bearer is None):
            self._fault(self._document.line(path), f"{who}: auth: right would be one of basic and bearer")
        if auth.basic is not None:
            where = (*path, "basic")
            user = self._filled(auth.basic.username, filling, (*where, "username"), f"{who}: auth.basic.username")
            password = self._filled(auth.basic.password, filling, (*where, "password"), f"{who}: auth.basic.password")
            return _basic(user, password, filling)
        token = self._filled(auth.bearer or "", filling, (*path, "bearer"), f"{who}: auth.bearer")
        if not re.fullmatch(r"[!-~]*", token):
            self._fault(
                self._document.line((*path, "bearer")),
                f"{who}: auth.bearer cannot be sent; right would be ASCII without spaces",
            )
            token = ""
        filling.seen.update({token} - {""})
        return f"Bearer {token}"

    def _proxy(self, model: Common, filling: Filling, path: yaml_lines.Path, who: str) -> Proxy | None:
        match = re.fullmatch(PROXY_URL, model.proxy or "")
        if match is None:
            return None
        path, who = (*path, "proxy"), f"{who}: proxy"
        if int(match[4]) > _LAST_PORT:
            self._fault(self._document.line(path), f"{who}: right would be a port from 1 to {_LAST_PORT}")
        # A secret stands for what it is, whatever a URL makes of such characters.
        user, password = (self._filled(unquote(match[part] or ""), filling, path, who) for part in (1, 2))
        authorization = _basic(user, password, filling) if match[1] else None
        return Proxy(match[3].strip("[]"), int(match[4]), authorization)

    def _connection(self, model: Common, path: yaml_lines.Path, who: str) -> ConnectionUse:
        if model.connection == "reused" and model.method in ("POST", "PATCH"):
            # A server may close an idle connection just when the request is sent, which is then sent again.
            self._fault(
                self._document.line((*path, "connection")),
                f"{who}: connection is reused, and {model.method} must not be sent twice; right would be fresh",
            )
        return model.connection or "fresh"

    def _filled(self, text: str, filling: Filling, path: yaml_lines.Path, key: str) -> str:
        filled, missing = filling.fill(text)
        for name in missing:
            self._fault(
                self._document.line(path),
                f"{key} names ${{{name}}}, which is not set; right would be a variable of the .env or the environment",
            )
        try:
            filled.encode()
        except UnicodeEncodeError:  # the environment may hold any bytes
            self._fault(self._document.line(path), f"{key} names a variable that is no text; right would be UTF-8")
            return ""
        return filled

    def _expectations(self, model: Common, kind: str, path: yaml_lines.Path, who: str) -> Expectations:
        expect = model.expect or Expect()
        if model.method == "HEAD" and (expect.body or expect.body_not or expect.json_):
            self._fault(
                self._document.line((*path, "expect")),
                f"{who}: an answer to HEAD has no body to match; right would be GET, or neither expect.body nor "
                "expect.body_not nor expect.json",
            )
        if expect.certificate_days is not None and model.tls is not None and model.tls.verify is False:
            self._fault(
                self._document.line((*path, "expect", "certificate_days")),
                f"{who}: expect.certificate_days needs a certificate that is looked at; right would be "
                "tls.verify: true",
            )
        return Expectations(
            status=expect.status or ANY_SUCCESS,
            body=expect.body or (self._pattern if kind in HTTP and model.method != "HEAD" else None),
            body_not=expect.body_not,
            headers=tuple((expect.headers or {}).items()),
            headers_not=tuple((expect.headers_not or {}).items()),
            max_response_time=expect.max_response_time,
            certificate_days=expect.certificate_days,
            json=self._json_rules(expect, path, who),
            rcode=expect.rcode or "NOERROR",
        )

    def _json_rules(self, expect: Expect, path: yaml_lines.Path, who: str) -> tuple[JsonRule, ...]:
        rules = []
        for place, rule in enumerate(expect.json_ or ()):
            asked = JsonRule(rule.path, rule.equals, rule.matches, rule.above, rule.below)
            if asked == JsonRule(rule.path):
                self._fault(
                    self._document.line((*path, "expect", "json", place)),
                    f"{who}: expect.json.{place} has only a path; right would be equals, matches, above or below too",
                )
            rules.append(asked)
        return tuple(rules)

    def _dialogue(
        self, model: Common, kind: str, filling: Filling, path: yaml_lines.Path, who: str
    ) -> tuple[Step, ...]:
        steps: list[Step] = []
        for place, step in enumerate(model.dialogue or ()):
            where, key = (*path, "dialogue", place), f"dialogue.{place}"
            if len(step.model_fields_set) != 1:
                self._fault(
                    self._document.line(where), f"{who}: {key}: right would be one of expect, send and starttls"
                )
            elif step == StepModel() or step.send == "":
                (name,) = step.model_fields_set
                right = StepModel.model_fields[name].description
                self._fault(
                    self._document.line((*where, name)), f"{who}: {key}.{name} has no value; right would be {right}"
                )
            if step.starttls and (kind != "tcp" or any(before.starttls for before in steps)):
                right = "once" if kind == "tcp" else "none, or a URL of tcp"
                self._fault(self._document.line(where), f"{who}: {key}.starttls: right would be {right}")
            sent = self._filled(step.send or "", filling, (*where, "send"), f"{who}: {key}.send").encode()
            steps.append(Step(step.expect, sent or None, starttls=bool(step.starttls)))
        return tuple(steps)

    def _without_tls(self, model: Common, given: Mapping[str, Any], path: yaml_lines.Path, who: str) -> None:
        """Tell what a target says of TLS that its dialogue never begins."""
        if any(step.starttls for step in model.dialogue or ()):
            return
        for key, value in _dotted(given):
            line = self._document.line((*path, *key.split(".")))
            # What an anchor above says, others may take too, as of the defaults.
            is_own = line >= self._document.line(path)
            if is_own and key in ("tls", "expect.certificate_days") and value not in (None, {}):
                self._fault(
                    line,
                    f"{who}: {key} is for TLS, which never begins here; right would be a step `starttls: true`, or a "
                    "URL of tls",
                )

    def _patterns(self, given: Mapping[str, Any], path: yaml_lines.Path, who: str) -> None:
        for keys, why in mistaken(given, path, self._document):
            self._fault(self._document.line((*path, *keys)), f"{who}: {'.'.join(map(str, keys))} {why}")

    def _keys_of_kind(self, kind: str, given: Mapping[str, Any], path: yaml_lines.Path, who: str) -> None:
        """Tell which keys do not belong to the target's kind."""
        if kind not in KINDS:
            return
        for key, _ in _dotted(given):
            having = [name for name, other in KINDS.items() if key in other.keys]
            if having and kind not in having:
                self._fault(
                    self._document.line((*path, *key.split("."))),
                    f"{who}: {key} does not belong to {kind}; right would be none (it is for {', '.join(having)})",
                )

    def _max_redirects(self, model: Common, path: yaml_lines.Path, who: str) -> int | None:
        if model.follow_redirects is not False:
            return MAX_REDIRECTS if model.max_redirects is None else model.max_redirects
        if model.max_redirects is not None:
            self._fault(
                self._document.line((*path, "max_redirects")),
                f"{who}: max_redirects has no effect while follow_redirects is false; right would be one of them",
            )
        return None

    def _tls(self, model: TlsModel, path: yaml_lines.Path, who: str) -> Tls:
        folder = self._path.parent
        tls = Tls(
            verify=model.verify is not False,
            ca=folder / model.ca if model.ca else None,
            certificate=folder / model.certificate if model.certificate else None,
            key=folder / model.key if model.key else None,
            minimum=model.minimum or "1.2",
        )
        if self._alone:
            return tls
        if tls.ca is not None and (error := self._tls_error(Tls(ca=tls.ca))) is not None:
            where = self._document.line((*path, "tls", "ca"))
            why = f"{why_no_authority(error)}; right would be a readable PEM file"
            self._fault(where, f"{who}: tls.ca is {model.ca!r}: {why}")
        if tls.certificate is None:
            if tls.key is not None:
                self._fault(
                    self._document.line((*path, "tls", "key")),
                    f"{who}: tls.key has no certificate; right would be tls.certificate beside it",
                )
            return tls
        if (error := self._tls_error(Tls(verify=False, certificate=tls.certificate, key=tls.key))) is not None:
            self._fault(
                self._document.line((*path, "tls", "certificate")),
                f"{who}: tls.certificate is {model.certificate!r}: {_why_no_certificate(error)}",
            )
        return tls

    def _tls_error(self, tls: Tls) -> OSError | None:
        """Say what is wrong with the files of a setting: each is looked at once, as that takes 25 ms."""
        if tls not in self._tls_errors:
            certificate = (tls.certificate, tls.key) if tls.certificate else None
            try:
                tls_context(verify=tls.verify, authorities=(tls.ca,) if tls.ca else (), certificate=certificate)
            except OSError as error:
                self._tls_errors[tls] = error
            else:
                self._tls_errors[tls] = None
        return self._tls_errors[tls]

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
        if "expect" not in more and kind_of(url) not in HTTP:
            settings["expect"] = Expectations()
        before = len(self._faults.told)
        try:
            target = Target(name=name, url=url, **settings)
            self._targets[name] = self._commands.fill(target) if self._commands else target, line
        except ValueError as error:
            self._fault(line, f"{who}: url is {_shown(url)}: {error}")
        assert name in self._targets or len(self._faults.told) > before


def _basic(user: str, password: str, filling: Filling) -> str:
    """Write user and password as a header has them (RFC 7617), and note what of it is secret."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    filling.seen.update({password, token} - {""})
    return f"Basic {token}"


def _is_header_value(value: str) -> bool:
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return value == value.strip() and not any(c < " " or c == "\x7f" for c in value)


def _why_no_certificate(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "tls.key is not its key"
        return "right would be a PEM certificate and its PEM key without a passphrase"
    return error.strerror or str(error)


def _rest(merged: Mapping[str, Any], wrong: set[str]) -> TargetModel | None:
    """Give what is right of a target, so that faults between its keys and outside of them are told, too."""
    if "name" in wrong:
        return None
    if "interval" in wrong:
        wrong = wrong | {"timeout"}  # which is measured by it
    try:
        return TargetModel.model_validate({key: value for key, value in merged.items() if key not in wrong})
    except ValidationError:
        return None


def _dotted(given: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Give the keys of a target, those of `expect` as `expect.KEY`, with their values."""
    for key, value in given.items():
        yield key, value
        if key == "expect" and isinstance(value, dict):
            yield from ((f"expect.{inner}", said) for inner, said in value.items())


def _of_kind(kind: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Give of the defaults what counts for a target of a kind."""
    if kind not in KINDS:
        return dict(defaults)
    keys = EVERY_KIND | KINDS[kind].keys
    kept = {key: value for key, value in defaults.items() if key in keys}
    if isinstance(expect := kept.get("expect"), dict):
        kept["expect"] = {key: value for key, value in expect.items() if f"expect.{key}" in keys}
    return kept


def _merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a target's keys over the defaults, one level into labels, headers, expect, tls and alarm."""
    merged = {**defaults, **given}
    for key in ("labels", "headers", "expect", "tls", "alarm"):
        ours, theirs = given.get(key), defaults.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            merged[key] = {**theirs, **ours}
    return merged
