"""What of kafka-python's private parts webmon overrides and uses: these tests fail when a release changes them."""

import asyncio
import contextlib
import gzip
import hashlib
import inspect
import logging
import socket
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.consumer.fetcher import Fetcher
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport
from kafka.producer.sender import Sender
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest
from kafka.record import MemoryRecords, memory_records
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.legacy_records import LegacyRecordBatchBuilder
from kafka.record.util import calc_crc32c

from webmon.kafka import client
from webmon.kafka.client import MOST_HEADERS, UNPACKED_SPARE, Producer, Withheld
from webmon.settings import Kafka

KAFKAS_OWN: Final = client._PartitionRecords.__base__
SOURCES: Final[dict[Callable[..., Any], str]] = {
    KafkaNetClient.__init__: "9d5a78ad19c39989",
    KafkaNetClient.connection_delay: "9eaf02d7031900c2",
    KafkaConnectionManager.connection_delay: "3ddb1f7dbe2b686c",
    KafkaConnectionManager.wait_for: "f0ea73bf014c439c",
    DefaultRecordBatch.__init__: "8df1286ebd1e7110",
    DefaultRecordBatch.__next__: "ff2fba2efdb152f4",
    DefaultRecordBatch._read_msg: "b203a6ee5e4f423b",
    DefaultRecordBatch._maybe_uncompress: "35e0360528daf8bd",
    MemoryRecords.next_batch: "1b0c89b6e3d3e940",
    KAFKAS_OWN.__init__: "69626e7150e62346",
    KAFKAS_OWN.take: "9558697bd76730b8",
    KAFKAS_OWN.drain: "1f5649e7a0506de8",
    KAFKAS_OWN._unpack_records: "d91ccce28d83483f",
    Fetcher._parse_fetched_data: "3cd93b6d3b7b96e1",
    Fetcher._append: "341c09c715c59d8b",
    Fetcher._on_partition_records_drain: "fcdb06dccb322a9d",
    KafkaSSLTransport.handshake: "526ac8f33ece2841",
    KafkaConnectionManager._build_transport: "0362b0a783871097",
    ConsumerCoordinator._handle_metadata_update: "b9dfc24eaf5e1533",
    ConsumerCoordinator._perform_assignment: "6c2d497eab59efe2",
    ConsumerCoordinator.need_rejoin: "7f90bc6c6f09cb6e",
    ConsumerCoordinator.join_group_async: "f9b7d8038dabf04d",
    Sender.run: "58a7e71ecb8bc7c0",
    Sender.run_once: "91bf02ab61c296f9",
    Sender.force_close: "7963a0d23bc94fc9",
    KafkaProducer.close: "431699b88f333650",
}
"""The beginning of the SHA-256 of each, as it is in the release that the lock names."""


@pytest.mark.parametrize("part", SOURCES, ids=lambda part: part.__qualname__)
def test_a_private_part_that_changes_is_looked_at_again(part: Callable[..., Any]) -> None:
    found = hashlib.sha256(inspect.getsource(part).encode()).hexdigest()[:16]
    assert found == SOURCES[part], (
        f"kafka-python changed {part.__module__}.{part.__qualname__}: see whether webmon/kafka/client.py still does "
        "what it says, and whether it is still needed; then put the new beginning here"
    )


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (KafkaNetClient.__init__, ["self", "net", "manager", "configs"]),
        (KafkaNetClient.connection_delay, ["self", "node_id"]),
        (KafkaConnectionManager.__init__, ["self", "net", "configs"]),
        (KafkaConnectionManager.wait_for, ["self", "future", "timeout_ms"]),
        (NetworkSelector.__init__, ["self", "configs"]),
        (ConsumerCoordinator._handle_metadata_update, ["self", "cluster"]),
        (ConsumerCoordinator.join_group_async, ["self", "timeout_ms"]),
        (ConsumerCoordinator._build_metadata_snapshot, ["self", "subscription", "cluster"]),
        (Sender.force_close, ["self"]),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_what_is_overridden_and_called_takes_what_it_is_given(part: Callable[..., Any], names: list[str]) -> None:
    assert list(inspect.signature(part).parameters) == names


