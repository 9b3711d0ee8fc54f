"""An agent's parts, connected, in this process: what it checks, and what it tells of itself."""

import contextlib
import os
import re
import socket
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.hostile import HostileServer, page
from tests.waiting import wait_until
from webmon import __version__, cli, settings
from webmon.agent import run
from webmon.agent.run import Agent
from webmon.check.result import decode
from webmon.check.target import Target
from webmon.settings import AgentSettings, HostPort
from webmon.targets import commands
from webmon.targets.shard import owner

Started = Callable[..., Agent]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[AgentProcess]:
    """The files of an agent that is not started as a process."""
    made = AgentProcess(tmp_path)
    made.target("http://127.0.0.1:1/")
    yield made
    made.close()


@pytest.fixture
def started(workspace: AgentProcess) -> Iterator[Started]:
    """Start an agent at targets of these URLs, that answers at this address."""
    with contextlib.ExitStack() as stack:

        def start(*urls: str, address: HostPort | None = None) -> Agent:
            workspace.configure()
            made = Agent(settings.load(AgentSettings, workspace.workspace / ".env"), make_targets(*urls))
            made._metrics_address = address
            made.start()
            stack.callback(made.stop)
            return made

        yield start


def make_targets(*urls: str) -> tuple[Target, ...]:
    return tuple(Target(name=url, url=url, interval=0.2, timeout=0.2) for url in urls)


def checked(agent: Agent) -> set[str]:
    """Give the URLs of which results wait."""
    return {decode(row.value).url for row in agent._outbox.read(0, 1000)}


def test_its_first_result_tells_version_outbox_and_certificate_and_the_next_do_not(started: Started) -> None:
    with HostileServer(page(b"hi")) as server:
        agent = started(server.url)
        wait_until(lambda: len(agent._outbox) >= 3, "results")
        first, *others = [decode(row.value) for row in agent._outbox.read(0, 3)]
    assert first.agent_status
    assert (first.agent_status.version, first.agent_status.waiting) == (__version__, 0)
    assert first.agent_status.certificate_ends == agent._certificate_ends() is not None
    assert not any(one.agent_status for one in others)


def test_it_tells_prometheus_how_it_and_its_targets_are(started: Started) -> None:
    with HostileServer(page(b"hi")) as server:
        agent = started(server.url, address=HostPort("127.0.0.1", 0))
        assert agent._listener is not None
        port = agent._listener.port

        def ask(path: str) -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                text: str = answer.read().decode()
                return text

        assert ask("/healthz") == "ok\n"
        wait_until(lambda: f'probe_success{{target="{server.url}"}} 1.0' in ask("/metrics"), "a result")
        text = ask("/metrics")
    assert "webmon_targets 1.0" in text
    assert re.search(r"^webmon_slots_kept_total [1-9]", text, re.MULTILINE)
    assert re.search(r"^webmon_outbox_bytes [1-9]", text, re.MULTILINE)
    assert "webmon_last_acknowledgement_age_seconds NaN" in text


def test_an_address_that_is_taken_stops_no_check(started: Started, caplog: pytest.LogCaptureFixture) -> None:
    with HostileServer(page(b"hi")) as server, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        agent = started(server.url, address=HostPort("127.0.0.1", port))
        wait_until(lambda: checked(agent) == {server.url}, "a result")
    assert f"no metrics: MONITORING_METRICS_ADDRESS is 127.0.0.1:{port}: Address already in use" in caplog.messages


def test_one_without_a_target_is_well_and_waits_for_some(started: Started) -> None:
    agent = started()
    assert agent.tick()
    assert agent.status().startswith("0 targets, 0 checks/s")
    with HostileServer(page(b"hi")) as server:
        agent.use(make_targets(server.url))
        wait_until(lambda: checked(agent) == {server.url}, "a result of the target that came")


def test_instances_that_share_a_list_have_each_target_once(
    workspace: AgentProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    listed = [f"http://shop{number}.example/" for number in range(200)]
    first, second = ([url for url in listed if owner(url, 2) == instance][:3] for instance in (1, 2))
    workspace.target(*first, *second)
    for instance, part in (1, first), (2, second):
        workspace.configure(MONITORING_SHARD=f"{instance}/2")
        monitoring = settings.load(AgentSettings, workspace.workspace / ".env").monitoring
        assert {target.url for target in run._load_targets(monitoring, dict)} == set(part)
        assert caplog.messages[-1] == f"instance {instance} of 2 has 3 of 6 targets"


def test_a_users_mistakes_are_a_line_each_and_status_2(
    workspace: AgentProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.configure(MONITORING_TARGETS_REGEX="(?=x)")
    workspace.target("nonsense", "http://a/")
    assert cli.main(["agent", "--env-file", str(workspace.workspace / ".env")]) == 2
    pattern, url = capsys.readouterr().err.splitlines()
    assert pattern.startswith("webmon: MONITORING_TARGETS_REGEX is '(?=x)': RE2 cannot take it")
    assert url.startswith(f"webmon: {workspace.workspace}/targets.txt:1: 'nonsense': url is 'nonsense': right would be")


def test_a_command_that_is_not_listed_is_refused_at_the_start_and_at_a_reload_and_the_old_list_goes_on(
    workspace: AgentProcess,
    started: Started,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "_TRUSTED", frozenset({0, os.getuid()}))
    folder = workspace.workspace
    (folder / "commands.yml").write_text("commands: {answer: [/bin/echo, all well]}\n")
    (folder / "commands.yml").chmod(0o644)
    workspace.target("command:answer")
    agent = started()
    workspace.configure(MONITORING_COMMANDS_PATH="commands.yml")
    loaded = settings.load(AgentSettings, folder / ".env")
    run._reload(agent, loaded, dict)
    wait_until(lambda: checked(agent) == {"command:answer"}, "a result of the command")
    results = [decode(row.value) for row in agent._outbox.read(0, 1)]
    assert [(result.outcome, result.answer) for result in results] == [("up", "all well")]

    workspace.target("command:answer", "command:anwser")
    run._reload(agent, loaded, dict)
    assert caplog.messages[-2].endswith(f"{folder}/commands.yml lists no command anwser; right would be answer")
    (folder / "commands.yml").chmod(0o666)
    run._reload(agent, loaded, dict)
    assert any("everybody may change" in message for message in caplog.messages)
    (folder / "commands.yml").unlink()
    run._reload(agent, loaded, dict)
    assert caplog.messages[-2].startswith(f"MONITORING_COMMANDS_PATH: {folder}/commands.yml: No such file or directory")
    assert caplog.messages[-1] == "the reload is refused: the old list goes on, with the old certificates"
    assert [target.url for target in agent._targets] == ["command:answer"]

    workspace.configure()
    workspace.target("command:answer")
    assert cli.main(["agent", "--env-file", str(folder / ".env")]) == 2
    told = "no command may be run while MONITORING_COMMANDS_PATH is not set"
    assert f"{folder}/targets.txt:1: 'command:answer': url is 'command:answer': {told}" in capsys.readouterr().err


def test_a_second_one_on_an_outbox_is_refused(
    workspace: AgentProcess, started: Started, capsys: pytest.CaptureFixture[str]
) -> None:
    started("http://127.0.0.1:1/")
    assert cli.main(["drain", "--env-file", str(workspace.workspace / ".env")]) == 2
    outbox = workspace.workspace / "outbox.sqlite"
    told = f"webmon: MONITORING_OUTBOX_PATH {outbox}: another agent uses it; each needs its own\n"
    assert capsys.readouterr().err == told
