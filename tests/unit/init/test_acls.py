"""What init says of rights that a service does not let it give; what it gives is held by tests/integration."""

from pathlib import Path
from typing import Any

import pytest
from kafka import errors as kafka_errors

from webmon.init.acls import ensure_acls
from webmon.settings import Init, Kafka


class Service:
    """A managed Kafka that answers every question about ACLs with one error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def describe_acls(self, *_: Any, **__: Any) -> Any:
        raise self._error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (kafka_errors.UnsupportedVersionError("no"), "this service has no ACLs of Kafka's"),
        (kafka_errors.IncompatibleBrokerVersion("no"), "this service has no ACLs of Kafka's"),
        (kafka_errors.ClusterAuthorizationFailedError("no"), "this cluster does not let us change ACLs"),
        (kafka_errors.SecurityDisabledError("no"), "this cluster has no authorizer"),
    ],
)
def test_rights_that_a_service_keeps_to_itself_are_told_and_stop_nothing(error: Exception, told: str) -> None:
    values = {
        "KAFKA_HOST": "broker",
        "KAFKA_PORT": 9093,
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_SASL_USERNAME": "$ConnectionString",
        "KAFKA_SASL_PASSWORD": "secret-word",
        "KAFKA_AGENT_PRINCIPALS": "User:agent",
        "KAFKA_SINK_PRINCIPALS": "User:sink",
    }
    context = {"workspace": Path()}
    kafka, init = Kafka.model_validate(values, context=context), Init.model_validate(values, context=context)
    steps = [str(step) for step in ensure_acls(Service(error), kafka, init)]
    assert [line.partition("  ")[0] for line in steps] == ["not set", "not set"]
    assert all(told in line for line in steps)
