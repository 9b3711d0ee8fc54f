"""The rules file: what it may say, how each fault is told, and what counts without one."""

import dataclasses
import json
import re
import textwrap
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import SecretStr

from tests.readme import PAGES, block
from webmon import cli
from webmon.alarm import model as alarm_model
from webmon.alarm.channels import Alertmanager, Apprise, Channel, Mail, Webhook
from webmon.alarm.conditions import Conditions, Rules, Step
from webmon.alarm.rules import load, of_settings
from webmon.errors import UserError
from webmon.settings import Alarm

SECRETS = {"PAGER_URL": "json://p4ger/", "HOOK_SECRET": "s3cret"}
WHOLE = """\
defaults: {agree: majority, confirm: 3, recover: 3, partial_after: 10m, slow_checks: 3, no_data_after: 5m,
           certificate_days: [21, 7, 3, 1], flap_count: 4, flap_within: 1h, flap_quiet: 30m, remind: 4h, group_secs: 30}
rules:
  - {match: {labels: {tier: gold}}, confirm: 2, remind: 30m}
  - {match: {names: ["db-*", router]}, agree: any, many: 9}
routes:
  - match: {labels: {team: shop}, severity: critical}
    to: [shop-mail]
    then: [{after: 10m, to: [pager]}]
  - match: {condition: certificate}
    to: [hook]
    continue: true
  - to: [ops-mail, am]
channels:
  shop-mail: {mail: {to: [shop@example.org]}}
  ops-mail: {mail: {to: [ops@example.org, ops@example.org], from: webmon@example.org}, fallback: hook}
  pager: {apprise: "${PAGER_URL}"}
  am: {alertmanager: ["https://am1:9093", "https://am2:9093"]}
  hook: {webhook: {url: "https://hook.example.org/", secret: "${HOOK_SECRET}"}}
maintenance:
  - {name: backups, match: {names: ["db-*"]}, every: "Sun 02:00", for: 2h, timezone: Europe/Helsinki, public: true}
  - {name: move, from: 2026-12-01T02:00:00+02:00, until: "2026-12-01T04:00+02:00"}
"""
TAIL = "routes: [{to: [a]}]\nchannels: {a: {mail: {to: [a@b.c]}}}\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "alarm.yml"
    path.write_text(textwrap.dedent(text))
    return path


def faults(path: Path, **more: object) -> list[str]:
    with pytest.raises(UserError) as caught:
        load(path, **more)  # type: ignore[arg-type]
    return [line.removeprefix(f"{path}:") for line in caught.value.lines]


def test_a_file_says_conditions_routes_channels_and_maintenance(tmp_path: Path) -> None:
    rules = load(write(tmp_path, WHOLE), secrets=SECRETS)
    assert rules.defaults == Conditions()
    assert rules.for_target("plain", "http://plain/", {}) == Conditions()
    assert rules.for_target("shop", "http://shop/", {"tier": "gold"}) == Conditions(confirm=2, remind=1800)
    # The first that matches counts alone.
    assert rules.for_target("db-1", "tcp://db:1", {"tier": "gold"}).agree == "majority"
    assert rules.for_target("db-1", "tcp://db:1", {}) == Conditions(agree="any", many=9)
    assert rules.for_target("my-db-1", "tcp://db:1", {}) == Conditions()
    assert rules.channels == {
        "shop-mail": Channel("shop-mail", Mail(("shop@example.org",))),
        "ops-mail": Channel("ops-mail", Mail(("ops@example.org",), "webmon@example.org"), "hook"),
        "pager": Channel("pager", Apprise(("json://p4ger/",))),
        "am": Channel("am", Alertmanager(("https://am1:9093", "https://am2:9093"))),
        "hook": Channel("hook", Webhook("https://hook.example.org/", "s3cret")),
    }
    assert [window.name for window in rules.maintenance] == ["backups", "move"]
    assert not any(secret in repr(rules) for secret in ("s3cret", "p4ger"))


