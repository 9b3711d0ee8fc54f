"""Arguments of kafka-python's clients, and those of its private parts that are overridden here, and nowhere else."""

import functools
import gzip
import io
import logging
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import zstandard
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.consumer import group
from kafka.consumer.fetcher import Fetcher
from kafka.coordinator.consumer import ConsumerCoordinator
from kafka.net import manager
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.sasl import get_sasl_mechanism
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport
from kafka.protocol.admin import AlterClientQuotasRequest, DescribeClientQuotasRequest
from kafka.protocol.sasl import SaslAuthenticateRequest
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint as _varint

from webmon.check.result import headers as schema_header
from webmon.kafka import mac
from webmon.settings import Kafka

_log = logging.getLogger(__name__)

_DAY_MS: Final = 86_400_000
_HANDSHAKE_SECS: Final = 15.0
"""What a broker has for TLS, once it took a connection; as long as for a request."""
_PATIENCE_MS: Final = 25.0
"""How often the clients below look again where kafka-python would without a pause."""

UNPACKED_SPARE: Final = 384 * 1024
"""Bytes that a packed batch may have more when it is unpacked; the broker bounds the packed one (max.message.bytes).
Agents pack 16 kB at once, and the largest result that there is has 310 kB; a sink holds 500 such at most."""
_WINDOW: Final = 8 * 1024 * 1024
"""Bytes that unpacking may look back: what RFC 8878 (3.1.1.1.2) wants every decoder to have, and no more."""
_PART: Final = 64 * 1024
"""Bytes that are unpacked at once: most batches have fewer, and room for all that one may have costs more than they."""
MOST_HEADERS: Final = 100
"""Headers that a record may have: an empty one takes 2 bytes of a batch and a hundred of our memory."""


_Headers = list[tuple[str, bytes | None]]
_SCHEMA: Final = schema_header()[0]
_SIGNED: Final = bytes([2 * 2]) + b"".join(
    bytes([2 * len(text)]) + text for text in (_SCHEMA[0].encode(), _SCHEMA[1], mac.HEADER.encode())
) + bytes([2 * mac.SIZE])  # fmt: skip
"""The headers of nearly every record, those of an agent of this release with a key, up to the MAC itself: their number
and the length before each text, which varints hold as twice what they are."""
_SIGNED_SIZE: Final = len(_SIGNED) + mac.SIZE


class Withheld(bytes):
    """Stands for the value of what a batch was not read of, so that the place is passed: empty, and says why."""

    first: int
    """The offset of the first record that it stands for; its own record has the last one's."""
    size: int
    """Bytes of the batch, as it came."""
    reason: str


