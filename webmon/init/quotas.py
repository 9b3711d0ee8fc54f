"""How much of the brokers an agent or a page may use: none can hold up the others, or fill a disk in minutes."""

from collections.abc import Iterator
from typing import Final

from kafka import errors as kafka_errors

from webmon.init.step import Step
from webmon.kafka.client import Admin
from webmon.settings import Init

_PERCENT: Final = 100.0
"""Of one thread of a broker, of which it has a dozen: an agent asks 5 to 30 times a second, of a millisecond each. What
is packed tightly costs its sender little and the broker, which looks into it, much."""

_PAGE_BYTES: Final = 100_000.0
"""In a second; a person's order has a few hundred, and the largest that is taken 100,000. More of them than a judge
reads would keep orders from others."""


def ensure_quotas(admin: Admin, init: Init) -> Iterator[Step]:
    """Give each agents' and pages' principal its bounds; those of sinks, judges and brokers stay without any.

    Raises:
        kafka.errors.KafkaError: the cluster could not be asked.
    """
    quotas = {"producer_byte_rate": float(init.agent_bytes_per_sec), "request_percentage": _PERCENT}
    for principal in init.agent_principals or ():
        yield _ensure(admin, principal, quotas)
    for principal in init.page_principals or ():
        yield _ensure(admin, principal, quotas | {"producer_byte_rate": _PAGE_BYTES})


def _ensure(admin: Admin, principal: str, quotas: dict[str, float]) -> Step:
    what = f"quotas of {principal}: {', '.join(f'{key}={value:g}' for key, value in quotas.items())}"
    user = principal.removeprefix("User:")
    try:
        found = admin.quotas(user)
        differing = {key: value for key, value in quotas.items() if found.get(key) != value}
        if not differing:
            return Step("unchanged", what)
        admin.set_quotas(user, differing)
    except (
        kafka_errors.ClusterAuthorizationFailedError,
        kafka_errors.UnsupportedVersionError,
        kafka_errors.IncompatibleBrokerVersion,
        kafka_errors.InvalidRequestError,
    ) as error:
        cause = type(error).__name__
        return Step("not set", f"{what}: refused ({cause}); where a service manages quotas, set them there")
    return Step("changed" if found else "created", what)
