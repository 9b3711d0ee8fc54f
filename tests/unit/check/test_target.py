"""The targets file: what it may say, and how each fault is told."""

import textwrap
from pathlib import Path

import pytest
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webmon.check.target import Target, Tls, check_file, load
from webmon.errors import UserError


def write(folder: Path, text: str, name: str = "targets.yml") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text))
    return path


def faults(path: Path, regex: str | None = None) -> list[str]:
    with pytest.raises(UserError) as caught:
        load(path, regex=regex)
    return [line.removeprefix(f"{path}:") for line in caught.value.lines]


def test_a_plain_list_is_a_url_a_line(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
        # ours
        https://example.org/

          http://example.org/a#b   # with a comment
        """,
        "targets.txt",
    )
    first, second = load(path, interval=30, timeout=5, regex="Hello")
    assert (first.name, first.url, first.interval, first.timeout) == ("https://example.org/",) * 2 + (30, 5)
    assert second.url == "http://example.org/a#b"
    assert first.expect.body is not None
    assert first.expect.body.found_in(b"say Hello")
    assert check_file(path) == 2


def test_yaml_targets_take_what_they_do_not_say_from_the_defaults(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
        defaults:
          interval: 2m
          timeout: 10
          labels: {team: web, tier: one}
          expect: {status: 2xx, body: Hello}
        targets:
          - https://example.org/
          - name: shop
            url: https://shop.example.org/
            interval: 30
            timeout: 500ms
            labels: {tier: two}
            expect: {status: [200, 301-302], max_response_time: 1.5}
            tls: {verify: false}
        """,
    )
    plain, shop = load(path)
    assert (plain.name, plain.interval, plain.timeout) == ("https://example.org/", 120, 10)
    assert plain.labels == {"team": "web", "tier": "one"}
    assert plain.expect.status == ((200, 299),)
    assert (shop.name, shop.interval, shop.timeout) == ("shop", 30, 0.5)
    assert shop.labels == {"team": "web", "tier": "two"}
    assert shop.expect.status == ((200, 200), (301, 302))
    assert shop.expect.max_response_time == 1.5
    assert shop.expect.body is not None
    assert shop.expect.body.text == "Hello"
    assert shop.tls == Tls(verify=False)


def test_the_settings_pattern_is_for_those_that_name_none(tmp_path: Path) -> None:
    path = write(tmp_path, "targets:\n- http://a/\n- {url: 'http://b/', expect: {body: mine}}\n")
    assert [t.expect.body.text for t in load(path, regex="ours") if t.expect.body] == ["ours", "mine"]


def test_a_timeout_from_the_settings_never_outlasts_an_interval(tmp_path: Path) -> None:
    path = write(tmp_path, "targets:\n- {url: 'http://a/', interval: 5}\n")
    assert load(path, interval=60, timeout=15)[0].timeout == 5


def test_anchors_and_merge_keys_work(tmp_path: Path) -> None:
    path = write(tmp_path, "targets:\n- &a {name: one, url: 'http://a/', interval: 9}\n- {<<: *a, name: two}\n")
    assert [(t.name, t.interval) for t in load(path)] == [("one", 9), ("two", 9)]


BAD_TARGETS = {
    "{url: 'http://a/', intervall: 9}": "target 'http://a/': intervall is not known; right would be interval",
    "{url: 'http://a/', expect: {bdy: x}}": "target 'http://a/': expect.bdy is not known; right would be body",
    "{url: 'http://a/', zzz: 9}": "target 'http://a/': zzz is not known; right would be one of interval, timeout, "
    "labels, expect, tls, name, url",
    "{name: n}": "target 'n': url is missing; right would be http://HOST/... or https://HOST/...",
    "{name: no, url: 'http://a/'}": "target 'http://a/': name is False (YAML reads yes, no, on and off so); right "
    "would be text of 1 to 200 characters, in quotes",
    "{url: 'http://a/', interval: soon}": "target 'http://a/': interval is 'soon'; right would be seconds from 1 to "
    "86400, or 30s, 5m, 1h",
    "{url: 'http://a/', interval: 0}": "target 'http://a/': interval is 0; right would be seconds from 1 to 86400, or "
    "30s, 5m, 1h",
    "{url: 'http://a/', timeout: 90}": "target 'http://a/': timeout is 90 s, longer than its interval of 60 s; right "
    "would be at most that",
    "{url: 'http://a/', expect: {status: 2yy}}": "target 'http://a/': expect.status is '2yy'; right would be codes and "
    "ranges: 200, 200-299, 2xx, or a list of them",
    "{url: 'http://a/', expect: {body: '(?=x)'}}": "target 'http://a/': expect.body is '(?=x)': RE2 cannot take it: "
    "invalid perl operator: (?=; it has no lookahead and no lookbehind: match the text itself",
    "{url: 'http://a/', labels: {port: 80}}": "target 'http://a/': labels.port is 80; right would be a mapping of "
    "words, each value in quotes",
    "{url: 'http://a/', tls: {verify: 'no'}}": "target 'http://a/': tls.verify is 'no'; right would be true or false",
    "{url: 'http://a/', tls: {ca: nowhere.pem}}": "target 'http://a/': tls.ca is 'nowhere.pem': No such file or "
    "directory",
    "{url: 'http://a/', expect: 5}": "target 'http://a/': expect is 5; right would be a mapping with status, body, "
    "max_response_time",
    "7": "a target is 7; right would be a URL or a mapping with `url`",
    "ftp://a/": "target 'ftp://a/': url is 'ftp://a/': right would be http://HOST/... or https://HOST/...",
    "'http://a b/'": "target 'http://a b/': url is 'http://a b/': has a space or a control character in it; right "
    "would be %20 for a space",
    "http://a:99999/": "target 'http://a:99999/': url is 'http://a:99999/': right would be a valid "
    "host and a port from 1 to 65535",
    "{url: 'http://a/', url: 'http://b/'}": "url is here twice, first on line 3",
}