class _Batch(DefaultRecordBatch):  # type: ignore[misc]
    """kafka-python's own, which no batch can stop or fill the memory by.

    kafka-python 3.0.12 unpacks a batch whole: 1 MB may become 30 GB. And what it cannot read (a codec that is not
    installed, a header whose name is no UTF-8: a broker takes both) it raises for at each poll, for ever. What is not
    read comes as one record in the place of the last, with a Withheld in it.
    """

    # mypy takes those of kafka-python, which it does not see, for ours.
    _buffer: Any
    _decompressed: Any
    _pos: Any

    place: tuple[str, int] = "", -1
    """The topic and the partition that it is of."""

    def __iter__(self) -> Iterator["_Record"]:
        """Give the records in their order, and at last what stands for those that can't be had."""
        read, size = 0, self.size_in_bytes
        try:
            self._unpack(UNPACKED_SPARE + size)
            for record in self._records():
                read += 1
                if (count := len(record.headers)) > MOST_HEADERS:
                    reason = f"has {count} headers, more than {MOST_HEADERS}"
                    yield self._stand_in(record.offset, record.offset, size, reason)
                else:
                    yield record
        except Exception as error:  # noqa: BLE001 - whatever one batch does, it stops no other
            said = str(error) if isinstance(error, _TooLargeError) else f"{type(error).__name__}: {error}"
            yield self._stand_in(self.base_offset + read, self.last_offset, size, " ".join(said.split())[:200])

    def _records(self) -> Iterator["_Record"]:
        """Read one after the other: kafka-python's own way takes four times as long, a third of all that a sink does.

        Raises:
            Exception: of any kind, where there is no record.
        """
        data, pos, number = bytes(self._buffer), self._pos, _number
        kind, first, base = self.timestamp_type, self.first_timestamp, self.base_offset
        came = self.max_timestamp if kind == self.LOG_APPEND_TIME else None
        topic, partition = self.place
        headers: _Headers
        for _ in range(self._num_records):
            length, pos = number(data, pos)
            end = pos + length
            since, pos = number(data, pos + 1)  # behind attributes, of which there are none yet
            behind, pos = number(data, pos)
            key, pos = _text(data, pos)
            value, pos = _text(data, pos)
            # To find them whole takes a fifth of what it takes to read them.
            if end - pos == _SIGNED_SIZE and data.startswith(_SIGNED, pos):
                headers, pos = [_SCHEMA, (mac.HEADER, data[end - mac.SIZE : end])], end
            else:
                headers, pos = _headers(data, pos)
            if pos != end:
                raise kafka_errors.CorruptRecordError(f"a record of {length} bytes has {pos - end + length}")
            time = first + since if came is None else came
            yield _Record(topic, partition, base + behind, time, kind, key, value, headers, length)

    def _unpack(self, most: int) -> None:
        kind = self.compression_type
        if not self._decompressed and kind in (self.CODEC_GZIP, self.CODEC_ZSTD):
            packed = io.BytesIO(memoryview(self._buffer)[self._pos :])
            reader: Any
            if kind == self.CODEC_GZIP:
                reader = gzip.GzipFile(fileobj=packed)
            else:
                reader = _unpacker(threading.get_ident()).stream_reader(packed, read_across_frames=True)
            parts, left = [], most
            with reader:
                while part := reader.read(_PART):
                    parts.append(part)
                    left -= len(part)
                    if left < 0:
                        raise _TooLargeError(f"unpacks to more than {most} bytes")
            unpacked = b"".join(parts)
            self._buffer, self._pos = unpacked, 0
            self._decompressed = True
        # The others are not installed: it says so.
        self._maybe_uncompress()

    def _stand_in(self, first: int, last: int, size: int, reason: str) -> "_Record":
        value = Withheld()
        value.first, value.size, value.reason = first, size, reason
        return _Record(*self.place, last, self.max_timestamp, self.timestamp_type, None, value, [], 0)


