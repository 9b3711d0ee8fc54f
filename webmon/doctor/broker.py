"""Kafka as a component needs it: a broker answers, the topics are there, and our rights are what they should be."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors

from webmon.doctor.finding import Finding, failed, ok, warning
from webmon.errors import UserError
from webmon.kafka import client, reach
from webmon.kafka.reach import KafkaAwayError
from webmon.render import some
from webmon.settings import Init, Kafka

_IMPLIED: Final = {"DESCRIBE"}
"""What READ and WRITE bring with them."""


def examine(settings: Kafka, rights: Mapping[str, Sequence[str]], init: Init | None = None) -> Iterator[Finding]:
    """Look at the brokers, the topics and our rights on them.

    Args:
        settings: the way to Kafka.
        rights: what we should be allowed on each topic, of READ and WRITE; with `init` it is everything.
        init: what the topics were declared to be, where the component knows.
    """
    try:
        reach.check_reachable(settings)
        admin = KafkaAdminClient(**client.admin_args(settings))
    except (UserError, KafkaAwayError) as error:
        yield failed("broker", str(error))
        return
    except kafka_errors.KafkaError as error:
        yield failed("broker", reach.explain(error, settings, wanted="answer"))
        return
    try:
        yield ok("broker", f"Kafka at {', '.join(settings.bootstrap)} answers, and takes {settings.identity}")
        topics = {topic["name"]: topic for topic in admin.describe_topics()}
        if init is not None:
            yield from _declared(settings, init, topics)
        else:
            yield from _topic_rights(rights, topics)
            yield from _cluster_rights(admin)
    except kafka_errors.KafkaError as error:
        yield failed("broker", reach.explain(error, settings, wanted="describe its topics"))
    finally:
        admin.close()


def _declared(settings: Kafka, init: Init, topics: Mapping[str, dict[str, Any]]) -> Iterator[Finding]:
    wanted = {settings.topic: init.partitions, settings.dead_letter_topic: 1}
    if init.alarm_principals is not None:
        wanted |= {settings.alarm_topic: 1, settings.orders_topic: 1}
    for name, partitions in wanted.items():
        if name not in topics:
            yield failed("topic", f"{name} is not there; `webmon init` creates it")
            continue
        found = topics[name]["partitions"]
        copies = min(len(partition["replica_nodes"]) for partition in found)
        behind = [p["partition_index"] for p in found if len(p["isr_nodes"]) < len(p["replica_nodes"])]
        shape = f"{name} has {len(found)} partitions, replication {copies}"
        if len(found) < partitions:
            yield failed(
                "topic", f"{shape}; KAFKA_TOPIC_PARTITIONS is {partitions}: `webmon init` adds what is missing"
            )
        elif init.replication is not None and copies != init.replication:
            yield warning(
                "topic", f"{shape}; KAFKA_TOPIC_REPLICATION is {init.replication}: see kafka-reassign-partitions"
            )
        elif behind:
            yield warning(
                "topic", f"{shape}; partitions {behind} have fewer copies in sync than they should: is every broker up?"
            )
        else:
            yield ok("topic", f"{shape}, every copy in sync")


def _topic_rights(rights: Mapping[str, Sequence[str]], topics: Mapping[str, dict[str, Any]]) -> Iterator[Finding]:
    for name, wanted in rights.items():
        has = _rights_on(topics.get(name))
        may = " and ".join(wanted)
        lacks = " or ".join(right for right in wanted if right not in has)
        if lacks:
            seen = "" if name in topics else " and may not even see it (or there is no such topic)"
            yield failed(
                "rights on Kafka",
                f"we may not {lacks} topic {name}{seen}; `webmon init` gives that right",
            )
        elif beyond := sorted(has - {*wanted} - _IMPLIED):
            yield warning(
                "rights on Kafka",
                f"we may {may} topic {name}, and also {', '.join(beyond)}: remove that right",
            )
        else:
            yield ok("rights on Kafka", f"we may {may} topic {name}, and no more")
    others = {name: _rights_on(topic) - _IMPLIED for name, topic in topics.items() if name not in rights}
    if reachable := sorted(name for name, has in others.items() if has):
        shown = some([f"{'/'.join(sorted(others[name]))} {name}" for name in reachable], 3)
        yield warning("rights on Kafka", f"we may {shown}, which we do not need: remove that right")


def _cluster_rights(admin: KafkaAdminClient) -> Iterator[Finding]:
    has = set(admin.describe_cluster().get("authorized_operations") or ())
    has.discard("IDEMPOTENT_WRITE")  # harmless, and often given to all
    if has:
        yield warning("rights on Kafka", f"we may {', '.join(sorted(has))} the cluster: remove that right")


def _rights_on(topic: Mapping[str, Any] | None) -> set[str]:
    return set((topic or {}).get("authorized_operations") or ())
