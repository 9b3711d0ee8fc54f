"""The targets file: what it may say, and how each fault is told."""

import base64
import codecs
import json
import os
import re
import textwrap
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import trustme
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webmon import cli
from webmon.check.pattern import PatternError, compile_pattern
from webmon.check.target import Proxy, Target, Tls
from webmon.errors import UserError
from webmon.targets import file as file_module
from webmon.targets import model as targets_model
from webmon.targets.file import alarms, check_file, load


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


def test_the_rules_of_a_json_body_are_read_with_their_paths_compiled(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
        targets:
          - url: https://example.org/
            expect:
              json:
                - {path: $.status, equals: "ok"}
                - {path: "$.parts[?@.name == 'db'].age", above: 0, below: 60}
                - {path: $.version, matches: ^2}
                - {path: $.ready, equals: yes}
        """,
    )
    (target,) = load(path)
    assert [rule.path.text for rule in target.expect.json] == [
        "$.status",
        "$.parts[?@.name == 'db'].age",
        "$.version",
        "$.ready",
    ]
    assert [rule.equals for rule in target.expect.json] == ["ok", None, None, True]
    assert (target.expect.json[1].above, target.expect.json[1].below) == (0, 60)
    assert list(target.expect.json[0].path.find({"status": "ok"})) == ["ok"]
    assert load(path) == (target,)


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


WHOLE = """\
defaults:
  headers: {X-Team: web}
  expect: {certificate_days: 14}
targets:
  - name: shop
    url: https://shop.example.org/api
    method: POST
    headers: {Content-Type: application/json, X-Key: "key ${SHOP_KEY}"}
    body: '{"token": "${SHOP_TOKEN}"}'
    auth: {basic: {username: joe, password: "${SHOP_PASSWORD}"}}
    ip_version: 4
    proxy: "http://joe%40home:${SHOP_PASSWORD}@proxy.example.org:3128"
    max_redirects: 2
    allow_private: true
    body_limit: 64KB
    tls: {minimum: 1.3, ca: ca.pem, certificate: cert.pem, key: key.pem}
    expect:
      body_not: "(?i)error"
      headers: {Content-Type: "^application/json"}
      headers_not: {Server: Apache}
  - url: http://a/
    connection: reused
    proxy: http://[::1]:8080/
    follow_redirects: false
    auth: {bearer: "${SHOP_TOKEN}"}
"""
SECRETS = {"SHOP_KEY": "k3y", "SHOP_TOKEN": "t0ken", "SHOP_PASSWORD": "pa:ss wörd"}


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A file that says everything that a file can, with the certificates that it names."""
    authority = trustme.CA()
    leaf = authority.issue_cert("agent")
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    leaf.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    return write(tmp_path, WHOLE)


def test_a_target_may_say_how_it_is_asked_and_what_it_must_be_like(whole: Path) -> None:
    shop, plain = load(whole, secrets=SECRETS)
    folder = whole.parent
    assert (shop.method, shop.ip_version, shop.max_redirects, shop.body_limit) == ("POST", 4, 2, 65536)
    assert (shop.allow_private, plain.allow_private) == (True, False)
    assert shop.body == b'{"token": "t0ken"}'
    assert shop.headers == {
        "X-Team": "web",
        "Content-Type": "application/json",
        "X-Key": "key k3y",
        "Authorization": "Basic " + base64.b64encode("joe:pa:ss wörd".encode()).decode(),
    }
    assert shop.tls == Tls(ca=folder / "ca.pem", certificate=folder / "cert.pem", key=folder / "key.pem", minimum="1.3")
    assert shop.expect.certificate_days == 14
    assert shop.expect.body_not is not None
    assert shop.expect.body_not.found_in(b"an ERROR")
    assert [(name, pattern.text) for name, pattern in shop.expect.headers] == [("Content-Type", "^application/json")]
    assert [(name, pattern.text) for name, pattern in shop.expect.headers_not] == [("Server", "Apache")]
    ours = "Basic " + base64.b64encode("joe@home:pa:ss wörd".encode()).decode()
    assert (shop.proxy, shop.connection) == (Proxy("proxy.example.org", 3128, ours), "fresh")
    assert (plain.proxy, plain.connection) == (Proxy("::1", 8080), "reused")
    assert (plain.method, plain.max_redirects, plain.headers["Authorization"]) == ("GET", None, "Bearer t0ken")


def test_a_file_can_be_looked_at_where_its_secrets_are_not(whole: Path) -> None:
    assert check_file(whole) == 2


def test_a_secret_that_is_not_set_is_told_with_its_name_and_line(whole: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(whole, secrets={"SHOP_KEY": "k3y", "SHOP_PASSWORD": ""})
    why = "which is not set; right would be a variable of the .env or the environment"
    assert [line.removeprefix(f"{whole}:") for line in caught.value.lines] == [
        f"9: target 'shop': body names ${{SHOP_TOKEN}}, {why}",
        f"10: target 'shop': auth.basic.password names ${{SHOP_PASSWORD}}, {why}",
        f"12: target 'shop': proxy names ${{SHOP_PASSWORD}}, {why}",
        f"25: target 'http://a/': auth.bearer names ${{SHOP_TOKEN}}, {why}",
    ]


def test_a_secret_that_is_no_text_is_told_without_it(whole: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(whole, secrets={"SHOP_KEY": "k", "SHOP_TOKEN": "t", "SHOP_PASSWORD": "\udcff"})
    assert [line.removeprefix(f"{whole}:") for line in caught.value.lines] == [
        f"{line}: target 'shop': {key} names a variable that is no text; right would be UTF-8"
        for line, key in ((10, "auth.basic.password"), (12, "proxy"))
    ]


def test_only_the_secrets_of_the_target_that_is_asked_for_must_be_set(whole: Path) -> None:
    assert load(whole, secrets={"SHOP_TOKEN": "t"}, only="http://a/")[1].headers["Authorization"] == "Bearer t"


def test_a_secret_stands_in_no_message_of_the_file(whole: Path) -> None:
    bad = {"SHOP_KEY": "k3y\r\nX: y", "SHOP_TOKEN": "t0 ken", "SHOP_PASSWORD": "s3cret"}
    with pytest.raises(UserError) as caught:
        load(whole, secrets=bad)
    assert len(caught.value.lines) == 2
    assert not any(text in str(caught.value) for text in ("k3y", "t0", "s3cret"))
    path = write(
        whole.parent, "targets:\n- {url: 'http://a/', auth: {basic: s3cret}, headers: [s3cret], body: [s3cret]}\n"
    )
    assert len(faults(path)) == 3
    assert not any("s3cret" in fault for fault in faults(path))
    assert not any(
        "t0ken" in repr(target) or "k3y" in repr(target) for target in load(write(whole.parent, WHOLE), secrets=SECRETS)
    )


def test_a_key_that_is_not_the_certificates_is_refused(whole: Path) -> None:
    trustme.CA().issue_cert("other").private_key_pem.write_to_path(str(whole.parent / "key.pem"))
    assert faults(whole) == ["16: target 'shop': tls.certificate is 'cert.pem': tls.key is not its key"]


def test_the_checked_in_schema_is_that_of_the_model() -> None:
    checked_in = json.loads(files("webmon").joinpath("targets.schema.json").read_text())
    again = "run: python -m webmon.targets.model > webmon/targets.schema.json"
    assert checked_in == targets_model.json_schema(), again


def schema_takes(text: str) -> bool:
    return bool(jsonschema.Draft202012Validator(targets_model.json_schema()).is_valid(yaml.safe_load(text)))


def test_the_schema_takes_what_the_agent_takes() -> None:
    assert schema_takes(WHOLE)
    assert schema_takes("targets: [http://a/, {url: 'http://b/', interval: 5m, expect: {status: [200, 3xx, 401-403]}}]")


@pytest.mark.parametrize(
    "text",
    [
        "{url: 'http://a/', intervall: 9}",
        "{name: n}",
        "{url: 'http://a/', interval: soon}",
        "{url: 'http://a/', expect: {status: 2yy}}",
        "{url: 'http://a/', method: get}",
        "{url: 'http://a/', tls: {minimum: 1.1}}",
        "{url: 'http://a/', body_limit: 1 GB}",
        "{url: 'http://a/', labels: {port: 80}}",
        "7",
    ],
)
def test_the_schema_refuses_what_the_agent_refuses(text: str) -> None:
    assert not schema_takes(f"targets:\n- {text}\n")


@pytest.mark.parametrize(
    "labels",
    [{"team": "x" * 1001}, {"x" * 201: "a"}, {str(number): "a" for number in range(51)}],
    ids=["value", "key", "many"],
)
def test_labels_that_no_result_may_carry_are_refused(labels: dict[str, str], tmp_path: Path) -> None:
    text = json.dumps({"targets": [{"url": "http://a/", "labels": labels}]})
    (fault,) = faults(write(tmp_path, text))
    assert "right would be a mapping of at most 50 words of 200 characters" in fault
    assert not schema_takes(text)


def test_labels_of_the_defaults_count_too(tmp_path: Path) -> None:
    labels = [{f"{half}{number}": "a" for number in range(30)} for half in "ab"]
    text = json.dumps({"defaults": {"labels": labels[0]}, "targets": [{"url": "http://a/", "labels": labels[1]}]})
    (fault,) = faults(write(tmp_path, text))
    assert "labels" in fault


def test_a_url_that_no_result_may_carry_is_refused_in_a_list_too(tmp_path: Path) -> None:
    url = "http://a/" + "x" * 7992
    (fault,) = faults(write(tmp_path, f"{url}\n", "targets.txt"))
    assert "has 8001 characters; right would be 8000 at most" in fault


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
    "labels, method, headers, body, auth, ip_version, proxy, connection, http_version, follow_redirects, "
    "max_redirects, allow_private, dialogue, body_limit, expect, tls, alarm, depends_on, name, url",
    "{name: n}": "target 'n': url is missing; right would be http://HOST/..., https://HOST/..., or a URL of another "
    "kind of probe",
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
    "invalid perl operator: (?=; it has no lookahead and no lookbehind: match the text itself, or put what must not be "
    "there in body_not",
    "{url: 'http://a/', labels: {port: 80}}": "target 'http://a/': labels.port is 80; right would be a mapping of "
    "at most 50 words of 200 characters, each value of 1000 at most and in quotes",
    "{url: 'http://a/', tls: {verify: 'no'}}": "target 'http://a/': tls.verify is 'no'; right would be true or false",
    "{url: 'http://a/', tls: {ca: nowhere.pem}}": "target 'http://a/': tls.ca is 'nowhere.pem': No such file or "
    "directory; right would be a readable PEM file",
    "{url: 'http://a/', expect: 5}": "target 'http://a/': expect is 5; right would be a mapping with status, body, "
    "body_not, headers, headers_not, json, rcode, max_response_time, certificate_days",
    "{url: 'http://a/', method: get}": "target 'http://a/': method is 'get'; right would be GET, HEAD, POST, PUT, "
    "PATCH, DELETE or OPTIONS",
    "{url: 'http://a/', headers: {'a b': x}}": "target 'http://a/': headers.a b is not right (it may be a secret and "
    "is not shown); right would be a mapping of header names to texts, each in quotes",
    "{url: 'http://a/', headers: {X-One: no}}": "target 'http://a/': headers.X-One is False (YAML reads yes, no, on "
    "and off so); right would be a mapping of header names to texts, each in quotes",
    "{url: 'http://a/', headers: {Content-Length: '5'}}": "target 'http://a/': headers.Content-Length is set by "
    "webmon; right would be none",
    '{url: "http://a/", headers: {X-One: "a\\r\\nX-Two: b"}}': "target 'http://a/': headers.X-One cannot be sent; "
    "right would be one line of Latin-1 text without spaces around it",
    "{url: 'http://a/', auth: {bearer: a, basic: {username: u, password: p}}}": "target 'http://a/': auth: right would "
    "be one of basic and bearer",
    "{url: 'http://a/', auth: {}}": "target 'http://a/': auth: right would be one of basic and bearer",
    "{url: 'http://a/', auth: {basic: {username: u}}}": "target 'http://a/': auth.basic.password is missing; right "
    "would be ${NAME} of a secret",
    "{url: 'http://a/', auth: {basic: {user: u, username: u, password: p}}}": "target 'http://a/': auth.basic.user is "
    "not known; right would be username",
    "{url: 'http://a/', auth: {bearer: a}, headers: {authorization: b}}": "target 'http://a/': auth and "
    "headers.Authorization are both there; right would be one of them",
    "{url: 'http://a/', auth: {bearer: 'a b'}}": "target 'http://a/': auth.bearer cannot be sent; right would be ASCII "
    "without spaces",
    "'http://a/${TOKEN}'": "target 'http://a/${TOKEN}': url is 'http://a/${TOKEN}': names a secret, and a URL is "
    "stored with every result; right would be a header or `auth`",
    "{url: 'http://a/', ip_version: 5}": "target 'http://a/': ip_version is 5; right would be any, 4 or 6",
    "{url: 'http://a/', connection: keep}": "target 'http://a/': connection is 'keep'; right would be fresh or reused",
    "{url: 'http://a/', method: POST, connection: reused}": "target 'http://a/': connection is reused, and POST must "
    "not be sent twice; right would be fresh",
    "{url: 'http://a/', proxy: 'https://u:pw@p:1'}": "target 'http://a/': proxy is not right (it may be a secret "
    "and is not shown); right would be http://HOST:PORT, with USER:${PASSWORD}@ before HOST where it asks for one",
    "{url: 'http://a/', proxy: 'http://p'}": "target 'http://a/': proxy is not right (it may be a secret "
    "and is not shown); right would be http://HOST:PORT, with USER:${PASSWORD}@ before HOST where it asks for one",
    "{url: 'http://a/', proxy: 'http://p:70000'}": "target 'http://a/': proxy: right would be a port from 1 to 65535",
    "{url: 'http://a/', follow_redirects: 'no'}": "target 'http://a/': follow_redirects is 'no'; right would be true "
    "or false",
    "{url: 'http://a/', follow_redirects: no, max_redirects: 3}": "target 'http://a/': max_redirects has no effect "
    "while follow_redirects is false; right would be one of them",
    "{url: 'http://a/', allow_private: 1}": "target 'http://a/': allow_private is 1; right would be true or false",
    "{url: 'http://a/', max_redirects: 51}": "target 'http://a/': max_redirects is 51; right would be a whole number "
    "from 0 to 50",
    "{url: 'http://a/', body_limit: 1 GB}": "target 'http://a/': body_limit is '1 GB'; right would be bytes from 1 to "
    "67108864, or 64KB, 2MB",
    "{url: 'http://a/', method: HEAD, expect: {body: x}}": "target 'http://a/': an answer to HEAD has no body to "
    "match; right would be GET, or neither expect.body nor expect.body_not nor "
    "expect.json",
    "{url: 'http://a/', expect: {json: [{path: '$.a['}]}}": "target 'http://a/': expect.json.0.path is '$.a[': no "
    "JSONPath: unexpected end of query; right would be one such as $.status or $.parts[?@.name == 'db'].state "
    "(RFC 9535)",
    "{url: 'http://a/', expect: {json: [{path: $..a..b, equals: 1}]}}": "target 'http://a/': expect.json.0.path is "
    "'$..a..b': taken are only paths that no page can make slow: right would be `..` once",
    "{url: 'http://a/', expect: {json: [{path: 5, equals: 1}]}}": "target 'http://a/': expect.json.0.path is 5; right "
    "would be a JSONPath (RFC 9535), such as $.status",
    "{url: 'http://a/', expect: {json: [{path: $.a}]}}": "target 'http://a/': expect.json.0 has only a path; right "
    "would be equals, matches, above or below too",
    "{url: 'http://a/', expect: {json: [{path: $.a, equals: null}]}}": "target 'http://a/': expect.json.0 has only a "
    "path; right would be equals, matches, above or below too",
    "{url: 'http://a/', method: HEAD, expect: {json: [{path: $.a, equals: 1}]}}": "target 'http://a/': an answer to "
    "HEAD has no body to match; right would be GET, or neither expect.body nor expect.body_not nor expect.json",
    "{url: 'grpc://a:1/s', expect: {json: [{path: $.a, equals: 1}]}}": "target 'grpc://a:1/s': expect.json does not "
    "belong to grpc; right would be none (it is for http, https)",
    "{url: 'http://a/', expect: {headers: {Server: '(a'}}}": "target 'http://a/': expect.headers.Server is '(a': RE2 "
    "cannot take it: missing ): (a",
    "{url: 'http://a/', expect: {body_not: 'a++'}}": "target 'http://a/': expect.body_not is 'a++': RE2 cannot take "
    "it: bad repetition operator: ++; it never backtracks, so it needs no atomic or possessive form: write the plain "
    "one",
    "{url: 'https://a/', expect: {certificate_days: soon}}": "target 'https://a/': expect.certificate_days is 'soon'; "
    "right would be days above 0",
    "{url: 'https://a/', tls: {verify: false}, expect: {certificate_days: 9}}": "target 'https://a/': "
    "expect.certificate_days needs a certificate that is looked at; right would be tls.verify: true",
    "{url: 'https://a/', tls: {minimum: 1.1}}": "target 'https://a/': tls.minimum is '1.1'; right would be 1.2 or 1.3",
    "{url: 'https://a/', tls: {key: k.pem}}": "target 'https://a/': tls.key has no certificate; right would be "
    "tls.certificate beside it",
    "{url: 'https://a/', tls: {certificate: no.pem}}": "target 'https://a/': tls.certificate is 'no.pem': No such file "
    "or directory",
    "7": "a target is 7; right would be a URL or a mapping with `url`",
    "ftp://a/": "target 'ftp://a/': url is 'ftp://a/': right would be tcp://HOST:PORT",
    "'http://a b/'": "target 'http://a b/': url is 'http://a b/': has a space or a control character in it; right "
    "would be %20 for a space",
    "http://a:99999/": "target 'http://a:99999/': url is 'http://a:99999/': right would be a valid "
    "host and a port from 1 to 65535",
    "{url: 'http://a/', url: 'http://b/'}": "url is here twice, first on line 3",
}


TCP = "{url: 'tcp://a:1', dialogue: [%s]}"
_NO_TLS = "is for TLS, which never begins here; right would be a step `starttls: true`, or a URL of tls"
_BACKSPACE = r"holds a backspace, which \b is in double quotes; right would be single quotes, or \\b"
_NO_SECRET = "which no pattern can hold, so that it never matches; right would be the text itself"
MISTAKEN = {
    TCP % "{expect: }": "target 'tcp://a:1': dialogue.0.expect has no value; right would be an RE2 pattern, in quotes",
    TCP % "{send: null}": "target 'tcp://a:1': dialogue.0.send has no value; right would be a text, in quotes; a line "
    "ends with \\r\\n",
    TCP % "{send: ''}": "target 'tcp://a:1': dialogue.0.send has no value; right would be a text, in quotes; a line "
    "ends with \\r\\n",
    TCP % "{starttls: ~}": "target 'tcp://a:1': dialogue.0.starttls has no value; right would be true",
    "{url: 'tcp://a:1', expect: {certificate_days: 14}}": f"target 'tcp://a:1': expect.certificate_days {_NO_TLS}",
    "{url: 'tcp://a:1', dialogue: [{expect: x}], tls: {verify: false}}": f"target 'tcp://a:1': tls {_NO_TLS}",
    "{url: 'http://a/', expect: {body: \"\\bOK\\b\"}}": f"target 'http://a/': expect.body {_BACKSPACE}",
    "{url: 'http://ä/', name: ä, expect: {body_not: \"ä\\\\\\\\\\bä\"}}": f"target 'ä': expect.body_not {_BACKSPACE}",
    "{url: 'http://a/', expect: {headers: {Server: \"\\bx\"}}}": "target 'http://a/': expect.headers.Server "
    + _BACKSPACE,
    "{url: 'http://a/', expect: {headers_not: {A.B: \"x\\b\"}}}": "target 'http://a/': expect.headers_not.A.B "
    + _BACKSPACE,
    "{url: 'http://a/', expect: {json: [{path: $.a, matches: \"x\\b\"}]}}": "target 'http://a/': expect.json.0.matches "
    + _BACKSPACE,
    TCP % '{expect: "\\bx"}': f"target 'tcp://a:1': dialogue.0.expect {_BACKSPACE}",
    TCP % "{expect: '^${WORD} ok'}": f"target 'tcp://a:1': dialogue.0.expect names ${{WORD}}, {_NO_SECRET}",
    "{url: 'http://a/', expect: {body_not: '(?i)${WORD}'}}": "target 'http://a/': expect.body_not names ${WORD}, "
    + _NO_SECRET,
    "{url: 'http://a/', expect: {body: '\\\\${WORD}'}}": "target 'http://a/': expect.body names ${WORD}, " + _NO_SECRET,
}


@pytest.mark.parametrize("text", MISTAKEN)
def test_what_would_be_judged_otherwise_than_it_is_written_or_not_at_all_is_told(text: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"targets:\n- http://fine/\n- {text}\n")
    assert faults(path) == [f"3: {MISTAKEN[text]}"]


@pytest.mark.parametrize(
    "text",
    [
        "{url: 'tcp://a:1', dialogue: [{starttls: true}], tls: {verify: true}, expect: {certificate_days: 9}}",
        "{url: 'tcp://a:1', tls: , expect: {certificate_days: null}}",
        "{url: 'tcp://a:1', tls: {}, expect: {max_response_time: 1}}",
        "{url: 'http://a/', expect: {body: '\\bOK\\b', body_not: \"\\\\bBad\\\\b\"}}",
        '{url: \'http://a/\', name: "a \\\\b", body: "\\b", expect: {body: "x\\\\\\\\b"}}',
        TCP % '{expect: "^\\x00\\x08\\x00"}, {send: "\\b"}',
        "{url: 'http://a/', expect: {body: '\\${WORD}', body_not: '[^${WORD}]'}}",
        "{url: 'http://a/', expect: {body: 'ok|${WORD}', body_not: '\\Q${WORD}\\E'}}",
        "{url: 'http://a/', expect: {body: '(a${WORD})?', body_not: '${word-1}'}}",
        "{url: 'http://a/', expect: {body: , json: [{path: $.a, equals: \"\\b\"}]}}",
    ],
)
def test_what_may_be_meant_is_taken_as_it_stands(text: str, tmp_path: Path) -> None:
    assert load(write(tmp_path, f"targets:\n- {text}\n"))


def test_what_an_anchor_says_of_tls_is_for_those_that_speak_it(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
        targets:
        - &a {url: 'tls://a:1', tls: {minimum: 1.3}, expect: &e {certificate_days: 9}}
        - {<<: *a, url: 'tcp://a:1'}
        - {url: 'tcp://b:1', expect: *e}
        """,
    )
    assert len(load(path)) == 3


def test_defaults_for_tls_are_for_those_that_speak_it_and_a_mistaken_pattern_is_told_once(tmp_path: Path) -> None:
    defaults = "defaults: {tls: {verify: true}, expect: {certificate_days: 9, body: %s}}\n"
    targets = "targets: ['tcp://a:1', {url: 'tcp://b:1', dialogue: [{expect: x}]}, 'https://a/', 'https://b/']\n"
    assert load(write(tmp_path, defaults % "x" + targets))
    assert faults(write(tmp_path, defaults % '"\\bx"' + targets)) == [f"1: defaults: expect.body {_BACKSPACE}"]


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
          - url: ftp://c/
            name: 2026-01-02
          - url: ftp://d/
            interval: soon
            timeout: 99
            follow_redirects: no
            max_redirects: 0x%s
        """
        % ("f" * 5000),
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
        "14: target 2026-01-02: name is 2026-01-02 (YAML reads what looks like a date so); right would be text of 1 to "
        "200 characters, in quotes",
        "15: target 'ftp://d/': url is 'ftp://d/': right would be tcp://HOST:PORT",
        "16: target 'ftp://d/': interval is 'soon'; right would be seconds from 1 to 86400, or 30s, 5m, 1h",
        f"19: max_redirects: 0x{'f' * 38} is read by YAML otherwise than people do; right would be a plain decimal "
        "number, or text in quotes",
        "19: target 'ftp://d/': max_redirects is a huge number; right would be a whole number from 0 to 50",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"a{n + 1}: &a{n + 1} [{','.join([f'*a{n}'] * 9)}]\n" for n in range(9))
        + "targets: [*a9]\n",
        "targets: " + "[" * 100_000,
        "targets: " + "{a: " * 50_000,
        "targets: " + "[" * 40 + "]" * 40,
        "targets:\n- &a {url: 'http://a/', b: *a}\n",
    ],
)
def test_a_file_made_to_grow_is_refused_in_time(text: str, tmp_path: Path) -> None:
    began = time.process_time()
    (fault,) = faults(write(tmp_path, text))
    assert "not YAML" in fault
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (r"(?!a)", "put what must not be there in body_not"),
        (r"(?P<x>a)(?P=x)", "it has no back references"),
        (r"(?>a)", "it never backtracks"),
        (r"a{2}+", "it never backtracks"),
        (r"(?#a)", "it has no comments"),
        (r"(?(1)a|b)", "write the alternatives, (a|b)"),
        (r"(?x)a", "its flags are i, m, s and U"),
        (r"a\Z", r"write \z for the end of the page"),
        (r"\u00e9", r"or \x{...} with its number"),
        (r"\h", r"write [ \t]"),
        (r"\R", r"write \r?\n"),
        (r"(a{100}){100}", "nested ones multiplied: write * instead"),
    ],
)
def test_a_pattern_that_re2_cannot_take_is_told_with_what_to_write_instead(pattern: str, instead: str) -> None:
    with pytest.raises(PatternError, match=re.escape(instead)):
        compile_pattern(pattern)


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
        (
            "t.yml",
            "targets:\n- http://\u00e9/\n- http://a/\x01\n",
            "3: not YAML: the character #x0001 may not stand there",
        ),
    ],
)
def test_a_file_of_the_wrong_kind(name: str, text: str, fault: str, tmp_path: Path) -> None:
    assert fault in faults(write(tmp_path, text, name))


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    assert faults(tmp_path / "t.yml") == [" No such file or directory; right would be a readable list of targets"]
    (tmp_path / "b.txt").write_bytes(b"http://a/\n\xff")
    assert faults(tmp_path / "b.txt") == [" not UTF-8 at byte 10; right would be UTF-8 text"]


