"""The demo driver's own decisions: what it boots, what it watches, when it is done."""

import json
from pathlib import Path

import pytest
import yaml

from tests.lab.demo import first_message, lab_hosts, recap, target_names, vantages, waited_for, with_users_targets

DEMO = "# The demo's.\ndefaults:\n  interval: 10\ntargets:\n  - {name: good, url: 'http://web1/'}\n"
INVENTORY = yaml.safe_load(
    """
all:
  children:
    lab:
      hosts:
        kafka1: {ansible_host: "{{ lab_net }}.11", lab_base: trixie-jre}
        agent3: {ansible_host: "{{ lab_net }}.23", lab_base: bookworm}
    agents:
      hosts: {agent3: {}}
"""
)


def test_every_host_of_the_lab_is_booted_from_its_base_tree() -> None:
    assert lab_hosts(INVENTORY) == ["kafka1=11:trixie-jre", "agent3=23:bookworm"]
    assert vantages(INVENTORY) == ["agent3"]


def test_the_users_list_is_watched_beside_the_demos_with_its_own_defaults(tmp_path: Path) -> None:
    own = tmp_path / "own.yml"
    own.write_text(
        "defaults: {interval: 60, expect: {status: 200}}\n"
        "targets:\n- {url: 'https://example.com/ä?q=1', timeout: 5, expect: {body: x}}\n- http://example.org/\n"
    )
    merged = yaml.safe_load(with_users_targets(DEMO, own))
    assert merged == {
        "defaults": {"interval": 10},
        "targets": [
            {"name": "good", "url": "http://web1/"},
            {
                "url": "https://example.com/ä?q=1",
                "interval": 60,
                "timeout": 5,
                "expect": {"status": 200, "body": "x"},
            },
            {"url": "http://example.org/", "interval": 60, "timeout": 15, "expect": {"status": 200}},
        ],
    }


def test_the_users_plain_list_of_urls_is_watched_beside_the_demos(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("# mine\n\nhttps://example.com/#part\n  https://example.org/ # and this\n")
    assert target_names(with_users_targets(DEMO, own)) == ["good", "https://example.com/#part", "https://example.org/"]


def test_the_recap_tells_what_each_host_changed() -> None:
    output = """
PLAY RECAP *********************************************************************
agent1                     : ok=42   changed=0    unreachable=0    failed=0    skipped=7    rescued=0    ignored=0
kafka1                     : ok=9    changed=3    unreachable=0    failed=1    skipped=0    rescued=0    ignored=0
"""
    assert recap(output) == {"agent1": (0, 0, 0), "kafka1": (3, 0, 1)}


@pytest.mark.parametrize(
    ("targets", "missing"),
    [
        ([], ["good from agent1", "good from agent2"]),
        ([{"target": "good", "vantages": [{"agent": "agent2"}]}], ["good from agent1"]),
        ([{"target": "good", "vantages": [{"agent": "agent2"}, {"agent": "agent1"}]}], []),
    ],
)
def test_the_demo_is_done_when_each_vantage_has_a_result_of_each_target(
    targets: list[dict[str, object]], missing: list[str]
) -> None:
    assert waited_for(targets, ["good"], ["agent1", "agent2"]) == missing


def test_the_demo_shows_the_first_message_that_tells_of_something_down() -> None:
    messages = [{"event": "test", "text": "a trial"}, {"event": "opened", "text": "DOWN shop\n"}]
    messages.append({"event": "opened", "text": "DOWN other\n"})
    printed = "".join(f"{json.dumps(message)}\n" for message in messages)
    assert first_message(f"Started demo-sites.service.\n{printed}") == "DOWN shop"
    assert first_message("Started demo-sites.service.\n") is None
