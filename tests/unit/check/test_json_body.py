"""expect.json: what a body of JSON must hold, whatever a stranger sends in its place."""

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import HostileServer, page
from webmon.check import json_body
from webmon.check.json_body import JsonRule
from webmon.check.jsonpath import JsonPathError, compile_path
from webmon.check.pattern import compile_pattern
from webmon.check.probe import Probe, utc_now
from webmon.check.resolver import resolve_here
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Target
from webmon.check.verdict import Expectations

HEALTH = b"""{"status": "ok", "load": 0.5, "count": 3, "ready": true, "error": null, "empty": {}, "list": [1, "two"],
"parts": [{"name": "db", "state": "ok", "age": 9}, {"name": "queue", "state": "bad", "age": 70}]}"""


def rule(path: str, matches: str | None = None, **more: Any) -> JsonRule:
    return JsonRule(compile_path(path), matches=compile_pattern(matches) if matches else None, **more)


def fault(asked: JsonRule, body: bytes = HEALTH) -> str | None:
    return json_body.fault((asked,), body, is_cut=False)


@pytest.fixture(scope="module")
def probe() -> Iterator[Probe]:
    made = Probe(agent="here", resolve=resolve_here)
    yield made
    made.close()


def check(probe: Probe, body: bytes, *rules: JsonRule, **more: Any) -> CheckResult:
    expect = Expectations(json=rules, **more.pop("expect", {}))
    with HostileServer(page(body)) as server:
        settings: dict[str, Any] = {"name": "t", "url": server.url, "interval": 60, "timeout": 30}
        return probe.check(Target(**(settings | more), expect=expect), utc_now())


@pytest.mark.parametrize(
    "asked",
    [
        rule("$.status", equals="ok"),
        rule("$.status", "^o"),
        rule("$.count", equals=3.0),
        rule("$.load", above=0, below=1),
        rule("$.ready", equals=True),
        rule("$['count']", equals=3, above=2, below=4, matches=None),
        rule("$.parts[?@.name == 'db'].state", equals="ok"),
        rule("$.parts[*].state", equals="bad"),
        rule("$.parts[-1].age", above=69),
        rule("$..age", below=10),
        rule("$.parts[?search(@.name, '^q')].age", equals=70),
        rule("$.parts[?length(@.name) > 2 && @.age < 100].age", equals=70),
        rule("$.list[0,1]", equals="two"),
    ],
    ids=lambda asked: str(asked.path.text),
)
def test_what_is_as_expected_has_no_fault(asked: JsonRule) -> None:
    assert fault(asked) is None


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (rule("$.state", equals="ok"), "nothing stands at $.state, expected 'ok'"),
        (rule("$.status", equals="good"), "$.status is 'ok', expected 'good'"),
        (rule("$.count", equals="3"), "$.count is 3, expected '3'"),
        (rule("$.count", equals=4), "$.count is 3, expected 4"),
        (rule("$.count", "3"), "$.count is 3, expected a text that matches '3'"),
        (rule("$.ready", equals=1), "$.ready is true, expected 1"),
        (rule("$.ready", above=0), "$.ready is true, expected a number above 0"),
        (rule("$.list[0]", equals=True), "$.list[0] is 1, expected true"),
        (rule("$.status", above=1), "$.status is 'ok', expected a number above 1"),
        (rule("$.load", above=0.5), "$.load is 0.5, expected a number above 0.5"),
        (rule("$.load", above=0, below=0.5), "$.load is 0.5, expected a number above 0 and a number below 0.5"),
        (rule("$.error", equals="x"), "$.error is null, expected 'x'"),
        (rule("$.empty", equals="x"), "$.empty is an object of 0, expected 'x'"),
        (rule("$.list", equals="x"), "$.list is a list of 2, expected 'x'"),
        (
            rule("$.parts[*].age", above=10, below=60),
            "none of the 2 values at $.parts[*].age is as expected, the first is 9, expected a number above 10 and a "
            "number below 60",
        ),
        (rule("$.parts[?@.name < true].age", equals=1), "nothing stands at $.parts[?@.name < true].age, expected 1"),
    ],
)
def test_what_is_not_is_told_with_its_place_what_was_found_and_what_was_expected(asked: JsonRule, told: str) -> None:
    assert fault(asked) == told


def test_the_first_rule_that_is_broken_is_told() -> None:
    rules = (rule("$.count", equals=3), rule("$.load", equals=1), rule("$.none", equals=1))
    assert json_body.fault(rules, HEALTH, is_cut=False) == "$.load is 0.5, expected 1"


def test_numbers_of_a_filter_are_no_truths() -> None:
    assert fault(rule("$[?@ < 2]", equals=True), b"[true, 1]") == "$[?@ < 2] is 1, expected true"