def test_routes_count_from_the_top_to_the_first_that_does_not_go_on(tmp_path: Path) -> None:
    rules = load(write(tmp_path, WHOLE))
    shop = {"team": "shop"}
    assert rules.routes_for(shop, "critical", "down") == (Step(0, ("shop-mail",)), Step(600, ("pager",)))
    assert rules.routes_for(shop, "warning", "slow") == (Step(0, ("ops-mail", "am")),)
    assert rules.routes_for({}, "warning", "certificate") == (Step(0, ("hook", "ops-mail", "am")),)


def test_a_channel_that_two_routes_name_is_told_once_at_its_earliest(tmp_path: Path) -> None:
    text = """\
    routes:
    - {to: [a], then: [{after: 5m, to: [b]}], continue: true}
    - {to: [b], then: [{after: 1m, to: [a]}]}
    channels: {a: {mail: {to: [a@b.c]}}, b: {mail: {to: [b@b.c]}}}
    """
    rules = load(write(tmp_path, text))
    assert rules.routes_for({}, "critical", "down") == (Step(0, ("a", "b")),)


def test_whoever_is_told_later_is_so_also_where_nobody_is_told_at_once(tmp_path: Path) -> None:
    text = "routes: [{to: [], then: [{after: 10m, to: [a]}]}]\nchannels: {a: {mail: {to: [a@b.c]}}}\n"
    assert load(write(tmp_path, text)).routes_for({}, "critical", "down") == (Step(0, ()), Step(600, ("a",)))


def test_what_a_target_says_itself_is_stronger_than_a_rule(tmp_path: Path) -> None:
    targets = tmp_path / "targets.yml"
    targets.write_text(
        "defaults: {depends_on: [router]}\ntargets:\n- {name: router, url: 'icmp://router'}\n"
        "- {name: db-1, url: 'tcp://db:1', alarm: {many: 3}}\n"
    )
    rules = load(write(tmp_path, WHOLE), targets=targets)
    assert rules.for_target("db-1", "", {}) == Conditions(agree="any", many=3, depends_on=("router",))
    assert rules.for_target("router", "", {}) == Conditions(agree="any", many=9)


