"""The operator's page over HTTP: what it shows, who may see it, and what can be done on it."""

import base64
import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from tests.unit.page import fakes
from tests.unit.page.faces import VIEW, Markup, Shown, crawl
from webmon.alarm import orders
from webmon.check.result import Outcome
from webmon.errors import UserError
from webmon.page.access import ByHeader, ByPassword, by_certificate, line_for, read_users
from webmon.page.snapshot import Agent, Chart, History, Phases, Point, Target

SITE = {"Sec-Fetch-Site": "same-origin"}


def chart(target: Target, secs: float) -> Chart:
    """Give some hours of two vantages."""
    points = [
        Point(
            fakes.NOW - timedelta(minutes=ago),
            Outcome.TIMEOUT if ago == 30 else Outcome.UP,
            None if ago == 30 else 0.1 + ago / 1000,
            Phases(0.01, 0.02, 0.03, 0.04, 0.005),
        )
        for ago in range(60, 0, -1)
    ]
    errors = [(fakes.NOW - timedelta(minutes=30), "oslo", "timeout", "<b>not done</b>")]
    return Chart(
        since=fakes.NOW - timedelta(seconds=secs),
        until=fakes.NOW,
        vantages={"oslo": points, fakes.HOSTILE[0]: points[:3]},
        errors=errors,
    )


class Kafka:
    """Takes orders, or does not."""

    def __init__(self, trouble: str = "") -> None:
        """Take why not."""
        self.orders: list[Any] = []
        self._trouble = trouble

    def __call__(self, order: orders.Order) -> None:
        """Take one."""
        if self._trouble:
            raise UserError(self._trouble)
        self.orders.append(orders.decode(orders.encode(order)))


def token_of(client: TestClient) -> str:
    found = re.search(r'name="token" value="([0-9a-f]+)"', client.get("/acts/silence").text)
    assert found
    return found[1]


def do(client: TestClient, kind: str, fields: dict[str, str], headers: dict[str, str] | None = None) -> Any:
    data = {"token": token_of(client), "by": "kim", **fields}
    return client.post(f"/acts/{kind}", data=data, headers=SITE if headers is None else headers)


# What it shows --------------------------------------------------------------------------------------------------------


def test_targets_are_sorted_by_urgency_with_what_each_vantage_saw() -> None:
    page = Markup(Shown(fakes.many(50, "one down")).operator().get("/").text)
    assert page.text.index("connecting: Connection refused") < page.text.index("service-002")
    assert "amsterdam connect error" in page.text
    assert "50 of 50" in page.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=SERVICE-00", "9 of 50"),
        ("state=down", "1 of 50"),
        ("state=failing", "1 of 50"),
        ("state=nonsense", "50 of 50"),
        ("label=team=B", "17 of 50"),
        ("label=team", "50 of 50"),
        ("label=team=B&q=service-002", "1 of 50"),
        ("q=refused", "1 of 50"),
        ("q=%00%ff", "0 of 50"),
    ],
)
def test_filters_stand_in_the_address(query: str, found: str) -> None:
    answer = Shown(fakes.many(50, "one down")).operator().get(f"/?{query}")
    assert answer.status_code == 200
    assert found in Markup(answer.text).text


def test_200_targets_stand_on_a_page_and_the_filter_goes_on_with_the_next() -> None:
    operator = Shown(fakes.many(500)).operator()
    first = operator.get("/?state=up").text
    assert first.count('<th scope="row">') == 200
    assert "500 of 500, page 1 of 3" in Markup(first).text
    (next_page,) = [link for link in Markup(first).links() if "page=2" in link]
    assert "state=up" in next_page
    assert "page 3 of 3" in Markup(operator.get("/?page=99999").text).text
    assert "page 1 of 3" in Markup(operator.get("/?page=-1").text).text


