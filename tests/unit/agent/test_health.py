"""The watchdog and /healthz: a part that stands still is seen, and named; a Kafka that is away is none."""

import http.client
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent_process import AgentProcess
from tests.hostile import HostileServer, page
from tests.waiting import wait_until
from webmon import settings
from webmon.agent import checks as checks_module
from webmon.agent import outbox as outbox_module
from webmon.agent import publisher as publisher_module
from webmon.agent.run import Agent
from webmon.check.target import Target
from webmon.daemon import threads


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """An agent of this process, whose parts count as standing still after a second and a half."""
    monkeypatch.setattr(checks_module, "STUCK_SECS", 1.5)
    workspace = AgentProcess(tmp_path)
    workspace.configure()
    workspace.target("http://127.0.0.1:1/")
    workspace.close()
    with HostileServer(page(b"hi")) as server:
        made = Agent(
            settings.load(settings.AgentSettings, tmp_path / ".env"),
            (Target(name="shop", url=server.url, interval=0.2, timeout=0.2),),
        )
        made._metrics_address = settings.HostPort("127.0.0.1", 0)
        made.start()
        yield made
        made.stop()


def ask(agent: Agent) -> tuple[int, str]:
    assert agent._listener is not None
    client = http.client.HTTPConnection("127.0.0.1", agent._listener.port, timeout=10)
    client.request("GET", "/healthz")
    answer = client.getresponse()
    text = answer.read().decode()
    client.close()
    return answer.status, text


def stands_still(agent: Agent, what: str) -> None:
    wait_until(lambda: not agent.tick(), "an unfed watchdog", 15)
    status, text = ask(agent)
    assert status == 503
    assert text.startswith(f"not well\n{what}")
    assert f"not well: {what}" in agent.status()


def goes_on(agent: Agent) -> None:
    wait_until(agent.tick, "a fed watchdog", 15)
    assert ask(agent) == (200, "ok\n")


def test_no_part_of_an_agent_can_die_unseen(agent: Agent) -> None:
    parts = {"checks", "outbox", "publisher", "listener"}
    wait_until(lambda: parts <= {thread.name for thread in threading.enumerate()})
    assert [t.name for t in threading.enumerate() if t.name in parts and not isinstance(t, threads.Thread)] == []


def test_an_agent_without_a_broker_is_well(agent: Agent) -> None:
    wait_until(lambda: bool(agent._publisher.away_cause))
    wait_until(lambda: len(agent._outbox) > 3)
    goes_on(agent)


def test_a_check_that_passes_its_deadline_is_not_well_until_it_ends(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begin, held_back = agent._rounds.probe.begin, []
    with monkeypatch.context() as patch:
        patch.setattr(agent._rounds.probe, "begin", lambda *arguments: held_back.append(arguments))
        stands_still(agent, "checks: shop should have ended ")
        agent.tick()
        assert caplog.text.count("not well, so systemd's watchdog is not fed: checks: shop should have ended") == 1
    agent._rounds.probe.loop.call(lambda: begin(*held_back[0]))
    goes_on(agent)


def test_an_outbox_that_commits_nothing_is_not_well(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    with agent._outbox._lock, monkeypatch.context() as patch:  # as a disk that takes for ever
        patch.setattr(outbox_module, "_COMMIT_SECS", 0.5)
        stands_still(agent, "outbox: nothing was committed for ")
    goes_on(agent)


def test_a_loop_that_stands_still_is_not_well(agent: Agent) -> None:
    release = threading.Event()

    def stand_still() -> None:
        release.wait(60)

    agent._rounds.probe.loop.call(stand_still)
    stands_still(agent, "schedule: due checks have not been looked for in ")
    release.set()
    goes_on(agent)


def test_a_publisher_that_stands_still_is_not_well(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(publisher_module, "_TURN_SECS", -1.0)
        stands_still(agent, "publisher: it has not moved for ")
    goes_on(agent)


def test_a_process_that_stood_still_is_given_a_turn_before_it_is_judged(
    agent: Agent, caplog: pytest.LogCaptureFixture
) -> None:
    goes_on(agent)
    agent._ticked -= 60
    assert not agent.tick()
    assert agent.tick()
    assert "not well" not in caplog.text


def test_the_publisher_turns_while_nothing_listens(agent: Agent) -> None:
    turned = agent._publisher._turned
    wait_until(lambda: agent._publisher._turned > turned)
    assert time.monotonic() - agent._publisher._turned < 60
