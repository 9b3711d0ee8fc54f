"""playbooks/targets.yml: a changed list reaches agents and judges by a reload, one with a fault reaches no host."""

from pathlib import Path

from tests.e2e.lab import Lab
from tests.waiting import wait_until

AGENTS = ("agent1", "agent2", "agent3")
UNITS = {**dict.fromkeys(AGENTS, "webmon-agent"), "sink1": "webmon-alarm", "db1": "webmon-alarm"}
PLAYBOOK = "playbooks/targets.yml"
OTHER_KINDS = {
    "tcp://db1:5432": ("tcp", "up", None),
    "tls://web1:443": ("tls", "up", None),
    "icmp://web1": ("icmp", "up", "4 of 4 answered"),
    "dns://web1/www.example.org": ("dns", "connect_error", None),
}
"""What is not HTTP, and what every vantage stores of it: its kind, outcome and answer. web1 is no resolver."""


def processes(lab: Lab) -> dict[str, str]:
    """Give the process ids of agents and judges."""
    return {host: lab.on(host, f"systemctl show {unit} --property=MainPID --value") for host, unit in UNITS.items()}


def test_a_changed_list_reaches_every_agent_and_judge_and_restarts_none(lab: Lab, targets: Path) -> None:
    before = processes(lab)
    targets.write_text(
        targets.read_text()
        + "  - {name: one-more, url: 'http://web1/one-more', interval: 2, timeout: 1}\n"
        + "".join(f"  - {{name: '{url}', url: '{url}', interval: 5}}\n" for url in OTHER_KINDS)
    )
    assert lab.play(PLAYBOOK, "--limit", "agent1").keys() == {"agent1"}
    assert {host: found[0] > 0 for host, found in lab.play(PLAYBOOK).items()} == {
        "agent1": False,
        "agent2": True,
        "agent3": True,
        "sink1": True,
        "db1": True,
    }

    def seen() -> dict[str, dict[str, tuple[str, str, str | None]]]:
        return {
            line["target"]: {
                vantage["agent"]: (line["kind"], vantage["outcome"], vantage["answer"]) for vantage in line["vantages"]
            }
            for line in lab.status()
        }

    wanted = {url: dict.fromkeys(AGENTS, what) for url, what in OTHER_KINDS.items()}
    new = {"one-more", *OTHER_KINDS}
    wait_until(
        lambda: all(seen().get(name, {}).keys() == set(AGENTS) for name in new), "results of the new targets", 60
    )
    wait_until(lambda: {url: seen()[url] for url in OTHER_KINDS} == wanted, "what each kind finds", 30)
    assert processes(lab) == before


def test_a_list_with_a_fault_is_refused_before_any_host_is_touched(lab: Lab, targets: Path) -> None:
    targets.write_text(targets.read_text() + "  - {name: bad, url: 'ftp://web1/'}\n")
    line = len(targets.read_text().splitlines())
    done = lab.try_play(PLAYBOOK)
    assert done.returncode != 0
    assert f"{targets}:{line}: target 'bad': url is 'ftp://web1/': right would be tcp://HOST:PORT" in done.stdout
    assert "Put the targets on the host" not in done.stdout
