"""What of kafka-python's private parts webmon overrides and uses: these tests fail when a release changes them."""

import asyncio
import contextlib
import hashlib
import inspect
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, Final

import pytest
from kafka import KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.producer.sender import Sender

from webmon.kafka import client
from webmon.kafka.client import Producer

SOURCES: Final[dict[Callable[..., Any], str]] = {
    KafkaNetClient.__init__: "9d5a78ad19c39989",
    KafkaNetClient.connection_delay: "9eaf02d7031900c2",
    KafkaConnectionManager.connection_delay: "3ddb1f7dbe2b686c",
    KafkaConnectionManager.wait_for: "f0ea73bf014c439c",
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
