"""Apprise, through its own json:// to our receiver."""

import json
import sys
from contextlib import closing
from dataclasses import replace

import pytest

from tests.receiver import Behaviour, Receiver, hang, status
from tests.sockets import free_port
from webmon.alarm.channels import Apprise
from webmon.alarm.notice import Notice, Seen
from webmon.alarm.senders.apprise import AppriseSender
from webmon.errors import UserError


def url(receiver: Receiver, more: str = "") -> str:
    return f"json://127.0.0.1:{receiver.port}/{more}"


def test_a_message_goes_through_apprise(notice: Notice) -> None:
    with Receiver() as receiver, closing(AppriseSender(Apprise((url(receiver),)), "pager")) as sender:
        answer = sender.send(notice)
    assert (answer.state, answer.said) == ("taken", "taken by JSON")
    body = json.loads(receiver.requests[0].body)
    assert body["title"] == "DOWN shop: timeout (3 of 3 vantages)"
    assert body["type"] == "failure"
    assert "helsinki: timeout" in body["message"]


def test_only_what_failed_is_due_again(notice: Notice) -> None:
    with Receiver(status(500)) as one, Receiver() as two:
        with closing(AppriseSender(Apprise((url(one), url(two))), "pager")) as sender:
            first = sender.send(notice)
            assert first.state == "again"
            assert len(first.left) == 1
            assert sender.send(notice, first.left).state == "taken"
        assert (len(one.requests), len(two.requests)) == (2, 1)


@pytest.mark.parametrize("behaviour", [status(500), status(302, {"Location": "/elsewhere"})])
def test_it_neither_tries_again_by_itself_nor_follows_a_redirect(behaviour: Behaviour, notice: Notice) -> None:
    with Receiver(behaviour) as receiver:
        with closing(AppriseSender(Apprise((url(receiver, "?retry=3"),)), "pager")) as sender:
            assert sender.send(notice).state == "again"
        assert [request.path for request in receiver.requests] == ["/"]


def test_one_that_hangs_is_waited_for_no_longer_than_its_deadline(notice: Notice) -> None:
    with Receiver(hang) as receiver, Receiver() as other:
        way = Apprise((url(receiver), url(other)))
        with closing(AppriseSender(way, "pager", deadline=5)) as sender:
            answer = sender.send(notice)
    assert (answer.state, len(answer.left), len(other.requests)) == ("again", 1, 1)


def test_it_says_why_a_service_did_not_take_it(notice: Notice, capfd: pytest.CaptureFixture[str]) -> None:
    with Receiver(status(404)) as receiver, closing(AppriseSender(Apprise((url(receiver),)), "pager")) as sender:
        answer = sender.send(notice)
    assert (answer.state, "404" in answer.said) == ("again", True), answer.said
    assert capfd.readouterr() == ("", "")  # nothing of it in a log of its own


def test_what_a_site_says_calls_nobody_and_is_no_link(notice: Notice) -> None:
    said = "not HTTP/1: b'@everyone <!channel> [click](http://evil.example/login) *bold*'"
    hostile = replace(notice, target="@here", seen=(Seen("oslo", "protocol_error", said),))
    with Receiver() as receiver, closing(AppriseSender(Apprise((url(receiver),)), "pager")) as sender:
        assert sender.send(hostile).state == "taken"
    body = json.loads(receiver.requests[0].body)
    for part in (body["title"], body["message"]):
        assert not set(part) & set("@<[*")
        assert "evil.example" not in part or "://evil" not in part
    assert "\uff20everyone" in body["message"]
    assert "https://webmon.example.org/alarms/b54adc00" in body["message"]  # ours stays one


def test_an_ending_that_tells_of_what_still_fails_is_no_success(notice: Notice) -> None:
    ended = replace(notice, event="ended", until=notice.since, others=(notice,))
    with Receiver() as receiver, closing(AppriseSender(Apprise((url(receiver),)), "pager")) as sender:
        sender.send(ended)
    assert json.loads(receiver.requests[0].body)["type"] == "failure"


def test_a_token_in_the_place_of_a_host_is_not_told(notice: Notice) -> None:
    with closing(AppriseSender(Apprise(("json://t0ken-t0ken.invalid/",)), "pager")) as sender:
        answer = sender.send(notice)
    assert answer.state == "again"
    assert "t0ken" not in answer.said


def test_what_it_says_holds_no_secret(notice: Notice) -> None:
    way = Apprise((f"json://joe:p4ssword@127.0.0.1:{free_port()}/t0ken-t0ken",))
    with closing(AppriseSender(way, "pager")) as sender:
        answer = sender.send(notice)
    assert answer.state == "again"
    assert "p4ssword" not in answer.said
    assert "t0ken" not in answer.said


def test_a_url_that_it_does_not_know_is_told_without_it() -> None:
    with pytest.raises(UserError, match="channel 'pager': Apprise does not know what URL 2 is") as caught:
        AppriseSender(Apprise(("json://localhost", "nosuch://t0ken")), "pager")
    assert "t0ken" not in str(caught.value)


def test_where_it_is_not_installed_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(UserError, match=r"needs Apprise, which is not installed; right would be webmon\[apprise\]"):
        AppriseSender(Apprise(("json://localhost",)), "pager")
