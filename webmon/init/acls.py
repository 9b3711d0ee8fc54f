"""The rights on topics and groups, by principal: an agent writes results, a sink reads them and writes dead letters.

A judge reads results and has the alarm log and the orders; an operators' page writes orders.

What is given is only taken again by name (`revoke`): a principal that init is not told of may be somebody's who gave it
rights himself.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

from webmon.errors import UserError
from webmon.init.step import Step
from webmon.settings import Init, Kafka

Right = tuple[ResourceType, str, ACLOperation]

_NOT_OURS: Final = "this cluster does not let us change ACLs"

# READ and WRITE each imply DESCRIBE, and since Kafka 2.8 WRITE on a topic is enough for an idempotent producer.


def agent_rights(kafka: Kafka) -> list[Right]:
    """Give what an agent must be allowed."""
    return [(ResourceType.TOPIC, kafka.topic, ACLOperation.WRITE)]


def sink_rights(kafka: Kafka) -> list[Right]:
    """Give what a sink must be allowed."""
    return [
        (ResourceType.TOPIC, kafka.topic, ACLOperation.READ),
        (ResourceType.GROUP, kafka.group, ACLOperation.READ),
        (ResourceType.TOPIC, kafka.dead_letter_topic, ACLOperation.WRITE),
    ]


def alarm_rights(kafka: Kafka) -> list[Right]:
    """Give what a judge must be allowed; the commands `webmon alarms ...` of its host write orders.

    It sees how far the sinks are, and whether dead letters grow, without reading any.
    """
    topic = ResourceType.TOPIC
    return [
        (topic, kafka.topic, ACLOperation.READ),
        *((topic, kafka.alarm_topic, right) for right in (ACLOperation.READ, ACLOperation.WRITE)),
        *((topic, kafka.orders_topic, right) for right in (ACLOperation.READ, ACLOperation.WRITE)),
        (topic, kafka.dead_letter_topic, ACLOperation.DESCRIBE),
        (ResourceType.GROUP, kafka.group, ACLOperation.DESCRIBE),
        (ResourceType.GROUP, kafka.alarm_group, ACLOperation.READ),
    ]


def page_rights(kafka: Kafka) -> list[Right]:
    """Give what an operators' page must be allowed."""
    return [(ResourceType.TOPIC, kafka.orders_topic, ACLOperation.WRITE)]


def ensure_acls(admin: KafkaAdminClient, kafka: Kafka, init: Init) -> Iterator[Step]:
    """Give each principal its rights; what it has beyond them stays.

    Raises:
        UserError: a principal that the cluster does not take.
        kafka.errors.KafkaError: the cluster could not be asked.
    """
    everyone: list[tuple[str, list[str] | None, list[Right]]] = [
        ("KAFKA_AGENT_PRINCIPALS", init.agent_principals, agent_rights(kafka)),
        ("KAFKA_SINK_PRINCIPALS", init.sink_principals, sink_rights(kafka)),
    ]
    # A fleet without alarms or pages is told nothing of them.
    if init.alarm_principals is not None:
        everyone.append(("KAFKA_ALARM_PRINCIPALS", init.alarm_principals, alarm_rights(kafka)))
    if init.page_principals is not None:
        everyone.append(("KAFKA_PAGE_PRINCIPALS", init.page_principals, page_rights(kafka)))
    for variable, principals, rights in everyone:
        said = "; ".join(f"{operation.name} {kind.name.lower()} {name}" for kind, name, operation in rights)
        if principals is None:
            yield Step("not set", f"ACLs: {variable} is not set, so nobody is given {said}")
            continue
        for principal in principals:
            yield _ensure(admin, principal, rights, said, variable)