@pytest.fixture
def silent() -> Iterator[dict[str, Any]]:
    """Arguments of a client whose broker takes connections and says nothing, as a frozen one."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        # With a version it asks the broker for none.
        yield {"bootstrap_servers": address, "api_version": (4, 0), "metrics_enabled": False}


def test_producer_and_consumer_take_a_client_of_ours(silent: dict[str, Any]) -> None:
    assert KafkaProducer.DEFAULT_CONFIG["kafka_client"] is KafkaNetClient
    assert KafkaConsumer.DEFAULT_CONFIG["kafka_client"] is KafkaNetClient
    with contextlib.closing(KafkaConsumer(**silent, group_id="g", kafka_client=client._ConsumerClient)) as consumer:
        # All that a consumer waits for goes by its client's manager.
        assert isinstance(consumer._manager, client._PatientManager)
        assert consumer._net is consumer._manager._net
        assert consumer._coordinator._manager is consumer._manager
        assert consumer._fetcher._manager is consumer._manager


def test_partitions_that_could_not_be_seen_for_a_while_are_asked_for_again(silent: dict[str, Any]) -> None:
    seen = SimpleNamespace(unauthorized_topics=set(), partitions_for_topic=lambda _: {0, 1})
    hidden = SimpleNamespace(unauthorized_topics={"topic"}, partitions_for_topic=lambda _: None)
    with contextlib.closing(KafkaConsumer(**silent, group_id="g", kafka_client=client._ConsumerClient)) as consumer:
        consumer.subscribe(["topic"])
        coordinator = consumer._coordinator
        coordinator._handle_metadata_update(seen)
        with pytest.raises(kafka_errors.TopicAuthorizationFailedError):
            coordinator._handle_metadata_update(hidden)
        # As a leader joins then, who can give out what it sees.
        coordinator._joined_subscription, coordinator.rejoin_needed = {"topic"}, False
        coordinator._assignment_snapshot = coordinator._metadata_snapshot
        assert not coordinator.need_rejoin()
        coordinator._handle_metadata_update(seen)
        assert coordinator.need_rejoin()


def test_a_broker_that_falls_silent_in_the_handshake_is_tried_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_HANDSHAKE_SECS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as taken:
        listening.settimeout(20)
        consumer = KafkaConsumer(
            bootstrap_servers=f"127.0.0.1:{listening.getsockname()[1]}",
            api_version=(4, 0),
            security_protocol="SSL",
            metrics_enabled=False,
            kafka_client=client._ConsumerClient,
        )
        with contextlib.closing(consumer):
            consumer.assign([TopicPartition("topic", 0)])
            for _ in range(2):
                consumer.poll(10)
                one, _ = listening.accept()
                taken.enter_context(one)
                assert one.recv(1) == b"\x16", "it begins TLS"


@pytest.mark.parametrize(("seconds", "milliseconds"), [(0, 25.0), (2.0, 2000.0)])
def test_a_producer_waits_milliseconds_where_kafka_python_gives_seconds_and_never_none(
    seconds: float, milliseconds: float
) -> None:
    manager = SimpleNamespace(connection_delay=lambda _: seconds)
    # If this fails, kafka-python mended it, and ours makes it wrong.
    assert KafkaNetClient(net=object(), manager=manager).connection_delay("1") == seconds
    assert client._ProducerClient(net=object(), manager=manager).connection_delay("1") == milliseconds


@pytest.mark.parametrize(("asked", "waited"), [(0, 25.0), (24.0, 25.0), (400.0, 400.0), (None, None)])
def test_a_consumer_never_waits_for_no_time_at_all(
    monkeypatch: pytest.MonkeyPatch, asked: float | None, waited: float | None
) -> None:
    async def wait_for(self: object, future: object, timeout_ms: float | None) -> float | None:
        return timeout_ms

    monkeypatch.setattr(KafkaConnectionManager, "wait_for", wait_for)
    with contextlib.closing(NetworkSelector()) as net:
        assert asyncio.run(client._PatientManager(net).wait_for(None, asked)) == waited


def test_a_producer_that_is_given_up_ends_though_records_wait(silent: dict[str, Any]) -> None:
    producer = Producer(**silent, kafka_client=client._ProducerClient, max_block_ms=50)
    with pytest.raises(kafka_errors.KafkaTimeoutError):
        producer.send("topic", value=b"x")
    assert producer._sender.is_alive()
    producer.abandon(timeout=5)
    assert not producer._sender.is_alive()


def batch(*values: bytes, first: int = 40, headers: tuple[tuple[str, bytes], ...] = ()) -> bytes:
    """Give a batch as it is on the wire, not packed."""
    made = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 30,
    )  # fmt: skip
    for number, value in enumerate(values):
        assert made.append(number, 1000, b"key", value, list(headers))
    built = bytearray(made.build())
    struct.pack_into(">q", built, 0, first)
    return bytes(built)


def with_crc(changed: bytearray) -> bytes:
    """Give a batch that was changed, with the checksum that is right for it."""
    crc = calc_crc32c(changed[DefaultRecordBatch.ATTRIBUTES_OFFSET :])
    struct.pack_into(">I", changed, DefaultRecordBatch.CRC_OFFSET, crc)
    return bytes(changed)


def packed(plain: bytes, codec: int, content: bytes) -> bytes:
    """Give a batch with other content in it, as packed by a codec; what only a client of one's own would send."""
    head = bytearray(plain[: DefaultRecordBatch.HEADER_STRUCT.size])
    struct.pack_into(">h", head, DefaultRecordBatch.ATTRIBUTES_OFFSET, codec)
    struct.pack_into(">i", head, 8, len(head) - 12 + len(content))
    return with_crc(head + content)


