"""Whom a sink believes: the file of the agents' keys, and what becomes of a message that another wrote."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from webmon.check.result import CheckResult, Outcome, encode
from webmon.errors import UserError
from webmon.kafka import agents
from webmon.kafka.decode import read
from webmon.kafka.mac import Signer
from webmon.sink.dead_letters import letter
from webmon.sink.redrive import _original_headers

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MINE, OTHER, FORMER = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agents"


def listed(file: Path, *lines: str) -> agents.Agents:
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return agents.read(file, "SINK_AGENTS_PATH")


def record(agent: str, key: str | None = None, *, at: datetime = NOW, **changes: Any) -> Any:
    result = CheckResult(
        target="shop", url="https://shop.example/", agent=agent, scheduled_at=at, time=at, interval=60.0,
        outcome=Outcome.UP, total_time=0.5,
    )  # fmt: skip
    value = encode(result)
    headers = [("schema", b"2")] + ([("mac", Signer(key).sign(b"shop", value))] if key else [])
    of_record = {
        "topic": "results", "partition": 0, "offset": 0, "key": b"shop", "value": value, "headers": headers,
        "timestamp": int(at.timestamp() * 1000), "timestamp_type": 1,
    }  # fmt: skip
    return SimpleNamespace(**(of_record | changes))


def reason(of: agents.Agents | None, message: Any) -> str:
    """Give why it is a dead letter; nothing where it is none."""
    readable, unreadable = read([message], now=NOW, agents=of)
    assert len(readable) + len(unreadable) == 1
    return unreadable[0].reason if unreadable else ""


def test_a_result_that_its_agent_signed_is_taken(file: Path) -> None:
    ours = listed(file, f"vantage1 {MINE}", f"vantage2 {OTHER}")
    assert reason(ours, record("vantage1", MINE)) == ""
    assert reason(ours, record("vantage2", OTHER)) == ""


def test_an_agent_that_speaks_for_another_is_not_believed(file: Path) -> None:
    ours = listed(file, f"vantage1 {MINE}", f"vantage2 {OTHER}")
    assert reason(ours, record("vantage2", MINE)).startswith("the MAC does not fit agent 'vantage2'")


def test_a_message_that_was_changed_or_moved_to_another_target_is_not_believed(file: Path) -> None:
    ours = listed(file, f"vantage1 {MINE}")
    good = record("vantage1", MINE)
    good.value = good.value.replace(b'"up"', b'"slow"')
    assert "does not fit" in reason(ours, good)
    moved = record("vantage1", MINE)
    moved.key = b"other"
    assert "does not fit" in reason(ours, moved)


@pytest.mark.parametrize("headers", [[], [("schema", b"2")], [("schema", b"2"), ("mac", None)], [("mac", None)]])
def test_a_message_without_a_mac_is_not_believed(file: Path, headers: Any) -> None:
    message = record("vantage1", headers=headers)
    told = reason(listed(file, f"vantage1 {MINE}"), message)
    assert told == "the message has no MAC, but agent 'vantage1', which it names, signs"


def test_an_agent_that_was_taken_out_of_the_file_is_not_believed_signed_or_not(file: Path) -> None:
    ours = listed(file, f"vantage1 {MINE}")
    for message in (record("vantage2", OTHER), record("vantage2")):
        assert reason(ours, message).startswith("agent 'vantage2' is not in SINK_AGENTS_PATH")
    assert len(reason(ours, record("\033[2J" + "x" * 190))) < 250


def test_without_a_file_all_is_taken_as_ever(file: Path) -> None:
    assert reason(None, record("vantage1")) == ""
    assert reason(None, record("vantage1", OTHER)) == ""


def test_while_a_key_is_changed_both_are_right_and_then_the_new_one_alone(file: Path) -> None:
    both = listed(file, f"vantage1 {MINE}", f"vantage1 {FORMER}")
    assert [reason(both, record("vantage1", key)) for key in (MINE, FORMER)] == ["", ""]
    assert "does not fit" in reason(listed(file, f"vantage1 {MINE}"), record("vantage1", FORMER))


def test_what_kafka_got_before_an_agent_had_its_key_needs_no_mac(file: Path) -> None:
    ours = listed(file, f"vantage1 {MINE} 2026-06-01T12:00:00Z")
    assert reason(ours, record("vantage1", at=NOW - timedelta(days=6))) == ""
    assert "no MAC" in reason(ours, record("vantage1", at=NOW))
    assert "does not fit" in reason(ours, record("vantage1", OTHER, at=NOW - timedelta(days=6)))


def test_an_agent_that_has_no_key_yet_needs_no_mac_and_is_told(file: Path) -> None:
    ours = listed(file, f"vantage1 {MINE}", f"vantage2 {OTHER} always")
    assert reason(ours, record("vantage2", at=NOW + timedelta(days=9))) == ""
    assert "does not fit" in reason(ours, record("vantage2", MINE))
    assert ours.without_key() == ["vantage2"]


def test_several_agents_of_a_host_share_its_key_but_not_that_of_one_that_is_listed(file: Path) -> None:
    ours = listed(file, f"host {MINE}", f"host-2 {OTHER}")
    assert [reason(ours, record(f"host-{number}", MINE)) for number in (1, 3, 1000)] == ["", "", ""]
    assert "does not fit" in reason(ours, record("host-2", MINE)), "another host of that name"
    assert "is not in" in reason(ours, record("host-", MINE))
    assert "is not in" in reason(ours, record("host-1-x", MINE))


def test_a_name_may_hold_what_would_end_it(file: Path) -> None:
    ours = listed(file, "# the agents", "", f"my%20host%20%23%25 {MINE}", f"büro {OTHER}")
    assert reason(ours, record("my host #%", MINE)) == ""
    assert reason(ours, record("büro", OTHER)) == ""
    assert len(ours) == 2


def test_every_fault_of_the_file_is_told_with_its_line_and_no_key(file: Path) -> None:
    with pytest.raises(UserError) as raised:
        listed(
            file,
            f"vantage1 {MINE}",
            "vantage2",
            f"vantage3 {'s' * 31}",
            f"vantage4 {MINE} yesterday",
            f"vantage5 {MINE} 2026-06-01T12:00:00",
            f"{'x' * 201} {MINE}",
        )
    place = f"SINK_AGENTS_PATH: {file}"
    moment = "right would be a moment in UTC such as 2026-06-01T12:00:00Z, or always"
    assert raised.value.lines == (
        f"{place}:2: has 1 words; right would be NAME KEY, or NAME KEY UNSIGNED",
        f"{place}:3: the key of 'vantage3' is not right; right would be 32 to 64 letters, digits and signs of ASCII, "
        "without a blank",
        f"{place}:4: the third word is 'yesterday'; {moment}",
        f"{place}:5: the third word is '2026-06-01T12:00:00'; {moment}",
        f"{place}:6: the name has 201 characters; right would be 200 at most",
    )


def test_a_file_that_is_no_text_or_not_there_is_told(file: Path) -> None:
    with pytest.raises(UserError, match="right would be a readable file"):
        agents.read(file, "SINK_AGENTS_PATH")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        agents.read(file, "SINK_AGENTS_PATH")


def test_a_dead_letter_that_is_sent_back_is_judged_as_before(file: Path) -> None:
    ours = listed(file, f"vantage1 {MINE}", f"vantage2 {OTHER}")
    forged, late = record("vantage2", MINE), record("vantage3", FORMER)
    for message in (forged, late):
        told = reason(ours, message)
        sent = letter(message, told)
        message.headers = _original_headers(SimpleNamespace(headers=sent.headers))
        assert reason(ours, message) == told
    # One that was refused because its agent was not known yet is good once it is.
    assert reason(listed(file, f"vantage3 {FORMER}"), late) == ""
