"""What a dead letter carries."""

from types import SimpleNamespace

from webmon.kafka.client import Withheld
from webmon.sink.dead_letters import _cut, letter


def test_a_letter_keeps_the_original_and_says_where_from_and_why() -> None:
    record = SimpleNamespace(
        topic="results", partition=3, offset=42, key=b"shop", value=b"\xffjunk", headers=[("schema", b"1")]
    )
    sent = letter(record, "not JSON: \ud800")
    assert (sent.key, sent.value) == (b"shop", b"\xffjunk")
    assert sent.headers == [
        ("schema", b"1"),
        ("webmon-reason", b"not JSON: \\ud800"),
        ("webmon-topic", b"results"),
        ("webmon-partition", b"3"),
        ("webmon-offset", b"42"),
    ]


def test_a_message_without_key_and_value_becomes_a_letter_that_can_be_sent() -> None:
    record = SimpleNamespace(topic="results", partition=3, offset=42, key=None, value=None, headers=[])
    assert letter(record, "no value").value == b""


def test_a_header_without_a_value_stops_no_letter() -> None:
    record = SimpleNamespace(topic="results", partition=3, offset=42, key=None, value=b"x", headers=[("x", None)])
    assert letter(record, "no").headers[0] == ("x", b"")


def test_a_letter_that_is_cut_keeps_nothing_large_and_says_where_it_was() -> None:
    headers = [("h", b"x" * 900_000), ("webmon-reason", b"a lie")]
    record = SimpleNamespace(
        topic="results", partition=3, offset=42, key=b"k" * 50_000, value=b"v" * 200_000, headers=headers
    )
    sent = _cut(letter(record, "too large"))
    assert sum(len(content) for _, content in sent.headers) + len(sent.value or b"") + len(sent.key or b"") < 101_000
    assert sent.headers == [
        ("webmon-reason", b"too large"),
        ("webmon-topic", b"results"),
        ("webmon-partition", b"3"),
        ("webmon-offset", b"42"),
        ("webmon-cut-from", b"200000"),
    ]
    value = Withheld()
    value.size = 40_960
    record = SimpleNamespace(topic="results", partition=3, offset=42, key=None, value=value, headers=headers)
    assert _cut(letter(record, "not read")).headers[-1] == ("webmon-cut-from", b"40960")


def test_a_letter_of_what_was_not_read_says_that_its_bytes_were_not_kept() -> None:
    value = Withheld()
    value.size = 40_960
    record = SimpleNamespace(topic="results", partition=3, offset=42, key=None, value=value, headers=[])
    sent = letter(record, "not read")
    assert (sent.value, sent.headers[-1]) == (b"", ("webmon-cut-from", b"40960"))
    # kafka-python sends nothing else.
    assert type(sent.value) is bytes