@pytest.mark.parametrize("name", ["t.txt", "t.yml"])
def test_a_byte_order_mark_is_no_part_of_the_first_line(name: str, tmp_path: Path) -> None:
    # Windows' editors write one, and lines with a CR.
    text = b"https://a/\r\nhttps://b/\r\n" if name == "t.txt" else b"targets:\r\n- https://a/\r\n- https://b/\r\n"
    (tmp_path / name).write_bytes(codecs.BOM_UTF8 + text)
    assert [target.url for target in load(tmp_path / name)] == ["https://a/", "https://b/"]


@pytest.mark.parametrize(
    "text",
    [
        "targets:\n- {url: 'http://a/', name: a}\n",
        "# ours\n\ndefaults: {interval: 5m}\ntargets:\n- {url: 'http://a/', name: a}\n",
        "---\ntargets: [{url: 'http://a/', name: a}]\n",
        '{"targets": [{"url": "http://a/", "name": "a"}]}',
        "# a list: targets: of ours\nhttp://a/#x\n",
    ],
)
def test_what_a_shell_hands_over_is_read_as_it_begins_for_its_name_tells_nothing(text: str) -> None:
    there, here = os.pipe()
    with os.fdopen(there), os.fdopen(here, "w") as handed:
        handed.write(text)
        handed.flush()
        handed.close()
        (target,) = load(Path(f"/dev/fd/{there}"), named=True)
    assert target.url.startswith("http://a/")
    assert target.name == ("http://a/#x" if "list" in text else "a")


