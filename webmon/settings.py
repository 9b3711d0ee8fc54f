"""Settings: every environment variable of webmon in one table, with its type, default and meaning.

A component reads one .env (webmon/env_file.py). All faults are told at once, each with its file, line and variable.
Relative paths start at _WORKSPACE_PATH.
"""

import contextlib
import dataclasses
import difflib
import ipaddress
import os
import re
import socket
import ssl
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, TypeVar, get_args, get_type_hints
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    ValidationError,
    ValidationInfo,
)
from pydantic.fields import FieldInfo

from webmon import files
from webmon.env_file import WORKSPACE, Source, look
from webmon.errors import UserError

Component = Literal["agent", "sink", "init", "report", "alarm", "page"]
PREFIXES: Final = ("KAFKA_", "MONITORING_", "POSTGRES_", "SINK_", "ALARM_", "PAGE_")
"""How the names of our variables begin."""
REPORT_READERS: Final = "webmon-report"
"""The group whose members may read the report's .env where it is root's, as the role `report` makes it."""


def _var(name: str, meaning: str, right: str, default: Any = ...) -> Any:
    """Declare a variable: its name, what it means, and what a right value is (for the message of a wrong one)."""
    return Field(default, alias=name, description=meaning, json_schema_extra={"right": right})


def _is_host(text: str) -> bool:
    """Tell whether a text may be a host's name or address, as far as its labels go (RFC 1035, 2.3.4)."""
    return all(0 < len(label) < 64 for label in text.removesuffix(".").split("."))


def _comma_list(value: object) -> object:
    return [part for part in (p.strip() for p in value.split(",")) if part] if isinstance(value, str) else value


def _in_workspace(value: str, info: ValidationInfo) -> Path:
    workspace: Path = (info.context or {})["workspace"]
    try:
        return workspace / Path(value).expanduser()
    except RuntimeError as error:  # ~ of a user whom this host does not know
        raise ValueError from error


@dataclasses.dataclass(frozen=True)
class Shard:
    """The part of a list of targets that one of several instances has."""

    instance: int
    """From 1 to `instances`."""
    instances: int


def _shard(value: object) -> object:
    if not isinstance(value, str):
        return value
    instance, _, instances = (part.strip() for part in value.partition("/"))
    if not (instance.isdecimal() and instances.isdecimal() and 1 <= int(instance) <= int(instances) <= 1000):
        raise ValueError
    return Shard(int(instance), int(instances))


class HostPort(NamedTuple):
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write it as it is read: an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _host_port(value: object) -> object:
    if not isinstance(value, str):
        return value
    host, _, port = value.rpartition(":")
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+(?:%\S+)?)\]", host)
    if not (bracketed or re.fullmatch(r"[^\s:/\[\]]+", host)):
        raise ValueError
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
        raise ValueError
    return HostPort(bracketed[1] if bracketed else host, int(port))


def _host_ports(value: object) -> object:
    return [_host_port(part) for part in parts] if isinstance(parts := _comma_list(value), list) else value


def _host_port_or_off(value: object) -> object:
    return None if value == "off" else _host_port(value)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
METADATA = "169.254.169.254/32,fd00:ec2::254/128"
"""Where clouds tell a host what it is, and its keys."""


def networks(text: str) -> list[Network]:
    """Read a list of networks, with commas; `off` is none.

    Raises:
        ValueError: one of them is none.
    """
    return [] if text == "off" else [ipaddress.ip_network(part.strip()) for part in text.split(",")]


def is_agents_key(text: str) -> bool:
    """Tell whether a text can be the key that an agent signs with: AN_AGENTS_KEY says what can be."""
    return re.fullmatch(r"[!-~]{32,64}", text) is not None


def _agents_key(value: object) -> object:
    if isinstance(value, str) and not is_agents_key(value):
        raise ValueError
    return value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


Address = Annotated[HostPort | None, PlainValidator(_host_port_or_off)]
"""Where a component answers; None where it is off."""
Port = Annotated[int, Field(ge=1, le=65535)]
CommaList = Annotated[list[str], BeforeValidator(_comma_list), Field(min_length=1)]
WorkspacePath = Annotated[Path, BeforeValidator(_in_workspace)]
"""A path, made absolute from the workspace."""
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "FATAL"], BeforeValidator(_upper)]
SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
ChannelBinding = Literal["disable", "prefer", "require"]
SessionAttrs = Literal["any", "read-write", "read-only", "primary", "standby", "prefer-standby"]