def test_what_stands_in_a_text_is_no_value() -> None:
    text = json.dumps({"status": "ok", "csv": '1,{["\\' * 50_000})
    assert fault(rule("$.status", equals="ok"), text.encode()) is None


def test_values_between_texts_are_counted() -> None:
    body = b'["a,b", "\\", "' + b', "x"' * 100_001 + b"]"
    assert fault(rule("$.status", equals="ok"), body) == (
        "the body has more values than are looked through: 100000 of JSON"
    )


def test_texts_without_end_are_passed_over_in_a_bounded_time() -> None:
    for body in (b'"\\' * 500_000, b',"' * 500_000, b',"\\"' * 300_000, b"," * 200_000 + b'"' + b"\\x" * 500_000):
        begun = time.thread_time()
        assert fault(rule("$.status", equals="ok"), body) is not None
        assert time.thread_time() - begun < 1


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "the body is not JSON: it is empty"),
        (b" \n", "the body is not JSON: it is empty"),
        (
            b"<html>\n<title>Down",
            "the body is not JSON: Expecting value at character 0, where '<html>\\n<title>Down' stands",
        ),
        (b'{"status": "ok"', "the body is not JSON: Expecting ',' delimiter at character 15, where it ends"),
        (b'{"status": NaN}', "the body is not JSON: NaN is no number of it"),
        (b"[-Infinity]", "the body is not JSON: -Infinity is no number of it"),
        (b"[" * 200_000, "the body has more values than are looked through: 100000 of JSON"),
        (b"[" * 90_000 + b"]" * 90_000, "the body is JSON that is nested too deeply to be read"),
        (b"[" * 500 + b"]" * 500, "the body is nested too deeply to look for $..status in it"),
        (b'"status"', "nothing stands at $..status, expected 'ok'"),
        (b"7", "nothing stands at $..status, expected 'ok'"),
    ],
)
def test_a_body_that_is_no_json_or_too_much_of_it_is_told(body: bytes, told: str) -> None:
    assert fault(rule("$..status", equals="ok"), body) == told


@pytest.mark.parametrize("expected", ["Gr\u00fc\u00dfe", "Gru\u0308\u00dfe"])
@pytest.mark.parametrize("value", ["Gr\u00fc\u00dfe", "Gru\u0308\u00dfe"])
def test_a_letter_with_a_mark_is_the_same_in_both_of_its_forms(expected: str, value: str) -> None:
    body = json.dumps({"a": value}).encode()
    assert fault(rule("$.a", equals=expected), body) is None
    assert fault(rule("$.a", expected), body) is None


def test_a_body_that_goes_on_past_the_limit_is_told(probe: Probe) -> None:
    result = check(probe, HEALTH, rule("$.status", equals="ok"), body_limit=10)
    assert result.outcome is Outcome.BODY_MISMATCH
    assert result.error == "the body is not JSON: it goes on past the 10 bytes that are read (body_limit)"


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (b"\xef\xbb\xbf" + HEALTH, rule("$.status", equals="ok")),
        (b'{"status": "bad", "status": "ok"}', rule("$.status", equals="ok")),
        (b'{"status": "\xff"}', rule("$.status", equals="\ufffd")),
        (b'{"status": "\\ud800"}', rule("$.status", ".")),
        (b"[1e999]", rule("$[0]", above=1e300)),
        (b"[" + b"9" * 4000 + b"]", rule("$[0]", above=1e300)),
        (b"[-" + b"9" * 5000 + b"]", rule("$[0]", below=-1e300)),
        (b"[12345678901234567890]", rule("$[0]", equals=12345678901234567890)),
        (b'"ok"', rule("$", equals="ok")),
    ],
    ids=["BOM", "twice", "no UTF-8", "half a letter", "infinite", "huge", "more than huge", "exact", "a text alone"],
)
def test_what_json_may_be_is_read(body: bytes, asked: JsonRule) -> None:
    assert fault(asked, body) is None


def test_what_a_stranger_sends_is_one_short_line(probe: Probe) -> None:
    body = json.dumps({"status": "\x1b[2J\n" + "x" * 5000}).encode()
    result = check(probe, body, rule("$.status", equals="ok"))
    assert result.outcome is Outcome.BODY_MISMATCH
    assert str(result.error).isprintable()
    assert len(str(result.error)) < 200


def test_json_is_judged_after_status_and_pattern(probe: Probe) -> None:
    wrong = rule("$.status", equals="bad")
    assert check(probe, HEALTH, wrong, expect={"status": ((404, 404),)}).outcome is Outcome.STATUS_MISMATCH
    result = check(probe, HEALTH, wrong, expect={"body": compile_pattern("never")})
    assert result.error == "nothing in the body matches 'never'"
    assert check(probe, HEALTH, wrong).error == "$.status is 'ok', expected 'bad'"
    assert check(probe, HEALTH, rule("$.status", equals="ok")).outcome is Outcome.UP


