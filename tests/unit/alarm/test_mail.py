"""Mail: what is sent, to whom, and when nothing is."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tests.mail_server import AUTHORITY, PASSWORD, USER, MailServer
from tests.sockets import free_port
from webmon.alarm.channels import Mail
from webmon.alarm.notice import Notice
from webmon.alarm.senders.answer import Answer
from webmon.alarm.senders.mail import MailSender, mail_of, message_id
from webmon.settings import Alarm

A, B, C = "a@example.org", "b@example.org", "c@example.org"


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(file))
    return file


def sender(port: int, authority: Path | None, *to: str, deadline: float = 20.0, **more: Any) -> MailSender:
    settings = Alarm.model_construct(
        **{
            "smtp_host": "127.0.0.1",
            "smtp_port": port,
            "smtp_tls": "starttls",
            "smtp_user": USER,
            "smtp_password": SecretStr(PASSWORD),
            "mail_from": "webmon@example.org",
            "ca_certificates": authority,
            **more,
        }
    )
    return MailSender(Mail(to or (A,)), settings, deadline)


def test_mail_goes_over_starttls_with_a_login(authority: Path, notice: Notice) -> None:
    with MailServer() as server:
        answer = sender(server.port, authority, A, B).send(notice)
    assert answer == Answer("taken", f"taken for {A}, {B} by 127.0.0.1")
    ((to, mail),) = server.mails
    assert to == [A, B]
    assert (mail["From"], mail["To"]) == ("webmon@example.org", f"{A}, {B}")
    assert mail["Subject"] == "DOWN shop: timeout (3 of 3 vantages)"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == f"<{notice.key}@example.org>"
    plain, page = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert page is not None
    assert "seen          helsinki: timeout" in plain.get_content()
    assert '<a href="https://shop.example.org/health">' in page.get_content()


def test_mail_goes_over_tls_from_the_begin_and_plainly_where_the_settings_say_so(
    authority: Path, notice: Notice
) -> None:
    with MailServer(tls=True, starttls=False, login=False) as server:
        way = sender(server.port, authority, smtp_tls="tls", smtp_user=None, smtp_password=None)
        assert way.send(notice).state == "taken"
    with MailServer(starttls=False, login=False) as server:
        way = sender(server.port, authority, smtp_tls="off", smtp_user=None, smtp_password=None)
        assert way.send(notice).state == "taken"


def test_without_starttls_nothing_is_sent_and_nobody_logs_in(authority: Path, notice: Notice) -> None:
    with MailServer(starttls=False) as server:
        answer = sender(server.port, authority).send(notice)
    assert answer.state == "again"
    assert "STARTTLS" in answer.said
    assert (server.mails, server.logins) == ([], [])


@pytest.mark.parametrize(("tls", "starttls"), [("starttls", True), ("tls", False)])
def test_a_certificate_that_can_not_be_verified_is_sent_nothing(
    tls: str, starttls: bool, authority: Path, notice: Notice
) -> None:
    with MailServer(tls=not starttls, starttls=starttls, login=starttls) as server:  # of an authority that nobody knows
        unknown = sender(server.port, None, smtp_tls=tls).send(notice)
    with MailServer(
        tls=not starttls, starttls=starttls, login=starttls, name="x.example.org"
    ) as other:  # of another's name
        wrong = sender(other.port, authority, smtp_tls=tls).send(notice)
    for answer in (unknown, wrong):
        assert answer.state == "again"
        assert answer.said.startswith("certificate refused: ")
    assert server.mails + server.logins + other.mails + other.logins == []


def test_each_recipient_is_judged_by_itself(authority: Path, notice: Notice) -> None:
    with MailServer(answers={B: "450 try later", C: "550 no such user"}) as server:
        way = sender(server.port, authority, A, B, C)
        first = way.send(notice)
        assert first == Answer("again", f"{B}: 450 try later", left=(B,), refused=(f"{C}: 550 no such user",))
        del server.answers[B]
        assert way.send(notice, first.left) == Answer("taken", f"taken for {B} by 127.0.0.1")
    assert [to for to, _ in server.mails] == [[A], [B]]
    # The same mail, whoever else got it before.
    assert len({(mail["Message-ID"], mail["To"]) for _, mail in server.mails}) == 1


def test_what_is_refused_for_good_is_not_tried_again(authority: Path, notice: Notice) -> None:
    with MailServer(answers={A: "550 no such user"}) as server:
        answer = sender(server.port, authority).send(notice)
        assert (answer.state, answer.refused) == ("failed", (f"{A}: 550 no such user",))
    with MailServer(answers={"DATA": "554 spam"}) as server:
        assert sender(server.port, authority).send(notice) == Answer("failed", "554 spam")
    with MailServer(answers={"DATA": "451 full"}) as server:
        assert sender(server.port, authority).send(notice) == Answer("again", "451 full", left=(A,))


def test_a_server_that_goes_away_between_recipients_has_taken_it_for_nobody(authority: Path, notice: Notice) -> None:
    with MailServer(answers={B: "421 going down"}) as server:
        answer = sender(server.port, authority, A, B).send(notice)
    assert (answer.state, answer.left, server.mails) == ("again", (A, B), [])


def test_a_wrong_password_is_final_and_not_told(authority: Path, notice: Notice) -> None:
    with MailServer() as server:
        answer = sender(server.port, authority, smtp_password=SecretStr("wr0ng-password")).send(notice)
    assert answer.state == "failed"
    assert answer.said.startswith("535 ")
    assert "wr0ng" not in answer.said


def test_a_password_with_an_umlaut_lets_in(authority: Path, notice: Notice) -> None:
    with MailServer(password="pässwörd99") as server:
        assert sender(server.port, authority, smtp_password=SecretStr("pässwörd99")).send(notice).state == "taken"
        wrong = sender(server.port, authority, smtp_password=SecretStr("fälsch-99")).send(notice)
    assert (wrong.state, wrong.said[:4], "fälsch" in wrong.said) == ("failed", "535 ", False)


def test_what_is_no_name_of_a_host_is_told_and_ends_nothing(authority: Path, notice: Notice) -> None:
    answer = sender(25, authority, smtp_host=f"{'a' * 64}.example.org").send(notice)
    assert (answer.state, "label" in answer.said) == ("again", True)


def test_nobody_there_is_tried_again(authority: Path, notice: Notice) -> None:
    assert sender(free_port(), authority).send(notice) == Answer("again", "Connection refused", left=(A,))


def test_one_deadline_holds_over_a_server_that_sends_a_byte_now_and_then(authority: Path, notice: Notice) -> None:
    with _dripping(b"2") as port:
        begin = time.monotonic()
        answer = sender(port, authority, deadline=0.5).send(notice)
        assert time.monotonic() - begin < 10
    assert answer == Answer("again", "not done within 0.5 s")


def test_what_a_server_took_stands_though_it_never_says_goodbye(authority: Path, notice: Notice) -> None:
    way: dict[str, Any] = {"smtp_tls": "off", "smtp_user": None, "smtp_password": None, "deadline": 3.0}
    with _takes_and_hangs() as port:
        assert sender(port, authority, **way).send(notice).state == "taken"


def test_an_episode_is_one_thread(notice: Notice) -> None:
    opening = mail_of(notice, sender="webmon@example.org", to=(A,))
    ending = mail_of(replace(notice, key="k" * 36, thread=notice.key), sender="webmon@example.org", to=(A,))
    assert ending["References"] == ending["In-Reply-To"] == opening["Message-ID"]
    assert f"References: {opening['Message-ID']}".encode() in ending.as_bytes().replace(b"\r\n ", b" ")


@pytest.mark.parametrize("domain", ["example.org", "a." * 60 + "example.org"])
@pytest.mark.parametrize("key", ["0d8c7f6e-3f5b-5f0e-9d5e-2f3c8f6a1b2c", "a b\r\nBcc: x", "x" * 500, ""])
def test_a_message_id_is_short_enough_for_a_header_and_nothing_else(domain: str, key: str) -> None:
    made = message_id(key, domain)
    assert len(made) <= 70
    assert made.startswith("<")
    assert made.count("@") == 1
    assert not set(made) & set(" \r\n:")
    assert made == message_id(key, domain)


def test_nothing_of_a_site_becomes_a_header(authority: Path, notice: Notice) -> None:
    hostile = replace(notice, target="shop\r\nBcc: evil@example.org\r\n\r\nbody", what="ä\n" * 99)
    with MailServer() as server:
        assert sender(server.port, authority).send(hostile).state == "taken"
    ((to, mail),) = server.mails
    assert to == [A]
    assert "Bcc" not in mail
    assert str(mail["Subject"]).startswith("DOWN shop Bcc: evil@example.org body: ä ä")


@contextmanager
def _dripping(octets: bytes) -> Iterator[int]:
    """Send octets again and again, and never a line."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    while not over.wait(0.05):
                        connection.sendall(octets)
                except OSError:
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()


@contextmanager
def _takes_and_hangs() -> Iterator[int]:
    """Take a mail without TLS, and say nothing to QUIT."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as lines:
                connection.sendall(b"220 here\r\n")
                in_data = False
                for line in lines:
                    if in_data:
                        in_data = line != b".\r\n"
                        if not in_data:
                            connection.sendall(b"250 queued\r\n")
                    elif line.upper().startswith(b"DATA"):
                        in_data = True
                        connection.sendall(b"354 go on\r\n")
                    elif line.upper().startswith(b"QUIT"):
                        over.wait()
                    else:
                        connection.sendall(b"250 OK\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            thread.join()