def test_a_file_on_a_disk_is_what_its_name_says_as_for_the_agent(tmp_path: Path) -> None:
    path = write(tmp_path, "targets:\n- http://a/\n", "targets")
    with pytest.raises(UserError, match="this is YAML; right would be a file name"):
        check_file(path)


def test_an_authority_of_a_target_stands_beside_the_file(tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    path = write(tmp_path, "targets:\n- {url: 'https://a/', tls: {ca: ca.pem}}\n")
    assert load(path)[0].tls.ca == tmp_path / "ca.pem"
    (tmp_path / "ca.pem").write_text("nothing")
    assert faults(path) == [
        "2: target 'https://a/': tls.ca is 'ca.pem': holds no PEM certificate; right would be a readable PEM file"
    ]


def test_a_copy_is_checked_as_if_it_stood_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "etc" / "targets.yml"
    place.parent.mkdir()
    trustme.CA().cert_pem.write_to_path(str(place.parent / "ca.pem"))
    copy = write(tmp_path, "targets:\n- {url: 'https://a/', tls: {ca: ca.pem}}\n", "tmp8x2k")
    assert cli.main(["targets", "check", str(copy), "--as", str(place)]) == 0
    assert capsys.readouterr().out == f"{place}: 1 targets, no fault\n"
    write(tmp_path, "targets:\n- {url: 'https://a/', tls: {ca: b.pem}}\n", "tmp8x2k")
    assert cli.main(["targets", "check", str(copy), "--as", str(place)]) == 2
    assert capsys.readouterr().err == (
        f"webmon: {place}:2: target 'https://a/': tls.ca is 'b.pem': No such file or directory; "
        "right would be a readable PEM file\n"
    )


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
        "0x" + "f" * 5000,
        ".inf",
        ".nan",
        "9" * 400,
        "!!binary ",
        "!!timestamp ",
        "1:" * 300 + "1.5",
        "!!set ",
        "!!python/object:os.system ",
        "!x ",
        "&b ",
        "*b",
        "---\n",
        "%YAML 1.1\n",
        "2026-01-02",
        "1:30",
        "\ufeff",
        "\u2028",
    ]
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(YAML_PIECES, max_size=30).map(lambda pieces: "".join(pieces).encode()) | st.binary(max_size=40),
    st.sampled_from(["t.yml", "t.txt"]),
)
def test_no_file_makes_a_traceback(tmp_path: Path, text: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"targets:\n- " * (name == "t.yml") + text)
    try:
        targets = load(path)
    except UserError as error:
        assert all(line.startswith(str(path)) for line in error.lines)  # noqa: PT017
    else:
        assert targets