def records_of(plain: bytes) -> bytes:
    return plain[DefaultRecordBatch.HEADER_STRUCT.size :]


def read(*batches: bytes) -> list[tuple[int, bytes]]:
    """Read batches as a consumer does."""
    found = []
    records = MemoryRecords(b"".join(batches))
    while (one := records.next_batch()) is not None:
        assert one.validate_crc()
        found += [(record.offset, record.value) for record in one]
    return found


_BYTES: Final = st.none() | st.binary(max_size=200)
_OURS: Final = st.tuples(
    st.tuples(st.just("schema"), st.sampled_from((b"2", b"3", b"22"))),
    st.tuples(st.sampled_from(("mac", "mad")), st.integers(31, 33).map(bytes)),
)
"""The headers of an agent of this release, and such as are nearly so."""
_RECORDS: Final = st.lists(
    st.tuples(
        st.integers(0, 2**42),
        _BYTES,
        _BYTES,
        _OURS.map(list) | st.lists(st.tuples(st.text(max_size=80), _BYTES), max_size=MOST_HEADERS),
    ),
    min_size=1,
    max_size=20,
)
TP: Final = TopicPartition("topic", 3)
TOLD: Final = ("topic", "partition", "offset", "timestamp", "timestamp_type", "key", "value", "headers")


def part_of(kind: Any, *batches: bytes, start: int = 40) -> Any:
    """Give what a consumer takes its records of, for one fetch."""
    return kind(start, TP, MemoryRecords(b"".join(batches)))


@given(_RECORDS, st.integers(0, 2**62), st.integers(0, 19), st.booleans())
def test_each_record_is_what_kafka_python_would_have_read(
    records: list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]],
    first: int,
    behind: int,
    by_broker: bool,
) -> None:
    made = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 30,
    )  # fmt: skip
    for number, (timestamp, *rest) in enumerate(records):
        assert made.append(number, timestamp, *rest)
    built = bytearray(made.build())
    struct.pack_into(">qii", built, 0, first, len(built) - 12, 7)
    built[DefaultRecordBatch.ATTRIBUTES_OFFSET + 1] |= DefaultRecordBatch.TIMESTAMP_TYPE_MASK if by_broker else 0
    whole = with_crc(built)

    def told(kind: Any) -> list[object]:
        # It begins anywhere within a batch, and stops there.
        part = part_of(kind, whole, start=first + behind)
        taken = [*part.take(1), part.next_fetch_offset, *(part.take() if part else ()), part.next_fetch_offset]
        found = [one if isinstance(one, int) else tuple(getattr(one, name) for name in TOLD) for one in taken]
        return [*found, part.leader_epoch, bool(part), part.bytes_read > 0]

    ours = told(Fetcher.PartitionRecords)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory_records, "DefaultRecordBatch", DefaultRecordBatch)
        assert ours == told(KAFKAS_OWN)
    sizes = [record.size_in_bytes for record in part_of(Fetcher.PartitionRecords, whole, start=first).take()]
    assert sizes == [record.size_in_bytes for record in DefaultRecordBatch(whole)]