@pytest.mark.parametrize("text", BAD_TARGETS)
def test_a_bad_target_is_told_with_its_line_and_what_would_be_right(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"targets:\n- http://fine/\n- {text}\n")
    assert faults(path) == [f"3: {BAD_TARGETS[text]}"]


def test_all_faults_are_told_at_once_each_with_its_line(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
        default: {}
        defaults:
          timeout: long
        targets:
          - url: http://a/
            expect:
              status: 99
              body: "(a)\\\\1"
          - url: http://b/
            name: b
          - url: http://c/
            name: b
        """,
    )
    assert faults(path, regex="(") == [
        "MONITORING_TARGETS_REGEX is '(': RE2 cannot take it: missing ): (",
        "1: default is not known; right would be defaults",
        "3: defaults: timeout is 'long'; right would be seconds above 0, or 500ms, 10s",
        "7: target 'http://a/': expect.status is 99; right would be codes and ranges: 200, 200-299, 2xx, or a list "
        "of them",
        "8: target 'http://a/': expect.body is '(a)\\\\1': RE2 cannot take it: invalid escape sequence: \\1; it has "
        "no back references: spell out what may stand there",
        "11: target 'b' is listed twice, first on line 9; right would be a name of its own",
    ]


def test_a_password_in_a_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    path = write(tmp_path, "https://joe:s3cret@example.org/\n", "targets.txt")
    (fault,) = faults(path)
    assert "s3cret" not in fault
    assert "holds a user or a password" in fault


def test_a_list_tells_the_lines_of_its_faults(tmp_path: Path) -> None:
    path = write(tmp_path, "http://a/\nexample.org\nhttp://a/\n", "targets.txt")
    assert faults(path) == [
        "2: 'example.org': url is 'example.org': right would be http://HOST/... or https://HOST/...",
        "3: 'http://a/' is listed twice, first on line 1; right would be a name of its own",
    ]


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("t.yml", "targets: [", "1: not YAML: did not find expected node content"),
        ("t.yml", "- http://a/\n", "1: right would be a mapping with `targets`, a list, and maybe `defaults`"),
        ("t.txt", "targets:\n- http://a/\n", "1: this is YAML; right would be a file name that ends in .yml"),
        ("t.txt", "# none\n", " names no target; right would be one URL at least"),
        ("t.yml", "targets: []\n", " names no target; right would be one URL at least"),
        ("t.yml", "targets: &a [*a]\n", "1: not YAML: too large or nested too deep"),
    ],
)
def test_a_file_of_the_wrong_kind(name: str, text: str, fault: str, tmp_path: Path) -> None:
    assert fault in faults(write(tmp_path, text, name))


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    assert faults(tmp_path / "t.yml") == [" No such file or directory; right would be a readable list of targets"]
    (tmp_path / "b.txt").write_bytes(b"http://a/\n\xff")
    assert faults(tmp_path / "b.txt") == [" not UTF-8 at byte 10; right would be UTF-8 text"]


def test_an_authority_of_a_target_stands_beside_the_file(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    path = write(tmp_path, "targets:\n- {url: 'https://a/', tls: {ca: ca.pem}}\n")
    assert load(path)[0].tls.ca == tmp_path / "ca.pem"
    (tmp_path / "ca.pem").write_text("nothing")
    assert faults(path) == ["2: target 'https://a/': tls.ca is 'ca.pem': holds no PEM certificate"]


def test_targets_are_equal_when_a_check_of_either_is_the_same() -> None:
    one = Target(name="n", url="http://a/", interval=60, timeout=5)
    assert one == Target(name="n", url="http://a/", interval=60, timeout=5)
    assert one != Target(name="n", url="http://b/", interval=60, timeout=5)


YAML_PIECES = st.sampled_from(
    [
        "targets: ",
        "defaults: ",
        "- ",
        "  ",
        "\n",
        "url: ",
        "http://a/",
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "<<: ",
        "!!int ",
        "expect: ",
        "status: ",
        "2026-99-99",
        "no",
        "null",
        ": ",
        "'",
        '"',
        "#",
        "? ",
        "\t",
        "\x00",
        "é",
        "0x",
        ".inf",
    ]
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(YAML_PIECES, max_size=30).map("".join), st.sampled_from(["t.yml", "t.txt"]))
def test_no_file_makes_a_traceback(tmp_path: Path, text: str, name: str) -> None:
    path = tmp_path / name
    path.write_text("targets:\n- " * (name == "t.yml") + text, encoding="utf-8")
    try:
        targets = load(path)
    except UserError as error:
        assert all(line.startswith(str(path)) for line in error.lines)  # noqa: PT017
    else:
        assert targets
