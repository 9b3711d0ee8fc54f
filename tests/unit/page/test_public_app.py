"""The public page over HTTP."""

import gzip
import html
import json
import re
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from tests.unit.page import fakes, text_only
from tests.unit.page.faces import Markup, Shown, crawl
from webmon.alarm.match import Match
from webmon.page import statuspage
from webmon.page.file import Entry, Group
from webmon.page.file_model import Show
from webmon.page.snapshot import History, Seen
from webmon.page.texts import LANGUAGES

SECURED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}
KINDS = ("/", "/g/services", "/t/service-001", "/incidents", "/maintenance")


def read_xml(text: str) -> ET.Element:
    """Read what we wrote ourselves."""
    return ET.fromstring(text)  # noqa: S314


@pytest.mark.parametrize("number", [3, 50, 500])
@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("well", "Everything works"),
        ("one down", "All but 1 of {number} work"),
        ("unknown", "Not known: no data since 28 Nov 2026, 12:02 UTC"),
        ("maintenance", "Under maintenance until 28 Nov 2026, 15:02 UTC"),
    ],
)
def test_one_sentence_stands_on_top_and_in_the_title(number: int, state: str, said: str) -> None:
    page = Markup(Shown(fakes.many(number, state)).public().get("/").text)
    wanted = said.format(number=number)
    assert page.text.startswith(f"{wanted} · Example status")
    assert page.text.count(wanted) >= 2


def test_a_target_tells_its_state_by_word_shape_and_the_icon_of_the_tab() -> None:
    visitor = Shown(fakes.many(3, "one down")).public()
    page = visitor.get("/t/service-001").text
    assert Markup(page).text.startswith("Down: service-001 · Example status")
    assert 'href="../icon/down.svg"' in page
    assert '<use href="#down"/>' in page
    assert visitor.get("/icon/down.svg").text.startswith("<svg")
    up = visitor.get("/t/service-002").text
    assert 'href="../icon/up.svg"' in up
    assert '<use href="#up"/>' in up