SecurityProtocol = Literal["SSL", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_A_NAME = "a name"
AN_AGENTS_KEY = "32 to 64 letters, digits and signs of ASCII, without a blank"
_A_FILE = "the path of a readable PEM file"
_HOST_PORT = "host:port (an IPv6 address in brackets)"
NETWORKS = "networks such as 10.0.0.0/8 or fd00::/8, several with commas, or off"
_SECS = "a number of seconds above 0"
_COUNT = "a whole number above 0"


def _authority_fault(path: Path | None) -> str | None:
    """Say what is wrong with a file of authorities that can be read."""
    if path is None:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:  # ssl.SSLError is one
        return f"{path} holds no PEM certificate; right would be {_A_FILE}"
    return None


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
    readable: ClassVar[tuple[str, ...]] = ()
    """Fields that name a file which must be there and readable."""
    private: ClassVar[tuple[str, ...]] = ()
    """Fields that name a file which nobody else may read."""
    lists: ClassVar[tuple[str, ...]] = ()
    """Fields that name a list, which may be long; other files are PEM."""

    @classmethod
    def needed(cls, _values: Mapping[str, str], /) -> tuple[str, ...]:
        """Give the variables that must be set because of what others are, as they stand in the .env."""
        return ()

    @classmethod
    def is_asked_for(cls, values: Mapping[str, str]) -> bool:
        """Tell whether any variable of it is set."""
        return not values.keys().isdisjoint(str(field.alias) for field in cls.model_fields.values())

    def faults(self) -> Iterator[tuple[str, str]]:
        """Give what is wrong beyond one value: (variable, message)."""
        yield from ()

    def file_faults(self) -> Iterator[tuple[str, str]]:
        """Give what is wrong with what is in the files, which all can be read: (variable, message)."""
        yield from ()


class Common(_Group):
    """What every component reads."""

    log_level: Level = _var(
        "MONITORING_LOG_LEVEL",
        "Least level of what is logged",
        "DEBUG, INFO, WARNING, ERROR or FATAL",
        "INFO",
    )


_FOR_SSL = ("KAFKA_ACCESS_CERTIFICATE", "KAFKA_ACCESS_KEY", "KAFKA_CA_CERTIFICATE")
_FOR_SASL = ("KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD")


class Kafka(_Group):
    """How to reach the topic: always TLS, and we are known by a client certificate, or by a user and its password."""

    readable = ("access_certificate", "access_key", "ca_certificate")
    private = ("access_key",)

    hosts: CommaList = _var("KAFKA_HOST", "Broker to start from (or several, with commas)", "a host name or address")
    port: Port = _var("KAFKA_PORT", "Port of the brokers' TLS listener", "a port from 1 to 65535")
    topic: Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,230}$")] = _var(
        "KAFKA_TOPIC_NAME",
        "Topic of the results; `<topic>.dead-letters` stands beside it",
        "1 to 230 letters, digits, dots, dashes and underscores",
        "webmon-results",
    )
    security_protocol: SecurityProtocol = _var(
        "KAFKA_SECURITY_PROTOCOL",
        "SSL: the brokers know us by our certificate; SASL_SSL: by a user and its password, inside TLS",
        " or ".join(get_args(SecurityProtocol)),
        "SSL",
    )
    sasl_mechanism: SaslMechanism | None = _var(
        "KAFKA_SASL_MECHANISM",
        "How the password is proved: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 (required with SASL_SSL)",
        ", ".join(get_args(SaslMechanism)),
        None,
    )
    sasl_username: str | None = _var(
        "KAFKA_SASL_USERNAME", "User to log in to Kafka as, or an API key (required with SASL_SSL)", _A_NAME, None
    )
    sasl_password: SecretStr | None = _var(
        "KAFKA_SASL_PASSWORD", "Its password, or the key's secret (required with SASL_SSL)", "a password", None
    )
    access_certificate: WorkspacePath | None = _var(
        "KAFKA_ACCESS_CERTIFICATE", "Our client certificate (required with SSL)", _A_FILE, None
    )
    access_key: WorkspacePath | None = _var("KAFKA_ACCESS_KEY", "Its key, mode 0600 (required with SSL)", _A_FILE, None)
    ca_certificate: WorkspacePath | None = _var(
        "KAFKA_CA_CERTIFICATE",
        "Authority of the brokers' certificates (required with SSL; else those of the system)",
        _A_FILE,
        None,
    )
    group: str = _var("KAFKA_GROUP_ID", "Consumer group of the sinks", _A_NAME, "webmon-sink")
    alarm_group: str = _var(
        "KAFKA_ALARM_GROUP_ID",
        "Consumer group of the judges: the one that it gives the alarm log to judges, the others stand by",
        _A_NAME,
        "webmon-alarm",
    )

    @property
    def brokers(self) -> list[HostPort]:
        """The brokers to start from."""
        return [HostPort(host, self.port) for host in self.hosts]

    @property
    def bootstrap(self) -> list[str]:
        """The brokers to start from, as host:port."""
        return [str(broker) for broker in self.brokers]

    @property
    def dead_letter_topic(self) -> str:
        """Where goes what can't be read."""
        return f"{self.topic}.dead-letters"

    @property
    def alarm_topic(self) -> str:
        """The alarm log: compacted, one partition."""
        return f"{self.topic}.alarms"

    @property
    def orders_topic(self) -> str:
        """What people order of the judge: one partition."""
        return f"{self.topic}.orders"

    @property
    def identity(self) -> str:
        """Who we are to the brokers, for people."""
        if self.security_protocol == "SASL_SSL":
            return f"our user {self.sasl_username!r} (KAFKA_SASL_USERNAME)"
        return f"our certificate ({self.access_certificate})"

    @classmethod
    def needed(cls, values: Mapping[str, str], /) -> tuple[str, ...]:
        """Give what the protocol needs; and beside a certificate its key."""
        protocol = values.get("KAFKA_SECURITY_PROTOCOL", "SSL")
        if protocol != "SASL_SSL":
            return _FOR_SSL if protocol == "SSL" else ()
        pair = _FOR_SSL[:2] if any(name in values for name in _FOR_SSL[:2]) else ()
        return (*_FOR_SASL, *pair)

    def faults(self) -> Iterator[tuple[str, str]]:
        """Tell when a password would never be asked for, or a host can be none."""
        for host in self.hosts:
            if not _is_host(host):
                yield "KAFKA_HOST", f"has {host!r}; right would be a host name or address"
        if self.security_protocol == "SSL":
            without = "has no effect without KAFKA_SECURITY_PROTOCOL=SASL_SSL; right would be both, or none"
            values = (self.sasl_mechanism, self.sasl_username, self.sasl_password)
            yield from ((name, without) for name, value in zip(_FOR_SASL, values, strict=True) if value is not None)

    def file_faults(self) -> Iterator[tuple[str, str]]:
        """Tell when certificate and key do not fit, or a file is not PEM."""
        if fault := _authority_fault(self.ca_certificate):
            yield "KAFKA_CA_CERTIFICATE", fault
        if self.access_certificate is None or self.access_key is None:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            # An empty password, so that an encrypted key fails here and nobody is asked for one on a terminal.
            context.load_cert_chain(self.access_certificate, self.access_key, password="")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                yield "KAFKA_ACCESS_KEY", f"{self.access_key} is not the key of {self.access_certificate}"
            else:
                yield (
                    "KAFKA_ACCESS_CERTIFICATE",
                    f"{self.access_certificate} and {self.access_key} can't be used ({error.reason or 'not PEM'}): "
                    "they must be a PEM certificate and its PEM key without a passphrase",
                )


