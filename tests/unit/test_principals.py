"""Who a certificate is to Kafka: the mapping rules of the role, read as Kafka reads them."""

import re
from pathlib import Path
from typing import Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
RULE: Final = re.compile(r"RULE:(?P<pattern>[^/]+)/(?P<name>[^/]+)/\s*(?:,|$)\s*|DEFAULT\s*")


def principal(subject: str) -> str:
    """Give the first rule's that fits whole, as SslPrincipalMapper does."""
    variables = yaml.safe_load((ROOT / "roles/kafka/vars/main.yml").read_text(encoding="utf-8"))
    rules: str = variables["_kafka_properties"]["ssl.principal.mapping.rules"]
    at = 0
    while found := RULE.match(rules, at):
        at = found.end()
        if found["pattern"] is None:
            return subject
        if fits := re.fullmatch(found["pattern"], subject):
            return fits.expand(re.sub(r"\$(\d)", r"\\\1", found["name"]))
    raise AssertionError(f"the rules can't be read from {rules[at:]!r} on")


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ("CN=agent1,OU=agent,O=webmon", "webmon-agent-agent1"),
        ("CN=agent2.example.org,OU=agent,O=webmon", "webmon-agent-agent2.example.org"),
        ("CN=sink1,OU=sink,O=webmon", "webmon-sink"),
        ("CN=db1,OU=init,O=webmon", "webmon-init"),
        ("CN=sink1,OU=alarm,O=webmon", "webmon-alarm"),
        ("CN=sink1,OU=page,O=webmon", "webmon-page"),
        ("CN=kafka1,OU=broker,O=webmon", "webmon-broker"),
        ("CN=x,OU=init,OU=agent,O=webmon", "CN=x,OU=init,OU=agent,O=webmon"),
        ("CN=x,OU=init,O=webmon,O=other", "CN=x,OU=init,O=webmon,O=other"),
        ("CN=x y,OU=agent,O=webmon", "CN=x y,OU=agent,O=webmon"),
        ("CN=x,OU=report,O=webmon", "CN=x,OU=report,O=webmon"),
    ],
)
def test_each_agent_is_a_principal_of_its_own_and_others_are_what_their_unit_says(subject: str, name: str) -> None:
    assert principal(subject) == name
