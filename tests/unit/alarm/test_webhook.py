"""A webhook: what is posted, and what each thing that a receiver does is taken for."""

import base64
import email.utils
import hashlib
import hmac
import json
import ssl
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from tests.receiver import Behaviour, Receiver, cut, cut_in_body, drip, hang, hang_in_body, status
from tests.sockets import free_port
from webmon.alarm.channels import Webhook
from webmon.alarm.notice import Notice
from webmon.alarm.senders.answer import Answer
from webmon.alarm.senders.webhook import WebhookSender

SECRET = "s3cret-s3cret"


def sent(receiver: Receiver, notice: Notice, secret: str | None = None, **more: object) -> Answer:
    way = Webhook(f"{receiver.url}hook?token=t0ken-t0ken", secret)
    with closing(WebhookSender(way, **{"deadline": 20.0, **more})) as sender:  # type: ignore[arg-type]
        return sender.send(notice)


def test_a_message_is_posted_as_json_under_its_key(notice: Notice) -> None:
    with Receiver() as receiver:
        assert sent(receiver, notice) == Answer("taken", "200 OK: thanks")
    (request,) = receiver.requests
    assert request.path == "/hook?token=t0ken-t0ken"
    assert request.headers["idempotency-key"] == request.headers["webhook-id"] == notice.key
    assert request.headers["content-type"] == "application/json"
    assert "webhook-signature" not in request.headers
    body = json.loads(request.body)
    assert body["subject"] == "DOWN shop: timeout (3 of 3 vantages)"
    assert (body["since"], body["until"], body["duration"]) == ("2026-11-28T14:00:03+00:00", None, None)
    assert body["seen"][2] == {
        "vantage": "riga",
        "outcome": "connect_error",
        "error": "connecting: Connection refused",
    }


def test_what_is_told_with_it_says_by_itself_what_happened(notice: Notice) -> None:
    over = replace(notice, event="over", target="cart", until=notice.since)
    with Receiver() as receiver:
        sent(receiver, replace(notice, others=(over,)))
        [request] = receiver.requests
    body = json.loads(request.body)
    assert [(one["event"], one["target"], one["severity"]) for one in (body, *body["others"])] == [
        ("opened", "shop", "critical"),
        ("over", "cart", "critical"),
    ]


@pytest.mark.parametrize(
    ("secret", "key"),
    [(SECRET, SECRET.encode()), ("whsec_" + base64.b64encode(b"\x00\xffkey").decode(), b"\x00\xffkey")],
)
def test_it_is_signed_with_the_secret(secret: str, key: bytes, notice: Notice) -> None:
    with Receiver() as receiver:
        sent(receiver, notice, secret)
    (request,) = receiver.requests
    stamp = request.headers["webhook-timestamp"]
    assert abs(int(stamp) - time.time()) < 60
    signed = hmac.new(key, f"{notice.key}.{stamp}.".encode() + request.body, hashlib.sha256).digest()
    assert request.headers["webhook-signature"] == f"v1,{base64.b64encode(signed).decode()}"


@pytest.mark.parametrize(
    ("behaviour", "answer"),
    [
        (status(204, body=b""), Answer("taken", "204 No Content")),
        (status(500), Answer("again", "500 Internal Server Error: said")),
        (status(503, {"Retry-After": "7"}), Answer("again", "503 Service Unavailable: said", 7.0)),
        (status(429, {"Retry-After": "120"}), Answer("again", "429 Too Many Requests: said", 120.0)),
        (status(429, {"Retry-After": "9" * 400}), Answer("again", "429 Too Many Requests: said", 86_400.0)),
        (status(429, {"Retry-After": "soon"}), Answer("again", "429 Too Many Requests: said")),
        (status(408), Answer("again", "408 Request Timeout: said")),
        (status(400), Answer("failed", "400 Bad Request: said")),
        (status(404), Answer("failed", "404 Not Found: said")),
        (status(410), Answer("failed", "410 Gone: said")),
    ],
)
def test_what_a_receiver_answers_is_final_or_not(behaviour: Behaviour, answer: Answer, notice: Notice) -> None:
    with Receiver(behaviour) as receiver:
        assert sent(receiver, notice) == answer
    assert len(receiver.requests) == 1


def test_a_date_to_come_back_at_is_kept(notice: Notice) -> None:
    date = email.utils.formatdate(time.time() + 90, usegmt=True)
    with Receiver(status(503, {"Retry-After": date})) as receiver:
        after = sent(receiver, notice).after
    assert after is not None
    assert 30 < after <= 91