class Monitoring(_Group):
    """What an agent checks, how often, and where it keeps what Kafka has not acknowledged."""

    readable = ("targets_path", "ca_certificates", "commands_path")
    lists = ("targets_path", "commands_path")

    retry_secs: Annotated[float, Field(ge=1, le=86400)] = _var(
        "MONITORING_RETRY_SECS",
        "Seconds from one check of a target to the next",
        "a number of seconds from 1 to 86400",
        60.0,
    )
    timeout_secs: Annotated[float, Field(gt=0)] | None = _var(
        "MONITORING_TIMEOUT_SECS",
        "Seconds that a whole check may take (default: 15, or the interval where that is shorter)",
        _SECS,
        None,
    )
    targets_path: WorkspacePath = _var(
        "MONITORING_TARGETS_PATH", "The targets: a URL a line, or YAML", "the path of a readable file"
    )
    targets_regex: str | None = _var(
        "MONITORING_TARGETS_REGEX",
        "Pattern (RE2) expected on every page that names none itself",
        "an RE2 pattern",
        None,
    )
    agent_id: Annotated[str, Field(max_length=200)] = _var(
        "MONITORING_AGENT_ID",
        "Name of this vantage in every result (default: the host's name, with `-i` where MONITORING_SHARD is i/n)",
        "a name of 200 characters at most",
        "",
    )
    shard: Annotated[Shard, BeforeValidator(_shard)] | None = _var(
        "MONITORING_SHARD",
        "i/n: of n instances that share the list this is the i-th and checks its part; each has an outbox of its own",
        "i/n, such as 1/3, with i from 1 to n and n at most 1000",
        None,
    )
    ca_certificates: WorkspacePath | None = _var(
        "MONITORING_CA_CERTIFICATES",
        "Authorities trusted for https targets beside the system's",
        _A_FILE,
        None,
    )
    commands_path: WorkspacePath | None = _var(
        "MONITORING_COMMANDS_PATH",
        "What targets may run (`command:NAME`): a YAML file that root alone may change",
        "the path of a readable file",
        None,
    )
    mac_key: Annotated[SecretStr | None, BeforeValidator(_agents_key)] = _var(
        "MONITORING_MAC_KEY",
        "Key that this agent signs its results with, as SINK_AGENTS_PATH of the sinks has it",
        AN_AGENTS_KEY,
        None,
    )
    canaries: Annotated[list[HostPort], PlainValidator(_host_ports), Field(min_length=1)] | None = _var(
        "MONITORING_CANARIES",
        "host:port list: one accepts a connection while this vantage is connected (default: the brokers)",
        f"{_HOST_PORT}, several with commas",
        None,
    )
    forbidden_networks: Annotated[list[Network], PlainValidator(networks)] = Field(
        METADATA,
        alias="MONITORING_FORBIDDEN_NETWORKS",
        description="Networks, with commas, that no check connects to, whoever names them; or off",
        json_schema_extra={"right": NETWORKS},
        validate_default=True,
    )
    metrics_address: Address = _var(
        "MONITORING_METRICS_ADDRESS",
        "host:port of /metrics for Prometheus and of /healthz, or off",
        f"{_HOST_PORT}, or off",
        HostPort("127.0.0.1", 9464),
    )
    outbox_path: WorkspacePath = Field(
        "outbox.sqlite",
        alias="MONITORING_OUTBOX_PATH",
        description="Results that Kafka has not acknowledged yet",
        json_schema_extra={"right": "the path of a file in a writable directory"},
        validate_default=True,
    )
    outbox_bytes: Annotated[int, Field(ge=1_000_000)] = _var(
        "MONITORING_OUTBOX_BYTES",
        "Bound of that file in bytes; past it the oldest results go first",
        "a whole number from 1000000",
        1_073_741_824,
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """Tell when a check may outlast its interval."""
        if self.timeout > self.retry_secs:
            yield (
                "MONITORING_TIMEOUT_SECS",
                f"is {self.timeout:g}, longer than MONITORING_RETRY_SECS ({self.retry_secs:g}); "
                "right would be at most that",
            )

    def file_faults(self) -> Iterator[tuple[str, str]]:
        """Tell when the authorities are not PEM."""
        if fault := _authority_fault(self.ca_certificates):
            yield "MONITORING_CA_CERTIFICATES", fault

    @property
    def timeout(self) -> float:
        """Seconds that a whole check may take."""
        return self.timeout_secs if self.timeout_secs is not None else min(15.0, self.retry_secs)

    @property
    def vantage(self) -> str:
        """The id of this vantage."""
        instance = f"-{self.shard.instance}" if self.shard else ""
        return self.agent_id or socket.gethostname() + instance


class Postgres(_Group):
    """How to reach the store."""

    readable = ("ca_certificate",)

    hosts: CommaList = _var(
        "POSTGRES_HOST",
        "Host of the database; or several, with commas, of which one is the primary at a time",
        "a host name or address, several with commas",
    )
    port: Port = _var("POSTGRES_PORT", "Its port, the same on each", "a port from 1 to 65535", 5432)
    user: str = _var("POSTGRES_USER", "Role to log in as", _A_NAME)
    password: SecretStr = _var("POSTGRES_PASSWORD", "Its password", "a password")
    database: str | None = _var(
        "POSTGRES_DATABASE", "Database (default: the role's name, as libpq has it)", _A_NAME, None
    )
    ssl: SslMode = _var("POSTGRES_SSL", "libpq's sslmode", ", ".join(get_args(SslMode)), "require")
    channel_binding: ChannelBinding = _var(
        "POSTGRES_CHANNEL_BINDING",
        "libpq's channel_binding: `require` takes no server that can't bind the log-in to its TLS certificate (SCRAM)",
        ", ".join(get_args(ChannelBinding)),
        "prefer",
    )
    target_session_attrs: SessionAttrs | None = _var(
        "POSTGRES_TARGET_SESSION_ATTRS",
        "libpq's: which of the hosts will do (default: read-write for what writes, any for what only reads)",
        ", ".join(get_args(SessionAttrs)),
        None,
    )
    ca_certificate: WorkspacePath | None = _var(
        "POSTGRES_CA_CERTIFICATE",
        "Authority of the server's certificate, for verify-ca and verify-full",
        _A_FILE,
        None,
    )
    autocommit: bool = _var(
        "POSTGRES_AUTOCOMMIT",
        "Whether each statement commits by itself; a batch is atomic either way",
        "True or False",
        True,
    )
    table: Annotated[str, Field(min_length=1, max_length=48)] = _var(
        "POSTGRES_TABLE",
        "The table of the results; `<table>_view` stands beside it",
        "a name of 1 to 48 letters",
        "web_health_metrics",
    )

    @property
    def host(self) -> str:
        """The hosts, as libpq takes them."""
        return ",".join(self.hosts)

    def faults(self) -> Iterator[tuple[str, str]]:
        """Tell what does not go together: a certificate to verify or to bind to, and what would do that."""
        if self.channel_binding == "require" and self.ssl in ("disable", "allow", "prefer"):
            yield (
                "POSTGRES_CHANNEL_BINDING",
                f"is require, but POSTGRES_SSL is {self.ssl}, which goes on without TLS; right would be POSTGRES_SSL "
                "require, verify-ca or verify-full",
            )
        if self.ssl in ("verify-ca", "verify-full") and self.ca_certificate is None:
            yield (
                "POSTGRES_CA_CERTIFICATE",
                f"is missing, but POSTGRES_SSL is {self.ssl}; right would be {_A_FILE}",
            )

    def file_faults(self) -> Iterator[tuple[str, str]]:
        """Tell when the authority is not PEM."""
        if fault := _authority_fault(self.ca_certificate):
            yield "POSTGRES_CA_CERTIFICATE", fault


class Sink(_Group):
    """How the sink cuts its batches, whom it believes, and where it tells of itself."""

    readable = ("agents_path",)
    private = ("agents_path",)
    lists = ("agents_path",)

    # Measured: a row costs the database 10.1 us of CPU in batches of 1000, 8.6 of 2000, 6.9 of 5000, 6.0 of 10000 and
    # 5.9 of 20000; the sink's memory behind a backlog peaks at 110 MB with 5000 and at 150 MB with 10000.
    batch_size: Annotated[int, Field(ge=1, le=100_000)] = _var(
        "SINK_BATCH_SIZE", "Messages that close a batch", "a whole number from 1 to 100000", 5000
    )
    # How old a row is when it can be seen. A batch costs 4 to 5 ms beside its rows, and a commit to the disk and to the
    # group: one a second is nothing, and few people look more often.
    batch_secs: Annotated[float, Field(gt=0, le=60)] = _var(
        "SINK_BATCH_SECS",
        "Seconds from one batch to the next, where it is not full before",
        "a number of seconds above 0, at most 60",
        1.0,
    )
    agents_path: WorkspacePath | None = _var(
        "SINK_AGENTS_PATH",
        "Agents and their keys, mode 0600: no result is taken of another, or that its agent did not sign",
        "the path of a readable file",
        None,
    )
    metrics_address: Address = _var(
        "SINK_METRICS_ADDRESS",
        "host:port of a sink's /metrics for Prometheus and of its /healthz, or off",
        f"{_HOST_PORT}, or off",
        HostPort("127.0.0.1", 9465),
    )


class Init(_Group):
    """What init creates."""

    partitions: Annotated[int, Field(ge=1)] = _var("KAFKA_TOPIC_PARTITIONS", "Partitions of the topic", _COUNT, 6)
    replication: Annotated[int, Field(ge=1)] | None = _var(
        "KAFKA_TOPIC_REPLICATION", "Copies of each partition (default: as the brokers have it)", _COUNT, None
    )
    retention_hours: Annotated[int, Field(ge=1)] = _var(
        "KAFKA_TOPIC_RETENTION_HOURS",
        "Hours that Kafka keeps results: a sink may be away as long",
        _COUNT,
        168,
    )
    # Seven days of 3,500 results a second, of 150 bytes packed, on six partitions.
    retention_bytes: Annotated[int, Field(ge=1_000_000)] = _var(
        "KAFKA_TOPIC_RETENTION_BYTES",
        "Bytes of each partition that Kafka keeps at most: all of them must fit the brokers' disks",
        "a whole number from 1000000",
        50 * 1024**3,
    )
    # An agent with 400 checks a second of 1 kB each needs a twentieth, if nothing packs; 24,000 results a second of a
    # fleet that shares one principal fit, which is what a database stores.
    agent_bytes_per_sec: Annotated[int, Field(ge=100_000)] = _var(
        "KAFKA_AGENT_BYTES_PER_SEC",
        "Bytes, packed, that each of KAFKA_AGENT_PRINCIPALS may write to a broker in a second; more waits at agents",
        "a whole number from 100000",
        8 * 1024 * 1024,
    )
    agent_principals: CommaList | None = _var(
        "KAFKA_AGENT_PRINCIPALS",
        "Principals that may write results (`User:...`, with commas)",
        "User:name",
        None,
    )
    sink_principals: CommaList | None = _var(
        "KAFKA_SINK_PRINCIPALS", "Principals that may read them and write dead letters", "User:name", None
    )
    alarm_principals: CommaList | None = _var(
        "KAFKA_ALARM_PRINCIPALS",
        "Principals of the judges: they read results, and have the alarm log and the orders, which are made then",
        "User:name",
        None,
    )
    page_principals: CommaList | None = _var(
        "KAFKA_PAGE_PRINCIPALS",
        "Principals of operators' pages, which may write orders to the judge: acknowledge, silence, announce",
        "User:name",
        None,
    )
    chunk_hours: Annotated[int, Field(ge=1, le=720)] = _var(
        "POSTGRES_CHUNK_HOURS",
        "Hours in a chunk of rows: the newest chunk's indexes, 45 bytes a check, should stay in a quarter of memory",
        "a whole number from 1 to 720",
        24,
    )
    sink_user: str | None = _var("POSTGRES_SINK_USER", "Database role of the sinks, to be created", _A_NAME, None)
    sink_password: SecretStr | None = _var("POSTGRES_SINK_PASSWORD", "Its password", "a password", None)
    reader_user: str | None = _var("POSTGRES_READER_USER", "Database role of readers, to be created", _A_NAME, None)
    reader_password: SecretStr | None = _var("POSTGRES_READER_PASSWORD", "Its password", "a password", None)
    alarm_user: str | None = _var(
        "POSTGRES_ALARM_USER", "Database role of the judge's history, to be created", _A_NAME, None
    )
    alarm_password: SecretStr | None = _var("POSTGRES_ALARM_PASSWORD", "Its password", "a password", None)


class Retention(_Group):
    """How long the store keeps what."""

    rows_days: Annotated[int, Field(ge=1)] = _var(
        "POSTGRES_KEEP_ROWS_DAYS",
        "Days that single results are kept; older ones are refused from the day `webmon retention` ran",
        _COUNT,
        90,
    )
    hourly_days: Annotated[int, Field(ge=1)] = _var(
        "POSTGRES_KEEP_HOURLY_DAYS", "Days that rollups by hour are kept", _COUNT, 730
    )
    daily_days: Annotated[int, Field(ge=1)] = _var(
        "POSTGRES_KEEP_DAILY_DAYS", "Days that rollups by day are kept", _COUNT, 3650
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """Tell where what is made from something would go before it."""
        if self.hourly_days < self.rows_days:
            yield (
                "POSTGRES_KEEP_HOURLY_DAYS",
                f"is {self.hourly_days}, less than POSTGRES_KEEP_ROWS_DAYS ({self.rows_days}); "
                "right would be at least that",
            )
        if self.daily_days < self.hourly_days:
            yield (
                "POSTGRES_KEEP_DAILY_DAYS",
                f"is {self.daily_days}, less than POSTGRES_KEEP_HOURLY_DAYS ({self.hourly_days}); "
                "right would be at least that",
            )


SmtpTls = Literal["starttls", "tls", "off"]
_SMTP_PORTS: dict[SmtpTls, int] = {"starttls": 587, "tls": 465, "off": 25}
MAIL_ADDRESS = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?"
"""As HTML's forms take it (https://html.spec.whatwg.org/#valid-e-mail-address)."""
_AN_ADDRESS = "an address such as ops@example.org"
A_URL = "http://HOST/... or https://HOST/..., with xn-- and %XX for what is not ASCII"
MailAddress = Annotated[str, Field(pattern=f"^{MAIL_ADDRESS}$", max_length=254)]


def is_http_url(text: str) -> bool:
    """Tell whether a request can be made to a URL as it stands there."""
    if not re.fullmatch(r"https?://[!-~]+", text):
        return False
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        if ":" in host:
            ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return bool(re.fullmatch(r"[A-Za-z0-9._-]+|.*:.*", host)) and port != 0


def _http_url(value: object) -> object:
    if isinstance(value, str) and not is_http_url(value):
        raise ValueError
    return value


SecretUrl = Annotated[SecretStr, BeforeValidator(_http_url)]
"""A URL that may let in whoever knows it."""


class Alarm(_Group):
    """Who is told, and by which ways."""

    readable = ("rules_path", "targets_path", "ca_certificates", "agents_path")
    private = ("agents_path",)
    lists = ("rules_path", "targets_path", "agents_path")

    rules_path: WorkspacePath | None = _var(
        "ALARM_RULES_PATH", "The rules: what is told, to whom, by which channel", "the path of a readable file", None
    )
    targets_path: WorkspacePath | None = _var(
        "ALARM_TARGETS_PATH",
        "The agents' list of targets, for `alarm` and `depends_on` in it",
        "the path of a readable file",
        None,
    )
    mail_to: Annotated[list[MailAddress], BeforeValidator(_comma_list), Field(min_length=1)] | None = _var(
        "ALARM_MAIL_TO", "Without rules: whom alarms go to by mail", f"{_AN_ADDRESS}, several with commas", None
    )
    webhook_url: SecretUrl | None = _var(
        "ALARM_WEBHOOK_URL", "Without rules: where alarms are posted to, as JSON", A_URL, None
    )
    mail_from: MailAddress | None = _var(
        "ALARM_MAIL_FROM", "Address that mail comes from (default: webmon@ and the host's name)", _AN_ADDRESS, None
    )
    smtp_host: str = _var("ALARM_SMTP_HOST", "The mail server", "a host name or address", "localhost")
    smtp_port: Port | None = _var(
        "ALARM_SMTP_PORT", "Its port (default: 587, with tls 465, with off 25)", "a port from 1 to 65535", None
    )
    smtp_tls: SmtpTls = _var(
        "ALARM_SMTP_TLS",
        "starttls, tls from the begin, or off; nothing is sent where what it says can't be had",
        ", ".join(get_args(SmtpTls)),
        "starttls",
    )
    smtp_user: str | None = _var("ALARM_SMTP_USER", "User to log in as, where the server asks for one", _A_NAME, None)
    smtp_password: SecretStr | None = _var("ALARM_SMTP_PASSWORD", "Its password", "a password", None)
    ca_certificates: WorkspacePath | None = _var(
        "ALARM_CA_CERTIFICATES", "Authorities trusted for receivers beside the system's", _A_FILE, None
    )
    retry_hours: Annotated[float, Field(gt=0, le=720)] = _var(
        "ALARM_RETRY_HOURS",
        "Hours that a message is tried again while its receiver is away",
        "a number of hours above 0, at most 720",
        24.0,
    )
    heartbeat_url: SecretUrl | None = _var(
        "ALARM_HEARTBEAT_URL",
        "What is called as long as results are judged and alarms are told: silence there means that they are not",
        A_URL,
        None,
    )
    heartbeat_secs: Annotated[float, Field(ge=1, le=86400)] = _var(
        "ALARM_HEARTBEAT_SECS", "Seconds from one such call to the next", "a number of seconds from 1 to 86400", 60.0
    )
    agents_path: WorkspacePath | None = _var(
        "ALARM_AGENTS_PATH",
        "Agents and their keys, the file of SINK_AGENTS_PATH: nothing is judged of another, or that its agent did not "
        "sign",
        "the path of a readable file",
        None,
    )
    page_url: Annotated[str, Field(pattern=r"^https?://[^\s/?#]+\S*$")] | None = _var(
        "ALARM_PAGE_URL",
        "Where people find the operators' page; messages link to it",
        "http://HOST/... or https://HOST/...",
        None,
    )
    metrics_address: Address = _var(
        "ALARM_METRICS_ADDRESS",
        "host:port of /metrics for Prometheus and of the judge's /healthz, or off",
        f"{_HOST_PORT}, or off",
        HostPort("127.0.0.1", 9467),
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """Tell when nobody would be told, or a password would be sent for all to read."""
        if self.rules_path is None and self.mail_to is None and self.webhook_url is None:
            yield (
                "ALARM_MAIL_TO",
                f"is missing, and so are ALARM_WEBHOOK_URL and ALARM_RULES_PATH; right would be {_AN_ADDRESS}, or "
                "one of these",
            )
        for variable, value in (("ALARM_MAIL_TO", self.mail_to), ("ALARM_WEBHOOK_URL", self.webhook_url)):
            if value is not None and self.rules_path is not None:
                yield variable, "has no effect beside ALARM_RULES_PATH; right would be a channel of that file"
        if (self.smtp_user is None) != (self.smtp_password is None):
            missing = "ALARM_SMTP_USER" if self.smtp_user is None else "ALARM_SMTP_PASSWORD"
            yield missing, "is missing; right would be both user and password, or neither"
        if not _is_host(self.smtp_host):
            yield "ALARM_SMTP_HOST", f"is {self.smtp_host!r}; right would be a host name or address"
        if self.smtp_user is not None and self.smtp_tls == "off":
            yield "ALARM_SMTP_TLS", "is off, and a password would be sent readable; right would be starttls or tls"

    def file_faults(self) -> Iterator[tuple[str, str]]:
        """Tell when the authorities are not PEM."""
        if fault := _authority_fault(self.ca_certificates):
            yield "ALARM_CA_CERTIFICATES", fault

    @property
    def port(self) -> int:
        """The mail server's port."""
        return self.smtp_port or _SMTP_PORTS[self.smtp_tls]

    @property
    def sender(self) -> str:
        """The address that mail comes from."""
        return self.mail_from or f"webmon@{socket.getfqdn()}"


HEADER = r"[A-Za-z][A-Za-z0-9-]{0,99}"


@dataclasses.dataclass(frozen=True)
class HeaderAuth:
    """A proxy says who it is, in a header."""

    header: str
    proxies: tuple[Network, ...]
    """From where the header is believed."""


@dataclasses.dataclass(frozen=True)
class BasicAuth:
    """Names and passwords."""

    users: Path
    """A file, mode 0600, with a line `name:hash` for each."""


@dataclasses.dataclass(frozen=True)
class CertificateAuth:
    """Certificates of the operators; the listener speaks TLS."""

    authority: Path
    certificate: Path
    key: Path


Auth = HeaderAuth | BasicAuth | CertificateAuth
AN_AUTH = "header:NAME@NETWORKS, basic:FILE or certificate:AUTHORITY,CERTIFICATE,KEY"


def _auth(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    kind, _, rest = value.partition(":")
    paths = [_in_workspace(part.strip(), info) for part in rest.split(",")]
    if kind == "header":
        name, _, proxies = rest.partition("@")
        if not re.fullmatch(HEADER, name) or proxies == "off":
            raise ValueError
        return HeaderAuth(name, tuple(networks(proxies)))
    if kind == "basic" and rest and len(paths) == 1:
        return BasicAuth(paths[0])
    if kind == "certificate" and rest and len(paths) == 3:
        return CertificateAuth(*paths)
    raise ValueError


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Page(_Group):
    """What the page shows, and where."""

    readable = ("file_path",)
    lists = ("file_path",)

    address: Address = _var(
        "PAGE_ADDRESS", "host:port of the public page, or off", f"{_HOST_PORT}, or off", HostPort("127.0.0.1", 9468)
    )
    operator_address: Address = _var(
        "PAGE_OPERATOR_ADDRESS",
        "host:port of the operator's page, or off; any but a loopback address needs PAGE_AUTH",
        f"{_HOST_PORT}, or off",
        HostPort("127.0.0.1", 9466),
    )
    metrics_address: Address = _var(
        "PAGE_METRICS_ADDRESS",
        "host:port of the page's /metrics for Prometheus and of its /healthz, or off",
        f"{_HOST_PORT}, or off",
        HostPort("127.0.0.1", 9469),
    )
    file_path: WorkspacePath | None = _var(
        "PAGE_FILE_PATH",
        "What is public: a YAML file; without it nothing is",
        "the path of a readable file",
        None,
    )
    cache_path: WorkspacePath = Field(
        "snapshot.json",
        alias="PAGE_CACHE_PATH",
        description="The last snapshot: what is shown while the database is away",
        json_schema_extra={"right": "the path of a file in a writable directory"},
        validate_default=True,
    )
    refresh_secs: Annotated[float, Field(ge=1, le=3600)] = _var(
        "PAGE_REFRESH_SECS",
        "Seconds from one snapshot of the database to the next",
        "a number of seconds from 1 to 3600",
        10.0,
    )
    export_path: WorkspacePath | None = _var(
        "PAGE_EXPORT_PATH",
        "Directory that the public page is written into each minute, for a bucket or another web server",
        "the path of a writable directory",
        None,
    )
    url: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$", max_length=1000)] | None = _var(
        "PAGE_URL",
        "Where visitors reach the public page: what feeds and the API link to (default: no absolute links)",
        "http://HOST/... or https://HOST/..., without user, query and fragment",
        None,
    )
    auth: Annotated[Auth, PlainValidator(_auth)] | None = _var(
        "PAGE_AUTH",
        "Who an operator is: `header:NAME@NETWORKS` (a proxy there says it), `basic:FILE` (`name:hash` a line, mode "
        "0600) or `certificate:AUTHORITY,CERTIFICATE,KEY` (of the operators; the page's own)",
        AN_AUTH,
        None,
    )

    def faults(self) -> Iterator[tuple[str, str]]:
        """Tell when anybody could act as an operator."""
        address = self.operator_address
        if address is not None and self.auth is None and not _is_loopback(address.host):
            yield (
                "PAGE_OPERATOR_ADDRESS",
                f"is {address}, which others reach, and PAGE_AUTH is missing; right would be a loopback address such "
                f"as 127.0.0.1:9466, or PAGE_AUTH with {AN_AUTH}",
            )

    def file_faults(self) -> Iterator[tuple[str, str]]:
        """Tell when a file of PAGE_AUTH can't be used."""
        if isinstance(self.auth, BasicAuth):
            files_of_auth = [(self.auth.users, True)]
        elif isinstance(self.auth, CertificateAuth):
            files_of_auth = [(self.auth.authority, False), (self.auth.certificate, False), (self.auth.key, True)]
        else:
            files_of_auth = []
        for path, private in files_of_auth:
            if text := _file_fault(path, private=private, is_list=isinstance(self.auth, BasicAuth)):
                yield "PAGE_AUTH", text


@dataclasses.dataclass(frozen=True)
class AgentSettings:
    """What `webmon agent` reads."""

    common: Common
    kafka: Kafka
    monitoring: Monitoring


@dataclasses.dataclass(frozen=True)
class SinkSettings:
    """What `webmon sink` reads."""

    common: Common
    kafka: Kafka
    postgres: Postgres
    sink: Sink


@dataclasses.dataclass(frozen=True)
class InitSettings:
    """What `webmon init` reads."""

    common: Common
    kafka: Kafka
    postgres: Postgres
    init: Init


@dataclasses.dataclass(frozen=True)
class RetentionSettings:
    """What `webmon retention` reads, from the .env of init: it needs the tables' owner."""

    common: Common
    postgres: Postgres
    retention: Retention


@dataclasses.dataclass(frozen=True)
class ReportSettings:
    """What the commands that report read."""

    common: Common
    postgres: Postgres


@dataclasses.dataclass(frozen=True)
class LettersSettings:
    """What `webmon dead-letters` reads, of init's .env: the administrator's certificate is there."""

    common: Common
    kafka: Kafka


@dataclasses.dataclass(frozen=True)
class AlarmSettings:
    """What `webmon alarm` reads."""

    common: Common
    kafka: Kafka
    postgres: Postgres
    alarm: Alarm


@dataclasses.dataclass(frozen=True)
class PageSettings:
    """What `webmon page` reads; as a role that reads. Without KAFKA_HOST nobody can act on the operator's page."""

    common: Common
    kafka: Kafka | None
    postgres: Postgres
    page: Page


@dataclasses.dataclass(frozen=True)
class TrialSettings:
    """What `webmon alarm test` reads."""

    common: Common
    alarm: Alarm


T = TypeVar(
    "T",
    AgentSettings,
    SinkSettings,
    InitSettings,
    RetentionSettings,
    ReportSettings,
    LettersSettings,
    AlarmSettings,
    PageSettings,
    TrialSettings,
)


KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "agent": (AgentSettings,),
    "sink": (SinkSettings,),
    "init": (InitSettings, RetentionSettings),
    "report": (ReportSettings,),
    "alarm": (AlarmSettings,),
    "page": (PageSettings,),
}
"""What reads the .env of each component."""


def load(kind: type[T], env_file: Path | None, warn: Callable[[str], None] = lambda _: None) -> T:
    """Read what a component needs from the .env file and the process environment.

    Args:
        kind: what is needed.
        env_file: as `env_file.read` takes it.
        warn: is told, in a line each, which variables of ours nobody knows; that stops nothing, as they may be those of
            another release.

    Raises:
        UserError: one line for each fault of the file and of the values.
    """
    source, faults = look(env_file, os.environ, readers=_readers(kind))
    if faults:
        raise UserError(*faults)
    groups: dict[str, _Group | None] = {}
    for field, hint in get_type_hints(kind).items():
        groups[field] = None if _is_left_out(hint, source) else _load_group(_group_of(hint), source, faults)
    for line in unknown(source, _named_in_lists(filter(None, groups.values()))):
        warn(line)
    if faults:
        raise UserError(*faults)
    return kind(**groups)  # type: ignore[arg-type]


def _group_of(hint: Any) -> type[_Group]:
    """Give the group of a component's field, which may be one that can be left out (`Kafka | None`)."""
    group: type[_Group] = next(iter(get_args(hint)), hint)
    return group


def _is_left_out(hint: Any, source: Source) -> bool:
    """Tell whether a group need not be there, and nothing of what it requires is."""
    group = _group_of(hint)
    required = {str(field.alias) for field in group.model_fields.values() if field.is_required()}
    return group is not hint and required.isdisjoint(source.values)


def check(env_file: Path, component: str | None, *, with_files: bool = True) -> list[str]:
    """Judge a .env as its component would at its start, by itself: the environment of whoever asks changes nothing.

    Args:
        env_file: absolute.
        component: one of KINDS, which says what must not be missing; None to judge what is set, whoever reads it.
        with_files: whether the files that it names must be here.

    Returns:
        A line for each fault, none of which shows a secret; a variable of ours that nobody knows is one.

    Raises:
        UserError: the file can't be read.
    """
    source, faults = look(env_file, {}, readers=_readers(*_kinds(component)))
    if faults and component is None and not _groups(source, None) - {Common, Postgres}:
        source, faults = look(env_file, {}, readers=REPORT_READERS)
    return faults + judge(source, component, with_files=with_files)


def judge(
    source: Source, component: str | None, *, with_files: bool, named: AbstractSet[str] = frozenset()
) -> list[str]:
    """Judge variables as `check` does; `named` are those that the component's lists take, as ${NAME}."""
    faults: list[str] = []
    groups = _groups(source, component)
    made = [_load_group(group, source, faults, with_files=with_files, whole=component is not None) for group in groups]
    loaded = [group for group in made if group is not None]
    faults += unknown(source, named | _named_in_lists(loaded) if with_files else named)
    return faults


def _kinds(component: str | None) -> tuple[type, ...]:
    return KINDS[component] if component else tuple(kind for kinds in KINDS.values() for kind in kinds)


def _groups(source: Source, component: str | None) -> AbstractSet[type[_Group]]:
    """Give the groups that a component reads, in order; without one those of which the file sets anything."""
    # Of several kinds, too, each once.
    hints = dict.fromkeys(hint for kind in _kinds(component) for hint in get_type_hints(kind).values())
    groups = dict.fromkeys(_group_of(hint) for hint in hints if not _is_left_out(hint, source))
    return dict.fromkeys(group for group in groups if component or group.is_asked_for(source.values)).keys()


def _readers(*kinds: type) -> str | None:
    return REPORT_READERS if kinds == (ReportSettings,) else None


def unknown(source: Source, named: AbstractSet[str] = frozenset()) -> list[str]:
    """Say which variables begin as ours do, and are none: a line each, with the nearest that there is.

    In the process environment they are often another program's (KAFKA_HEAP_OPTS), so there only what is nearly one of
    ours is told.

    Args:
        source: the variables.
        named: those that a list takes, as ${NAME}.
    """
    known = variables().keys()
    told = []
    for name in dict.fromkeys((*source.lines, *source.values)):
        if not name.startswith(PREFIXES) or name in known | source.expanded | named:
            continue
        in_file = name in source.lines
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6 if in_file else 0.9)
        if near or in_file:
            right = near[0] if near else "a name that webmon has, or one that begins otherwise"
            told.append(f"{source.place(name)}: {name} is no variable of webmon; right would be {right}")
    return told


def _named_in_lists(groups: Iterable[_Group]) -> frozenset[str]:
    """Give the names that targets and rules take from the variables."""
    paths = [getattr(group, name) for group in groups for name in group.lists]
    texts = []
    for path in filter(None, paths):
        with contextlib.suppress(OSError):
            texts.append(files.read(path, most=files.LIST).data)
    return frozenset(name.decode() for text in texts for name in re.findall(rb"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", text))


def _load_group(
    group: type[_Group], source: Source, faults: list[str], *, with_files: bool = True, whole: bool = True
) -> _Group | None:
    """Read a group; add a line for each fault. Not `whole`: what is missing is none."""
    before = len(faults)
    by_alias = {str(field.alias): (name, field) for name, field in group.model_fields.items()}
    base = source.file.parent if source.file else Path.cwd()
    workspace = base / source.values.get(WORKSPACE, "")
    missing = [variable for variable in group.needed(source.values) if variable not in source.values]
    wrong: list[str] = []
    loaded = None
    try:
        loaded = group.model_validate(dict(source.values), context={"workspace": workspace})
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            (missing if fault["type"] == "missing" else wrong).append(str(fault["loc"][0]))
    # In the order of the table.
    told = (*missing, *wrong) if whole else wrong
    for variable, (_, field) in by_alias.items():
        if variable in told:
            faults.append(_describe(variable, field, source, missing=variable in missing))
    if loaded is None or missing:
        return None
    found = _faults(loaded) if with_files else loaded.faults()
    faults.extend(f"{source.place(variable)}: {variable}: {text}" for variable, text in found)
    return loaded if len(faults) == before else None


def check_files(settings: AgentSettings) -> None:
    """Look anew at the files that settings name, as at the start.

    Raises:
        UserError: a line for each that cannot be used.
    """
    found = [fault for group in (settings.kafka, settings.monitoring) for fault in _faults(group)]
    if found:
        raise UserError(*(f"{variable}: {text}" for variable, text in found))


def _faults(group: _Group) -> Iterator[tuple[str, str]]:
    """Tell what is wrong with a group: (variable, message); with what its files hold where all can be read."""
    unreadable = []
    for name, field in type(group).model_fields.items():
        path = getattr(group, name)
        if name not in group.readable or path is None:
            continue
        if text := _file_fault(path, private=name in group.private, is_list=name in group.lists):
            unreadable.append((str(field.alias), text))
    yield from group.faults()
    yield from unreadable or group.file_faults()


def _describe(variable: str, field: FieldInfo, source: Source, *, missing: bool) -> str:
    extra = field.json_schema_extra
    right = extra["right"] if isinstance(extra, dict) else ""
    if not missing:
        shown = "is not right" if _is_secret(field) else f"is {source.values[variable]!r}"
        return f"{source.place(variable)}: {variable} {shown}; right would be {right}"
    near = difflib.get_close_matches(variable, source.lines.keys() - set(variables()), n=1, cutoff=0.8)
    hint = f" (line {source.lines[near[0]]} sets {near[0]}: did you mean that?)" if near else ""
    return f"{source.file or 'environment (no .env found)'}: {variable} is missing{hint}; right would be {right}"


def _is_secret(field: FieldInfo) -> bool:
    kinds = (field.annotation, *get_args(field.annotation))
    return any(SecretStr in (kind, *get_args(kind)) for kind in kinds)


def _file_fault(path: Path, *, private: bool, is_list: bool) -> str | None:
    try:
        mode = files.look(path, most=files.LIST if is_list else files.PEM).st_mode
    except OSError as error:
        return f"{path}: {error.strerror}; right would be a readable file"
    if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"others may read {path} (mode {mode & 0o777:04o}); right would be 0600: chmod 600 {path}"
    return None


def variables() -> dict[str, FieldInfo]:
    """Give every variable by its name, in the order of the table."""
    groups = (Common, Kafka, Monitoring, Postgres, Sink, Init, Retention, Alarm, Page)
    return {str(field.alias): field for group in groups for field in group.model_fields.values()}


def table() -> Iterator[tuple[str, str, str, str]]:
    """Give the rows of the documentation: variable, who reads it, default, meaning."""
    readers: dict[str, list[str]] = {}
    kinds = (AgentSettings, SinkSettings, InitSettings, RetentionSettings, ReportSettings, AlarmSettings, PageSettings)
    for kind in kinds:
        component = kind.__name__.removesuffix("Settings").lower()
        for hint in get_type_hints(kind).values():
            for field in _group_of(hint).model_fields.values():
                readers.setdefault(str(field.alias), []).append(component)
    yield WORKSPACE, "all", "the directory of the .env", "Where relative paths start"
    for name, field in variables().items():
        shown = "" if field.default in (None, "") else f"`{field.default}`"
        who = readers[name]
        yield (
            name,
            "all" if len(who) == len(kinds) else ", ".join(who),
            "required" if field.is_required() else shown,
            str(field.description),
        )


if __name__ == "__main__":
    print("| Variable | Read by | Default | Meaning |\n|---|---|---|---|")
    for row in table():
        print("| `{}` | {} | {} | {} |".format(*row))