def test_a_target_shows_its_last_hours_and_where_vantages_disagree() -> None:
    snapshot = fakes.snapshot([fakes.target("shop", [Outcome.UP, Outcome.TIMEOUT, Outcome.UP])])
    page = Markup(Shown(snapshot).operator(charts=chart).get("/target?name=shop").text)
    assert "the vantages disagree" in page.text
    assert "oslo: 60 checks, 1 failed" in page.text
    assert "<b>not done</b>" in page.text
    assert "certificate" in page.text.lower()


def test_a_database_that_is_away_takes_the_chart_alone() -> None:
    def away(target: Target, secs: float) -> Chart:
        raise UserError("db1:5432: Connection refused")

    answer = Shown(fakes.many(3)).operator(charts=away).get("/target?name=service-001")
    assert answer.status_code == 200
    assert "The database does not give the last hours: db1:5432: Connection refused" in Markup(answer.text).text


def test_trouble_of_the_collector_is_told_with_the_age_of_what_is_shown() -> None:
    shown = Shown(fakes.many(3))
    shown.look = fakes.look(fakes.many(3), trouble="db1:5432: Connection refused", trouble_since=fakes.NOW)
    shown.now = fakes.NOW + timedelta(minutes=3)
    text = Markup(shown.operator().get("/").text).text
    assert "The database can't be read: as of 28 Nov 2026, 14:02 UTC, 3 min ago. db1:5432: Conn" in text


def test_without_a_snapshot_it_says_why() -> None:
    shown = Shown(None)
    shown.look = msgspec.structs.replace(shown.look, trouble="the password is wrong")
    answer = shown.operator().get("/")
    assert answer.status_code == 503
    assert "the password is wrong" in answer.text


def test_every_link_leads_somewhere_and_what_strangers_write_is_text() -> None:
    operator = Shown(fakes.strange()).operator(charts=chart, send=Kafka())
    pages = crawl(operator)
    assert {path.partition("?")[0] for path in pages} >= {
        "/",
        "/target",
        "/episodes",
        "/plans",
        "/fleet",
        "/acts/silence",
    }
    for path, text in pages.items():
        page = Markup(text)
        assert page.wrong == [], path
        assert [tag for tag, _ in page.elements if tag in ("script", "img", "iframe", "object")] == ["script"], path
        for _, attributes in page.elements:
            assert not [name for name in attributes if name.startswith("on") or name == "style"], path
            assert "javascript:" not in str(attributes.get("href", "")).lower(), path


def test_undelivered_messages_and_the_fleet_are_shown() -> None:
    operator = Shown(fakes.many(3, "one down")).operator()
    episodes = Markup(operator.get("/episodes").text).text
    assert "Not delivered" in episodes
    assert "down: service-001" in episodes
    fleet = Markup(operator.get("/fleet").text).text
    assert "amsterdam" in fleet
    assert "8 s ago" in fleet


def test_the_fleet_shows_what_the_judge_sees_of_webmon_itself_and_says_where_nobody_looks() -> None:
    def told(history: History) -> str:
        return Markup(Shown(fakes.snapshot([fakes.target()], history)).operator().get("/fleet").text).text

    letters = fakes.episode(
        "dead letters", "monitor", detail="3 new messages there: `webmon dead-letters list` says why"
    )
    silent = fakes.episode("oslo", "vantage_silent", detail="")
    troubled = told(History(as_of=fakes.NOW, episodes=[letters, silent, fakes.episode("shop")]))
    assert "Monitor: dead letters" in troubled
    assert "3 new messages there" in troubled
    assert "Vantage silent: oslo" in troubled
    assert "Down: shop" not in troubled
    assert "Nothing is wrong" not in troubled
    assert "Nothing is wrong with vantages, Kafka" in told(History(as_of=fakes.NOW))
    assert "No judge writes here" in told(History())


def fleet_page(**changes: Any) -> tuple[Markup, str]:
    """Give the page of the fleet, with changes of it, and its text: cells apart, and a dash for what is not there."""
    snapshot = fakes.snapshot([fakes.target()], fleet=fakes.fleet(**changes))
    page = Markup(Shown(snapshot).operator().get("/fleet").text)
    assert page.wrong == []
    return page, " ".join(" ".join(page.texts).split()).replace("\u2013", "-")


