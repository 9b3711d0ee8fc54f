"""A world: tables of their own that begin empty, batch after batch through them, and what they say at the end."""

import contextlib
import io
import json
import logging
import re
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz_store import model
from tests.fuzz_store.messages import Again, Message, batches
from tests.fuzz_store.topic import Letters, Rows, Topic
from tests.integration.stage import Stage
from webmon.check.result import CheckResult
from webmon.cli import main
from webmon.sink.loop import Loop, StoppedError
from webmon.sink.rollups import Rollups
from webmon.sink.state import State
from webmon.sink.writer import Writer

STUCK_SECS: Final = 30.0
"""After so long a batch is stuck, also on a machine that has much else to do."""
_SHOWN: Final = 3000
"""Characters of a finding."""
_SPANS: Final = (timedelta(days=367), timedelta(days=10, hours=7), timedelta(hours=5))
"""Of reports: all there is, part of a day at the beginning, hours alone."""
_AT_ONCE: Final = 20
"""Batches that one seed makes."""
_CONTROLS: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_EMPTY: Final = (
    "TRUNCATE {t}, {t_errors}, {t_targets}, {t_target_history}, {t_agents}, {t_series}, {t_contexts}",
    "TRUNCATE {t_marks}, {t_hourly}, {t_daily}",
)