def _ensure(admin: KafkaAdminClient, principal: str, rights: Sequence[Right], said: str, variable: str) -> Step:
    what = f"ACLs of {principal}: {said}"
    if not principal.startswith("User:"):
        raise UserError(f"{variable} names {principal!r}; right would be User:name")
    try:
        missing = [right for right in rights if not _has(admin, principal, right)]
        if not missing:
            return Step("unchanged", what)
        failed = admin.create_acls([_acl(principal, right) for right in missing])["failed"]
    except kafka_errors.SecurityDisabledError:
        return Step("not set", f"{what}: this cluster has no authorizer, so everyone has every right")
    except kafka_errors.ClusterAuthorizationFailedError:
        return Step(
            "not set",
            f"{what}: {_NOT_OURS}; where a service manages them, give these rights there",
        )
    except (kafka_errors.UnsupportedVersionError, kafka_errors.IncompatibleBrokerVersion):
        return Step("not set", f"{what}: this service has no ACLs of Kafka's; give these rights by its own means")
    if failed:
        raise UserError(f"{variable}: Kafka does not take {what}: {failed[0].__name__}")
    return Step("created" if len(missing) == len(rights) else "changed", what)


def revoke(admin: KafkaAdminClient, kafka: Kafka, init: Init, principals: Sequence[str]) -> Iterator[Step]:
    """Take from principals every right that was given to them on our topics and groups.

    Raises:
        UserError: one is no principal, or stands in the variables, so that the next init gives it its rights again.
        kafka.errors.KafkaError: the cluster could not be asked.
    """
    named = {
        "KAFKA_AGENT_PRINCIPALS": init.agent_principals or (),
        "KAFKA_SINK_PRINCIPALS": init.sink_principals or (),
        "KAFKA_ALARM_PRINCIPALS": init.alarm_principals or (),
        "KAFKA_PAGE_PRINCIPALS": init.page_principals or (),
    }
    faults = [f"{one!r} is no principal; right would be User:name" for one in principals if one[:5] != "User:"]
    faults += [
        f"{one} stands in {variable}, so that the next init would give it its rights again: take it out there first"
        for one in principals
        for variable, ours in named.items()
        if one in ours
    ]
    if faults:
        raise UserError(*faults)
    topics = (kafka.topic, kafka.dead_letter_topic, kafka.alarm_topic, kafka.orders_topic)
    ours = [(ResourceType.TOPIC, name) for name in topics]
    ours += [(ResourceType.GROUP, name) for name in (kafka.group, kafka.alarm_group)]
    for principal in principals:
        yield _revoke(admin, principal, ours)


def _revoke(admin: KafkaAdminClient, principal: str, resources: Sequence[tuple[ResourceType, str]]) -> Step:
    what = f"ACLs of {principal} are taken away"
    filters = [
        ACLFilter(
            principal=principal,
            host=None,
            operation=ACLOperation.ANY,
            permission_type=ACLPermissionType.ALLOW,
            resource_pattern=ResourcePatternFilter(kind, name, ACLResourcePatternType.LITERAL),
        )
        for kind, name in resources
    ]
    try:
        answers = admin.delete_acls(filters)
    except kafka_errors.SecurityDisabledError:
        return Step("not set", f"{what}: this cluster has no authorizer, so everyone has every right")
    gone: set[str] = set()
    for _, acls, error in answers:
        if error is kafka_errors.ClusterAuthorizationFailedError:
            return Step("not set", f"{what}: {_NOT_OURS}; take them away there")
        if error is not kafka_errors.NoError:
            raise error(f"taking rights from {principal}")
        gone |= {f"{acl.operation.name} {acl.resource_pattern.resource_name}" for acl in acls}
    return Step("changed" if gone else "unchanged", f"{what}: {', '.join(sorted(gone)) or 'it has none'}")


def _has(admin: KafkaAdminClient, principal: str, right: Right) -> bool:
    kind, name, operation = right
    found, _ = admin.describe_acls(
        ACLFilter(
            principal=principal,
            host="*",
            operation=operation,
            permission_type=ACLPermissionType.ALLOW,
            resource_pattern=ResourcePatternFilter(kind, name, ACLResourcePatternType.LITERAL),
        )
    )
    return bool(found)


def _acl(principal: str, right: Right) -> ACL:
    kind, name, operation = right
    return ACL(
        principal=principal,
        host="*",
        operation=operation,
        permission_type=ACLPermissionType.ALLOW,
        resource_pattern=ResourcePattern(kind, name, ACLResourcePatternType.LITERAL),
    )