class _Record(msgspec.Struct, gc=False):
    """A record as it is read and as a consumer gives it: what webmon asks of kafka-python's ConsumerRecord."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: _Headers
    size_in_bytes: int
    """Not packed; 0 where it was not read."""


class _TooLargeError(Exception):
    """A batch unpacks to more than it may."""


@functools.cache  # to make one costs as much as to unpack a batch of twenty results
def _unpacker(thread: int) -> zstandard.ZstdDecompressor:  # noqa: ARG001 - each thread has its own
    return zstandard.ZstdDecompressor(max_window_size=_WINDOW)


def _number(data: bytes, pos: int) -> tuple[int, int]:
    """Give the number that stands there, a varint, and where it ends."""
    low = data[pos]
    pos += 1
    if low >= 0x80:
        high = data[pos]
        if high >= 0x80:
            return _varint(data, pos - 1)  # type: ignore[no-any-return]
        low += (high - 1) << 7
        pos += 1
    return (low >> 1) ^ -(low & 1), pos


def _text(data: bytes, pos: int) -> tuple[Any, int]:
    """Give the bytes that stand behind their length, None for the length -1; and where they end."""
    length = data[pos]
    if length < 0x80 and not length & 1:  # the usual one, a varint of one byte
        pos += 1
        length >>= 1
    else:
        length, pos = _number(data, pos)
        if length < 0:
            return None, pos
    return data[pos : pos + length], pos + length


def _headers(data: bytes, pos: int) -> tuple[_Headers, int]:
    """Give the headers that stand behind their number, and where they end."""
    count, pos = _number(data, pos)
    if count < 0:
        raise kafka_errors.CorruptRecordError(f"a record has {count} headers")
    found = []
    for _ in range(count):
        name, pos = _text(data, pos)
        said, pos = _text(data, pos)
        found.append((name.decode(), said))
    return found, pos


class _PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """kafka-python's own, which hands records out as they were read: it makes each anew, for a tenth of a sink's CPU.

    It knows nothing of transactions, which nobody here begins, and of deserializers, of which there are none.
    """

    def _unpack_records(self, tp: TopicPartition, records: Any, *_: Any) -> Iterator["_Record"]:
        while (batch := records.next_batch()) is not None:
            if not batch.validate_crc():
                # So that it is fetched anew: what has ended here kafka-python 3.0.12 would ask for more, for ever.
                self.drain()
                raise kafka_errors.CorruptRecordError(f"{tp}: the batch at offset {batch.base_offset} is damaged")
            # Where it is not 0, the partition gives way to others in the next fetch.
            self.bytes_read += batch.size_in_bytes
            if batch.magic < 2:  # as brokers before 0.11 kept them
                for old in batch:
                    self.next_fetch_offset = old.offset + 1
                    said = (old.timestamp, old.timestamp_type, old.key, old.value, old.headers)
                    yield _Record(tp.topic, tp.partition, old.offset, *said, old.size_in_bytes)
                continue
            self.leader_epoch = batch.leader_epoch
            if not batch.is_control_batch:
                batch.place = tp
                for record in batch:
                    self.next_fetch_offset = record.offset + 1
                    yield record
            # What was compacted away at its end is passed, too.
            self.next_fetch_offset = batch.next_offset
        self.drain()


# Where the consumer makes its batches, and takes the records of one; there are no arguments for them.
memory_records.DefaultRecordBatch = _Batch
Fetcher.PartitionRecords = _PartitionRecords


class _Transport(KafkaSSLTransport):  # type: ignore[misc]
    """kafka-python's own, whose handshake ends.

    kafka-python 3.0.12 bounds it by nothing. Where a broker's host goes in the midst of one, the connection begins for
    ever; all that is for this broker waits behind it, also when it is back.
    """

    async def handshake(self) -> None:
        """Agree on keys and certificates.

        Raises:
            kafka.errors.KafkaTimeoutError: nothing more came.
        """
        until = time.monotonic() + _HANDSHAKE_SECS
        try:
            while True:
                try:
                    return self._sock.do_handshake()  # type: ignore[no-any-return]
                except ssl.SSLWantReadError:
                    await self._net.wait_read(self._sock, until)
                except ssl.SSLWantWriteError:
                    await self._net.wait_write(self._sock, until)
        except BaseException:
            self._sock.close()  # nobody else knows of it yet
            raise


# Where a connection makes its transport; there is no argument for it.
manager.KafkaSSLTransport = _Transport


# With MONITORING_LOG_LEVEL DEBUG kafka-python logs each request as text and as bytes: a password would be among them.
SaslAuthenticateRequest.__repr__ = SaslAuthenticateRequest.__str__ = lambda self: type(self).__name__
logging.getLogger("kafka.protocol.parser").setLevel(logging.INFO)


class _ProducerClient(KafkaNetClient):  # type: ignore[misc]
    """kafka-python's own, without its producer's spin.

    The producer's thread polls for connection_delay() milliseconds where records wait for a broker that is not ready.
    kafka-python 3.0.12 gives 0 while it connects or has five requests under way, and seconds for milliseconds after a
    failure: a frozen broker cost a whole core. What comes from the network ends the wait at once, whatever its length.
    """

    def connection_delay(self, node_id: object) -> float:
        """Give the milliseconds for which nothing can be sent to a broker that is not ready."""
        seconds: float = super().connection_delay(node_id)
        return max(1000 * seconds, _PATIENCE_MS)


class _ConsumerClient(KafkaNetClient):  # type: ignore[misc]
    """kafka-python's own, without its consumer's spin.

    KafkaConsumer.poll() waits until the next heartbeat is due. One that a frozen broker does not answer stays due, so
    kafka-python 3.0.12 waits 0 s, again and again, until request_timeout_ms: a whole core for that long.
    """

    def __init__(self, **configs: Any) -> None:
        """Take a client's arguments."""
        net = NetworkSelector(**configs)
        super().__init__(net, _PatientManager(net, **configs), **configs)


