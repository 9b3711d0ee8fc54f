"""What verify.yml says of all hosts, and when it fails."""

from typing import Any

from tests.unit.filters import load

plugin = load("verify")


def finding(level: str, subject: str, text: str = "x") -> dict[str, str]:
    return {"component": "agent", "level": level, "subject": subject, "text": text}


def test_each_host_is_summed_up_and_what_is_not_well_is_told() -> None:
    found = [finding("ok", "broker"), finding("warning", "clock", "a FAILED word in a text fails nothing")]
    variables: dict[str, dict[str, Any]] = {"a": {"_verify_findings": found}, "b": {"_release_behind": "runs 1"}}
    assert plugin.verify_summary(["a", "b"], variables, ["a", "b"]) == {
        "lines": [
            "a: 1 of 2 well",
            "a agent: warning clock: a FAILED word in a text fails nothing",
            "b: 0 of 0 well",
            "b: warning release: runs 1",
        ],
        "failed": False,
    }


def test_a_finding_that_failed_a_clock_and_a_host_that_was_not_looked_over_fail_it() -> None:
    for variables, looked, line in (
        ({"_verify_findings": [finding("FAILED", "broker")]}, ["a"], "a agent: FAILED broker: x"),
        (
            {"_verify_clock_off": "2.5"},
            ["a"],
            "a: FAILED clock: is 2.5 s off the controller's; set it, and keep it right with NTP",
        ),
        ({}, [], "a: FAILED: not looked over: it did not answer before, or something failed on it: see above"),
        (
            {"_verify_clock": {"rc": 0}, "_verify_first": {"rc": 2, "stderr": "/etc/webmon: no\n", "msg": "non-zero"}},
            [],
            "a: FAILED: not looked over: /etc/webmon: no",
        ),
        (
            {"_verify_clock": {"unreachable": True, "msg": "timed out\x1b[2J"}},
            [],
            "a: FAILED: not looked over: it did not answer (timed out\\x1b[2J)",
        ),
        (
            {"_verify_first": {"rc": 0, "stderr": "", "msg": ""}},
            [],
            "a: FAILED: not looked over: see above why",
        ),
    ):
        told = plugin.verify_summary(["a"], {"a": variables}, looked)
        assert told["failed"]
        assert told["lines"][-1] == line