def test_a_consumer_takes_records_by_way_of_ours() -> None:
    assert Fetcher.PartitionRecords is client._PartitionRecords
    assert type(MemoryRecords(batch(b"one")).next_batch()) is client._Batch


def test_a_damaged_batch_is_told_at_each_fetch_and_holds_up_nobody() -> None:
    damaged = batch(b"two", first=41)[:-1] + b"x"
    part = part_of(Fetcher.PartitionRecords, batch(b"one"), damaged)
    assert [record.value for record in part.take()] == [b"one"]
    assert part.next_fetch_offset == 41
    # What is falsy is fetched anew; kafka-python asks one that is true for more until it has enough.
    assert not part
    again = part_of(Fetcher.PartitionRecords, damaged, start=41)
    with pytest.raises(kafka_errors.CorruptRecordError, match="41 is damaged"):
        again.take()
    assert not again


def test_marks_of_transactions_are_passed() -> None:
    mark = bytearray(batch(b"mark", first=41))
    mark[DefaultRecordBatch.ATTRIBUTES_OFFSET + 1] |= DefaultRecordBatch.CONTROL_MASK
    part = part_of(Fetcher.PartitionRecords, batch(b"one"), with_crc(mark), batch(b"two", first=42))
    assert [record.value for record in part.take()] == [b"one", b"two"]
    part = part_of(Fetcher.PartitionRecords, with_crc(mark), start=41)
    assert (part.take(), part.next_fetch_offset) == ([], 42)


@pytest.mark.parametrize("magic", [0, 1])
def test_a_topic_of_an_old_broker_is_read(magic: int) -> None:
    made = LegacyRecordBatchBuilder(magic=magic, compression_type=0, batch_size=1000)
    made.append(40, 1000, b"key", b"value")
    part = part_of(Fetcher.PartitionRecords, bytes(made.build()))
    (record,) = part.take()
    assert (record.topic, record.partition, record.offset) == ("topic", 3, 40)
    assert (record.key, record.value, record.headers) == (b"key", b"value", [])
    assert part.next_fetch_offset == 41


@given(st.data())
def test_no_bytes_whatever_of_a_batch_stop_a_consumer(data: st.DataObject) -> None:
    content = bytearray(records_of(batch(b"one", b"two", b"three", headers=(("schema", b"2"), ("mac", b"x" * 32)))))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=5)):
        content[place] = data.draw(st.integers(0, 255))
    kept = bytes(content[: data.draw(st.integers(0, len(content)))])
    *_, after = read(packed(batch(b"one", b"two", b"three"), 0, kept), batch(b"next", first=43))
    assert after == (43, b"next")


PACK: Final[dict[str, tuple[int, Callable[[bytes], bytes]]]] = {
    "gzip": (1, gzip.compress),
    "gzip in members": (
        1,
        lambda content: gzip.compress(content[:7]) + gzip.compress(b"") + gzip.compress(content[7:]),
    ),
    "zstd": (4, zstandard.compress),
    "zstd in frames": (4, lambda content: zstandard.compress(content[:7]) + zstandard.compress(content[7:])),
}


@pytest.mark.parametrize("kind", PACK)
def test_a_packed_batch_is_read_whole(kind: str) -> None:
    codec, pack = PACK[kind]
    plain = batch(b"one", b"x" * 300_000, b"three")
    assert read(packed(plain, codec, pack(records_of(plain)))) == [(40, b"one"), (41, b"x" * 300_000), (42, b"three")]