class _PatientManager(KafkaConnectionManager):  # type: ignore[misc]
    async def wait_for(self, future: Any, timeout_ms: float | None) -> Any:
        """Wait for a future, never for no time at all."""
        return await super().wait_for(future, None if timeout_ms is None else max(timeout_ms, _PATIENCE_MS))


class _Coordinator(ConsumerCoordinator):  # type: ignore[misc]
    """kafka-python's own, which ends what it began, and asks for partitions again that it could not see for a while.

    Who leads a group gives it the partitions that it sees. kafka-python 3.0.12 joins again where it sees others than
    then, but does not notice when it may see none: a group that was joined before its topic might be read, as where
    rights are given anew, had no partition for ever.
    """

    _join_task: Any

    def need_rejoin(self) -> bool:
        """Tell whether it is to join its group, or to go on with that.

        Who joins again as it sees other partitions is content once it has given them out. Where that came while nobody
        waited for it, as on a busy host between two polls, kafka-python 3.0.12 never took what was given to itself, and
        sent no heartbeat any more: it stood still for ever, without an error.
        """
        is_under_way = self.rejoining and self._subscription.partitions_auto_assigned()
        return bool(super().need_rejoin() or is_under_way)

    async def join_group_async(self, timeout_ms: float | None = None) -> bool:
        """Join the group; tell whether that was done in time."""
        ended = self._join_task
        if ended is not None and ended.succeeded() and self.rebalance_in_progress():
            # It would be thrown away, and the group joined once more; what ends in the next turn is waited for.
            self._join_task = self._manager.call_soon(lambda: ended.value)
        return bool(await super().join_group_async(timeout_ms))

    def _handle_metadata_update(self, cluster: Any) -> None:
        if cluster.unauthorized_topics:
            self._metadata_snapshot = self._build_metadata_snapshot(self._subscription, cluster)
        super()._handle_metadata_update(cluster)


# Where a consumer makes its coordinator; there is no argument for it.
group.ConsumerCoordinator = _Coordinator


class Producer(KafkaProducer):  # type: ignore[misc]
    """kafka-python's own, which can be given up."""

    def abandon(self, *, timeout: float) -> None:
        """Give up what waits, and wait so many seconds at most for the end of its thread.

        KafkaProducer.close() raises while records wait, and leaves its thread running then.
        """
        self._sender.force_close()
        self._sender.join(timeout)
        try:
            self.close(timeout=0)
        except kafka_errors.KafkaError as error:
            _log.debug("a producer that was given up did not close: %s", error)


class Admin(KafkaAdminClient):  # type: ignore[misc]
    """kafka-python's own, with quotas: 3.0.12 has their messages and no method for them."""

    def quotas(self, user: str) -> dict[str, float]:
        """Give the quotas of a user, by their names.

        Raises:
            kafka.errors.KafkaError: above all ClusterAuthorizationFailedError, or a broker that has none.
        """
        ours = DescribeClientQuotasRequest.ComponentData(entity_type="user", match_type=0, match=user)
        answer = self._ask(DescribeClientQuotasRequest(components=[ours], strict=True))
        _raise_for(answer)
        return {value.key: value.value for entry in answer.entries or [] for value in entry.values}

    def set_quotas(self, user: str, quotas: Mapping[str, float]) -> None:
        """Set quotas of a user; others that it has stay.

        Raises:
            kafka.errors.KafkaError: above all ClusterAuthorizationFailedError.
        """
        entry = AlterClientQuotasRequest.EntryData
        ours = entry(
            entity=[entry.EntityData(entity_type="user", entity_name=user)],
            ops=[entry.OpData(key=key, value=value, remove=False) for key, value in quotas.items()],
        )
        for told in self._ask(AlterClientQuotasRequest(entries=[ours], validate_only=False)).entries:
            _raise_for(told)

    def _ask(self, request: Any) -> Any:
        return self._manager.run(self._manager.send, request)