@pytest.mark.parametrize("value", ["!!timestamp x", "!!timestamp ''", "1:" * 300 + "1.5"])
def test_a_value_that_is_not_what_yaml_takes_it_for_is_a_text(value: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"targets:\n- url: http://a/\n  interval: {value}\n")
    (fault,) = faults(path)
    assert fault.startswith("3: target 'http://a/': interval is '")
    (target,) = load(write(tmp_path, f"targets:\n- url: http://a/\n  labels: {{x: {value}}}\n"))
    assert target.labels == {"x": value.removeprefix("!!timestamp ").strip("'")}


KEYS = sorted(
    {
        key
        for model in (targets_model.TargetModel, targets_model.Expect, targets_model.TlsModel, targets_model.Auth)
        for key in model.model_fields
    }
)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -(10**400)])
    | st.floats()
    | st.dates()
    | st.datetimes()
    | st.binary(max_size=8)
    | st.text(max_size=8)
    | st.sampled_from(
        [
            "http://a/",
            "http://u:${A}@p:1",
            "reused",
            "POST",
            "${A}",
            "${B",
            "(?=x)",
            "2xx",
            "5s",
            "1KB",
            "GET",
            "HEAD",
            "any",
            "\\n",
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*KEYS, "X-Y"]) | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=5),
    st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=5),
    st.none() | st.dictionaries(st.sampled_from("AB"), st.text(min_size=1, max_size=5) | st.just("\udcff")),
)
def test_no_value_of_any_key_makes_a_traceback(
    tmp_path: Path, defaults: dict[str, Any], target: dict[str, Any], secrets: dict[str, str] | None
) -> None:
    path = tmp_path / "t.yml"
    document = {"defaults": defaults, "targets": [{"url": "http://a/", **target}]}
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8", errors="replace")
    try:
        (loaded,) = load(path, secrets=secrets)
    except UserError as error:
        assert all(line.startswith(str(path)) for line in error.lines)  # noqa: PT017
        assert not any(len(line.splitlines()) > 1 for line in error.lines)  # noqa: PT017
    else:
        assert loaded.timeout <= loaded.interval


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("expect: {status: 0200}", "status: 0200 is read by YAML as 128"),
        ("timeout: 010", "timeout: 010 is read by YAML as 8"),
        ("interval: 1:30", "interval: 1:30 is read by YAML as 90"),
        ("interval: 0x40", "interval: 0x40 is read by YAML as 64"),
        ("name: 0123", "name: 0123 is read by YAML as 83"),
        ("body_limit: 1_000", "body_limit: 1_000 is read by YAML as 1000"),
        ("max_redirects: 0b11", "max_redirects: 0b11 is read by YAML as 3"),
    ],
)
def test_a_number_that_yaml_reads_otherwise_than_people_is_told(line: str, read: str, tmp_path: Path) -> None:
    path = tmp_path / "t.yml"
    path.write_text(f"targets:\n- url: http://a/\n  {line}\n")
    with pytest.raises(UserError) as caught:
        load(path)
    expected = f"{path}:3: {read}; right would be a plain decimal number, or text in quotes"
    assert expected in caught.value.lines


