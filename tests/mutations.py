"""Faults that a change might bring in, and that tests without a lab must find: `make mutations`.

Each is put into a copy of the tree, where the tests named with it must fail. A fault that they do not find is a promise
that nobody holds. tests/unit/test_mutations.py sees to it that the list keeps to the code.
"""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.steps import TOP
from tests.markdown import table

_MOST_SECS: Final = 180
"""Tests that have not ended by then hang; what is asked for is that one of them fails."""
_NEEDED: Final = ("webmon", "tests", "pyproject.toml")
_FAILED: Final = 1
"""pytest's exit status where tests ran and one failed; others are those of tests that did not run."""


@dataclass(frozen=True)
class Mutation:
    """A fault: `old` stands once in the file, and `new` in its place is wrong."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, tree: Path) -> None:
        """Put it into a tree.

        Raises:
            ValueError: the old text is not there exactly once.
        """
        path = tree / self.file
        text = path.read_text(encoding="utf-8")
        if (times := text.count(self.old)) != 1:
            raise ValueError(f"{self.name}: its old text stands {times} times in {self.file}, right would be once")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


_CONTRACT: Final = ("tests/unit/sink/test_contract.py::TestInMemory",)
_DIMENSIONS: Final = ("tests/unit/sink/test_dimensions.py",)
_INCIDENTS: Final = ("tests/unit/report/test_incidents.py",)
_OUTBOX: Final = "tests/unit/agent/test_outbox.py"
_OUTBOX_FAULTS: Final = "tests/unit/agent/test_outbox_faults.py"
_OUTAGE: Final = ("tests/unit/daemon/test_outage.py",)

MUTATIONS: Final = (
    Mutation(
        "offsets are committed before the batch is stored",
        "webmon/sink/loop.py",
        "                self._in_hand.take(piece)\n",
        "                self._in_hand.take(piece)\n                self._commit(self._consumer, piece)\n",
        _CONTRACT,
    ),
    Mutation(
        "an error of the broker's kind ends the storing of a batch",
        "webmon/sink/loop.py",
        "            except kafka_errors.KafkaError as error:\n                # None is expected here",
        "            except ZeroDivisionError as error:\n                # None is expected here",
        _CONTRACT,
    ),
    Mutation(
        "what the database refuses is dropped",
        "webmon/sink/loop.py",
        "        unreadable += [Unreadable(readable[place].record, reason) for place, reason in stored.refused]\n",
        "",
        _CONTRACT,
    ),
    Mutation(
        "offset + 2",
        "webmon/sink/consumer.py",
        "OffsetAndMetadata(record.offset + 1,",
        "OffsetAndMetadata(record.offset + 2,",
        _CONTRACT,
    ),
    Mutation(
        "the offset of what was stored, not of what comes next",
        "webmon/sink/consumer.py",
        "OffsetAndMetadata(record.offset + 1,",
        "OffsetAndMetadata(record.offset,",
        _CONTRACT,
    ),
    Mutation(
        "an offset goes back",
        "webmon/sink/consumer.py",
        "            if known is None or record.offset >= known.offset:\n",
        "            if known is None or record.offset >= 0:\n",
        _CONTRACT,
    ),
    Mutation(
        "records that come while the sink waits are left out",
        "webmon/sink/consumer.py",
        "                self._client.seek(partition, records[0].offset)\n",
        "                self._client.seek(partition, records[-1].offset + 1)\n",
        _CONTRACT,
    ),
    Mutation(
        "a commit that fails is forgotten",
        "webmon/sink/consumer.py",
        "            self._commit_again_at = self._clock() + 2.0\n",
        "            self._offsets.clear()\n",
        _CONTRACT,
    ),
    Mutation(
        "a target's oldest result is taken for its newest",
        "webmon/sink/dimensions.py",
        "_Span(newest, oldest.time)",
        "_Span(oldest, newest.time)",
        _DIMENSIONS,
    ),
    Mutation(
        "the older of two results is taken for the newer",
        "webmon/sink/dimensions.py",
        "        elif result.time > oldest_newest[1].time:\n",
        "        elif result.time < oldest_newest[1].time:\n",
        _DIMENSIONS,
    ),
    Mutation(
        "a waiting component tells its first cause for ever",
        "webmon/daemon/outage.py",
        "        self.cause = cause\n",
        "        self.cause = self.cause or cause\n",
        _OUTAGE,
    ),
    Mutation(
        "the outbox's commits are not on the platter",
        "webmon/agent/spool.py",
        "PRAGMA synchronous = FULL;",
        "PRAGMA synchronous = OFF;",
        (f"{_OUTBOX}::test_a_commit_is_on_the_platter_before_it_counts_so_that_a_power_cut_loses_none",),
    ),
    Mutation(
        "another row than the committed one is popped",
        "webmon/agent/outbox.py",
        "                    if self._pending and self._pending[0].id == row.id:\n",
        "                    if self._pending:\n",
        (f"{_OUTBOX_FAULTS}::test_a_result_that_came_during_a_commit_is_not_taken_for_one_that_was_committed",),
    ),
    Mutation(
        "what is in flight is published again",
        "webmon/agent/publisher.py",
        "                if row.id not in session.in_flight:\n",
        "                if row.id:\n",
        ("tests/unit/agent/test_publisher.py::test_what_is_in_flight_is_not_sent_again_when_the_outbox_is_read_anew",),
    ),
    Mutation(
        "stretches that touch are two incidents",
        "webmon/report/incidents.py",
        "stretch.began <= until:",
        "stretch.began < until:",
        _INCIDENTS,
    ),
    Mutation(
        "a vantage is silent one moment too soon",
        "webmon/report/downtime.py",
        "silence <= STALE_INTERVALS * interval",
        "silence < STALE_INTERVALS * interval",
        _INCIDENTS,
    ),
)


@dataclass(frozen=True)
class Verdict:
    """What became of a fault, or of the tree without one."""

    name: str
    is_good: bool
    text: str
    secs: float
    output: str


def judge(mutation: Mutation) -> Verdict:
    """Run a fault's tests in a copy of the tree that has it: good where they fail."""
    return _judge(mutation.name, mutation.tests, mutation)