@pytest.mark.parametrize(
    "date",
    [
        "Fri, 31 Dec 99999999999999999999 23:59:59 GMT",
        "Fri, 31 Dec 2027 99999999999999999999:59:59 GMT",
        "Fri, 31 Dec 2027 23:59:59 +99999999999999999999",
        "Fri, 31 Dec 9999 23:59:59 -2359",
    ],
)
def test_a_date_that_there_never_is_says_no_more_than_none(date: str, notice: Notice) -> None:
    with Receiver(status(503, {"Retry-After": date})) as receiver:
        answer = sent(receiver, notice)
    assert (answer.state, answer.after in (None, 86_400.0)) == ("again", True)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(code: int, notice: Notice) -> None:
    with Receiver() as other, Receiver(status(code, {"Location": other.url})) as receiver:
        answer = sent(receiver, notice)
    assert answer.state == "failed"
    assert "no redirect is followed" in answer.said
    assert other.requests == []


@pytest.mark.parametrize("behaviour", [hang, drip])
def test_one_deadline_holds_over_all_of_it(behaviour: Behaviour, notice: Notice) -> None:
    with Receiver(behaviour) as receiver:
        begin = time.monotonic()
        answer = sent(receiver, notice, deadline=0.5)
        assert time.monotonic() - begin < 10
    assert answer.state == "again"
    assert "timed out" in answer.said


@pytest.mark.parametrize("behaviour", [cut_in_body, hang_in_body])
def test_what_was_answered_stands_whatever_becomes_of_the_rest(behaviour: Behaviour, notice: Notice) -> None:
    with Receiver(behaviour) as receiver:
        assert sent(receiver, notice, deadline=3.0).state == "taken"


def test_a_connection_that_is_cut_is_tried_again(notice: Notice) -> None:
    with Receiver(cut) as receiver:
        answer = sent(receiver, notice)
    assert answer.state == "again"
    assert answer.said


def test_nobody_there_is_tried_again_and_told_without_the_url(notice: Notice) -> None:
    with closing(WebhookSender(Webhook(f"http://127.0.0.1:{free_port()}/t0ken-t0ken"))) as sender:
        answer = sender.send(notice)
    assert answer.state == "again"
    assert "t0ken" not in answer.said


def test_a_secret_that_a_receiver_sends_back_is_not_told(notice: Notice) -> None:
    told = f"no {SECRET} and t0ken-t0ken\x1b[31m".encode()
    with Receiver(status(400, body=told)) as receiver:
        answer = sent(receiver, notice, SECRET)
    assert "s3cret" not in answer.said
    assert "t0ken" not in answer.said
    assert answer.said.isprintable()


@pytest.mark.parametrize(
    ("before", "behind", "said"),
    [
        ("t0ken-t0ken@", "", "t0ken-t0ken"),
        ("u:p4ss@", "", "p4ss"),
        ("", "hook?t0ken-t0ken", "t0ken-t0ken"),
        ("", "hook?a=b;token=t0ken-t0ken", "t0ken-t0ken"),
        ("", "hook#t0ken-t0ken", "t0ken-t0ken"),
        ("", "t0ken%2Dt0ken", "t0ken-t0ken"),
        ("", "?key=abcd/efgh/ijkl12/mn", "abcd/efgh/ijkl12/mn"),
    ],
)
def test_a_secret_is_not_told_wherever_in_the_url_it_stands(
    before: str, behind: str, said: str, notice: Notice
) -> None:
    with Receiver(status(400, body=f"nobody is let in by {said}".encode())) as receiver:
        url = f"http://{before}127.0.0.1:{receiver.port}/{behind}"
        with closing(WebhookSender(Webhook(url))) as sender:
            assert sender.send(notice).said == "400 Bad Request: nobody is let in by ***"


def test_a_signing_key_is_not_told_without_its_prefix_either(notice: Notice) -> None:
    with Receiver(status(400, body=b"no MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")) as receiver:
        assert sent(receiver, notice, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").said == "400 Bad Request: no ***"


def test_a_certificate_that_can_not_be_verified_is_sent_nothing(tmp_path: Path, notice: Notice) -> None:
    authority, ours = trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ours))
    with Receiver(tls=_server(authority)) as receiver:
        answer = sent(receiver, notice)
        assert (answer.state, receiver.requests) == ("again", [])
        assert "certificate" in answer.said
        assert sent(receiver, notice, authority=ours).state == "taken"


def test_a_connection_is_kept_between_messages(notice: Notice) -> None:
    with Receiver() as receiver, closing(WebhookSender(Webhook(receiver.url))) as sender:
        assert [sender.send(notice).state for _ in range(3)] == ["taken"] * 3
    assert len(receiver.requests) == 3


def _server(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context
