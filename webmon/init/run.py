"""`webmon init`: all that an environment needs once; nothing is changed before both sides are known to be there.

`webmon revoke`: what init gave a principal on Kafka, taken away.
"""

import contextlib
from collections.abc import Iterator, Sequence

from kafka import errors as kafka_errors

from webmon.daemon import log
from webmon.errors import UserError
from webmon.init import acls
from webmon.init.database import ensure_database
from webmon.init.quotas import ensure_quotas
from webmon.init.step import Step
from webmon.init.topics import ensure_topics
from webmon.kafka import client, reach
from webmon.kafka.reach import KafkaAwayError
from webmon.settings import InitSettings, Kafka
from webmon.store import postgres


def run(settings: InitSettings) -> int:
    """Create or mend everything, a line for each thing; a second run changes nothing.

    Raises:
        UserError: a line for each thing that only the user can mend.
    """
    log.configure(settings.common.log_level)
    for step in _steps(settings):
        print(step, flush=True)
    return 0


def revoke(settings: InitSettings, principals: Sequence[str]) -> int:
    """Take their rights on the topics from principals, a line for each; give 0, or 1 where the cluster does not let us.

    Raises:
        UserError: a line for each thing that only the user can mend.
    """
    log.configure(settings.common.log_level)
    try:
        reach.check_reachable(settings.kafka)
        with _administrator(settings.kafka) as admin:
            steps = list(acls.revoke(admin, settings.kafka, settings.init, principals))
    except KafkaAwayError as error:
        raise UserError(str(error)) from error
    for step in steps:
        print(step)
    return 1 if any(step.state == "not set" for step in steps) else 0


def _steps(settings: InitSettings) -> Iterator[Step]:
    faults: list[str] = []
    with contextlib.ExitStack() as held:
        try:
            reach.check_reachable(settings.kafka)
        except (UserError, KafkaAwayError) as error:
            faults.append(str(error))
        try:
            session = postgres.session(settings.postgres, application="webmon-init", autocommit=False)
            connection = held.enter_context(session)
        except UserError as error:
            faults.append(str(error))
        if faults:
            raise UserError(*"\n".join(faults).splitlines())
        yield from _kafka_steps(settings)
        yield from ensure_database(connection, settings.postgres, settings.init)


def _kafka_steps(settings: InitSettings) -> Iterator[Step]:
    with _administrator(settings.kafka) as admin:
        yield from ensure_topics(admin, settings.kafka, settings.init)
        yield from acls.ensure_acls(admin, settings.kafka, settings.init)
        yield from ensure_quotas(admin, settings.init)


@contextlib.contextmanager
def _administrator(kafka: Kafka) -> Iterator[client.Admin]:
    try:
        admin = client.Admin(**client.admin_args(kafka))
        try:
            yield admin
        finally:
            admin.close()
    except kafka_errors.KafkaError as error:
        raise UserError(reach.explain(error, kafka, wanted="administer topics and ACLs")) from error
