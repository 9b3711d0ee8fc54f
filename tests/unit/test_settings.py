"""Settings: what an operator sees of a right and of a wrong .env."""

import ipaddress
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, get_args

import pytest
import trustme

from webmon import cli, settings
from webmon.cli import options
from webmon.env_file import WORKSPACE, find_env_file
from webmon.errors import UserError
from webmon.settings import AgentSettings, PageSettings, ReportSettings, RetentionSettings, SinkSettings, T, load


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests see the variables that they set and no others."""
    for name in [WORKSPACE, *settings.variables()]:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A directory as an operator has it: certificates that fit, a list of targets."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued = ca.issue_cert("agent")
    issued.private_key_pem.write_to_path(tmp_path / "service.key")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "service.cert")
    (tmp_path / "service.key").chmod(0o600)
    (tmp_path / "targets.txt").write_text("https://example.org/\n")
    return tmp_path


KAFKA = """\
KAFKA_HOST=kafka.example.org
KAFKA_PORT=9093
KAFKA_CA_CERTIFICATE=${_WORKSPACE_PATH}/ca.pem
KAFKA_ACCESS_CERTIFICATE=${_WORKSPACE_PATH}/service.cert
KAFKA_ACCESS_KEY=service.key
"""
AGENT = KAFKA + "MONITORING_TARGETS_PATH=targets.txt\n"
POSTGRES = "POSTGRES_HOST=db\nPOSTGRES_USER=webmon\nPOSTGRES_PASSWORD=secret-word\n"


def write(workspace: Path, text: str, mode: int = 0o600) -> Path:
    """Put a .env into the workspace."""
    file = workspace / ".env"
    file.write_text(text)
    file.chmod(mode)
    return file


def faults(kind: type[T], file: Path) -> list[str]:
    """Give the lines that the user is told."""
    with pytest.raises(UserError) as caught:
        load(kind, file)
    return list(caught.value.lines)


def test_paths_start_at_the_workspace_and_expansions_know_it_without_being_told(workspace: Path) -> None:
    loaded = load(AgentSettings, write(workspace, AGENT))
    assert loaded.kafka.access_key == workspace / "service.key"
    assert loaded.kafka.ca_certificate == workspace / "ca.pem"
    assert loaded.monitoring.outbox_path == workspace / "outbox.sqlite"


def test_workspace_named_in_the_file_wins_over_its_directory(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("etc")
    file = write(elsewhere, f"_WORKSPACE_PATH={workspace}\n" + AGENT)
    assert load(AgentSettings, file).monitoring.targets_path == workspace / "targets.txt"


def test_defaults_are_those_of_the_table(workspace: Path) -> None:
    loaded = load(AgentSettings, write(workspace, AGENT))
    assert loaded.monitoring.retry_secs == 60
    assert loaded.monitoring.timeout == 15
    assert loaded.common.log_level == "INFO"
    assert loaded.kafka.topic == "webmon-results"
    report = load(ReportSettings, write(workspace, POSTGRES))
    assert (report.postgres.ssl, report.postgres.table) == ("require", "web_health_metrics")
    assert report.postgres.autocommit is True


def test_an_instance_adds_its_number_to_the_hosts_name_and_not_to_a_name_that_was_given(workspace: Path) -> None:
    monitoring = load(AgentSettings, write(workspace, AGENT + "MONITORING_SHARD=2/3\n")).monitoring
    assert monitoring.shard == settings.Shard(2, 3)
    assert monitoring.vantage == f"{socket.gethostname()}-2"
    named = write(workspace, AGENT + "MONITORING_SHARD=2/3\nMONITORING_AGENT_ID=here\n")
    assert load(AgentSettings, named).monitoring.vantage == "here"
    assert load(AgentSettings, write(workspace, AGENT)).monitoring.shard is None


@pytest.mark.parametrize("value", ["9464", "on", "localhost:0", ":9464", "::1:9464", "[localhost]:9464", "a:b:9464"])
def test_an_address_of_metrics_that_is_none_is_refused(workspace: Path, value: str) -> None:
    file = write(workspace, AGENT + f"MONITORING_METRICS_ADDRESS={value}\n")
    line = len(AGENT.splitlines()) + 1
    assert faults(AgentSettings, file) == [
        f"{file}:{line}: MONITORING_METRICS_ADDRESS is {value!r}; right would be host:port "
        "(an IPv6 address in brackets), or off"
    ]


def test_an_address_is_a_host_and_a_port_and_of_ipv6_in_brackets(workspace: Path) -> None:
    more = "MONITORING_METRICS_ADDRESS=[::1]:9464\nMONITORING_CANARIES=a.example:80, [2001:db8::1]:443,192.0.2.1:53\n"
    monitoring = load(AgentSettings, write(workspace, AGENT + more)).monitoring
    assert monitoring.metrics_address == ("::1", 9464)
    assert monitoring.canaries == [("a.example", 80), ("2001:db8::1", 443), ("192.0.2.1", 53)]
    assert [str(canary) for canary in monitoring.canaries or ()][1:] == ["[2001:db8::1]:443", "192.0.2.1:53"]
    off = load(AgentSettings, write(workspace, AGENT + "MONITORING_METRICS_ADDRESS=off\n")).monitoring
    assert off.metrics_address is None


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("", ["169.254.169.254/32", "fd00:ec2::254/128"]),
        ("MONITORING_FORBIDDEN_NETWORKS=10.0.0.0/8, fd00::/8\n", ["10.0.0.0/8", "fd00::/8"]),
        ("MONITORING_FORBIDDEN_NETWORKS=off\n", []),
    ],
)
def test_networks_that_are_forbidden_are_the_metadata_of_clouds_where_nothing_is_said(
    workspace: Path, said: str, found: list[str]
) -> None:
    forbidden = load(AgentSettings, write(workspace, AGENT + said)).monitoring.forbidden_networks
    assert list(map(str, forbidden)) == found


@pytest.mark.parametrize("value", ["10.0.0.1/8", "here", "10.0.0.0/8,,", "10.0.0.0/33"])
def test_a_network_that_is_none_is_told_with_what_would_be_right(workspace: Path, value: str) -> None:
    file = write(workspace, AGENT + f"MONITORING_FORBIDDEN_NETWORKS={value}\n")
    with pytest.raises(UserError) as caught:
        load(AgentSettings, file)
    right = "right would be networks such as 10.0.0.0/8 or fd00::/8, several with commas, or off"
    assert f"MONITORING_FORBIDDEN_NETWORKS is {value!r}; {right}" in str(caught.value)


@pytest.mark.parametrize("value", ["a.example", "a.example:80,b.example", ","])
def test_canaries_that_are_none_are_refused(workspace: Path, value: str) -> None:
    file = write(workspace, AGENT + f"MONITORING_CANARIES={value}\n")
    [told] = faults(AgentSettings, file)
    assert f"MONITORING_CANARIES is {value!r}; right would be host:port (an IPv6 address in brackets), several" in told


def test_an_address_of_a_sinks_metrics_that_is_none_is_refused(workspace: Path) -> None:
    file = write(workspace, KAFKA + POSTGRES + "SINK_METRICS_ADDRESS=9465\n")
    line = len((KAFKA + POSTGRES).splitlines()) + 1
    assert faults(SinkSettings, file) == [
        f"{file}:{line}: SINK_METRICS_ADDRESS is '9465'; right would be host:port (an IPv6 address in brackets), or off"
    ]


def test_process_environment_wins_over_the_file_also_in_expansions(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_PORT", "9999")
    monkeypatch.setenv("BROKER", "b.example.org")
    text = AGENT.replace("KAFKA_HOST=kafka.example.org", "BROKER=a.example.org\nKAFKA_HOST=${BROKER}")
    assert load(AgentSettings, write(workspace, text)).kafka.bootstrap == ["b.example.org:9999"]


def test_every_missing_variable_is_told_at_once_with_the_file(workspace: Path) -> None:
    file = write(workspace, "MONITORING_LOG_LEVEL=INFO\n")
    lines = faults(SinkSettings, file)
    assert [line.split(" is missing")[0] for line in lines] == [
        f"{file}: {name}"
        for name in (
            "KAFKA_HOST",
            "KAFKA_PORT",
            "KAFKA_ACCESS_CERTIFICATE",
            "KAFKA_ACCESS_KEY",
            "KAFKA_CA_CERTIFICATE",
            "POSTGRES_HOST",
            "POSTGRES_USER",
            "POSTGRES_PASSWORD",
        )
    ]


def test_a_misspelt_variable_is_named_beside_the_missing_one(workspace: Path) -> None:
    file = write(workspace, AGENT.replace("KAFKA_HOST", "KAFKA_HSOT"))
    assert faults(AgentSettings, file) == [
        f"{file}: KAFKA_HOST is missing (line 1 sets KAFKA_HSOT: did you mean that?); right would be a host name or "
        "address"
    ]


@pytest.mark.parametrize(
    ("variable", "value", "right"),
    [
        ("KAFKA_PORT", "9o92", "a port from 1 to 65535"),
        ("KAFKA_PORT", "70000", "a port from 1 to 65535"),
        ("MONITORING_RETRY_SECS", "soon", "a number of seconds from 1 to 86400"),
        ("MONITORING_LOG_LEVEL", "loud", "DEBUG, INFO, WARNING, ERROR or FATAL"),
        ("KAFKA_TOPIC_NAME", "a topic", "1 to 230 letters, digits, dots, dashes and underscores"),
        ("MONITORING_OUTBOX_BYTES", "1MB", "a whole number from 1000000"),
        ("MONITORING_SHARD", "3/2", "i/n, such as 1/3, with i from 1 to n and n at most 1000"),
        ("MONITORING_SHARD", "0/2", "i/n, such as 1/3, with i from 1 to n and n at most 1000"),
        ("MONITORING_SHARD", "1", "i/n, such as 1/3, with i from 1 to n and n at most 1000"),
    ],
)
def test_a_malformed_value_is_told_with_file_line_value_and_what_is_right(
    workspace: Path, variable: str, value: str, right: str
) -> None:
    lines = [line for line in AGENT.splitlines() if not line.startswith(variable + "=")] + [f"{variable}={value}"]
    file = write(workspace, "\n".join(lines))
    assert faults(AgentSettings, file) == [f"{file}:{len(lines)}: {variable} is {value!r}; right would be {right}"]


def test_a_wrong_value_of_postgres_is_told_without_the_password(workspace: Path) -> None:
    file = write(workspace, POSTGRES + "POSTGRES_SSL=yes\nPOSTGRES_AUTOCOMMIT=perhaps\n")
    lines = faults(ReportSettings, file)
    assert lines == [
        f"{file}:4: POSTGRES_SSL is 'yes'; right would be disable, allow, prefer, require, verify-ca, verify-full",
        f"{file}:5: POSTGRES_AUTOCOMMIT is 'perhaps'; right would be True or False",
    ]
    assert "secret-word" not in repr(load(ReportSettings, write(workspace, POSTGRES)))


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require"])
def test_every_mode_of_libpq_is_taken(workspace: Path, mode: str) -> None:
    assert load(ReportSettings, write(workspace, POSTGRES + f"POSTGRES_SSL={mode}\n")).postgres.ssl == mode


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_verifying_mode_asks_for_an_authority(workspace: Path, mode: str) -> None:
    text = POSTGRES + f"POSTGRES_SSL={mode}\n"
    assert "POSTGRES_CA_CERTIFICATE: is missing" in faults(ReportSettings, write(workspace, text))[0]
    loaded = load(ReportSettings, write(workspace, text + "POSTGRES_CA_CERTIFICATE=ca.pem\n"))
    assert loaded.postgres.ca_certificate == workspace / "ca.pem"


def test_a_file_that_others_can_read_is_refused_with_the_command_that_mends_it(workspace: Path) -> None:
    file = write(workspace, AGENT, mode=0o640)
    assert faults(AgentSettings, file) == [
        f"{file}: others may read it (mode 0640); right would be 0600: chmod 600 {file}"
    ]


def test_a_key_that_others_can_read_is_refused(workspace: Path) -> None:
    file = write(workspace, AGENT)
    key = workspace / "service.key"
    key.chmod(0o644)
    assert faults(AgentSettings, file) == [
        f"{file}:5: KAFKA_ACCESS_KEY: others may read {key} (mode 0644); right would be 0600: chmod 600 {key}"
    ]


def test_a_certificate_that_does_not_fit_its_key_is_told_with_both_files(workspace: Path) -> None:
    trustme.CA().issue_cert("other").private_key_pem.write_to_path(workspace / "service.key")
    file = write(workspace, AGENT)
    key, certificate = workspace / "service.key", workspace / "service.cert"
    assert faults(AgentSettings, file) == [f"{file}:5: KAFKA_ACCESS_KEY: {key} is not the key of {certificate}"]


@pytest.mark.parametrize(
    ("kind", "text", "variable"),
    [
        (AgentSettings, AGENT, "KAFKA_CA_CERTIFICATE"),
        (AgentSettings, AGENT + "MONITORING_CA_CERTIFICATES=sites.pem\n", "MONITORING_CA_CERTIFICATES"),
        (SinkSettings, KAFKA + POSTGRES + "POSTGRES_CA_CERTIFICATE=db.pem\n", "POSTGRES_CA_CERTIFICATE"),
    ],
)
def test_a_file_of_authorities_without_a_certificate_is_told(
    workspace: Path, kind: type[T], text: str, variable: str
) -> None:
    for name in ("sites.pem", "db.pem"):
        shutil.copy(workspace / "ca.pem", workspace / name)
    file = write(workspace, text)
    load(kind, file)
    [(number, line)] = [(n, line) for n, line in enumerate(text.splitlines(), 1) if line.startswith(variable)]
    broken = workspace / line.rpartition("/")[2].rpartition("=")[2]
    for content in ("nothing\n", "", "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n"):
        broken.write_text(content)
        assert faults(kind, file) == [
            f"{file}:{number}: {variable}: {broken} holds no PEM certificate; right would be the path of a readable "
            "PEM file"
        ]


def test_files_are_looked_at_anew_with_every_fault_of_them(workspace: Path) -> None:
    loaded = load(AgentSettings, write(workspace, AGENT))
    settings.check_files(loaded)
    (workspace / "service.key").chmod(0o644)
    (workspace / "targets.txt").unlink()
    with pytest.raises(UserError) as caught:
        settings.check_files(loaded)
    key, targets = caught.value.lines
    assert key.startswith(f"KAFKA_ACCESS_KEY: others may read {workspace}/service.key (mode 0644); right would be 0600")
    assert targets.startswith(f"MONITORING_TARGETS_PATH: {workspace}/targets.txt: No such file or directory")


def test_files_that_are_not_there_are_all_told(workspace: Path) -> None:
    file = write(workspace, AGENT.replace("ca.pem", "no.pem").replace("targets.txt", "no.txt"))
    assert faults(AgentSettings, file) == [
        f"{file}:3: KAFKA_CA_CERTIFICATE: {workspace / 'no.pem'}: No such file or directory; "
        "right would be a readable file",
        f"{file}:6: MONITORING_TARGETS_PATH: {workspace / 'no.txt'}: No such file or directory; "
        "right would be a readable file",
    ]


def test_a_timeout_longer_than_the_interval_is_refused(workspace: Path) -> None:
    file = write(workspace, AGENT + "MONITORING_RETRY_SECS=10\nMONITORING_TIMEOUT_SECS=11\n")
    assert faults(AgentSettings, file) == [
        f"{file}:8: MONITORING_TIMEOUT_SECS: is 11, longer than MONITORING_RETRY_SECS (10); right would be at most that"
    ]


def test_a_short_interval_alone_shortens_the_default_timeout(workspace: Path) -> None:
    assert load(AgentSettings, write(workspace, AGENT + "MONITORING_RETRY_SECS=5\n")).monitoring.timeout == 5


def test_lines_that_are_no_assignment_are_told_with_their_number(workspace: Path) -> None:
    file = write(workspace, "KAFKA_HOST='kafka\n" + "MONITORING_LOG_LEVEL=INFO\n")
    assert faults(AgentSettings, file) == [f"{file}:1: can't be read; right would be NAME=value"]


def test_a_file_that_is_not_there_or_not_text_is_one_line(workspace: Path) -> None:
    missing = workspace / "no.env"
    assert faults(AgentSettings, missing) == [
        f"{missing}: No such file or directory; right would be a readable file of NAME=value lines"
    ]
    file = write(workspace, "")
    file.write_bytes(b"KAFKA_HOST=\xff\n")
    assert faults(AgentSettings, file) == [f"{file}: not UTF-8 at byte 11; right would be UTF-8 text"]


def test_without_any_file_the_environment_is_enough(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    for line in POSTGRES.splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    assert load(ReportSettings, find_env_file("report")).postgres.host == "db"


def test_the_file_is_found_in_the_workspace_then_here(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = write(workspace, AGENT)
    monkeypatch.chdir(workspace)
    assert find_env_file("agent") == Path(".env")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert find_env_file("agent") is None
    monkeypatch.setenv("_WORKSPACE_PATH", str(workspace))
    assert find_env_file("agent") == file


def test_a_directory_that_is_closed_to_us_is_passed_over(workspace: Path) -> None:
    closed = workspace / "closed"
    closed.mkdir()
    # As runuser leaves it: in a directory of somebody else's. Root could look into any, so it becomes another user.
    script = """