def test_a_number_where_a_secret_may_stand_is_told_and_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "t.yml"
    path.write_text("targets:\n- url: http://a/\n  headers: {X-Pin: 0123}\n")
    with pytest.raises(UserError) as caught:
        load(path)
    assert "a number here is read by YAML otherwise than people do" in str(caught.value)
    assert "0123" not in str(caught.value)


@pytest.mark.parametrize("number", ["0", "-0", "7", "1.5", ".5", "1e3", "0.25"])
def test_plain_numbers_are_no_fault(number: str, tmp_path: Path) -> None:
    path = tmp_path / "t.yml"
    path.write_text(f"targets:\n- url: http://a/\n  labels: {{x: '{number}'}}\n  max_redirects: 3\n  timeout: 1.5\n")
    assert load(path)


@pytest.mark.parametrize(("written", "version"), [("1.1", "1.1"), ("2", "2"), ("'3'", "3"), ("auto", "auto")])
def test_the_version_of_http_may_be_chosen(written: str, version: str, tmp_path: Path) -> None:
    path = tmp_path / "t.yml"
    path.write_text(f"targets:\n- url: http://a/\n  http_version: {written}\n")
    assert load(path)[0].http_version == version


DEPENDENT = """\
defaults: {alarm: {confirm: 2, certificate_days: [3, 21, 3]}, depends_on: [router]}
targets:
- {name: router, url: 'tcp://router:22'}
- {name: db, url: 'tcp://db:5432', alarm: {remind: 2d, agree: all}}
- {name: shop, url: 'https://shop/', depends_on: [db], tls: {ca: no-such.pem}}
- http://plain/
"""