def test_a_target_is_not_known_at_the_view_where_nothing_newer_came_and_the_etag_says_so() -> None:
    shown = Shown(fakes.many(3))
    visitor = shown.public()
    before = visitor.get("/t/service-001")
    assert visitor.get("/t/service-001", headers={"If-None-Match": before.headers["etag"]}).status_code == 304
    shown.now = fakes.NOW + timedelta(seconds=288)
    after = visitor.get("/t/service-001", headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert "Not known" in after.text
    assert "newer data do not come" in after.text


def test_a_newer_snapshot_is_shown_at_once() -> None:
    shown = Shown(fakes.many(3))
    visitor = shown.public()
    assert "Everything works" in visitor.get("/").text
    shown.look = fakes.look(fakes.many(3, "one down"), number=2)
    assert "All but 1 of 3 work" in visitor.get("/").text


def test_what_page_yml_says_anew_is_shown_at_once() -> None:
    shown = Shown(fakes.many(3))
    visitor = shown.public()
    assert visitor.get("/t/service-001").status_code == 200
    shown.file = fakes.page_file(Group("One", "one", match=Match(("service-002",))))
    assert visitor.get("/t/service-001").status_code == 404
    assert "service-003" not in visitor.get("/").text


@pytest.mark.parametrize("path", [*KINDS, "/feed.atom", "/feed.rss", "/badge/service-001/status.svg", "/api/v1/status"])
def test_each_answer_is_safe_and_sets_no_cookie(path: str) -> None:
    answer = (
        Shown(fakes.many(3)).public().get(path, headers={"X-Forwarded-Host": "evil.example", "Host": "evil.example"})
    )
    assert answer.status_code == 200
    assert answer.headers.items() >= SECURED.items()
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert "set-cookie" not in answer.headers
    assert "evil.example" not in answer.text
    seconds = 86400 if path in KINDS else 300
    assert answer.headers["cache-control"] == f"public, max-age=15, stale-while-revalidate=60, stale-if-error={seconds}"


@pytest.mark.parametrize(
    "path", [*KINDS, "/t/nope", "/%2e%2e/etc/passwd", "/t/" + "a" * 300, "/t/A B", "/incidents/x/y"]
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_it_only_reads(path: str, method: str) -> None:
    assert Shown(fakes.many(3)).public().request(method, path).status_code == 405


@pytest.mark.parametrize("path", ["/t/nope", "/g/nope", "/incidents/nope", "/x", "/t/service-001/", "/t/" + "a" * 3000])
def test_what_is_not_there_is_told_in_the_same_look(path: str) -> None:
    answer = Shown(fakes.many(3)).public().get(path)
    assert answer.status_code == 404
    assert "No such page" in answer.text
    assert answer.headers["cache-control"] == "no-store"
    style = re.search(r'href="((?:\.\./)*static/style[^"]+)"', answer.text)
    assert style
    assert style[1].count("../") == path.count("/") - 1


def test_every_link_of_the_page_leads_somewhere_and_stays_in_its_language() -> None:
    pages = crawl(Shown(fakes.many(3, "one down"), fakes.by_team()).public())
    assert {path.split("?")[0] for path in pages} >= {"/", "/g/shop", "/t/checkout", "/incidents", "/maintenance"}
    for language in LANGUAGES:
        assert f"/t/checkout?lang={language}" in pages
        assert f'lang="{language}"' in pages[f"/t/checkout?lang={language}"]


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("de-AT,de;q=0.9,en;q=0.5", "de"),
        ("fr;q=0.4, es;q=0.8", "es"),
        ("ja", "en"),
        ("", "en"),
        ("*;q=0.1, fr", "fr"),
        ("de;q=0, en;q=0.1", "en"),
        ("de;q=x, " * 400, "en"),
    ],
)
def test_the_language_is_the_visitors(accept: str, language: str) -> None:
    answer = Shown(fakes.many(3)).public().get("/", headers={"Accept-Language": accept})
    assert f'<html lang="{language}">' in answer.text
    assert answer.headers["vary"] == "Accept-Language, Accept-Encoding"


def test_percentages_are_written_as_the_language_has_them() -> None:
    visitor = Shown(fakes.many(3)).public()
    assert "99.98\u202f%" in visitor.get("/?lang=en").text
    assert "99,98\u202f%" in visitor.get("/?lang=de").text