import os, sys
from webmon.env_file import find_env_file
os.chdir(sys.argv[1])
os.chmod(sys.argv[1], 0)
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
print(find_env_file("init"))
"""
    try:
        done = subprocess.run([sys.executable, "-c", script, str(closed)], capture_output=True, text=True, check=False)
    finally:
        closed.chmod(0o700)
    assert done.stdout == "None\n", done.stderr


READS: Final = """
import json, os, sys
from webmon.env_file import find_env_file, read
from webmon.errors import UserError
here, uid, named = json.loads(sys.argv[1])
os.chdir(here)
os.setuid(uid)
try:
    print(read(named and __import__("pathlib").Path(named) or find_env_file("report")).values["A"])
except UserError as error:
    print(error)
"""
STRANGER: Final = 4711
SERVICE: Final = 711


def reads(here: Path, *, as_user: int = 0, named: Path | None = None) -> str:
    """Say what a user gets from a .env in a directory, or from one that is named."""
    asked = json.dumps([str(here), as_user, str(named) if named else None])
    # In a process of its own, as who becomes another user never gets back.
    done = subprocess.run(
        [sys.executable, "-c", READS, asked],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(settings.__file__).parents[1])},
    )
    return done.stdout.strip() or done.stderr


@pytest.fixture
def others() -> Iterator[Callable[..., Path]]:
    """A directory that belongs to somebody, with a .env in it."""
    if os.geteuid():
        pytest.skip("needs root, to make files of others")
    made = []

    def make(directory: int, file: int) -> Path:
        made.append(Path(tempfile.mkdtemp()))
        (path := made[-1] / ".env").write_text("A=a\n")
        path.chmod(0o600)
        os.chown(path, file, file)
        os.chown(made[-1], directory, directory)
        return made[-1]

    yield make
    for one in made:
        shutil.rmtree(one)


def test_root_reads_no_settings_of_whoever_it_happens_to_be_with(others: Callable[..., Path]) -> None:
    for owner in (STRANGER, SERVICE):
        here = others(owner, owner)
        told = reads(here)
        assert told.startswith(f"{here}/.env: belongs to the user {owner} (mode 0600), who may write into it what root")
        assert told.endswith("; right would be a file of root, or another directory to start in")


def test_nor_by_a_link_that_another_made(others: Callable[..., Path]) -> None:
    roots, here = others(0, 0), others(STRANGER, STRANGER)
    (here / ".env").unlink()
    (here / ".env").symlink_to(roots / ".env")
    os.chown(here / ".env", STRANGER, STRANGER, follow_symlinks=False)
    assert f"{here}/.env: belongs to the user {STRANGER}" in reads(here)


def test_root_reads_its_own_and_where_it_names_them_those_of_services(others: Callable[..., Path]) -> None:
    assert reads(others(STRANGER, 0)) == "a"
    services = others(0, SERVICE)
    assert reads(Path("/"), named=services / ".env") == "a"
    strangers = others(STRANGER, STRANGER)
    assert f"belongs to the user {STRANGER}" in reads(Path("/"), named=strangers / ".env")


def test_another_user_reads_its_own(others: Callable[..., Path]) -> None:
    own = others(STRANGER, STRANGER)
    assert reads(own, as_user=STRANGER) == "a"
    assert reads(Path("/"), as_user=STRANGER, named=own / ".env") == "a"
    services = others(STRANGER, SERVICE)
    told = f"{services}/.env: belongs to the user {SERVICE} (mode 0600), who may write into it what the user {STRANGER}"
    assert reads(services, as_user=STRANGER).startswith(told)
    assert reads(Path("/"), as_user=STRANGER, named=services / ".env").startswith(told)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"POSTGRES_PASSWORD=secret\0word", "the value of POSTGRES_PASSWORD holds '\\x00'"),
        (
            b"POSTGRES_PASSWORD='secret\x1b[2Jword'",
            "the value of POSTGRES_PASSWORD holds '\\x1b'",
        ),
        (
            b'POSTGRES_CA_CERTIFICATE="C:\\bin"',
            "the value of POSTGRES_CA_CERTIFICATE holds '\\x08'",
        ),
        (b"POST\0GRES_PASSWORD=word", "a name holds '\\x00'"),
    ],
)
def test_a_character_that_no_text_has_is_told_with_its_line_and_nothing_of_the_value(
    workspace: Path, line: bytes, told: str
) -> None:
    file = write(workspace, "")
    file.write_bytes(b"POSTGRES_HOST=db\n\n\n" + line + b"\n")
    assert faults(ReportSettings, file) == [
        f"{file}:4: {told.replace('holds', 'holds the control character')}; right would be text without one"
    ]


def test_a_file_from_windows_is_read(workspace: Path) -> None:
    file = write(workspace, "")
    file.write_bytes(b"\xef\xbb\xbf" + POSTGRES.replace("\n", "\r\n").encode())
    assert load(ReportSettings, file).postgres.host == "db"


def test_empty_lines_count(workspace: Path) -> None:
    file = write(workspace, POSTGRES + "\n\n# of old\n\nPOSTGRES_PORT=none\n")
    (told,) = faults(ReportSettings, file)
    assert told.startswith(f"{file}:8: POSTGRES_PORT is 'none'")


@pytest.mark.parametrize(
    "variable",
    [
        "KAFKA_CA_CERTIFICATE",
        "KAFKA_ACCESS_CERTIFICATE",
        "KAFKA_ACCESS_KEY",
        "MONITORING_TARGETS_PATH",
        "MONITORING_CA_CERTIFICATES",
        "MONITORING_COMMANDS_PATH",
    ],
)
def test_a_named_pipe_is_refused_and_not_waited_for(workspace: Path, variable: str) -> None:
    os.mkfifo(workspace / "pipe")
    kept = "".join(line for line in AGENT.splitlines(keepends=True) if not line.startswith(variable + "="))
    (told,) = faults(AgentSettings, write(workspace, kept + f"{variable}=pipe\n"))
    assert f"{variable}: {workspace}/pipe: is a named pipe, not a regular file; right would be" in told


def test_so_is_one_for_the_databases_authority(workspace: Path) -> None:
    os.mkfifo(workspace / "pipe")
    (told,) = faults(ReportSettings, write(workspace, POSTGRES + "POSTGRES_CA_CERTIFICATE=pipe\n"))
    assert f"POSTGRES_CA_CERTIFICATE: {workspace}/pipe: is a named pipe, not a regular file" in told


def test_settings_come_through_a_pipe_that_the_shell_hands_over() -> None:
    reading, writing = os.pipe()
    os.write(writing, POSTGRES.encode())
    os.close(writing)
    try:
        assert load(ReportSettings, Path(f"/dev/fd/{reading}")).postgres.host == "db"
    finally:
        os.close(reading)


def test_rollups_must_be_kept_as_long_as_what_they_are_made_from(workspace: Path) -> None:
    file = write(workspace, POSTGRES + "POSTGRES_KEEP_ROWS_DAYS=900\nPOSTGRES_KEEP_DAILY_DAYS=365\n")
    assert faults(RetentionSettings, file) == [
        f"{file}: POSTGRES_KEEP_HOURLY_DAYS: is 730, less than POSTGRES_KEEP_ROWS_DAYS (900); "
        "right would be at least that",
        f"{file}:5: POSTGRES_KEEP_DAILY_DAYS: is 365, less than POSTGRES_KEEP_HOURLY_DAYS (730); "
        "right would be at least that",
    ]


@pytest.mark.parametrize("key", ["short-key", "k" * 65, "k" * 31 + "é", "k" * 20 + " " + "k" * 20])
def test_a_key_that_is_none_is_refused_and_not_shown(workspace: Path, key: str) -> None:
    file = write(workspace, AGENT + f"MONITORING_MAC_KEY='{key}'\n")
    (told,) = faults(AgentSettings, file)
    assert told == (
        f"{file}:7: MONITORING_MAC_KEY is not right; right would be 32 to 64 letters, digits and signs of ASCII, "
        "without a blank"
    )


def test_a_key_is_read_and_stands_in_no_message(workspace: Path) -> None:
    loaded = load(AgentSettings, write(workspace, AGENT + f"MONITORING_MAC_KEY={'k' * 32}\n"))
    assert loaded.monitoring.mac_key is not None
    assert loaded.monitoring.mac_key.get_secret_value() == "k" * 32
    assert "kkkk" not in repr(loaded)
    assert load(AgentSettings, write(workspace, AGENT)).monitoring.mac_key is None


def test_a_file_of_keys_that_others_may_read_is_refused(workspace: Path) -> None:
    (workspace / "agents").write_text(f"vantage1 {'k' * 32}\n")
    (workspace / "agents").chmod(0o640)
    (told,) = faults(SinkSettings, write(workspace, KAFKA + POSTGRES + "SINK_AGENTS_PATH=agents\n"))
    assert "SINK_AGENTS_PATH: others may read" in told


PASSWORD = """\
KAFKA_HOST=kafka.example.org
KAFKA_PORT=9092
KAFKA_SECURITY_PROTOCOL=SASL_SSL
KAFKA_SASL_MECHANISM=SCRAM-SHA-512
KAFKA_SASL_USERNAME=webmon
KAFKA_SASL_PASSWORD=secret-word
MONITORING_TARGETS_PATH=targets.txt
"""


def test_with_a_password_for_kafka_there_need_be_no_certificate(workspace: Path) -> None:
    kafka = load(AgentSettings, write(workspace, PASSWORD)).kafka
    assert (kafka.access_certificate, kafka.access_key, kafka.ca_certificate) == (None, None, None)
    assert kafka.identity == "our user 'webmon' (KAFKA_SASL_USERNAME)"
    assert "secret-word" not in repr(kafka)


def test_what_a_password_for_kafka_needs_is_told_at_once(workspace: Path) -> None:
    text = PASSWORD.replace("SCRAM-SHA-512", "GSSAPI").replace("KAFKA_SASL_USERNAME", "KAFKA_SASL_USER")
    file = write(workspace, text.replace("KAFKA_SASL_PASSWORD", "KAFKA_PASSWORD") + "KAFKA_ACCESS_KEY=service.key\n")
    assert faults(AgentSettings, file) == [
        f"{file}:4: KAFKA_SASL_MECHANISM is 'GSSAPI'; right would be PLAIN, SCRAM-SHA-256, SCRAM-SHA-512",
        f"{file}: KAFKA_SASL_USERNAME is missing (line 5 sets KAFKA_SASL_USER: did you mean that?); right would be a "
        "name",
        f"{file}: KAFKA_SASL_PASSWORD is missing (line 6 sets KAFKA_PASSWORD: did you mean that?); right would be a "
        "password",
        f"{file}: KAFKA_ACCESS_CERTIFICATE is missing; right would be the path of a readable PEM file",
    ]


def test_a_password_that_kafka_would_never_be_told_is_a_fault(workspace: Path) -> None:
    told = faults(AgentSettings, write(workspace, AGENT + "KAFKA_SASL_USERNAME=a\nKAFKA_SASL_PASSWORD=secret-word\n"))
    assert [line.partition(": ")[2].partition(" has no effect")[0] for line in told] == [
        "KAFKA_SASL_USERNAME:",
        "KAFKA_SASL_PASSWORD:",
    ]
    assert all("KAFKA_SECURITY_PROTOCOL=SASL_SSL" in line for line in told)
    assert "secret-word" not in "".join(told)


def test_kafka_without_tls_is_no_choice(workspace: Path) -> None:
    file = write(workspace, AGENT + "KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT\n")
    (told,) = faults(AgentSettings, file)
    assert told.endswith("KAFKA_SECURITY_PROTOCOL is 'SASL_PLAINTEXT'; right would be SSL or SASL_SSL")


def test_a_page_needs_no_way_to_kafka_and_half_of_one_is_a_fault(workspace: Path) -> None:
    loaded = load(PageSettings, write(workspace, POSTGRES))
    assert loaded.kafka is None
    assert loaded.page.operator_address == ("127.0.0.1", 9466)
    assert (loaded.page.cache_path, loaded.page.file_path) == (workspace / "snapshot.json", None)
    whole = load(PageSettings, write(workspace, POSTGRES + KAFKA)).kafka
    assert whole is not None
    assert whole.orders_topic == "webmon-results.orders"
    told = faults(PageSettings, write(workspace, POSTGRES + "KAFKA_HOST=kafka.example.org\n"))
    assert [line.partition(": ")[2].partition(" is missing")[0] for line in told] == [
        "KAFKA_PORT",
        "KAFKA_ACCESS_CERTIFICATE",
        "KAFKA_ACCESS_KEY",
        "KAFKA_CA_CERTIFICATE",
    ]


@pytest.mark.parametrize("address", ["0.0.0.0:9466", "192.0.2.1:80", "[::]:9466", "page.example.org:80"])
def test_an_operators_page_that_others_reach_asks_who_they_are(workspace: Path, address: str) -> None:
    file = write(workspace, POSTGRES + f"PAGE_OPERATOR_ADDRESS={address}\n")
    (told,) = faults(PageSettings, file)
    assert told.startswith(
        f"{file}:4: PAGE_OPERATOR_ADDRESS: is {address}, which others reach, and PAGE_AUTH is missing"
    )
    with_auth = POSTGRES + f"PAGE_OPERATOR_ADDRESS={address}\nPAGE_AUTH=header:X-User@127.0.0.1/32\n"
    assert load(PageSettings, write(workspace, with_auth)).page.auth is not None


@pytest.mark.parametrize("address", ["127.0.0.1:80", "127.8.8.8:80", "[::1]:80", "localhost:80"])
def test_on_a_loopback_address_it_does_not(workspace: Path, address: str) -> None:
    load(PageSettings, write(workspace, POSTGRES + f"PAGE_OPERATOR_ADDRESS={address}\n"))


def test_who_an_operator_is_is_said_in_three_ways(workspace: Path) -> None:
    def auth(value: str) -> object:
        return load(PageSettings, write(workspace, POSTGRES + f"PAGE_AUTH={value}\n")).page.auth

    networks = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128"))
    assert auth("header:X-Forwarded-User@10.0.0.0/8,::1") == settings.HeaderAuth("X-Forwarded-User", networks)
    (workspace / "users").write_text("kim:x\n")
    (workspace / "users").chmod(0o600)
    assert auth("basic:users") == settings.BasicAuth(workspace / "users")
    paths = [workspace / name for name in ("ca.pem", "service.cert", "service.key")]
    assert auth("certificate:ca.pem,service.cert,service.key") == settings.CertificateAuth(*paths)


@pytest.mark.parametrize(
    "value",
    [
        *("none", "header:", "header:X-User", "header:X-User@", "header:X User@10.0.0.0/8", "header:X-User@off"),
        *("header:X-User@everybody", "basic:", "basic:a,b", "certificate:ca.pem", "certificate:a,b,c,d"),
    ],
)
def test_what_says_nobody_is_refused(workspace: Path, value: str) -> None:
    (told,) = faults(PageSettings, write(workspace, POSTGRES + f"PAGE_AUTH='{value}'\n"))
    assert told.endswith("right would be header:NAME@NETWORKS, basic:FILE or certificate:AUTHORITY,CERTIFICATE,KEY")


def test_a_file_of_passwords_that_others_may_read_is_refused(workspace: Path) -> None:
    (workspace / "users").write_text("kim:x\n")
    (workspace / "users").chmod(0o644)
    (told,) = faults(PageSettings, write(workspace, POSTGRES + "PAGE_AUTH=basic:users\n"))
    assert f"PAGE_AUTH: others may read {workspace}/users (mode 0644); right would be 0600" in told


@pytest.mark.parametrize(
    "value", ["status.example.org", "ftp://status.example.org/", "https://a@b/", "https://b/?x=1", "https://b/#x"]
)
def test_where_visitors_reach_the_page_is_a_plain_url(workspace: Path, value: str) -> None:
    (told,) = faults(PageSettings, write(workspace, POSTGRES + f"PAGE_URL='{value}'\n"))
    assert "without user, query and fragment" in told
    right = load(PageSettings, write(workspace, POSTGRES + "PAGE_URL=https://example.org/status\n"))
    assert right.page.url == "https://example.org/status"


def warnings(kind: type[T], file: Path) -> list[str]:
    """Give the lines that the user is warned by, of settings that load."""
    told: list[str] = []
    load(kind, file, told.append)
    return told


def test_a_misspelt_variable_is_told_with_its_place_and_the_nearest_name_and_stops_nothing(workspace: Path) -> None:
    file = write(workspace, AGENT + "MONITORING_RETRY_SEC=30\nPAGE_XWXWXWXWXWXW=x\nOTHERS=x\n")
    line = len(AGENT.splitlines()) + 1
    assert warnings(AgentSettings, file) == [
        f"{file}:{line}: MONITORING_RETRY_SEC is no variable of webmon; right would be MONITORING_RETRY_SECS",
        f"{file}:{line + 1}: PAGE_XWXWXWXWXWXW is no variable of webmon; right would be a name that webmon has, or one "
        "that begins otherwise",
    ]


def test_a_misspelt_variable_is_told_beside_what_stops_the_start(workspace: Path) -> None:
    told: list[str] = []
    with pytest.raises(UserError):
        load(AgentSettings, write(workspace, AGENT.replace("KAFKA_HOST", "KAFKA_HSOT")), told.append)
    assert [line.partition(": ")[2] for line in told] == [
        "KAFKA_HSOT is no variable of webmon; right would be KAFKA_HOST"
    ]


def test_a_variable_of_another_component_or_one_that_is_used_is_none_of_these(workspace: Path) -> None:
    text = AGENT.replace("KAFKA_HOST=kafka.example.org", "KAFKA_DOMAIN=example.org\nKAFKA_HOST=kafka.${KAFKA_DOMAIN}")
    assert warnings(AgentSettings, write(workspace, text + POSTGRES + "MONITORING_SHOP_TOKEN=x\n")) != []
    (workspace / "targets.txt").write_text("https://shop.example/?token=${MONITORING_SHOP_TOKEN}\n")
    assert warnings(AgentSettings, write(workspace, text + POSTGRES + "MONITORING_SHOP_TOKEN=x\n")) == []


def test_of_the_process_environment_only_what_is_nearly_ours_is_told(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(workspace, AGENT)
    for name in (
        "KAFKA_HEAP_OPTS",
        "KAFKA_OPTS",
        "KAFKA_LOG4J_OPTS",
        "POSTGRES_DB",
        "POSTGRES_INITDB_ARGS",
        "PAGE_SIZE",
    ):
        monkeypatch.setenv(name, "x")
    assert warnings(AgentSettings, file) == []
    monkeypatch.setenv("MONITORING_RETRY_SEC", "30")
    assert warnings(AgentSettings, file) == [
        "environment: MONITORING_RETRY_SEC is no variable of webmon; right would be MONITORING_RETRY_SECS"
    ]


def test_a_check_tells_every_fault_at_once_and_no_secret(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PORT", "of whoever asks")
    text = KAFKA + "MONITORING_RETRY_SECS=sixty\nMONITORING_MAC_KEY=hush\nMONITORING_RETRY_SEC=60\nKAFKA HOST\n"
    file = write(workspace, text, mode=0o644)
    lines = settings.check(file, "agent", with_files=False)
    assert [line.replace(str(file), "F").partition(";")[0] for line in lines] == [
        "F:9: can't be read",
        "F: others may read it (mode 0644)",
        "F:6: MONITORING_RETRY_SECS is 'sixty'",
        "F: MONITORING_TARGETS_PATH is missing",
        "F:7: MONITORING_MAC_KEY is not right",
        "F:8: MONITORING_RETRY_SEC is no variable of webmon",
    ]
    assert "hush" not in "".join(lines)


def test_a_check_for_another_host_needs_no_file_and_still_what_goes_together(workspace: Path) -> None:
    gone = AGENT.replace("ca.pem", "gone.pem").replace("targets.txt", "gone.txt")
    file = write(workspace, gone + "MONITORING_RETRY_SECS=5\nMONITORING_TIMEOUT_SECS=6\n")
    assert [line.split(": ")[1] for line in settings.check(file, "agent", with_files=False)] == [
        "MONITORING_TIMEOUT_SECS"
    ]
    assert [line.split(": ")[1] for line in settings.check(file, "agent")] == [
        "KAFKA_CA_CERTIFICATE",
        "MONITORING_TIMEOUT_SECS",
        "MONITORING_TARGETS_PATH",
    ]


def test_a_check_without_a_component_judges_what_is_set(workspace: Path) -> None:
    file = write(workspace, "SINK_BATCH_SIZE=many\nKAFKA_PORT=9093\nALARM_SMTP_TLS=perhaps\n")
    assert [line.split(" is ")[0] for line in settings.check(file, None)] == [
        f"{file}:1: SINK_BATCH_SIZE",
        f"{file}:3: ALARM_SMTP_TLS",
    ]


def test_a_check_without_a_component_asks_for_nothing_of_what_the_file_is_not_about(workspace: Path) -> None:
    assert settings.check(write(workspace, AGENT), None) == []


def test_a_host_that_can_be_none_is_told(workspace: Path) -> None:
    file = write(
        workspace, AGENT.replace("KAFKA_HOST=kafka.example.org", "KAFKA_HOST=kafka1..example.org,kafka2.example.org")
    )
    (line,) = settings.check(file, "agent")
    assert line.endswith("KAFKA_HOST: has 'kafka1..example.org'; right would be a host name or address")


def test_the_home_of_a_user_who_is_not_there_is_told(workspace: Path) -> None:
    file = write(workspace, AGENT + "MONITORING_OUTBOX_PATH=~nobodyhere/outbox.sqlite\n")
    (line,) = settings.check(file, "agent")
    assert "MONITORING_OUTBOX_PATH is '~nobodyhere/outbox.sqlite'" in line


def test_an_empty_variable_of_the_environment_hides_none_of_the_file(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_HOST", "")
    assert settings.load(settings.AgentSettings, write(workspace, AGENT)).kafka.hosts == ["kafka.example.org"]


def test_every_component_has_what_its_settings_are_judged_by() -> None:
    assert settings.KINDS.keys() == set(options.COMPONENTS) >= set(get_args(settings.Component))


def test_the_command_ends_with_2_and_a_line_for_each_fault(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(workspace, KAFKA + POSTGRES + "SINK_BATCH_SIZE=many\nSINK_BATCHSECS=2\n")
    asked = ["settings", "check", str(file), "--component", "sink", "--without-files"]
    assert cli.main(asked) == 2
    assert capsys.readouterr().err == (
        f"webmon: {file}:9: SINK_BATCH_SIZE is 'many'; right would be a whole number from 1 to 100000\n"
        f"webmon: {file}:10: SINK_BATCHSECS is no variable of webmon; right would be SINK_BATCH_SECS\n"
    )
    write(workspace, KAFKA + POSTGRES)
    assert cli.main(asked) == 0
    assert capsys.readouterr().out == f"{file}: no fault\n"


def test_a_command_warns_of_a_misspelt_variable_in_one_line(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(workspace, POSTGRES + "POSTGRES_HOTS=x\nPOSTGRES_PORT=none\n")
    assert cli.main(["status", "--env-file", str(file)]) == 2
    assert capsys.readouterr().err == (
        f"webmon: warning: {file}:4: POSTGRES_HOTS is no variable of webmon; right would be POSTGRES_HOST\n"
        f"webmon: {file}:5: POSTGRES_PORT is 'none'; right would be a port from 1 to 65535\n"
    )


def give(monkeypatch: pytest.MonkeyPatch, owner: int, group: str) -> None:
    """Let files that are open belong to these."""
    real = os.fstat

    def as_made(fd: int) -> os.stat_result:
        found = list(real(fd))
        found[stat.ST_UID], found[stat.ST_GID] = owner, STRANGER
        return os.stat_result(found)

    monkeypatch.setattr("os.fstat", as_made)
    monkeypatch.setattr("webmon.env_file._group", lambda _: group)


@pytest.mark.parametrize(
    ("made", "kind", "taken"),
    [
        ((0, "webmon-report", 0o640), ReportSettings, True),
        ((0, "webmon-report", 0o660), ReportSettings, False),
        ((0, "webmon-report", 0o644), ReportSettings, False),
        ((0, "users", 0o640), ReportSettings, False),
        ((STRANGER, "webmon-report", 0o640), ReportSettings, False),
        ((0, "webmon-report", 0o640), RetentionSettings, False),
    ],
)
def test_the_reports_settings_alone_may_be_read_by_the_group_that_root_gave_them(
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    made: tuple[int, str, int],
    kind: type[T],
    taken: bool,
) -> None:
    owner, group, mode = made
    file = write(workspace, POSTGRES, mode=mode)
    give(monkeypatch, owner, group)
    monkeypatch.setattr("webmon.env_file._is_trusted", lambda *_, **__: True)
    if taken:
        load(kind, file)
    else:
        [told] = faults(kind, file)
        assert told.startswith(f"{file}: others may read it (mode {mode:04o}); right would be 0600: chmod 600 {file}")
        assert ("or root's with mode 0640 and the group webmon-report" in told) == (kind is ReportSettings)


@pytest.mark.parametrize(("text", "is_right"), [(POSTGRES, True), (POSTGRES + AGENT, False)])
def test_a_check_without_a_component_takes_a_shared_file_of_the_report_alone(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, text: str, is_right: bool
) -> None:
    file = write(workspace, text, mode=0o640)
    give(monkeypatch, 0, settings.REPORT_READERS)
    told = settings.check(file, None, with_files=False)
    assert told == (
        [] if is_right else [f"{file}: others may read it (mode 0640); right would be 0600: chmod 600 {file}"]
    )


def test_who_is_not_of_that_group_is_told_of_it(others: Callable[..., Path]) -> None:
    roots = others(0, 0)
    roots.chmod(0o755)
    script = """
import os, pathlib, sys
from webmon import settings
from webmon.errors import UserError
os.setuid(4711)
try:
    settings.load(settings.ReportSettings, pathlib.Path(sys.argv[1]))
except UserError as error:
    print(error)
"""
    command = [sys.executable, "-c", script, str(roots / ".env")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(settings.__file__).parents[1])
    told = f"{roots}/.env: Permission denied; right would be to be root, or a member of the group webmon-report\n"
    assert done.stdout == told, done.stderr
