"""`webmon init`: all that an environment needs once; nothing is changed before both sides are known to be there."""

import contextlib
from collections.abc import Iterator

from kafka import errors as kafka_errors

from webmon.daemon import log
from webmon.errors import UserError
from webmon.init.acls import ensure_acls
from webmon.init.database import ensure_database
from webmon.init.quotas import ensure_quotas
from webmon.init.step import Step
from webmon.init.topics import ensure_topics
from webmon.kafka import client, reach
from webmon.kafka.reach import KafkaAwayError
from webmon.settings import InitSettings
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
    try:
        admin = client.Admin(**client.admin_args(settings.kafka))
        try:
            yield from ensure_topics(admin, settings.kafka, settings.init)
            yield from ensure_acls(admin, settings.kafka, settings.init)
            yield from ensure_quotas(admin, settings.init)
        finally:
            admin.close()
    except kafka_errors.KafkaError as error:
        raise UserError(reach.explain(error, settings.kafka, wanted="administer topics and ACLs")) from error