def test_gzip_is_for_those_who_take_it_and_both_have_one_etag() -> None:
    visitor = Shown(fakes.many(50)).public()
    packed = visitor.get("/", headers={"Accept-Encoding": "gzip"})
    plain = visitor.get("/", headers={"Accept-Encoding": "gzip;q=0"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text
    assert packed.headers["etag"] == plain.headers["etag"]
    assert packed.headers["etag"].startswith('W/"')


def test_50_targets_with_90_days_are_20_kib_and_1500_elements_at_most() -> None:
    snapshot = fakes.many(50, "one down")
    for place, target in enumerate(snapshot.targets):
        target.days = fakes.days(seed=place)
    visitor = Shown(snapshot).public()
    page = visitor.get("/").text
    loaded = [
        page,
        *(visitor.get(f"/{path}").text for path in set(re.findall(r'(?:href|src)="(static/[^"]+|icon/[^"]+)"', page))),
    ]
    assert len(loaded) == 4
    assert sum(len(gzip.compress(text.encode(), 6)) for text in loaded) <= 20 * 1024
    assert len(Markup(page).elements) <= 1500


def test_the_script_has_3_kb_at_most() -> None:
    visitor = Shown(fakes.many(3)).public()
    script = re.search(r'src="(static/page[^"]+)"', visitor.get("/").text)
    assert script
    answer = visitor.get(f"/{script[1]}")
    assert len(answer.content) <= 3 * 1024
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_without_page_yml_a_friendly_page_says_what_to_do() -> None:
    shown = Shown(fakes.many(3))
    shown.nothing_public = True
    visitor = shown.public()
    answer = visitor.get("/")
    assert answer.status_code == 200
    assert "Nothing is public yet" in answer.text
    assert "service-001" not in answer.text
    assert visitor.get("/t/service-001").status_code == 404
    assert visitor.get("/api/v1/targets").status_code == 503


def test_a_start_without_any_data_is_never_green() -> None:
    visitor = Shown(None).public()
    answer = visitor.get("/")
    assert answer.status_code == 503
    assert "Not known: no data yet" in answer.text
    assert "icon/unknown.svg" in answer.text
    assert visitor.get("/feed.atom").status_code == 503
    assert visitor.get("/api/v1/status").json() == {"error": "nothing is known yet"}
    badge = visitor.get("/badge/service-001/status.svg")
    assert badge.status_code == 200
    assert "Not known" in badge.text


def test_nothing_is_public_but_what_page_yml_shows() -> None:
    snapshot = fakes.many(3, "one down")
    for target in snapshot.targets:
        target.labels = {"team": "ABC"[int(target.name[-1]) - 1], "secret": "s3cr3t-label"}
        target.url = "https://s3cr3t-url.example/"
        for vantage in target.vantages:
            vantage.name, vantage.error = f"s3cr3t-{vantage.name}", "s3cr3t-error"
            vantage.remote_ip, vantage.answer = "192.0.2.99", "s3cr3t-answer"
    snapshot.targets[0].name = "s3cr3t-name"
    assert snapshot.history
    for episode in snapshot.history.episodes:
        episode.subject = "s3cr3t-name"
        episode.detail = episode.reason = episode.ack_note = episode.ack_by = "s3cr3t-detail"
        for seen in episode.seen:
            seen.vantage, seen.error = "s3cr3t-vantage", "s3cr3t-error"
    named = fakes.page_file(
        Group("All", "all", (Entry("s3cr3t-name", "Checkout", "checkout"),), match=Match(("service-*",)))
    )
    visitor = Shown(snapshot, named).public()
    paths = ["/feed.atom", "/feed.rss", "/badge/checkout/status.svg", "/api/v1/targets", "/api/v1/incidents"]
    paths += [f"/api/v2/{name}.json" for name in statuspage.NAMES]
    texts = [*crawl(visitor).values(), *(visitor.get(path).text for path in paths)]
    assert any("Checkout is down" in text for text in texts)
    for text in texts:
        assert "s3cr3t" not in text
        assert "192.0.2.99" not in text


def test_what_strangers_write_is_text_everywhere() -> None:
    strange = fakes.strange()
    everything: frozenset[Show] = frozenset({"response", "vantages", "certificate", "url", "address", "error"})
    file = fakes.page_file(Group("All", "all", match=Match(("*",)), show=everything))
    faces = [Shown(snapshot, file) for snapshot in (strange, text_only.plain(strange))]
    names = text_only.see_faces(
        (faces[0].public(), faces[1].public()),
        (faces[0].operator(), faces[1].operator()),
    )
    assert names == [target.name for target in strange.targets]


def test_badges_tell_one_fact_each() -> None:
    visitor = Shown(fakes.many(3, "one down")).public()
    assert "Down" in visitor.get("/badge/service-001/status.svg").text
    assert "99.97 %" in visitor.get("/badge/service-002/uptime-30d.svg").text
    assert "118 ms" in visitor.get("/badge/service-002/response-24h.svg").text
    missing = visitor.get("/badge/nope/status.svg")
    assert missing.status_code == 404
    assert missing.headers["content-type"].startswith("image/svg+xml")
    assert visitor.get("/badge/service-002/nope.svg").status_code == 404


def test_a_badge_of_response_times_needs_them_to_be_public() -> None:
    hidden = fakes.page_file(Group("All", "all", match=Match(("*",))))
    visitor = Shown(fakes.many(3), hidden).public()
    assert visitor.get("/badge/service-001/response-24h.svg").status_code == 404
    assert visitor.get("/api/v1/targets/service-001/response").status_code == 404
    assert visitor.get("/badge/service-001/uptime-30d.svg").status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/status", "/api/v2/summary.json", "/badge/service-001/status.svg"])
def test_programs_and_badges_are_for_every_origin(path: str) -> None:
    visitor = Shown(fakes.many(3)).public()
    assert visitor.get(path).headers["access-control-allow-origin"] == "*"
    asked = visitor.options(
        path, headers={"Origin": "https://a.example", "Access-Control-Request-Headers": "if-none-match"}
    )
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-headers"] == "If-None-Match"
    assert "access-control-allow-origin" not in visitor.get("/").headers


def test_feeds_tell_incidents_announcements_and_maintenance() -> None:
    snapshot = fakes.many(3, "one down")
    assert snapshot.history
    snapshot.history.maintenance.append(fakes.maintenance("service-002", begins=86_400))
    snapshot.history.announcements.append(fakes.announcement("Moved", ago=60))
    shown = Shown(snapshot)
    space = {"a": "http://www.w3.org/2005/Atom"}
    feed = read_xml(shown.public(url="https://status.example/x/").get("/feed.atom").text)
    titles = [entry.findtext("a:title", "", space) for entry in feed.findall("a:entry", space)]
    assert titles[:2] == ["New database", "Moved"]
    assert titles[2] == "service-001 is down"
    links = [link.get("href", "") for link in feed.iterfind(".//a:link", space)]
    assert all(link.startswith("https://status.example/x/") for link in links)
    rss = read_xml(shown.public().get("/feed.rss").text)
    assert "service-001 is down" in [item.findtext("title") for item in rss.iterfind(".//item")]
    assert not any("://" in (item.findtext("link") or "") for item in rss.iterfind(".//item"))


@pytest.mark.parametrize("path", ["/feed.atom", "/feed.rss"])
def test_a_feed_is_another_only_where_something_happened_and_nothing_in_it_is_of_the_future(path: str) -> None:
    snapshot = fakes.many(3, "one down")
    assert snapshot.history
    snapshot.history.maintenance.append(fakes.maintenance("service-002", begins=3 * 86_400))
    shown = Shown(snapshot)
    first = shown.public().get(path)
    shown.look = fakes.look(msgspec.structs.replace(snapshot, as_of=fakes.NOW + timedelta(seconds=10)), number=2)
    shown.now += timedelta(seconds=10)
    second = shown.public().get(path)
    assert (second.text, second.headers["etag"]) == (first.text, first.headers["etag"])
    times = [one.text or "" for one in read_xml(first.text).iter() if "updated" in one.tag or "published" in one.tag]
    assert all(time <= "2026-11-28T14:02:10Z" for time in times)
    dates = [one.text or "" for one in read_xml(first.text).iter() if one.tag in ("pubDate", "lastBuildDate")]
    assert all(parsedate_to_datetime(date) <= fakes.NOW for date in dates)
    assert times or dates


def test_what_a_site_said_is_text_also_for_who_takes_a_description_of_rss_as_html() -> None:
    said = 'got <img src="https://evil.example/x.png"> & more'
    history = History(as_of=fakes.NOW, episodes=[fakes.episode(seen=[Seen("oslo", "body_mismatch", said)])])
    file = fakes.page_file(Group("All", "all", match=Match(("*",)), show=frozenset({"error"})))
    visitor = Shown(fakes.snapshot([fakes.target()], history), file).public()
    [description] = [one.text or "" for one in read_xml(visitor.get("/feed.rss").text).iterfind(".//item/description")]
    assert "<" not in description
    assert said in html.unescape(description)
    assert said in visitor.get("/feed.atom").text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


STATUSES = [
    ("well", "none", "operational"),
    ("one down", "major", "major_outage"),
    ("unknown", "minor", "degraded_performance"),
    ("maintenance", "maintenance", "under_maintenance"),
]


@pytest.mark.parametrize(("state", "indicator", "status"), STATUSES)
def test_statuspages_shape_tells_the_same(state: str, indicator: str, status: str) -> None:
    summary = Shown(fakes.many(3, state)).public(url="https://status.example").get("/api/v2/summary.json").json()
    assert summary["status"]["indicator"] == indicator
    components = {one["name"]: one for one in summary["components"]}
    assert components["service-001"]["status"] == status
    assert components["Services"]["components"] == [components[f"service-00{n}"]["id"] for n in (1, 2, 3)]
    assert components["service-001"]["group_id"] == components["Services"]["id"]
    assert summary["page"]["url"] == "https://status.example"
    if state == "one down":
        (incident,) = summary["incidents"]
        assert incident["status"] == "investigating"
        assert incident["incident_updates"][0]["body"].startswith("We are looking into it")
        assert incident["shortlink"] == f"https://status.example/incidents/{incident['id']}"


def test_numbers_of_the_api_are_those_of_the_page() -> None:
    visitor = Shown(fakes.many(3, "one down")).public()
    uptime = visitor.get("/api/v1/targets/service-002/uptime").json()
    assert [span["days"] for span in uptime["spans"]] == [1, 7, 30, 90, 365]
    assert uptime["spans"][1]["uptime"] == 0.9998
    assert len(uptime["days"]) == 90
    response = visitor.get("/api/v1/targets/service-002/response").json()
    assert response["spans"][0]["p95"] == 0.245
    status = visitor.get("/api/v1/status").json()
    assert status["sentence"] == "All but 1 of 3 work"
    assert status["counts"]["down"] == 1
    assert [one["is_open"] for one in visitor.get("/api/v1/incidents").json()] == [True, False, False, False]


def test_an_incident_has_its_timeline() -> None:
    visitor = Shown(fakes.many(3, "one down")).public()
    (number,) = [one["id"] for one in visitor.get("/api/v1/incidents").json() if one["is_open"]]
    page = Markup(visitor.get(f"/incidents/{number}").text).text
    assert (
        page.index("It began to fail")
        < page.index("Confirmed from 3 of 3 vantages")
        < page.index("We are looking into it")
    )


def test_the_snapshot_is_not_changed_by_showing_it() -> None:
    snapshot = fakes.many(3, "one down")
    before = msgspec.json.encode(snapshot)
    visitor = Shown(snapshot).public()
    crawl(visitor)
    assert msgspec.json.encode(snapshot) == before


def resolve(description: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Give a schema with the components it speaks of."""
    return {**schema, "components": description["components"]}


def test_the_openapi_description_holds_what_is_answered() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    visitor = Shown(fakes.many(3, "one down")).public(url="https://status.example/")
    description = visitor.get("/api/openapi.json").json()
    assert description["openapi"] == "3.1.0"
    assert description["servers"] == [{"url": "https://status.example"}]
    number = visitor.get("/api/v1/incidents").json()[0]["id"]
    for path, operations in description["paths"].items():
        for identity, code in ((number if "incidents" in path else "service-001", "200"), ("nope", "404")):
            if code == "404" and "{id}" not in path:
                continue
            answer = visitor.get(path.replace("{id}", identity))
            assert answer.status_code == int(code), path
            schema = operations["get"]["responses"][code]["content"]["application/json"]["schema"]
            jsonschema.Draft202012Validator(resolve(description, schema)).validate(json.loads(answer.text))


def test_where_nothing_works_from_everywhere_nobody_reads_that_all_but_all_work() -> None:
    visitor = Shown(fakes.strange()).public()
    assert Markup(visitor.get("/").text).text.startswith("None of 23 works from everywhere")
    assert visitor.get("/api/v1/status").json()["sentence"] == "None of 23 works from everywhere"
