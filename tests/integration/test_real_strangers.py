"""What strangers write is text wherever it comes out: from an agent through Kafka and the database to page and reports.

Strangers are sites, whoever names targets, agents that are taken, and people who write on the page. What comes out is
read by parsers, beside the same with plain words: there is no element, attribute, field or header more.
"""

import contextlib
import csv
import io
import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from msgspec.structs import replace

from tests.agent_process import AgentProcess
from tests.integration.stage import Stage, recent
from tests.integration.test_real_alarms_list import episode, notice
from tests.integration.test_real_page import page_settings
from tests.strangers import EVIL, NAMES, sites
from tests.unit.page import text_only
from tests.unit.page.fakes import HOSTILE
from tests.waiting import wait_until
from webmon.agent.outbox import Outbox
from webmon.alarm.conditions import Condition, Severity
from webmon.alarm.match import Match
from webmon.alarm.records import Ack, Announcement, Episode, Maintenance, Notice, Record, Seen, Silence
from webmon.check.result import AgentStatus, CheckResult, Outcome, encode
from webmon.cli import main
from webmon.page.chart import Charts
from webmon.page.collect import Collector
from webmon.page.export import Export
from webmon.page.file import Group, Public
from webmon.page.model import public
from webmon.page.operator_app import operator_app
from webmon.page.operator_site import OperatorSite
from webmon.page.public_app import public_app
from webmon.page.server import Face, Server, bind
from webmon.page.site import PublicSite
from webmon.page.snapshot import Look, Snapshot
from webmon.settings import HostPort

# The contract has no NUL: a message with one is a dead letter.
TEXTS: Final = tuple(text.replace("\0", "") for text in HOSTILE)
TARGETS: Final = {*NAMES, *TEXTS}
FILE: Final = Public(
    EVIL,
    (
        Group(
            EVIL,
            "all",
            match=Match(("*",)),
            show=frozenset({"response", "vantages", "certificate", "url", "address", "error"}),
        ),
    ),
)
REPORTS: Final = (
    ("status",),
    ("uptime", "--since", "1d"),
    ("uptime", "--since", "1d", "--by", "agent"),
    ("incidents", "--since", "1d"),
    ("slowest", "--since", "1d"),
)


def of_a_taken_agent(now: datetime) -> list[CheckResult]:
    """Give results with a stranger's text in each of their texts."""
    found = []
    for number, text in enumerate(TEXTS):
        at = now - timedelta(seconds=5 + number)
        other = TEXTS[(number + 1) % len(TEXTS)]
        one = recent(
            target=text,
            interval=3600.0,  # it is as it was for as long as the tests take
            url=f"https://example.org/{text}",
            labels={text: other, "team": text},
            kind="tcp",
            time=at,
            scheduled_at=at,
            outcome=(Outcome.STATUS_MISMATCH, Outcome.UP, Outcome.SLOW)[number % 3],
            error=f"{text} {EVIL}",
            answer=f"{other} {EVIL}",
            remote_ip="192.0.2.7",
            http_version=text[:50],
            tls_version=text[:50],
            tls_not_after=now + timedelta(days=9),
            agent_status=AgentStatus(version=text[:50], waiting=number, certificate_ends=now + timedelta(days=9)),
        )
        found += [replace(one, agent=agent) for agent in ("oslo", other)]
    return found