@pytest.mark.parametrize("kind", PACK)
def test_a_batch_that_unpacks_to_forty_megabytes_costs_one_and_the_next_is_read(kind: str) -> None:
    codec, pack = PACK[kind]
    plain = batch(b"", bytes(40_000_000), b"")
    bomb = packed(plain, codec, pack(records_of(plain)))
    assert len(bomb) < 45_000
    del plain
    tracemalloc.start()
    try:
        (offset, value), after = read(bomb, batch(b"next", first=43))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * UNPACKED_SPARE
    assert (offset, value, after) == (42, b"", (43, b"next"))
    assert isinstance(value, Withheld)
    assert (value.first, value.size) == (40, len(bomb))
    assert value.reason == f"unpacks to more than {UNPACKED_SPARE + len(bomb)} bytes"


@pytest.mark.parametrize(("codec", "name"), [(2, "snappy"), (3, "lz4"), (7, "compression type")])
def test_a_codec_that_is_not_installed_stops_no_consumer(codec: int, name: str) -> None:
    (offset, value), after = read(packed(batch(b"one", b"two"), codec, b"anything"), batch(b"next", first=42))
    assert isinstance(value, Withheld)
    assert name in value.reason
    assert (offset, value.first, after) == (41, 40, (42, b"next"))


def test_a_header_that_is_no_utf_8_costs_its_batch_the_records_from_there_on() -> None:
    plain = batch(b"one", b"two", headers=(("name", b"x"),))
    place = plain.rindex(b"name")
    broken = packed(plain, 0, records_of(plain[:place] + b"\xff" + plain[place + 1 :]))
    first, (offset, value), after = read(broken, batch(b"next", first=42))
    assert isinstance(value, Withheld)
    assert "utf-8" in value.reason
    assert (first, offset, value.first, after) == ((40, b"one"), 41, 41, (42, b"next"))


def test_a_record_of_countless_headers_is_withheld_alone() -> None:
    many = batch(b"many", headers=(("", b""),) * (MOST_HEADERS + 1))
    some = batch(b"some", headers=(("", b""),) * MOST_HEADERS, first=41)
    (offset, value), other = read(many, some)
    assert isinstance(value, Withheld)
    assert value.reason == f"has {MOST_HEADERS + 1} headers, more than {MOST_HEADERS}"
    assert (offset, value.first, other) == (40, 40, (41, b"some"))


def by_password(tmp_path: Path, mechanism: str, user: str = "a,b=c") -> Kafka:
    values = {
        "KAFKA_HOST": "broker",
        "KAFKA_PORT": 9093,
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": mechanism,
        "KAFKA_SASL_USERNAME": user,
        "KAFKA_SASL_PASSWORD": "secret-word",
    }
    return Kafka.model_validate(values, context={"workspace": tmp_path})


def test_a_password_goes_to_the_client_and_files_only_where_there_are_some(tmp_path: Path) -> None:
    arguments = client.admin_args(by_password(tmp_path, "PLAIN"))
    assert arguments["security_protocol"] == "SASL_SSL"
    assert (arguments["sasl_plain_username"], arguments["sasl_plain_password"]) == ("a,b=c", "secret-word")
    assert not arguments.keys() & {"ssl_cafile", "ssl_certfile", "ssl_keyfile"}
    assert arguments["ssl_check_hostname"] is True


def test_a_name_is_escaped_as_scram_has_it(tmp_path: Path) -> None:
    kafka = by_password(tmp_path, "SCRAM-SHA-256")
    assert client.sasl_exchange(kafka).auth_bytes().startswith(b"n,,n=a=2Cb=3Dc,r=")
    assert client.sasl_exchange(by_password(tmp_path, "PLAIN")).auth_bytes() == b"a,b=c\0a,b=c\0secret-word"


def test_a_password_is_in_no_line_that_the_client_logs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = client.sasl_exchange(by_password(tmp_path, "PLAIN")).auth_bytes()
    request = SaslAuthenticateRequest(auth_bytes=token, version=0)
    assert "secret-word" not in f"{request!r} {request}"  # as kafka.net.connection logs it
    protocol = KafkaProtocol(client_id="x")
    protocol.send_request(request)
    assert b"secret-word" in protocol.send_bytes()
    assert "secret-word" not in caplog.text