def judge_without(tests: tuple[str, ...]) -> Verdict:
    """Run tests in a copy of the tree as it is: good where they pass, else no failure of theirs says anything."""
    return _judge("(none)", tests, None)


def _judge(name: str, tests: tuple[str, ...], mutation: Mutation | None) -> Verdict:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="webmon-mutation-") as directory:
        tree = Path(directory)
        _copy(tree)
        if mutation is not None:
            mutation.apply(tree)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=short", "-p", "no:cacheprovider", *tests]
        try:
            done = subprocess.run(
                command,
                cwd=tree,
                # The copy's code is what is imported, and nothing that was compiled before.
                env={**os.environ, "PYTHONPATH": directory, "PYTHONDONTWRITEBYTECODE": "1"},
                capture_output=True,
                text=True,
                check=False,
                timeout=_MOST_SECS,
            )
        except subprocess.TimeoutExpired:
            return Verdict(name, is_good=False, text="NO END", secs=_MOST_SECS, output="")
    status, wanted = done.returncode, 0 if mutation is None else _FAILED
    text = {0: "passed" if mutation is None else "SURVIVED", _FAILED: "killed" if mutation else "FAILED"}
    return Verdict(
        name,
        is_good=status == wanted,
        text=text.get(status, f"TESTS DID NOT RUN (pytest: {status})"),
        secs=time.monotonic() - began,
        output=done.stdout + done.stderr,
    )


def _copy(tree: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", *_NEEDED], cwd=TOP, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if (TOP / name).is_file():  # else it was removed, which git does not know yet
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, tree / name)


def main() -> int:
    """Judge all of them; 0 when every fault is found."""
    tests = tuple(dict.fromkeys(itertools.chain.from_iterable(mutation.tests for mutation in MUTATIONS)))
    verdicts = [judge_without(tests)]
    if verdicts[0].is_good:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            verdicts += pool.map(judge, MUTATIONS)
    rows = [[verdict.name, verdict.text, f"{verdict.secs:.1f} s"] for verdict in verdicts]
    print(table(["fault", "its tests", "took"], rows))
    bad = [verdict for verdict in verdicts if not verdict.is_good]
    for verdict in bad:
        print(f"\n{verdict.name}: {verdict.text}\n{verdict.output}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