def of_people(now: datetime) -> Iterator[Record]:
    """Give what the judge would have written of such targets, and what people wrote."""
    at = round(now.timestamp() * 1000)
    hour = 3_600_000
    for place, text in enumerate(TEXTS):
        over = {"ended": at - hour, "closed": at - hour, "reason": text} if place % 2 else {}
        of_it: Episode = episode(
            text,
            2,
            detail=f"{text} {EVIL}",
            url=f"https://example.org/{text}",
            labels={text: text},
            seen=[Seen(text, text[:50], EVIL)],
            voters=1,
            ack=Ack(by=text, at=at, note=text),
            **over,
        )
        waiting: Notice = notice(of_it, text, "waiting")
        yield from (of_it, waiting)
        span: dict[str, Any] = {"begins": at - hour, "until": at + hour, "by": text, "reason": text}
        yield Silence(id=f"s{place}", match=text, **span)
        yield Maintenance(id=f"m{place}", match=f"nothing {text}", name=text, public=True, **span)
        yield Maintenance(id=f"p{place}", match="*", name=text, public=True, **(span | {"begins": at + hour // 2}))
        told = of_it.id if place % 3 else ""
        yield Announcement(id=f"a{place}", title=text, text=f"{text}\n{EVIL}", begins=at - hour, by=text, episode=told)
    yield episode(EVIL, condition=Condition.MONITOR, severity=Severity.WARNING, detail=EVIL)


@pytest.fixture(scope="module")
def written(services: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Give a stage on whose database all of it is, by the ways that it takes."""
    stage = Stage(services, tmp_path_factory.mktemp("strangers"))
    now = datetime.now(UTC)
    try:
        stage.init()
        workspace = stage.directory / "agent"
        workspace.mkdir()
        outbox = Outbox(workspace / "outbox.sqlite", 100_000_000)
        for result in of_a_taken_agent(now):
            outbox.put(result.target.encode(), encode(result))
        refused = recent(0, target="refused", error="NUL \0")
        outbox.put(EVIL.encode(), encode(refused))
        outbox.put(EVIL.encode(), json.dumps({EVIL: EVIL}).encode())
        outbox.close(30)
        agent = AgentProcess(workspace)
        with contextlib.closing(agent), sites() as targets:
            agent.configure(
                **stage.way_to_kafka(stage.certificate("agent")),
                MONITORING_AGENT_ID="strange",
                MONITORING_TARGETS_PATH="targets.yml",
            )
            (workspace / "targets.yml").write_text(json.dumps({"targets": targets}))
            agent.start()
            stage.start_sink()

            def stored() -> bool:
                of_sites = stage.sql("SELECT DISTINCT target FROM {t_view} WHERE agent = 'strange'")
                of_all = stage.sql("SELECT target FROM {t_targets}")
                silent = stage.sql(
                    "SELECT agent FROM {t_agents} EXCEPT SELECT name FROM {t_fleet} WHERE kind = 'agent'"
                )
                dead = stage.sql("SELECT dead_letter_reason FROM {t_fleet} WHERE dead_letters = 2")
                names = {name for (name,) in of_sites} == set(NAMES) and {name for (name,) in of_all} == TARGETS
                return names and not silent and bool(dead)

            wait_until(stored, lambda: f"all is stored; the agent said:\n{agent.log.read_text()}", 90)
            agent.send(signal.SIGTERM)
            assert agent.wait(30) == 0, agent.log.read_text()
        stage.remember(list(of_people(now)))
        yield stage
    finally:
        stage.remove()


@contextlib.contextmanager
def served(snapshot: Snapshot, charts: Any, now: datetime) -> Iterator[tuple[httpx2.Client, httpx2.Client]]:
    """Serve both faces on real listeners; give a visitor and an operator."""
    look = Look(snapshot=snapshot, number=1)
    public_at, operator_at = (bind(HostPort("127.0.0.1", 0), "PAGE_ADDRESS") for _ in range(2))
    visitors = PublicSite(lambda: look, lambda: FILE, lambda: now)
    operators = OperatorSite(lambda: look, lambda: FILE, lambda: now)
    server = Server(
        [
            Face(public_app(visitors), public_at),
            Face(operator_app(operators, charts=charts, send=lambda _: None), operator_at),
        ]
    )
    server.start()
    try:
        with contextlib.ExitStack() as opened:
            visitor, operator = (
                opened.enter_context(
                    httpx2.Client(base_url=f"http://127.0.0.1:{at.getsockname()[1]}", trust_env=False, timeout=30)
                )
                for at in (public_at, operator_at)
            )
            yield visitor, operator
    finally:
        server.stop()


def test_pages_feeds_badges_and_apis_have_no_element_attribute_or_header_of_a_stranger(
    written: Stage, tmp_path: Path
) -> None:
    collector = Collector(page_settings(written, tmp_path))
    assert collector.refresh(), collector.look.trouble
    collector.stop()
    strange, now = collector.look.snapshot, datetime.now(UTC)
    assert strange is not None
    assert {target.name for target in strange.targets} == TARGETS
    assert strange.history
    assert not strange.history.fault
    simple = text_only.plain(strange)
    charts = Charts(written.settings("report").postgres)
    same = {plain.name: target for plain, target in zip(simple.targets, strange.targets, strict=True)}
    with (
        served(strange, charts, now) as ours,
        served(simple, lambda target, secs: text_only.plain(charts(same[target.name], secs)), now) as theirs,
    ):
        names = text_only.see_faces((ours[0], theirs[0]), (ours[1], theirs[1]))
        assert sorted(names) == sorted(TARGETS)
        # What a site said is there, as text.
        (refusing,) = [target for target in strange.targets if any("554 " in (v.error or "") for v in target.vantages)]
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in ours[1].get("/target", params={"name": refusing.name}).text


def test_the_copy_has_no_element_or_attribute_of_a_stranger_and_no_file_outside(written: Stage, tmp_path: Path) -> None:
    collector = Collector(page_settings(written, tmp_path))
    assert collector.refresh(), collector.look.trouble
    collector.stop()
    snapshot, now = collector.look.snapshot, datetime.now(UTC)
    assert snapshot is not None
    shapes = []
    for name, shown in (("strange", snapshot), ("simple", text_only.plain(snapshot))):
        copy = tmp_path / name / "copy"
        copy.parent.mkdir()
        assert Export(copy, None).write(public(shown, FILE, now))
        assert [path.name for path in copy.parent.iterdir()] == ["copy"]
        files = sorted(path for path in copy.rglob("*") if path.is_file())
        assert sum(path.suffix == ".html" for path in files) > 4 * len(TARGETS)
        for path in files:
            if path.suffix == ".json":
                json.loads(path.read_bytes())
        shapes.append(
            [text_only.html_shape(path.read_text(), str(path)) for path in files if path.suffix == ".html"]
            + [text_only.xml_shape(path.read_text()) for path in files if path.suffix in (".svg", ".atom", ".rss")]
        )
    text_only.same_shape(*shapes)


def asked(stage: Stage, form: str, *arguments: str) -> str:
    """Ask in this process, so that no line's end is changed on the way."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main([*arguments, "--env-file", str(stage.env_file("report")), f"--{form}"]) == 0
    return out.getvalue()


def cell(text: str) -> str:
    """Give a text as a spreadsheet gets it: on one line, and never a formula."""
    flat = "".join(char if char.isprintable() else " " for char in text)
    return f"'{flat}" if flat.lstrip().startswith(("=", "+", "-", "@")) else flat


@pytest.mark.parametrize("arguments", REPORTS, ids=" ".join)
def test_the_csv_of_a_report_has_no_row_field_or_formula_of_a_stranger(
    written: Stage, arguments: tuple[str, ...]
) -> None:
    objects = json.loads(asked(written, "json", *arguments))
    head, *rows = csv.reader(io.StringIO(asked(written, "csv", *arguments), newline=""), strict=True)
    assert objects
    assert head == list(objects[0])
    assert len(rows) == len(objects)
    for row, one in zip(rows, objects, strict=True):
        assert len(row) == len(head)
        assert all(field.isprintable() for field in row)
        # "1d" ago is another moment each time that it is asked.
        said = [(field, one[name]) for field, name in zip(row, head, strict=True) if name not in ("since", "until")]
        texts = [(field, text) for field, text in said if isinstance(text, str)]
        assert [field for field, _ in texts] == [cell(text) for _, text in texts]
    if arguments in REPORTS[:2]:
        assert {one["target"] for one in objects} == TARGETS


def test_the_csv_of_dead_letters_has_no_row_or_field_of_a_stranger(written: Stage) -> None:
    wait_until(lambda: len(written.dead_letters(2)) == 2, "both letters are there")
    objects = json.loads(written.letters("list", "--json").stdout)
    head, *rows = csv.reader(io.StringIO(written.letters("list", "--csv").stdout, newline=""), strict=True)
    assert head == list(objects[0])
    assert [len(row) for row in rows] == [len(head)] * 2
    assert all(field.isprintable() for row in rows for field in row)
