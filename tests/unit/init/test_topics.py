"""What init says of topics where a service does not speak all of Kafka; real brokers are in tests/integration."""

from types import SimpleNamespace
from typing import Any

from kafka import errors as kafka_errors

from webmon.init.topics import _ensure_configs


def test_settings_that_a_service_lets_nobody_set_are_told_and_stop_nothing() -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise kafka_errors.IncompatibleBrokerVersion("no")

    (step,) = _ensure_configs(SimpleNamespace(describe_configs=refuse), "results", {"retention.ms": 1})
    assert str(step) == ("not set  settings of topic results: this service lets nobody set them so; what it has stays")
