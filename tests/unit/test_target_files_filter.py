"""Which files go to the agents beside their list of targets."""

import pytest

from tests.unit.filters import load

plugin = load("target_files")


def test_files_of_the_defaults_and_of_targets_are_named_once_and_own_ones_are_told_apart() -> None:
    text = """\
    defaults: {tls: {ca: ours/ca.pem, key: ours/agent.key}}
    targets:
    - http://plain.example/
    - {url: https://a.example/, tls: {ca: ours/ca.pem, certificate: ours/a.pem, key: ours/agent.key}}
    - {url: https://b.example/, tls: {ca: /etc/ssl/b.pem}}
    - {url: https://c.example/, tls: {ca: c.pem}}
    """
    assert plugin.target_files(text) == {
        "every": ["ours/ca.pem", "c.pem", "ours/a.pem", "ours/agent.key"],
        "own": ["ours/a.pem", "ours/agent.key"],
    }


@pytest.mark.parametrize(
    "text", ["", "nothing", "targets: {tls: 1}\ndefaults: [x]", "targets: [{tls: [1]}]", "a: [", "a: \x00"]
)
def test_what_is_no_list_of_targets_names_no_file(text: str) -> None:
    assert plugin.target_files(text) == {"every": [], "own": []}