def test_all_faults_of_rules_and_targets_are_told_at_once(tmp_path: Path) -> None:
    targets = tmp_path / "targets.yml"
    targets.write_text("targets:\n- {url: 'http://a/', alarm: {agree: 4}}\n")
    path = write(
        tmp_path,
        """\
        defaults: {confirm: 0, remind: yes}
        rules:
        - {match: {}, agree: 4}
        - {confirm: 2}
        - 7
        routes:
        - match: {severity: bad, label: {a: b}}
          to: [mial]
        - {to: [mail], then: [{after: 0, to: [hook]}]}
        - {to: [hook]}
        channels:
          mail: {mail: {to: [nobody]}}
          both: {webhook: {url: "http://h/"}, alertmanager: ["http://a/"]}
          hook: {webhook: {url: "ftp://p4ssword/", secret: "${NO_SUCH}"}, fallback: two}
          two: {apprise: [], fallback: three}
          three: {apprise: "json://h/", fallback: two}
          pager: {fallback: pager}
        maintenance:
        - {name: a, every: "Sun 2:00", for: 1h, timezone: Europe/Helsinki}
        - {name: b, every: "Sun 02:00", timezone: Europe/Nowhere, for: 1h}
        - {name: c, every: "daily 02:00", for: 23h}
        - {name: c, from: 2026-12-01T02:00:00+02:00, until: 2026-12-01T02:00:00+02:00}
        - {name: d, from: 2026-12-01T02:00:00, until: tomorrow}
        - {name: e, every: "Sun 02:00"}
        channel: {}
        """,
    )
    with pytest.raises(UserError) as caught:
        load(path, secrets={}, targets=targets, vantages=3)
    told = [line.removeprefix(f"{path}:") for line in caught.value.lines]
    span = "seconds above 0, or 90s, 10m, 4h, 30d"
    never = "seconds, or 30m, 4h; 0 for never"
    assert told == [
        "1: defaults: confirm is 0; right would be a whole number from 1 to 100",
        f"1: defaults: remind is True (YAML reads yes, no, on and off so); right would be {never}",
        "3: rule 1: agree is 4; right would be 3 at most, as many as check a target",
        "3: rule 1: match says nothing; right would be names or labels",
        "4: rule 2: match is missing; right would be a mapping with names or labels",
        "5: rule 3 is 7; right would be a mapping",
        "7: route 1: match.severity is 'bad'; right would be warning or critical",
        "7: route 1: match.label is not known; right would be labels",
        f"9: route 2: then.0.after is 0; right would be {span}",
        "12: channel 'mail': mail.to is 'nobody'; right would be a list of addresses, such as [ops@example.org]",
        "13: channel 'both' has webhook and alertmanager; right would be one of mail, webhook, alertmanager, apprise",
        "14: channel 'hook': webhook.url is not right (it may be a secret and is not shown); right would be "
        "http://HOST/... or https://HOST/..., with xn-- and %XX for what is not ASCII",
        "14: channel 'hook': webhook.secret names ${NO_SUCH}, which is not set; right would be a variable of the .env "
        "or the environment",
        "15: channel 'two': apprise is not right (it may be a secret and is not shown); right would be a URL of "
        "Apprise (https://appriseit.com) or a list of them; ${NAME} of a secret",
        "17: channel 'pager' has none; right would be one of mail, webhook, alertmanager, apprise",
        "17: channel 'pager': fallback goes round: pager -> pager; right would be an end to it",
        "19: maintenance 'a': every is 'Sun 2:00'; right would be \"Sun 02:00\", \"day 1 02:00\" (of a month) or "
        '"daily 02:00", in quotes',
        "20: maintenance 'b': timezone is 'Europe/Nowhere'; right would be a name of the IANA time zones, such as "
        "Europe/Helsinki",
        "21: maintenance 'c': for is 23 h; right would be 22 h at most, to end in time",
        "22: maintenance 'c' is here twice, first on line 21; right would be a name of its own",
        "22: maintenance 'c': until is not after from; right would be a later time",
        "23: maintenance 'd': from is 2026-12-01 02:00:00 (YAML reads what looks like a date so); right would be a "
        "time from 1970 to 9998 with its offset, such as 2026-12-01T02:00:00+02:00",
        "23: maintenance 'd': until is 'tomorrow'; right would be a time from 1970 to 9998 with its offset, such as "
        "2026-12-01T04:00:00+02:00",
        "24: maintenance 'e' has every; right would be every and for (and timezone), or from and until",
        "25: channel is not known; right would be channels",
        f"{targets}: target 'http://a/': alarm.agree is 4; right would be 3 at most, as many as check it",
    ]


def test_a_value_that_may_be_of_several_kinds_is_told_once(tmp_path: Path) -> None:
    path = write(tmp_path, TAIL + "defaults: {agree: most}")
    assert faults(path) == [
        "3: defaults: agree is 'most'; right would be majority, all, any or a number of vantages",
    ]


def test_channels_and_circles_that_lead_nowhere_are_told(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """\
        routes:
        - {to: [mial], then: [{after: 1m, to: [mail, zzz]}]}
        - to: [mail]
        channels:
          mail: {mail: {to: [a@b.c]}, fallback: two}
          two: {mail: {to: [a@b.c]}, fallback: three}
          three: {mail: {to: [a@b.c]}, fallback: two}
          four: {mail: {to: [a@b.c]}, fallback: tow}
        """,
    )
    circle, *rest = sorted(faults(path), key=lambda fault: "goes round" not in fault)
    assert "fallback goes round: " in circle
    assert "two -> three -> two" in circle or "three -> two -> three" in circle
    assert rest == [
        "2: route 1: to names 'mial', which is no channel; right would be mail",
        "2: route 1: then.0.to names 'zzz', which is no channel; right would be one of mail, two, three, four",
        "3: route 2: is never reached; right would be before route 1, or `continue: true` there",
        "8: channel 'four': fallback names 'tow', which is no channel; right would be two",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1/",
        "http://[zz]/",
        "http://u:t0ken-t0ken@127.0.0.1℀/",
        "http://hüks.invalid/",
        "http://h/ü",
        "http://h:99999/",
        "http://h:abc/",
        "http://:80/",
        "ftp://h/",
    ],
)
def test_a_url_that_nothing_can_be_sent_to_is_told(url: str, tmp_path: Path) -> None:
    path = write(tmp_path, f'routes: [{{to: [a]}}]\nchannels: {{a: {{webhook: {{url: "{url}"}}}}}}\n')
    assert faults(path) == [
        "2: channel 'a': webhook.url is not right (it may be a secret and is not shown); right would be "
        "http://HOST/... or https://HOST/..., with xn-- and %XX for what is not ASCII"
    ]


