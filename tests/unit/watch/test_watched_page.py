"""The operators' page of what was seen since the start, with sites that a test is."""

import contextlib
import http.client
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import pytest

from tests.hostile import HostileServer, page
from tests.unit.alarm.world import SECOND, START
from tests.unit.watch.test_memory import after, memory
from tests.unit.watch.test_watch import Watch
from webmon.alarm import orders
from webmon.check.result import Outcome
from webmon.page.snapshot import History
from webmon.watch.memory import Memory
from webmon.watch.run import serve

EVIL = '<script>alert(1)</script>"'


@pytest.fixture
def failing() -> Memory:
    """Two targets, of which one failed as often as an alarm wants it."""
    seen = memory("shop", "news")
    for at in (1, 11, 21):
        after(seen, at, Outcome.TIMEOUT, "shop", error=f"no answer {EVIL}")
        after(seen, at + 1, Outcome.UP, "news", response_time=0.01 * at)
    return seen


@pytest.fixture
def address(failing: Memory) -> Iterator[str]:
    """Where its page is."""
    server, url = serve(failing)
    yield url
    server.stop()


def ask(url: str, path: str, fields: dict[str, str] | None = None) -> tuple[int, str]:
    """Ask for a page, or send a form as a browser does that has it from there."""
    place = urlsplit(url).netloc
    with contextlib.closing(http.client.HTTPConnection(place, timeout=30)) as client:
        if fields is None:
            client.request("GET", path)
        else:
            kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{place}"}
            client.request("POST", path, urlencode(fields), kind)
        answer = client.getresponse()
        return answer.status, answer.read().decode()


def history(seen: Memory) -> History:
    snapshot = seen.look().snapshot
    assert snapshot is not None
    assert snapshot.history is not None
    return snapshot.history


def test_a_snapshot_has_what_was_seen_since_the_start(failing: Memory) -> None:
    seen = failing.look().snapshot
    assert seen is not None
    news, shop = seen.targets
    assert (shop.name, shop.vantages[0].outcome, shop.uptime[0].tally.uptime) == ("shop", Outcome.TIMEOUT, 0.0)
    assert (news.uptime[0].tally.up, news.uptime[0].since, news.days[0].tally.down) == (3, failing.began, 0)
    (points,) = failing.chart(news, 3600).vantages.values()
    assert [point.response for point in points] == [0.01, 0.11, 0.21]
    assert [(one.condition, one.subject, one.is_open) for one in history(failing).episodes] == [("down", "shop", True)]


def test_the_page_shows_it_and_nothing_of_a_site_is_markup(address: str) -> None:
    status, text = ask(address, "/")
    assert status == 200
    assert "All but 1 of 2 work" in text
    assert EVIL not in text
    status, text = ask(address, f"/target?name={quote('shop')}")
    assert status == 200
    assert "3 checks, 3 failed" in text


def test_what_is_ordered_on_the_page_is_done_by_the_judge_of_this_process(address: str, failing: Memory) -> None:
    (episode,) = failing.judge.episodes()
    _, text = ask(address, f"/episode/{episode.id}")
    token = re.search(r'name="token" value="([^"]+)"', text)
    assert token is not None
    fields = {"token": token[1], "episode": episode.id, "by": "Ada", "note": "on it"}
    assert ask(address, "/acts/ack", fields)[0] == 303
    assert episode.ack is not None
    assert (episode.ack.by, episode.ack.note) == ("Ada", "on it")
    assert history(failing).episodes[0].ack_by == "Ada"


def test_a_silence_of_the_page_keeps_an_alarm_from_being_told() -> None:
    seen = memory("shop")
    silence = orders.Silence(id="s", match="shop", begins=START, until=START + 300 * SECOND, by="Ada")
    seen.order(silence)
    told = [one for at in (1, 11, 21, 31) for one in after(seen, at, Outcome.TIMEOUT).told]
    assert told == []
    assert [one.match for one in history(seen).silences] == ["shop"]
    assert [one.held for one in history(seen).episodes] == ["silence"]


def test_the_command_says_where_its_page_is_and_two_have_one_each(tmp_path: Path) -> None:
    def told(watch: Watch) -> str:
        assert watch.process.stderr is not None
        return watch.process.stderr.readline().decode().strip()

    with HostileServer(page(b"hi")) as server, contextlib.ExitStack() as stack:
        watches = [stack.enter_context(contextlib.closing(Watch(tmp_path, server.url, "--page"))) for _ in range(2)]
        urls = [told(watch) for watch in watches]
        assert len({*urls}) == 2
        for watch, url in zip(watches, urls, strict=True):
            watch.shows(r" up ")
            assert url.startswith("http://127.0.0.1:")
            assert server.url in ask(url, "/")[1]
            assert watch.end() == 0


def test_a_terminal_shows_where_the_page_is(tmp_path: Path) -> None:
    with (
        HostileServer(page(b"hi")) as server,
        contextlib.closing(Watch(tmp_path, server.url, "--page", columns=80)) as watch,
    ):
        watch.shows(r"1 target: 1 up; .*\r\n(http://127\.0\.0\.1:\d+/)\033\[K")
        assert watch.end() == 0