def _raise_for(told: Any) -> None:
    if told.error_code:
        raise kafka_errors.for_code(told.error_code)(told.error_message or "")


def topic_id(consumer: Any, topic: str) -> Any:
    """Give the id (a UUID) by which Kafka tells a topic from one of the same name before; None where it is not known.

    There is no public method for it: a consumer of kafka-python 3.0.12 keeps what the brokers told it of topics.
    """
    return consumer._client.cluster.topic_id(topic)  # noqa: SLF001


def _client_args(kafka: Kafka) -> dict[str, Any]:
    # Files, not a context: kafka-python reads them anew for each connection, so renewed ones need no restart. What has
    # no file of authorities takes the system's.
    files = {
        "ssl_cafile": kafka.ca_certificate,
        "ssl_certfile": kafka.access_certificate,
        "ssl_keyfile": kafka.access_key,
    }
    return {
        "bootstrap_servers": kafka.bootstrap,
        "security_protocol": kafka.security_protocol,
        **_sasl_args(kafka),
        **{name: str(path) for name, path in files.items() if path is not None},
        # Empty, so that OpenSSL never asks for a passphrase on a terminal.
        "ssl_password": "",
        "ssl_check_hostname": True,
        "bootstrap_timeout_ms": 15_000,
        "reconnect_backoff_max_ms": 5_000,
    }


def _sasl_args(kafka: Kafka) -> dict[str, Any]:
    if kafka.security_protocol != "SASL_SSL":
        return {}
    assert kafka.sasl_username is not None
    assert kafka.sasl_password is not None
    name = kafka.sasl_username
    if kafka.sasl_mechanism != "PLAIN":
        # RFC 5802, 5.1; kafka-python 3.0.12 sends the name as it is.
        name = name.replace("=", "=3D").replace(",", "=2C")
    return {
        "sasl_mechanism": kafka.sasl_mechanism,
        "sasl_plain_username": name,
        "sasl_plain_password": kafka.sasl_password.get_secret_value(),
    }


def sasl_exchange(kafka: Kafka) -> Any:
    """Give kafka-python's half of a log-in with our user: `auth_bytes()` to send, `receive()` the answer."""
    return get_sasl_mechanism(kafka.sasl_mechanism)(**_client_args(kafka))


def producer_args(kafka: Kafka) -> dict[str, Any]:
    """Give a Producer's arguments: every record acknowledged by all replicas in sync, once.

    A batch that expires in the client leaves an idempotent kafka-python producer dead for good, so delivery never
    does (a day): who needs a bound closes the producer and makes another.
    """
    return _client_args(kafka) | {
        "acks": "all",
        "enable_idempotence": True,
        "delivery_timeout_ms": _DAY_MS,
        "request_timeout_ms": 15_000,
        "max_block_ms": 10_000,
        "linger_ms": 20,
        "compression_type": "zstd",
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
        "kafka_client": _ProducerClient,
    }


def consumer_args(kafka: Kafka) -> dict[str, Any]:
    """Give KafkaConsumer's arguments: the sinks' group, from the earliest message, offsets committed by hand."""
    return _client_args(kafka) | {
        "group_id": kafka.group,
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        "request_timeout_ms": 15_000,
        # A sink that died hands its partitions on after ten seconds; one that stopped or joined, after one.
        "session_timeout_ms": 10_000,
        "heartbeat_interval_ms": 1_000,
        # How soon it sees a topic that it may read now, or new partitions: kafka-python looks every 5 minutes.
        "metadata_max_age_ms": 30_000,
        # What one broker may send at once; it bounds memory while a backlog is read.
        "fetch_max_bytes": 8 * 1024 * 1024,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
        "kafka_client": _ConsumerClient,
    }


def admin_args(kafka: Kafka) -> dict[str, Any]:
    """Give KafkaAdminClient's arguments."""
    return _client_args(kafka) | {"request_timeout_ms": 15_000}