@pytest.mark.parametrize("time", ["9999-12-31T00:00:00Z", '"9999-12-31T00:00:00Z"', '"0001-01-01T00:00:00+14:00"'])
def test_a_time_that_nothing_can_reckon_with_is_told(time: str, tmp_path: Path) -> None:
    path = write(tmp_path, TAIL + f"maintenance: [{{name: a, from: {time}, for: 366d}}]\n")
    [fault] = faults(path)
    assert fault.startswith("3: maintenance 'a': from is ")
    assert "right would be a time from 1970 to 9998 with its offset" in fault


@pytest.mark.parametrize(
    "text",
    [
        "channels: {a: {mail: {to: [a@b.c]}, fallback: {webhook: {url: https://h/t0ken}}}}",
        'channels: {a: {mail: {to: [a@b.c]}, fallback: "tgram://t0ken"}}',
        'channels: {a: {alertmanager: "https://am/?token=t0ken"}}',
        "channels: [{webhook: {url: https://h/t0ken}}]",
        "channels: https://h/t0ken",
        "channels: {a: https://h/t0ken}",
        "routes: [{to: [{webhook: {url: https://h/t0ken}}]}]",
        "routes: [{to: [https://h/t0ken]}]",
        "routes: [https://h/t0ken]",
    ],
)
def test_a_channel_in_a_wrong_place_is_told_without_its_secrets(text: str, tmp_path: Path) -> None:
    told = faults(write(tmp_path, text))
    assert told
    assert "t0ken" not in "".join(told)


def test_what_looks_like_a_secret_s_name_and_is_none_is_told(tmp_path: Path) -> None:
    channels = 'channels: {a: {webhook: {url: "https://h/", secret: "${HOOK-SECRET}"}}}\n'
    assert faults(write(tmp_path, f"routes: [{{to: [a]}}]\n{channels}"), secrets=SECRETS) == [
        "2: channel 'a': webhook.secret has ${ and no name behind it; right would be ${NAME}, of letters, digits and _"
    ]


def test_an_end_that_nothing_can_reckon_with_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, TAIL + "maintenance: [{name: a, from: 9998-12-31T23:00:00Z, for: 366d}]\n")
    assert faults(path) == [
        "3: maintenance 'a': it ends after the year 9999; right would be an earlier end",
    ]


def test_what_is_no_url_of_apprise_is_told(tmp_path: Path) -> None:
    [fault] = faults(write(tmp_path, "routes: [{to: [a]}]\nchannels: {a: {apprise: hello}}\n"))
    assert fault.startswith("2: channel 'a': apprise is not right")


@pytest.mark.parametrize(
    "routes",
    [
        "[{to: [a], continue: true}]",
        "[{match: {severity: critical}, to: [a]}, {to: [], continue: true}]",
        "[{match: {severity: critical}, to: [a]}, {match: {severity: warning}, to: []}]",
    ],
)
def test_routes_that_match_everything_between_them_are_right(routes: str, tmp_path: Path) -> None:
    assert load(write(tmp_path, f"routes: {routes}\nchannels: {{a: {{mail: {{to: [a@b.c]}}}}}}\n")).routes