def test_of_each_vantage_outbox_version_and_certificate_are_shown_and_what_is_old_with_its_age() -> None:
    agents = [
        Agent(name="oslo", first_seen=fakes.NOW, said=fakes.said("oslo", waiting=12, version="1.4.0")),
        Agent(name="rome", first_seen=fakes.NOW, said=fakes.said("rome", ago=600, waiting=34, version="1.3.9")),
        Agent(name="ends", first_seen=fakes.NOW, said=fakes.said("x", certificate_ends=VIEW + timedelta(days=9))),
        Agent(name="over", first_seen=fakes.NOW, said=fakes.said("x", certificate_ends=VIEW - timedelta(days=1))),
        Agent(name="password", first_seen=fakes.NOW, said=fakes.said("x", certificate_ends=None)),
        Agent(name="former", first_seen=fakes.NOW),
    ]
    _, text = fleet_page(agents=agents)
    assert "oslo none of the last day 12 0 0 0 1.4.0 24 Sep 2027, 14:02 UTC" in text
    assert "rome none of the last day 34 10 min 5 s ago 0 0 0 1.3.9 24 Sep 2027, 14:02 UTC" in text
    assert "1.4.0 in 9 d 7 Dec 2026, 14:02 UTC" in text
    assert "1.4.0 ended 27 Nov 2026, 14:02 UTC" in text
    assert "password none of the last day 2 0 0 0 1.4.0 -" in text
    assert "former none of the last day - 0 0 0 - -" in text


def test_of_each_sink_lag_version_dead_letters_and_their_newest_reason_are_shown() -> None:
    dead: dict[str, Any] = {
        "dead_letters": 3,
        "dead_letter_at": fakes.NOW - timedelta(hours=2),
        "dead_letter_reason": "not JSON",
    }
    sinks = [
        fakes.sink("sink1", waiting=1234, **dead),
        fakes.sink("sink2", ago=7200, waiting=55),
        fakes.sink("sink3", waiting=None, stored_at=None),
    ]
    _, text = fleet_page(sinks=sinks)
    began = "25 Nov 2026, 14:02 UTC"
    assert f"sink1 9 s ago 1234 10 s ago 3 since {began} not JSON 2 h ago 1.4.0 24 Sep 2027" in text
    # One that stopped is seen by its age, and so is what it said.
    assert f"sink2 2 h ago 55 2 h ago 10 s ago 0 since {began} - 1.4.0" in text
    assert f"sink3 9 s ago not known - 0 since {began} - 1.4.0" in text
    assert "No sink has said anything yet." in fleet_page(sinks=[])[1]


def test_what_agents_and_sinks_say_is_text_that_turns_nothing_around() -> None:
    odd = "</table><script>alert(1)</script>\u202e\x1b[2J"
    shown, text = fleet_page(
        agents=[Agent(name="a", first_seen=fakes.NOW, said=fakes.said("a", version=odd))],
        sinks=[fakes.sink("s", version=odd, dead_letters=1, dead_letter_at=fakes.NOW, dead_letter_reason=odd)],
    )
    assert [tag for tag, _ in shown.elements].count("script") == 1
    assert text.count("</table><script>alert(1)</script> [2J") == 3
    assert not {"\u202e", "\x1b"} & set(text)


def test_a_store_that_has_no_place_for_what_sinks_say_shows_the_rest_and_where_it_stands() -> None:
    _, text = fleet_page(sinks=None, agents=[Agent(name="oslo", first_seen=fakes.NOW)], schema=8)
    assert "oslo none of the last day - 0 0 0 - -" in text
    assert "Sinks" not in text
    assert "Outboxes, consumer lag and versions stand in each component's /metrics" in text