class World:
    """One run through empty tables; the same seed and number make the same messages, by the time at which it begins."""

    def __init__(self, stage: Stage, base: int, number: int) -> None:
        """Empty the tables."""
        self._stage, self._base, self._number = stage, base, number
        for statement in _EMPTY:
            stage.sql(statement)
        self.findings: list[str] = []
        self.fates: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self._now = datetime.now(UTC)
        self._history: list[Message] = []
        self._candidates: defaultdict[model.Key, list[CheckResult]] = defaultdict(list)
        self._topic, self._letters, self._stop = Topic(), Letters(), threading.Event()
        postgres = stage.settings("sink").postgres
        self._writer = Writer(postgres)
        self._rows = Rows(self._writer)
        self._rollups = Rollups(postgres, pass_secs=0.2)
        kafka = stage.settings("sink").kafka
        self._loop = Loop(
            kafka, State(), join=lambda _: self._topic, rows=self._rows, letters=self._letters, stop=self._stop,
            look=lambda *_, **__: None,
        )  # fmt: skip

    def run(self, count: int) -> None:
        """Take so many batches through it, and hold what is stored, rolled up and reported to the model."""
        with _logged(self.findings):
            self._loop.start()
            self._rollups.start()
            try:
                for first in range(0, count, _AT_ONCE):
                    self._take(first, min(_AT_ONCE, count - first))
                if not self.findings:
                    self._compare()
            except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
                self.findings.append(traceback.format_exc())
            finally:
                self._rollups.stop(20)
                self._writer.close()

    def _take(self, first: int, count: int) -> None:
        @seed(self._base * 1_000_003 + self._number * 10_007 + first)
        @settings(
            max_examples=count, phases=[Phase.generate], database=None, deadline=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(batches(self._now))
        def each(batch: list[Message | Again]) -> None:
            # What raised here would be tried again, on tables that have changed.
            if not self.findings:
                self._put(batch)

        each()

    def _put(self, batch: Sequence[Message | Again]) -> None:
        messages: list[Message] = []
        for one in batch:
            if isinstance(one, Message):
                messages.append(one)
            elif self._history:
                # Again is the bytes alone: what was taken must be a repeat, whatever it is told of the schema.
                messages.append(self._history[-1 - one.back % len(self._history)])
        if not messages:
            return
        self._history += messages
        self._topic.put(messages, int(datetime.now(UTC).timestamp() * 1000))
        records = list(self._topic.next)
        self._rows.asked, self._rows.stored = [], []
        before, began = self._topic.committed, time.monotonic()
        timer = threading.Timer(STUCK_SECS, self._stop.set)
        timer.start()
        try:
            self._loop.step()
        except StoppedError:
            self.findings.append(f"a batch is stuck: {[message.value for message in messages]!r:.3000}")
        except Exception:  # noqa: BLE001 - as above
            self.findings.append(f"{traceback.format_exc()}\nof: {[m.value for m in messages]!r:.3000}")
        finally:
            timer.cancel()
        self.fates["slowest batch, ms"] = max(self.fates["slowest batch, ms"], round(1000 * (time.monotonic() - began)))
        if not self.findings:
            self._judge(messages, records, self._topic.committed - before)

    def _judge(self, messages: Sequence[Message], records: Sequence[Any], committed: int) -> None:
        """See that each message of a batch is a row, a repeat or a dead letter."""
        dead = {letter.record.offset: letter.reason for letter in self._letters.sent}
        self._letters.sent.clear()
        refused = {place for stored in self._rows.stored for place, _ in stored.refused}
        taken = [result for place, result in enumerate(self._rows.asked) if place not in refused]
        new = {(r.target, r.agent, r.time) for r in taken} - self._candidates.keys()
        for result in taken:
            self._candidates[result.target, result.agent, result.time].append(result)
        added = sum(stored.added for stored in self._rows.stored)
        if len(dead) + len(taken) != len(messages) or committed != len(messages):
            self._find(f"of {len(messages)} messages {len(taken)} stored, {len(dead)} dead, {committed} committed")
        if added != len(new):
            self._find(f"{added} rows were added of {len(new)} new results")
        for message, record in zip(messages, records, strict=True):
            reason = dead.get(record.offset)
            if reason is not None and (message.must or "bug in webmon" in reason or "\n" in reason or not reason):
                self._find(f"a dead letter: {reason!r}: {message!r:.3000}")
        self.fates.update(messages=len(messages), rows=added, repeats=len(taken) - added)
        self.fates["dead letters"] += len(dead)
        self.reasons.update(re.sub(r"[0-9'`\"].*", "", reason)[:40] for reason in dead.values())

    def _find(self, finding: str) -> None:
        # What is long is mostly one character.
        self.findings.append(re.sub(r"(\\?.)\1{40,}", r"\1...", finding)[:_SHOWN])

    # ------------------------------------------------------------ at the end

    def _compare(self) -> None:
        stored = self._see_rows()
        # First with what is marked read from the rows, then with all rolled up that is.
        self._see_reports(stored, _SPANS[:1])
        deadline = time.monotonic() + 60
        hour = model.by_hour(datetime.now(UTC))
        while not self.findings and self._stage.sql("SELECT 1 FROM {t_marks} WHERE hour < %s LIMIT 1", hour):
            if time.monotonic() > deadline:
                self._find(f"rollups do not come to an end: {self._rollups.fault}")
            time.sleep(0.05)
        if self._rollups.fault:
            self._find(f"rollups: {self._rollups.fault}")
        self._see_rollups(stored)
        self._see_reports(stored, _SPANS)
        self._see_texts()

    def _see_rows(self) -> list[CheckResult]:
        """See that there is a row of each that was taken; give what the rows are of."""
        rows = {(target, agent, moment): rest for target, agent, moment, *rest in self._stage.sql(model.ROWS)}
        if rows.keys() != self._candidates.keys():
            self._find(f"rows that are missing or more: {rows.keys() ^ self._candidates.keys()!r:.2000}")
        stored = []
        for key in rows.keys() & self._candidates.keys():
            # Of several with one key it is the first that came.
            first = self._candidates[key][0]
            if model.is_row(rows[key], first):
                stored.append(first)
            else:
                self._find(f"the row {rows[key]!r} is not {first!r}")
        return stored

    def _see_rollups(self, stored: Sequence[CheckResult]) -> None:
        for view, bucket, of in (
            ("hours", "hour", model.by_hour),
            ("days", "day", lambda moment: moment.astimezone(UTC).date()),
        ):
            wanted = model.rollups(stored, of)
            rows = self._stage.sql(model.ROLLUP.format(view=view, bucket=bucket))
            had = {tuple(row[:3]): tuple(row[3:]) for row in rows}
            if had.keys() != wanted.keys() or len(had) != len(rows):
                self._find(f"{view} that are missing or more: {had.keys() ^ wanted.keys()!r:.2000}")
            for key in had.keys() & wanted.keys():
                if not all(
                    model.is_near(one, other) if isinstance(other, float) else one == other
                    for one, other in zip(had[key], wanted[key], strict=True)
                ):
                    self._find(f"the rollup of {key}: {had[key]}, not {wanted[key]}")

    def _see_reports(self, stored: Sequence[CheckResult], spans: Sequence[timedelta]) -> None:
        until = model.by_hour(self._now)
        described = self._see_status(stored)
        for since in (until - span for span in spans):
            results = [result for result in stored if since <= result.time < until]
            self._see_uptime(stored, results, since, until, described)
            self._see_slowest(results, since, until)
        self._see_incidents(stored)

    def _see_texts(self) -> None:
        """See that nothing that came steers a terminal."""
        for command in (["status"], ["uptime", "--by", "label=team"], ["slowest"], ["incidents", "--since", "367d"]):
            for form in ([], ["--csv"]):
                text = self._ask(*command, *form)
                # A cell of CSV may have a line end within its quotes.
                if found := _CONTROLS.search(text.replace("\r\n", "\n")):
                    self._find(f"{command} {form} prints {found[0]!r}: {text[max(0, found.start() - 80) :][:160]!r}")

    def _ask(self, *arguments: str) -> str:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            ended = main([*arguments, "--env-file", str(self._stage.env_file("report"))])
        if ended != 0:
            self._find(f"{arguments} ended with {ended}: {err.getvalue()}")
        return out.getvalue()

    def _answers(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self._ask(*arguments, "--json") or "[]")
        return found

    def _see_uptime(
        self,
        stored: Sequence[CheckResult],
        results: Sequence[CheckResult],
        since: datetime,
        until: datetime,
        labels: dict[str, dict[str, str]],
    ) -> None:
        names: dict[str, Any] = {
            "target": lambda result: result.target,
            "agent": lambda result: result.agent,
            "label": lambda result: labels[result.target].get("team"),
        }
        for by, name in names.items():
            span = ["--since", since.isoformat(), "--until", until.isoformat(), "--by", by.replace("bel", "bel=team")]
            had = {line[by]: line for line in self._answers("uptime", *span)}
            wanted = model.groups(results, name)
            if had.keys() != {name(result) for result in stored}:
                self._find(f"uptime {span}: {had.keys()} are not the groups")
            for group, line in had.items():
                ours = model.uptime(wanted.get(group, []), stored, since, until)
                if not all(model.is_near(line[what], value) for what, value in ours.items()):
                    self._find(f"uptime {span} of {group!r}: {line}, not {ours}")

    def _see_slowest(self, results: Sequence[CheckResult], since: datetime, until: datetime) -> None:
        span = ["--since", since.isoformat(), "--until", until.isoformat()]
        had = {line["target"]: line for line in self._answers("slowest", *span, "--limit", "100000")}
        wanted = {
            name: ours
            for name, of in model.groups(results, lambda result: result.target).items()
            if (ours := model.slowest(of)) is not None
        }
        if had.keys() != wanted.keys():
            self._find(f"slowest {span}: {had.keys()}, not {wanted.keys()}")
        for name in had.keys() & wanted.keys():
            for what, value in wanted[name].items():
                if value is not None and not model.is_near(had[name][what], value, 0.0501 if "_p" in what else 1e-5):
                    self._find(f"slowest {span} of {name!r}: {what} is {had[name][what]}, not {value}")

    def _of_the_past(self, stored: Sequence[CheckResult]) -> Iterator[tuple[str, list[CheckResult]]]:
        """Give the results of each target that has none which is ahead: of those the answer changes as time goes on."""
        for target, results in model.groups(stored, lambda result: result.target).items():
            if all(result.time < self._now for result in results):
                yield str(target), results

    def _see_status(self, stored: Sequence[CheckResult]) -> dict[str, dict[str, str]]:
        """Give the labels of each target."""
        before = datetime.now(UTC)
        had = {line["target"]: line for line in self._answers("status")}
        after = datetime.now(UTC) + timedelta(seconds=1)
        if had.keys() != {result.target for result in stored}:
            self._find(f"status has {had.keys() ^ {result.target for result in stored}} missing or more")
        for target, results in self._of_the_past(stored):
            line, wanted = had[target], model.status(results, before)
            taken = [one for r in results for one in self._candidates[r.target, r.agent, r.time]]
            if (line["url"], line["labels"]) not in model.descriptions(taken):
                self._find(f"status of {target!r}: {line['url']!r} {line['labels']} is none of the newest")
            seen = {vantage["agent"]: vantage for vantage in line["vantages"]}
            if seen.keys() != wanted["vantages"].keys():
                self._find(f"status of {target!r}: vantages {line['vantages']}, not {wanted['vantages']}")
            for agent in seen.keys() & wanted["vantages"].keys():
                result, one = wanted["vantages"][agent], seen[agent]
                told = (
                    datetime.fromisoformat(one["time"]),
                    *(one[n] for n in ("outcome", "http_status", "answer", "error")),
                )
                if told != (result.time, result.outcome.value, result.http_status, result.answer, result.error):
                    self._find(f"status of {target!r} by {agent!r}: {one}, not {result}")
                if not model.is_near(one["response_time"], model.real(result.response_time)):
                    self._find(f"status of {target!r} by {agent!r}: {one}, not {result}")
            if wanted["state"] == model.status(results, after)["state"] != line["state"]:
                self._find(f"status of {target!r}: {line}, not {wanted}")
        return {target: line["labels"] for target, line in had.items()}

    def _see_incidents(self, stored: Sequence[CheckResult]) -> None:
        before = datetime.now(UTC)
        lines = self._answers("incidents", "--since", "367d")
        after = datetime.now(UTC) + timedelta(seconds=1)
        had = {(line["target"], datetime.fromisoformat(line["began"])): line for line in lines}
        for target, results in self._of_the_past(stored):
            wanted, later = model.incidents(results, before), model.incidents(results, after)
            ours = {key: line for key, line in had.items() if key[0] == target}
            if [(i["began"], i["states"]) for i in wanted] != [(i["began"], i["states"]) for i in later]:
                continue  # one of them became silent just now
            if ours.keys() != {(target, incident["began"]) for incident in wanted}:
                self._find(f"incidents of {target!r}: {list(ours.values())}, not {wanted}")
                continue
            for incident in wanted:
                line = ours[target, incident["began"]]
                told = {name: line[name] for name in ("vantages", "outcomes", "watching")}
                is_right = (
                    told == {name: incident[name] for name in told}
                    and line["state"] in incident["states"]
                    and line["error"] in incident["errors"]
                    and datetime.fromisoformat(line["last_failure"]) == incident["last_failure"]
                    and (line["state"] != "ended" or datetime.fromisoformat(line["ended"]) == incident["until"])
                )
                if not is_right:
                    self._find(f"incident of {target!r}: {line}, not {incident}")


@contextlib.contextmanager
def _logged(findings: list[str]) -> Iterator[None]:
    """Take what is logged where nothing should be amiss; a dead letter is told, and that is all."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not record.getMessage().startswith("dead letter") and "more dead letters" not in record.getMessage():
                findings.append(f"logged: {logging.Formatter().format(record)}")

    logger, handler = logging.getLogger("webmon"), Handler(logging.WARNING)
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