def test_what_is_told_to_nobody_is_told_beside_other_faults(tmp_path: Path) -> None:
    routes = "routes:\n- {match: {severity: critical}, to: [a]}\n"
    told = faults(write(tmp_path, f"{routes}channels: {{a: {{mail: {{to: [nobody]}}}}}}\n"))
    assert len(told) == 2
    assert told[0].startswith("1: routes: what none of them matches")


def test_what_no_route_matches_is_told_to_nobody_and_so_a_fault(tmp_path: Path) -> None:
    routes = "routes:\n- {match: {severity: critical}, to: [a]}\n"
    channels = "channels: {a: {mail: {to: [a@b.c]}}}\n"
    (fault,) = faults(write(tmp_path, routes + channels))
    assert fault.startswith("1: routes: what none of them matches is told to nobody")
    assert load(write(tmp_path, f"{routes}- to: []\n{channels}")).routes_for({}, "warning", "slow") == ()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1: right would be a mapping with `routes` and `channels`"),
        ("- a", "1: right would be a mapping with `routes` and `channels`"),
        ("a: [", "1: not YAML: did not find expected node content"),
        ("routes: []\nchannels: 7", "1: routes is []; right would be a list of mappings with `to`, and maybe `match`"),
    ],
)
def test_what_is_no_rules_file_is_told(text: str, fault: str, tmp_path: Path) -> None:
    assert faults(write(tmp_path, text))[0] == fault


def test_a_file_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file or directory; right would be a readable file of rules"):
        load(tmp_path / "none.yml")
    (tmp_path / "latin.yml").write_bytes(b"a: \xe4")
    with pytest.raises(UserError, match="not UTF-8 at byte 3"):
        load(tmp_path / "latin.yml")


def test_the_checked_in_schema_is_that_of_the_model() -> None:
    checked_in = json.loads(files("webmon").joinpath("alarm.schema.json").read_text())
    assert checked_in == alarm_model.json_schema(), "run: python -m webmon.alarm.model > webmon/alarm.schema.json"


def schema_takes(text: str) -> bool:
    document = json.loads(json.dumps(yaml.safe_load(text), default=lambda moment: moment.isoformat()))
    return bool(jsonschema.Draft202012Validator(alarm_model.json_schema()).is_valid(document))


def test_the_schema_takes_what_the_checker_takes(tmp_path: Path) -> None:
    load(write(tmp_path, WHOLE))
    assert schema_takes(WHOLE)


@pytest.mark.parametrize(
    "text",
    [
        "channels: {a: {mail: {to: [a@b.c]}}}",
        "routes: [{to: [a]}]",
        "routes: []\nchannels: {a: {mail: {to: [a@b.c]}}}",
        "routes: [{to: [a]}]\nchannels: {}",
        f"{TAIL}rulez: []",
        f"{TAIL}defaults: {{confirm: none}}",
        f"{TAIL}defaults: {{agree: most}}",
        f"{TAIL}defaults: {{agree: 0}}",
        f"{TAIL}defaults: {{group_secs: -1}}",
        f"{TAIL}defaults: {{certificate_days: [0]}}",
        f"{TAIL}rules: [{{confirm: 2}}]",
        f"{TAIL}rules: [{{match: {{names: db}}, confirm: 2}}]",
        f"{TAIL}rules: [{{match: {{labels: {{port: 80}}}}}}]",
        f"{TAIL}maintenance: [{{every: 'Sun 02:00', for: 1h}}]",
        f"{TAIL}maintenance: [{{name: a, every: 'Sunday 02:00', for: 1h}}]",
        f"{TAIL}maintenance: [{{name: a, from: '2026-12-01T02:00', until: '2026-12-01T03:00Z'}}]",
        "routes: [{to: [a], then: [{to: [a]}]}]\nchannels: {a: {mail: {to: [a@b.c]}}}",
        "routes: [{to: [a], match: {condition: dwon}}]\nchannels: {a: {mail: {to: [a@b.c]}}}",
        "routes: [{to: [a], continue: 1}]\nchannels: {a: {mail: {to: [a@b.c]}}}",
        "routes: [{to: [a]}]\nchannels: {a: {mail: {to: ['a@b.c\\nBcc: d']}}}",
        "routes: [{to: [a]}]\nchannels: {a: {mail: {to: []}}}",
        "routes: [{to: [a]}]\nchannels: {a: {webhook: 'http://a/'}}",
        "routes: [{to: [a]}]\nchannels: {a: {alertmanager: 'http://a/'}}",
        "routes: [{to: [a]}]\nchannels: {a: {pager: 'http://a/'}}",
    ],
)
def test_the_schema_refuses_what_the_checker_refuses(text: str, tmp_path: Path) -> None:
    assert faults(write(tmp_path, text))
    assert not schema_takes(text)


