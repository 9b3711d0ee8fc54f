"""Kafka by user and password inside TLS (SASL_SSL): every component, rights by user, and what a wrong one is told."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.agent_process import AgentProcess
from tests.hostile import HostileServer, page
from tests.integration.password_broker import PASSWORDS, SCRAM_PORT, PasswordBroker, PasswordStage
from tests.integration.services import Services
from tests.waiting import wait_until
from webmon.agent.outbox import Outbox
from webmon.agent.publisher import Publisher
from webmon.errors import UserError
from webmon.kafka.reach import KafkaAwayError, check_reachable

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


@pytest.fixture(scope="module")
def broker(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PasswordBroker]:
    made = PasswordBroker(services)
    started = PasswordStage(made.services, tmp_path_factory.mktemp("broker"))
    try:
        made.start()
        wait_until(lambda: _answers(started), "the broker's answer", 60)
        yield made
    finally:
        made.stop()


def _answers(stage: PasswordStage) -> bool:
    with contextlib.suppress(KafkaAwayError):
        check_reachable(stage.kafka_settings("init"))
        return True
    return False


@pytest.fixture(scope="module")
def stage(broker: PasswordBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PasswordStage]:
    """A stage that init prepared, by SCRAM-SHA-512."""
    made = PasswordStage(broker.services, tmp_path_factory.mktemp("stage"))
    try:
        made.said_by_init = made.init()
        yield made
    finally:
        made.remove()


def test_results_are_stored_by_password_alone_and_no_log_has_it(stage: PasswordStage, tmp_path: Path) -> None:
    assert f"created  ACLs of User:agent: WRITE topic {stage.topic}" in stage.said_by_init
    agent = AgentProcess(tmp_path)
    with HostileServer(page(b"hello")) as server, contextlib.closing(agent):
        agent.configure(**stage.way("agent", "PLAIN"), MONITORING_LOG_LEVEL="DEBUG")
        agent.target(server.url)
        agent.start()
        sink = stage.start_sink(notify_socket=None, **stage.way("sink", "SCRAM-SHA-256"), MONITORING_LOG_LEVEL="DEBUG")
        wait_until(lambda: stage.count() > 0, "a stored row", 90)
        sink.stop()
        said = sink.said() + agent.log.read_text()
    assert "SaslAuthenticateRequest" in said  # it does log at that level
    for password in PASSWORDS.values():
        assert password not in said
        assert repr(password.encode())[2:-1] not in said


def test_the_doctor_knows_the_user_and_looks_for_no_certificate(stage: PasswordStage) -> None:
    checked = stage.doctor("sink").stdout
    assert "answers, and takes our user 'sink' (KAFKA_SASL_USERNAME)" in checked
    assert f"we may READ topic {stage.topic}, and no more" in checked
    assert "ok       certificate:" not in checked
    assert PASSWORDS["sink"] not in checked


def test_a_second_init_changes_nothing(stage: PasswordStage) -> None:
    assert not [line for line in stage.init() if line.startswith(("created", "changed"))]


def test_a_user_without_the_right_is_told_by_name(stage: PasswordStage, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", 100_000_000)
    outbox.put(b"target", b"{}")
    publisher = Publisher(stage.kafka_settings("sink"), outbox)
    publisher.start()
    try:
        told = f"Kafka does not let our user 'sink' (KAFKA_SASL_USERNAME) WRITE topic {stage.topic}"
        wait_until(lambda: told in publisher.away_cause, "the refusal", 30)
    finally:
        publisher.stop(10)
        outbox.close(5)


def test_a_wrong_password_ends_a_start_in_one_line(stage: PasswordStage) -> None:
    done = stage.run("init", KAFKA_SASL_PASSWORD="another")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "refuses user 'init' (KAFKA_SASL_USERNAME) with KAFKA_SASL_PASSWORD by SCRAM-SHA-512" in line
    assert "another" not in line


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("change", ["sasl_password", "sasl_username"])
def test_a_wrong_password_and_an_unknown_user_are_told_alike(stage: PasswordStage, mechanism: str, change: str) -> None:
    wrong = SecretStr("another") if change == "sasl_password" else "nobody,x=1"
    settings = stage.kafka_settings("sink", mechanism).model_copy(update={change: wrong})
    with pytest.raises(UserError, match=rf"\(KAFKA_SASL_USERNAME\) with KAFKA_SASL_PASSWORD by {mechanism}$"):
        check_reachable(settings)


def test_a_mechanism_that_the_broker_does_not_take_is_told_with_those_that_it_does(stage: PasswordStage) -> None:
    settings = stage.kafka_settings("sink", "PLAIN").model_copy(update={"port": SCRAM_PORT})
    with pytest.raises(UserError, match="KAFKA_SASL_MECHANISM PLAIN; it takes 'SCRAM-SHA-256, SCRAM-SHA-512'"):
        check_reachable(settings)


def test_a_port_that_asks_for_a_certificate_is_told_as_such(stage: PasswordStage, services: Services) -> None:
    settings = stage.kafka_settings("sink").model_copy(update={"port": services.kafka_port})
    with pytest.raises((UserError, KafkaAwayError), match="certificate"):
        check_reachable(settings)


def test_the_systems_authorities_do_not_know_a_private_one(stage: PasswordStage) -> None:
    settings = stage.kafka_settings("sink").model_copy(update={"ca_certificate": None})
    with pytest.raises(
        UserError, match=r"not trusted by this host's authorities .* right would be KAFKA_CA_CERTIFICATE"
    ):
        check_reachable(settings)


def test_revoke_takes_the_rights_of_a_user(stage: PasswordStage) -> None:
    taken = stage.run("revoke", "User:agent", KAFKA_AGENT_PRINCIPALS=None)
    assert taken.returncode == 0, taken.stderr
    assert "changed" in taken.stdout
    assert "User:agent" in taken.stdout
