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
from webmon.settings import HostPort
from webmon.watch.memory import Memory
from webmon.watch.page import Page, snapshot

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
def served(failing: Memory) -> Iterator[Page]:
    made = Page(failing, HostPort("127.0.0.1", 0))
    made.start()
    yield made
    made.stop()


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


def test_a_snapshot_has_what_was_seen_since_the_start(failing: Memory) -> None:
    seen = snapshot(failing)
    news, shop = seen.targets
    assert (shop.name, shop.vantages[0].outcome, shop.uptime[0].tally.uptime) == ("shop", Outcome.TIMEOUT, 0.0)
    assert (news.uptime[0].tally.up, news.uptime[0].since, news.days[0].tally.down) == (3, failing.began, 0)
    assert (news.responses[0].p50, news.responses[0].most) == (0.11, 0.21)
    assert seen.history is not None
    assert [(one.condition, one.subject, one.is_open) for one in seen.history.episodes] == [("down", "shop", True)]
    assert (seen.fleet.agents[0].targets, seen.fleet.agents[0].failing) == (2, 1)
    assert seen.fleet.newest == failing.now


def test_the_page_shows_it_and_nothing_of_a_site_is_markup(served: Page) -> None:
    status, text = ask(served.url, "/")
    assert status == 200
    assert "All but 1 of 2 work" in text
    assert EVIL not in text
    status, text = ask(served.url, f"/target?name={quote('shop')}")
    assert status == 200
    assert "3 checks, 3 failed" in text


def test_what_is_ordered_on_the_page_is_done_by_the_judge_of_this_process(served: Page, failing: Memory) -> None:
    (episode,) = failing.judge.episodes()
    _, text = ask(served.url, f"/episode/{episode.id}")
    token = re.search(r'name="token" value="([^"]+)"', text)
    assert token is not None
    fields = {"token": token[1], "episode": episode.id, "by": "Ada", "note": "on it"}
    assert ask(served.url, "/acts/ack", fields)[0] == 303
    assert episode.ack is not None
    assert (episode.ack.by, episode.ack.note) == ("Ada", "on it")
    history = snapshot(failing).history
    assert history is not None
    assert history.episodes[0].ack_by == "Ada"


def test_a_silence_of_the_page_keeps_an_alarm_from_being_told() -> None:
    seen = memory("shop")
    silence = orders.Silence(id="s", match="shop", begins=START, until=START + 300 * SECOND, by="Ada")
    seen.order(silence)
    told = [one for at in (1, 11, 21, 31) for one in after(seen, at, Outcome.TIMEOUT).told]
    assert told == []
    history = snapshot(seen).history
    assert history is not None
    assert [one.match for one in history.silences] == ["shop"]
    assert [one.held for one in history.episodes] == ["silence"]


def test_the_command_says_where_its_page_is_and_two_have_one_each(tmp_path: Path) -> None:
    def address(watch: Watch) -> str:
        assert watch.process.stderr is not None
        return watch.process.stderr.readline().decode().strip()

    with HostileServer(page(b"hi")) as server, contextlib.ExitStack() as stack:
        watches = [stack.enter_context(contextlib.closing(Watch(tmp_path, server.url, "--page"))) for _ in range(2)]
        urls = [address(watch) for watch in watches]
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