def test_without_a_file_the_settings_name_the_channel_and_the_defaults_count(tmp_path: Path) -> None:
    by_mail = of_settings(Alarm.model_construct(mail_to=["ops@example.org"]), {})
    assert by_mail.channels == {"alarm": Channel("alarm", Mail(("ops@example.org",)))}
    assert by_mail.routes_for({"team": "a"}, "warning", "monitor") == (Step(0, ("alarm",)),)
    assert by_mail.for_target("a", "http://a/", {}) == Conditions()
    by_both = of_settings(Alarm.model_construct(mail_to=["a@b.c"], webhook_url=SecretStr("http://h/")), {})
    assert by_both.routes_for({}, "critical", "down") == (Step(0, ("mail", "webhook")),)
    by_file = of_settings(Alarm.model_construct(rules_path=write(tmp_path, WHOLE)), SECRETS)
    assert set(by_file.channels) == {"shop-mail", "ops-mail", "pager", "am", "hook"}


def test_alarm_check_says_what_there_is_or_every_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, WHOLE)
    assert cli.main(["alarm", "check", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: 2 rules, 3 routes, 5 channels, 2 times of maintenance, no fault\n"
    path.write_text(TAIL.replace("[a]", "[b]") + "defaults: {agree: 3}")
    assert cli.main(["alarm", "check", "--vantages", "2", str(path)]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"webmon: {path}:1: route 1: to names 'b', which is no channel; right would be one of a",
        f"webmon: {path}:3: defaults: agree is 3; right would be 2 at most, as many as check a target",
    ]


def test_the_example_of_a_rules_file_has_no_fault(tmp_path: Path) -> None:
    rules = load(write(tmp_path, block("docs/alarms.md", "yaml")), secrets=SECRETS, vantages=3)
    assert (len(rules.rules), len(rules.routes), len(rules.channels), len(rules.maintenance)) == (2, 2, 5, 2)


def test_the_defaults_of_the_page_are_those_of_the_code(tmp_path: Path) -> None:
    told = PAGES["docs/alarms.md"].partition("### When something is told")[2].partition("\n#")[0]
    rows = re.findall(r"^\| (`[a-z_`, ]+) \| ([^|]+) \|", told, re.MULTILINE)
    said = {key: value for keys, values in rows for key, value in _said(keys, values)}
    text = TAIL + "defaults: {" + ", ".join(f"{key}: {value}" for key, value in said.items()) + "}\n"
    assert set(said) == {field.name for field in dataclasses.fields(Conditions)} - {"depends_on"}
    assert load(write(tmp_path, text)).defaults == Conditions()


def _said(keys: str, values: str) -> list[tuple[str, str]]:
    names = re.findall(r"`([a-z_]+)`", keys)
    given = [values.strip("` ")] if "[" in values else [value.strip("` ") for value in values.split(", ")]
    return list(zip(names, given * len(names) if len(given) == 1 else given, strict=False))


def test_the_judge_takes_what_was_read(tmp_path: Path) -> None:
    rules: Rules = load(write(tmp_path, WHOLE))
    assert [window.covers("db-1", {}, datetime(2026, 11, 29, 1, tzinfo=UTC)) for window in rules.maintenance] == [
        True,
        False,
    ]
