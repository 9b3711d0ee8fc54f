"""The rights on topics and group, by principal: an agent writes results, a sink reads them and writes dead letters."""

from collections.abc import Iterator, Sequence

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


def ensure_acls(admin: KafkaAdminClient, kafka: Kafka, init: Init) -> Iterator[Step]:
    """Give each principal its rights; what it has beyond them stays.

    Raises:
        UserError: a principal that the cluster does not take.
        kafka.errors.KafkaError: the cluster could not be asked.
    """
    for variable, principals, rights in (
        ("KAFKA_AGENT_PRINCIPALS", init.agent_principals, agent_rights(kafka)),
        ("KAFKA_SINK_PRINCIPALS", init.sink_principals, sink_rights(kafka)),
    ):
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
            f"{what}: this cluster does not let our certificate change ACLs; where a service manages them, give "
            "these rights there",
        )
    if failed:
        raise UserError(f"{variable}: Kafka does not take {what}: {failed[0].__name__}")
    return Step("created" if len(missing) == len(rights) else "changed", what)


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
