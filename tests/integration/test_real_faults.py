"""What a person is told when the way to the real broker or database is wrong: the cause and the variable."""

from pathlib import Path

import pytest
import trustme

from tests.integration.stage import Stage
from webmon.errors import UserError
from webmon.kafka import reach
from webmon.kafka.reach import KafkaAwayError
from webmon.settings import InitSettings
from webmon.store import postgres
from webmon.store.postgres import DatabaseAwayError


def test_the_right_settings_reach_both(bare_stage: Stage) -> None:
    settings: InitSettings = bare_stage.settings("init")
    reach.check_reachable(settings.kafka)
    postgres.connect(settings.postgres, application="test", autocommit=True).close()


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """An authority that nobody here trusts, with a certificate and a key of it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "foreign-ca.pem"))
    pair = authority.issue_cert("agent1")
    pair.cert_chain_pems[0].write_to_path(str(tmp_path / "foreign.pem"))
    pair.private_key_pem.write_to_path(str(tmp_path / "foreign.key"))
    (tmp_path / "foreign.key").chmod(0o600)
    return tmp_path


def _kafka_fault(stage: Stage, **changes: str) -> str:
    with pytest.raises((UserError, KafkaAwayError)) as caught:
        reach.check_reachable(stage.settings("sink", **changes).kafka)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_broker_of_another_authority_is_not_trusted(bare_stage: Stage, foreign: Path) -> None:
    assert f"not trusted by KAFKA_CA_CERTIFICATE {foreign}" in _kafka_fault(
        bare_stage, KAFKA_CA_CERTIFICATE=str(foreign / "foreign-ca.pem")
    )


def test_a_client_certificate_of_another_authority_is_refused_by_the_broker(bare_stage: Stage, foreign: Path) -> None:
    fault = _kafka_fault(
        bare_stage,
        KAFKA_ACCESS_CERTIFICATE=str(foreign / "foreign.pem"),
        KAFKA_ACCESS_KEY=str(foreign / "foreign.key"),
    )
    assert "refuses our certificate KAFKA_ACCESS_CERTIFICATE" in fault
    assert "not signed by the authority in KAFKA_CA_CERTIFICATE" in fault


def test_an_expired_client_certificate_is_named_as_that(bare_stage: Stage) -> None:
    certificate, key = bare_stage.services.issue(bare_stage.directory, "sink", days=-2)
    fault = _kafka_fault(bare_stage, KAFKA_ACCESS_CERTIFICATE=str(certificate), KAFKA_ACCESS_KEY=str(key))
    assert f"refuses our certificate KAFKA_ACCESS_CERTIFICATE {certificate}: certificate has expired" in fault


def test_one_broker_of_several_that_is_there_is_enough(bare_stage: Stage) -> None:
    hosts = f"no-such-host.invalid,{bare_stage.services.kafka_host}"
    reach.check_reachable(bare_stage.settings("sink", KAFKA_HOST=hosts).kafka)


def test_a_certificate_without_any_right_is_told_which_right_is_missing(shared_stage: Stage) -> None:
    certificate, key = shared_stage.certificate("stranger")
    done = shared_stage.run("sink", KAFKA_ACCESS_CERTIFICATE=str(certificate), KAFKA_ACCESS_KEY=str(key))
    assert done.returncode == 2
    assert f"READ topic {shared_stage.topic} as group {shared_stage.topic}" in done.stderr
    assert "`webmon init`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"POSTGRES_PASSWORD": "hunter4711"}, "with POSTGRES_PASSWORD"),
        ({"POSTGRES_USER": "no_such_role"}, "the role 'no_such_role' (POSTGRES_USER)"),
        ({"POSTGRES_DATABASE": "no_such_db"}, "database 'no_such_db' (POSTGRES_DATABASE"),
        ({"POSTGRES_HOST": "no-such-host.invalid"}, "no host of that name"),
        ({"POSTGRES_PORT": "1"}, "connection refused"),
        ({"POSTGRES_SSL": "disable", "POSTGRES_CHANNEL_BINDING": None}, "POSTGRES_SSL is disable"),
    ],
)
def test_a_database_that_refuses_us_is_told_with_the_variable(
    shared_stage: Stage, changes: dict[str, str | None], told: str
) -> None:
    with pytest.raises((UserError, DatabaseAwayError)) as caught:
        postgres.connect(shared_stage.settings("sink", **changes).postgres, application="test", autocommit=True)
    assert told in str(caught.value)
    assert "POSTGRES_HOST" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hunter4711" not in str(caught.value)


def test_a_database_of_another_authority_is_not_trusted(bare_stage: Stage, foreign: Path) -> None:
    settings = bare_stage.settings("init", POSTGRES_CA_CERTIFICATE=str(foreign / "foreign-ca.pem")).postgres
    with pytest.raises(UserError, match=r"not trusted by POSTGRES_CA_CERTIFICATE .*foreign-ca.pem"):
        postgres.connect(settings, application="test", autocommit=True)


def test_status_of_a_database_that_is_away_is_one_line(bare_stage: Stage) -> None:
    done = bare_stage.run("status", POSTGRES_PORT="1")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "connection refused" in done.stderr


def test_status_before_init_says_so(shared_stage: Stage) -> None:
    done = shared_stage.run("status", POSTGRES_TABLE="no_such_table")
    assert done.returncode == 2
    assert "`webmon init`" in done.stderr
