"""A taken agent speaks for others, or of the future; and is then taken out. Its certificate may write the topic."""

import dataclasses
import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.positions import STRANGER, TAKEN_AGENT
from tests.integration.stage import Program, Stage, recent
from tests.waiting import wait_until
from webmon.check.result import CheckResult, encode, headers
from webmon.kafka import mac


@dataclasses.dataclass
class Fleet:
    """Two agents, each with a key, and a sink that knows both."""

    stage: Stage
    keys: dict[str, str]
    listed: Path
    sink: Program

    def send(self, results: Sequence[CheckResult], *, key_of: str | None) -> None:
        """Publish results with the MAC of an agent, or none."""
        producer = self.stage.producer()
        for result in results:
            key, value = result.target.encode(), encode(result)
            signed = [] if key_of is None else [(mac.HEADER, mac.Signer(self.keys[key_of]).sign(key, value))]
            producer.send(self.stage.topic, key=key, value=value, headers=[*headers(), *signed])
        producer.flush(20)

    def agents(self) -> set[str]:
        """Give whose results are stored."""
        return {name for (name,) in self.stage.sql("SELECT DISTINCT agent FROM {t_view}")}


@pytest.fixture
def fleet(stage: Stage, tmp_path: Path) -> Fleet:
    keys = {name: secrets.token_hex(32) for name in ("honest", "taken")}
    listed = tmp_path / "agents"
    listed.touch(0o600)
    listed.write_text("".join(f"{name} {key}\n" for name, key in keys.items()))
    sink = stage.start_sink(SINK_AGENTS_PATH=str(listed))
    sink.wait_for_line("storing")
    return Fleet(stage, keys, listed, sink)


def reasons(stage: Stage, count: int) -> list[str]:
    return [dict(letter.headers)["webmon-reason"].decode() for letter in stage.dead_letters(count)]


@TAKEN_AGENT
def test_it_speaks_for_no_other_agent(fleet: Fleet) -> None:
    posing = [recent(number, agent="honest") for number in range(3)]
    fleet.send(posing, key_of="taken")
    fleet.send(posing, key_of=None)
    fleet.send([recent(9, agent="taken")], key_of="taken")
    wait_until(lambda: fleet.stage.count() == 1, "its own is stored")
    assert fleet.agents() == {"taken"}
    told = reasons(fleet.stage, 6)
    assert sum("does not fit" in reason for reason in told) == 3
    assert sum("has no MAC" in reason for reason in told) == 3


@TAKEN_AGENT
def test_what_another_signed_is_no_more_when_a_byte_of_it_is_changed(fleet: Fleet) -> None:
    producer = fleet.stage.producer()
    result = recent(1, agent="honest")
    key, value = result.target.encode(), encode(result)
    signed = mac.Signer(fleet.keys["honest"]).sign(key, value)
    for other_key, other in ((key, value.replace(b'"up"', b'"slow"')), (b"other", value)):
        producer.send(fleet.stage.topic, key=other_key, value=other, headers=[*headers(), (mac.HEADER, signed)])
    producer.flush(20)
    assert len(reasons(fleet.stage, 2)) == 2
    assert fleet.stage.count() == 0


@TAKEN_AGENT
def test_a_replay_of_what_another_signed_is_a_repeat(fleet: Fleet) -> None:
    said = [recent(number, agent="honest") for number in range(5)]
    for _ in range(2):
        fleet.send(said, key_of="honest")
    wait_until(lambda: fleet.stage.committed() == 10, "both passed")
    assert fleet.stage.count() == 5


@TAKEN_AGENT
def test_a_result_of_the_future_hides_nothing_that_is_present(fleet: Fleet) -> None:
    now = datetime.now(UTC)
    ahead = [recent(1, agent="taken", time=now + timedelta(minutes=m), scheduled_at=now) for m in (2, 29, 59)]
    fleet.send(ahead, key_of="taken")
    fleet.send([recent(1, agent="taken", time=now, scheduled_at=now)], key_of="taken")
    wait_until(lambda: fleet.stage.count() == 1, "the present is stored")
    assert all("is not between" in reason for reason in reasons(fleet.stage, 3))
    (line,) = json.loads(fleet.stage.status("--json"))
    assert line["vantages"][0]["time"] == now.isoformat()


@TAKEN_AGENT
def test_what_was_taken_out_is_believed_no_more(fleet: Fleet) -> None:
    fleet.sink.stop()
    fleet.listed.write_text(f"honest {fleet.keys['honest']}\n")
    fleet.stage.start_sink(SINK_AGENTS_PATH=str(fleet.listed))
    fleet.send([recent(1, agent="taken")], key_of="taken")
    fleet.send([recent(2, agent="honest")], key_of="honest")
    wait_until(lambda: fleet.stage.count() == 1, "the honest one goes on")
    assert fleet.agents() == {"honest"}
    assert "is not in SINK_AGENTS_PATH" in reasons(fleet.stage, 1)[0]


@STRANGER
def test_no_key_is_in_a_message_a_dead_letter_or_a_log(fleet: Fleet) -> None:
    fleet.send([recent(1, agent="honest"), recent(2, agent="taken")], key_of="taken")
    wait_until(lambda: fleet.stage.count() == 1, "one is stored")
    letters: list[Any] = fleet.stage.dead_letters(1)
    told = fleet.sink.said() + repr([(letter.value, letter.headers) for letter in letters])
    assert not any(key in told for key in fleet.keys.values())