def test_rules_are_equal_by_their_text_and_true_is_not_one() -> None:
    assert rule("$.a", "x", equals=1) == rule("$.a", "x", equals=1.0)
    assert rule("$.a", equals=1) != rule("$.a", equals=True)
    assert rule("$.a") != rule("$['a']")


# What a path may be


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("status", "no JSONPath: it does not begin with $; right would be one such as $.status"),
        ("$.a[", "no JSONPath: unexpected end of query; right would be"),
        ("$.a b", "no JSONPath: unexpected token 'b', before 'b'; right would be"),
        ("$[?@.a = 1]", "no JSONPath: unexpected token '=', before '= 1]'; right would be"),
        ("$.a | $.b", "no JSONPath: unexpected token '|'"),
        ("$[?later(@.a)]", "no JSONPath: function 'later' is not defined"),
        ("$" + "[?(" * 5000, "no JSONPath: "),
        ("$[?" + "(" * 5000, "no JSONPath: "),
        ("$..*..*", "taken are only paths that no page can make slow: right would be `..` once"),
        ("$[?count(@..*) > 1]", "right would be names and indexes alone in the paths of a filter"),
        ("$[?$.items[*]]", "right would be names and indexes alone in the paths of a filter"),
        ("$[*,*]", "right would be different names and indexes from 0 on"),
        ("$[0,-1]", "right would be different names and indexes from 0 on"),
        ("$[?search($.a, 'x')]", "right would be search(@.NAME, 'an RE2 pattern')"),
        ("$[?match(@.a, @.pattern)]", "right would be match(@.NAME, 'an RE2 pattern')"),
        ("$[?match(@.a, '(x')]", "match(): RE2 cannot take it: missing ): \\A(?:(x)\\z"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_path_that_is_none_or_that_a_page_could_make_slow_is_refused(path: str, told: str) -> None:
    with pytest.raises(JsonPathError) as caught:
        compile_path(path)
    assert told in str(caught.value)


COMPILED = [
    rule(path, equals=1, above=0)
    for path in (
        "$",
        "$..*",
        "$..a",
        "$.a",
        "$[0]",
        "$[-1].a",
        "$[::2]",
        "$..[?@.a == 1 || search(@, 'a')]",
        "$.*[?@<$]",
    )
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("ab") | st.text(max_size=5), inner),
    max_leaves=20,
)


@given(
    JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200) | st.text('[]{}",:a1 ').map(str.encode)
)
def test_no_body_whatever_breaks_a_rule(body: bytes) -> None:
    for asked in COMPILED:
        told = fault(asked, body)
        assert told is None or told
        assert bool(json_body.shown(asked, body)) == (told is None)


@given(st.text(max_size=40) | st.text("$.@?*[]()'\"ab01,:&|<>=! ", max_size=40).map("$".__add__))
def test_no_text_whatever_breaks_the_reader_of_paths(text: str) -> None:
    try:
        path = compile_path(text)
    except JsonPathError:
        return
    assert len(list(path.find({"a": [1, {"b": 2}]}))) < 20


# What a page could do to the agent


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("$..[?@.a == 1 || @.b == 2]", b"[" + b"[]," * 49_000 + b"0]"),
        ("$..a", b"[" * 98 + b"[]," * 49_000 + b"0" + b"]" * 98),
        ("$..a", b'{"' + b"k" * 800_000 + b'": [' + b"[]," * 49_000 + b"0]}"),
        ("$.*[*]", b'{"' + b"k" * 800_000 + b'": [' + b"[]," * 49_000 + b"0]}"),
        ("$[?match(@, '(a*)*b')]", b'["' + b"a" * 1_000_000 + b'"]'),
        ("$..[?@ == $]", b"[" + b"[]," * 49_000 + b"0]"),
    ],
    ids=["a filter", "deep", "below a long name", "all below a long name", "backtracking", "all with all"],
)
def test_a_large_body_takes_no_other_check_its_time(probe: Probe, path: str, body: bytes) -> None:
    """While it is judged the loop turns; what took the square of a body would not end in time."""
    # A machine that is busy holds the loop up now and then; a body would each time.
    assert any(longest_turn(probe, path, body) < 0.4 for _ in range(10))


def longest_turn(probe: Probe, path: str, body: bytes) -> float:
    """Give how many seconds the loop took at most to come to something, while a body was judged."""
    longest, done = 0.0, threading.Event()

    def watch() -> None:
        nonlocal longest
        while not done.wait(0.01):
            asked, turned = time.monotonic(), threading.Event()
            probe.loop.call(turned.set)
            turned.wait(30)
            longest = max(longest, time.monotonic() - asked)

    watching = threading.Thread(target=watch)
    watching.start()
    result = check(probe, body, rule(path, equals="x"))
    done.set()
    watching.join()
    assert result.outcome is Outcome.BODY_MISMATCH, result.error
    return longest