@pytest.mark.parametrize("path", ["/", "/target?name=service-001", "/episodes", "/plans", "/fleet", "/nope"])
def test_nothing_of_it_is_kept_or_framed(path: str) -> None:
    answer = Shown(fakes.many(3)).operator().get(path)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "etag" not in answer.headers


# Who may --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:9466", "localhost:8080", "[::1]:9466", "localhost"])
def test_on_a_loopback_address_it_is_there_under_its_own_names(host: str) -> None:
    assert Shown(fakes.many(3)).operator(host=host).get("/").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:9466", "192.0.2.1:9466"])
def test_another_name_for_our_address_is_refused(host: str) -> None:
    answer = Shown(fakes.many(3)).operator(host=host).get("/")
    assert answer.status_code == 421
    assert "service-001" not in answer.text


def by_header(peer: str) -> TestClient:
    access = ByHeader("X-Forwarded-User", (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")))
    return Shown(fakes.many(3, "one down")).operator(access=access, peer=peer, host="ops.example")


@pytest.mark.parametrize("peer", ["10.1.2.3", "fd00::5", "::ffff:10.1.2.3"])
def test_a_proxy_says_who_it_is(peer: str) -> None:
    answer = by_header(peer).get("/", headers=[(b"X-Forwarded-User", "Zoë".encode())])
    assert answer.status_code == 200
    assert "You are Zoë" in Markup(answer.text).text


@pytest.mark.parametrize("peer", ["192.0.2.1", "127.0.0.1", "fe80::1%eth0", "unix"])
def test_the_header_of_any_other_peer_is_not_believed(peer: str) -> None:
    spoofed = {"X-Forwarded-User": "root", "X-Forwarded-For": "10.1.2.3", "Forwarded": "for=10.1.2.3"}
    answer = by_header(peer).get("/", headers=spoofed)
    assert answer.status_code == 403
    assert "service-001" not in answer.text


@pytest.mark.parametrize("names", [[], [""], ["a", "b"], ["x" * 201]])
def test_a_proxy_that_does_not_say_one_name_is_refused(names: list[str]) -> None:
    headers = [("X-Forwarded-User", name) for name in names]
    assert by_header("10.1.2.3").get("/", headers=headers).status_code == 403


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


def test_a_password_is_asked_for_and_scrypts_hash_of_it_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "operators"
    line = line_for("kim", "correct horse")
    path.write_text(f"# operators\n{line}\n")
    assert "correct horse" not in line
    operator = Shown(fakes.many(3)).operator(access=ByPassword(read_users(path)), host="ops.example")
    asked = operator.get("/")
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"] == 'Basic realm="webmon", charset="UTF-8"'
    for name, password in (("kim", "wrong"), ("nobody", "correct horse"), ("kim", "")):
        assert operator.get("/", headers=basic(name, password)).status_code == 401
    assert operator.get("/", headers={"Authorization": "Basic !!!"}).status_code == 401
    assert operator.get("/", headers={"Authorization": "Bearer x"}).status_code == 401
    for _ in range(2):
        answer = operator.get("/", headers=basic("kim", "correct horse"))
        assert answer.status_code == 200
        assert "You are kim" in Markup(answer.text).text


@pytest.mark.parametrize("text", ["kim:secret\n", "\n", "kim:scrypt$AAAA$BBBB\n"])
def test_a_file_of_passwords_that_is_none_is_told_with_its_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "operators"
    path.write_text(text)
    with pytest.raises(UserError, match="webmon page password") as raised:
        read_users(path)
    assert "secret" not in str(raised.value)


def test_a_certificate_without_a_name_is_nobodys() -> None:
    assert Shown(fakes.many(3)).operator(access=by_certificate, host="ops.example").get("/").status_code == 403


# What can be done -----------------------------------------------------------------------------------------------------


def test_an_episode_is_acknowledged_in_the_name_that_the_proxy_says() -> None:
    kafka, snapshot = Kafka(), fakes.many(3, "one down")
    assert snapshot.history
    number = snapshot.history.episodes[0].id
    access = ByHeader("X-User", (ipaddress.ip_network("10.0.0.0/8"),))
    operator = Shown(snapshot).operator(access=access, peer="10.0.0.1", host="ops.example", send=kafka)
    operator.headers["X-User"] = "alex"
    answer = do(operator, "ack", {"episode": number, "note": "looking", "by": "somebody else"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sent/ack")
    assert kafka.orders == [orders.Ack(episode=number, by="alex", at=int(VIEW.timestamp() * 1000), note="looking")]
    assert "You have it in hand" in Markup(operator.get("/sent/ack").text).text


def test_where_nobody_is_asked_the_form_asks() -> None:
    kafka = Kafka()
    operator = Shown(fakes.many(3)).operator(send=kafka)
    answer = do(operator, "silence", {"match": "api-*", "hours": "2", "reason": "known", "by": ""})
    assert answer.status_code == 422
    assert do(operator, "silence", {"match": "api-*", "hours": "2", "reason": "known"}).status_code == 303
    (order,) = kafka.orders
    assert (order.match, order.by, order.reason) == ("api-*", "kim", "known")
    assert order.until - order.begins == 2 * 3_600_000


def test_maintenance_is_planned_and_ended() -> None:
    kafka, snapshot = Kafka(), fakes.many(3)
    assert snapshot.history
    work = fakes.maintenance("*")
    snapshot.history.maintenance.append(work)
    operator = Shown(snapshot).operator(send=kafka)
    fields = {"match": "team=shop", "begins": "2026-12-01T22:00", "hours": "4", "name": "Disks", "public": "yes"}
    assert do(operator, "maintenance", fields).status_code == 303
    assert do(operator, "end", {"id": work.id}).status_code == 303
    planned, ended = kafka.orders
    assert (planned.name, planned.public, planned.until - planned.begins) == ("Disks", True, 4 * 3_600_000)
    assert (ended.id, ended.until) == (work.id, int(VIEW.timestamp() * 1000))
    assert ended.begins < ended.until


def test_readers_are_told_something_of_an_incident() -> None:
    kafka, snapshot = Kafka(), fakes.many(3, "one down")
    assert snapshot.history
    number = snapshot.history.episodes[0].id
    operator = Shown(snapshot).operator(send=kafka)
    fields = {"title": "Known", "text": "Two\r\nlines", "hours": "", "episode": number}
    assert do(operator, "announcement", fields).status_code == 303
    (order,) = kafka.orders
    assert (order.title, order.text, order.until, order.episode) == ("Known", "Two\nlines", None, number)


def test_a_message_is_sent_again() -> None:
    kafka, snapshot = Kafka(), fakes.many(3, "one down")
    assert snapshot.history
    operator = Shown(snapshot).operator(send=kafka)
    assert do(operator, "resend", {"notice": snapshot.history.notices[0].id}).status_code == 303
    assert kafka.orders[0].notice == snapshot.history.notices[0].id


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("silence", {"match": "", "hours": "1"}, "Say which targets"),
        ("silence", {"match": "x", "hours": "1e9"}, "Choose how long"),
        ("silence", {"match": "x\ny", "hours": "1"}, "One line, without control characters"),
        ("silence", {"match": "x", "hours": "1", "reason": "r" * 1001}, "1000 characters at most"),
        ("maintenance", {"match": "x", "hours": "1", "begins": "yesterday"}, "within a year"),
        ("maintenance", {"match": "x", "hours": "1", "begins": "9999-01-01T00:00"}, "within a year"),
        ("announcement", {"title": " "}, "Say in one line"),
        ("announcement", {"title": "x", "text": "t" * 10_001}, "10,000 characters at most"),
        ("announcement", {"title": "x", "episode": "nope"}, "not there any more"),
        ("ack", {"episode": "nope"}, "nothing to acknowledge"),
        ("resend", {"notice": "nope"}, "was delivered meanwhile"),
        ("end", {"id": "nope"}, "not there any more"),
    ],
)
def test_what_is_wrong_with_a_form_is_told_and_nothing_is_sent(kind: str, fields: dict[str, str], said: str) -> None:
    kafka = Kafka()
    answer = do(Shown(fakes.many(3)).operator(send=kafka), kind, fields)
    assert answer.status_code == 422
    assert said in Markup(answer.text).text
    assert kafka.orders == []


def test_a_form_keeps_what_was_written_when_kafka_is_away() -> None:
    operator = Shown(fakes.many(3)).operator(send=Kafka("kafka1:9093: Connection refused"))
    answer = do(operator, "announcement", {"title": "Known <trouble>", "text": "Some text"})
    assert answer.status_code == 503
    page = Markup(answer.text)
    assert "Nothing was done. Kafka does not take it: kafka1:9093: Connection refused" in page.text
    assert ("input", "Known <trouble>") in [
        (tag, a.get("value")) for tag, a in page.elements if a.get("name") == "title"
    ]
    assert "Some text" in page.text


def test_without_kafka_nobody_can_act_and_no_button_says_otherwise() -> None:
    operator = Shown(fakes.many(3, "one down")).operator()
    assert "Acknowledge" not in operator.get("/").text
    answer = operator.post("/acts/ack", data={}, headers=SITE)
    assert answer.status_code == 503
    assert "KAFKA_HOST is not set" in answer.text


@pytest.mark.parametrize(
    ("headers", "token", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, True, 403),
        ({"Sec-Fetch-Site": "same-site"}, True, 403),
        ({"Sec-Fetch-Site": "none"}, True, 403),
        ({"Origin": "https://evil.example"}, True, 403),
        ({"Origin": "null"}, True, 403),
        ({}, True, 403),
        ({"Origin": "http://127.0.0.1:9466"}, True, 303),
        (SITE, False, 403),
    ],
)
def test_no_other_site_can_act(headers: dict[str, str], token: bool, status: int) -> None:
    kafka = Kafka()
    operator = Shown(fakes.many(3)).operator(send=kafka)
    fields = {"match": "x", "hours": "1"} | ({} if token else {"token": "0" * 64})
    assert do(operator, "silence", fields, headers).status_code == status
    assert len(kafka.orders) == (status == 303)


def test_a_token_is_of_one_operator_and_one_start() -> None:
    access = ByHeader("X-User", (ipaddress.ip_network("10.0.0.0/8"),))
    shown = Shown(fakes.many(3))
    operator = shown.operator(access=access, peer="10.0.0.1", host="ops.example", send=Kafka())
    operator.headers["X-User"] = "alex"
    token = token_of(operator)
    operator.headers["X-User"] = "kim"
    fields = {"match": "x", "hours": "1", "token": token}
    assert operator.post("/acts/silence", data=fields, headers=SITE).status_code == 403
    again = shown.operator(access=access, peer="10.0.0.1", host="ops.example", send=Kafka())
    again.headers["X-User"] = "alex"
    answer = again.post("/acts/silence", data=fields, headers=SITE)
    assert answer.status_code == 403
    assert "from before a restart" in answer.text


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"x" * 70_000, "application/x-www-form-urlencoded", 413),
        (b"{}", "application/json", 415),
        (b"a=%ff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=b" for _ in range(99)), "application/x-www-form-urlencoded", 400),
    ],
)
def test_what_is_no_form_of_ours_is_refused(content: bytes, kind: str, status: int) -> None:
    operator = Shown(fakes.many(3)).operator(send=Kafka())
    answer = operator.post("/acts/silence", content=content, headers={**SITE, "Content-Type": kind})
    assert answer.status_code == status


def test_a_body_without_a_length_ends_where_it_is_too_long() -> None:
    def parts() -> Any:
        for _ in range(10_000):
            yield b"x" * 1000

    operator = Shown(fakes.many(3)).operator(send=Kafka())
    headers = {**SITE, "Content-Type": "application/x-www-form-urlencoded"}
    assert operator.post("/acts/silence", content=parts(), headers=headers).status_code == 413
