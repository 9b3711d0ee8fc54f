"""What upgrade.yml and rollback.yml say of a host that does not work with a release."""

from typing import Any

from tests.unit.filters import load

trouble = load("release").release_trouble
GATE: dict[str, Any] = {
    "rc": 1,
    "stdout_lines": ["restarted webmon-sink.service", "webmon-sink.service is not up: failed"],
    "stderr_lines": [],
}
WELL: dict[str, Any] = {"rc": 0, "stdout_lines": ["restarted webmon-sink.service", "webmon-sink.service works: x"]}


def test_a_host_that_is_back_is_told_with_what_failed_and_that_it_works_again() -> None:
    assert trouble("sink1", "0.2", {"skipped": True}, GATE, back="0.1", gate_back=WELL) == {
        "lines": [
            "sink1 does not work with release 0.2:",
            "webmon-sink.service is not up: failed",
            "With release 0.1 again:",
            "webmon-sink.service works: x",
        ],
        "end": "sink1 does not work with release 0.2: what it said is above. It is back on 0.1, and works. "
        "The hosts whose turn had not come are as they were.",
    }


def test_a_host_that_works_with_neither_is_told_so() -> None:
    assert (
        "back on 0.1, and does not work with that either."
        in trouble("a", "0.2", {}, GATE, back="0.1", gate_back=GATE)["end"]
    )


def test_where_init_failed_its_words_are_told_and_that_the_schema_stays() -> None:
    init = {"rc": 1, "stderr_lines": ["no right"], "stdout": "created topic a\nchanged  schema 0009\n"}
    told = trouble("db1", "0.2", init, {"skipped": True}, back="0.1", gate_back=WELL)
    assert told["lines"][1] == "no right"
    assert told["lines"][-1] == "The database keeps its new schema, which the init of that release refuses."


def test_a_host_that_this_run_did_not_change_stays() -> None:
    told = trouble("a", "0.2", {}, GATE | {"stderr_lines": ["Traceback"]})
    assert told["lines"] == ["a does not work with release 0.2:", "webmon-sink.service is not up: failed", "Traceback"]
    assert "so it stays; playbooks/rollback.yml goes back." in told["end"]