def test_a_target_says_when_it_is_told_and_whom_it_depends_on(tmp_path: Path) -> None:
    every = {"confirm": 2, "certificate_days": (21, 3)}
    assert alarms(write(tmp_path, DEPENDENT)) == {
        "router": every,
        "db": {**every, "remind": 172_800, "agree": "all", "depends_on": ("router",)},
        "shop": {**every, "depends_on": ("db",)},
        "http://plain/": {**every, "depends_on": ("router",)},
    }
    assert schema_takes(DEPENDENT)


def test_parents_that_are_not_listed_and_circles_are_told_with_their_lines(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
        defaults: {depends_on: [ruoter]}
        targets:
        - {name: router, url: 'tcp://router:22', depends_on: []}
        - {name: a, url: 'http://a/', depends_on: [b]}
        - {name: b, url: 'http://b/', depends_on: [router, c]}
        - name: c
          url: http://c/
          depends_on:
          - router
          - a
          - zzz
        - {name: d, url: 'http://d/', depends_on: [d]}
        - {name: e, url: 'http://e/'}
        - {name: f, url: 'http://f/'}
        """,
    )
    first, *rest = faults(path)
    assert first == "1: defaults: depends_on names 'ruoter', which is not listed; right would be 'router'"
    assert len(rest) == 3
    assert {line.partition(":")[0] for line in rest} >= {"11", "12"}
    told = "\n".join(rest)
    assert "target 'c': depends_on names 'zzz', which is not listed; right would be the name of a target" in told
    assert "target 'd': depends_on goes round: d -> d; right would be an end to it" in told
    assert any(way in told for way in ("a -> b -> c -> a", "b -> c -> a -> b", "c -> a -> b -> c"))


def test_what_an_alarm_may_not_be_is_told(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
        targets:
        - url: http://a/
          alarm:
            confirm: 0
            remind: soon
            certificate_days: []
            agre: 2
        """,
    )
    assert faults(path) == [
        "4: target 'http://a/': alarm.confirm is 0; right would be a whole number from 1 to 100",
        "5: target 'http://a/': alarm.remind is 'soon'; right would be seconds, or 30m, 4h; 0 for never",
        "6: target 'http://a/': alarm.certificate_days is []; right would be a list of days, such as [21, 7, 3, 1]",
        "7: target 'http://a/': alarm.agre is not known; right would be agree",
    ]
    assert not schema_takes(path.read_text())


@pytest.mark.parametrize(
    "url",
    ["https://joe:my secret@h.example.org/", f"https://joe:{'secret' * 60}@h.example.org/", "ftp://joe:secret@h/"],
)
@pytest.mark.parametrize("name", ["targets.txt", "targets.yml"])
def test_a_password_in_a_url_is_not_told_however_wrong_it_is(url: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(f"{url}\n" if name.endswith("txt") else json.dumps({"targets": [{"name": "shop", "url": url}]}))
    with pytest.raises(UserError) as caught:
        load(path)
    assert "secret" not in str(caught.value.lines)
    assert "..." in str(caught.value.lines)


def test_a_setting_of_tls_is_looked_at_once_however_many_targets_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[object] = []
    monkeypatch.setattr(file_module, "tls_context", lambda **setting: looked.append(setting))
    targets = [{"name": f"t{number}", "url": f"https://h{number}/"} for number in range(5)]
    (tmp_path / "t.yml").write_text(json.dumps({"defaults": {"tls": {"ca": "ca.pem"}}, "targets": targets}))
    assert len(load(tmp_path / "t.yml")) == 5
    assert len(looked) == 1
