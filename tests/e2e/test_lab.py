"""What a newcomer gets from `make demo`, from outside: rows of every vantage, hosts that survive, nothing to change."""

import json
import re

import pytest
import requests
import yaml

from tests.e2e.lab import ROOT, Lab
from tests.waiting import wait_until

AGENTS = ("agent1", "agent2", "agent3")
TARGETS = {target["name"]: target for target in yaml.safe_load((ROOT / "tests/lab/targets.yml").read_text())["targets"]}

CHECKS = """SELECT target, agent, outcome, time, interval AS interval_secs,
    time - delay * interval '1 second' AS scheduled_at FROM web_health_metrics_view"""


@pytest.mark.parametrize("name", TARGETS)
def test_each_vantage_stored_the_outcome_that_the_site_shows(lab: Lab, name: str) -> None:
    rows = lab.sql(
        f"SELECT agent, outcome, count(*) FROM ({CHECKS}) AS checks WHERE target = '{name}' "  # noqa: S608
        "AND outcome <> 'agent_error' GROUP BY 1, 2"
    )
    assert {agent for agent, _, _ in rows} == set(AGENTS)
    assert {outcome for _, outcome, _ in rows} <= set(TARGETS[name]["labels"]["shows"].split("|"))


def test_the_obvious_select_of_a_person_works(lab: Lab) -> None:
    rows = lab.sql(
        "SELECT DISTINCT web_url, http_status, regex_match, resp_time > 0 FROM web_health_metrics_view "
        "WHERE web_url = 'http://web1/other-text' AND agent = 'agent3'"
    )
    assert rows == [["http://web1/other-text", "200", "f", "t"]]


def test_status_has_a_line_for_each_target_with_what_each_vantage_saw(lab: Lab) -> None:
    wait_until(lambda: TARGETS.keys() <= {line["target"] for line in lab.status()}, "a status of every target", 60)
    text = lab.on("sink1", "webmon status")
    for name in TARGETS:
        line = next(line for line in text.splitlines() if line.split()[1] == name)
        assert all(agent in text for agent in AGENTS), text
        shows = TARGETS[name]["labels"]["shows"].split("|")
        assert any(line.count(outcome) for outcome in shows), line


def test_an_alarm_was_received_for_each_site_that_is_down_for_good(lab: Lab) -> None:
    down = {name for name, target in TARGETS.items() if not {"up", "slow"} & set(target["labels"]["shows"].split("|"))}

    def told() -> set[str]:
        printed = lab.on("web1", "journalctl --unit=demo-sites --output=cat --no-pager").splitlines()
        messages = [json.loads(line) for line in printed if line.startswith("{")]
        return {each["target"] for message in messages for each in (message, *message["others"])}

    wait_until(lambda: down <= told(), "a message for each of them", 60)
    wait_until(lambda: all(name in lab.on("sink1", "webmon alarms") for name in down), "each of them in the list", 60)


def test_one_of_the_two_judges_is_active(lab: Lab) -> None:
    def said() -> list[str]:
        status = "systemctl show webmon-alarm --property=StatusText --value"
        return sorted(re.split("[,;]", lab.on(host, status))[0].strip() for host in ("sink1", "db1"))

    wait_until(lambda: said() == ["judging", "standing by"], lambda: f"one judge and one behind it: {said()}", 60)


def test_visitors_see_the_page_through_nginx_and_operators_are_asked_who_they_are(lab: Lab) -> None:
    authority = lab.directory / "page/ca.pem"
    address = lab.on("sink1", "hostname -I").split()[0]

    def get(port: int, auth: tuple[str, str] | None = None) -> tuple[int, str]:
        answer = requests.get(f"https://{address}:{port}/", auth=auth, verify=str(authority), timeout=10)
        return answer.status_code, answer.text

    status, text = get(443)
    assert status == 200
    assert "good-https" in text
    assert get(8443)[0] == 401
    password = (lab.directory / "secrets/operator").read_text().split()[0]
    status, text = get(8443, ("operator", password))
    assert status == 200
    assert "agent3" in text


def test_services_are_notified_hardened_and_watched(lab: Lab) -> None:
    agents = [("agent1", "webmon-agent"), ("agent3", "webmon-agent")]
    others = [("sink1", "webmon-sink"), ("sink1", "webmon-alarm"), ("db1", "webmon-alarm"), ("sink1", "webmon-page")]
    for host, unit in agents + others:
        shown = dict(
            line.split("=", 1)
            for line in lab.on(
                host, f"systemctl show {unit} -p ActiveState,Type,NRestarts,UnitFileState,StatusText,User"
            ).splitlines()
        )
        assert shown["ActiveState"] == "active"
        assert shown["Type"] == "notify"
        assert shown["UnitFileState"] == "enabled"
        assert shown["NRestarts"] == "0"
        assert shown["User"] == unit
        assert shown["StatusText"]
        exposure = float(
            lab.on(host, f"systemd-analyze security --no-pager {unit} | grep -oP 'level for .*: \\K[0-9.]+'")
        )
        assert exposure <= 1.3


def test_secrets_are_readable_by_their_own_user_alone(lab: Lab) -> None:
    of_hosts = {"agent1": ("agent",), "sink1": ("sink", "report", "alarm", "page"), "db1": ("init", "alarm")}
    for host, component in [(host, component) for host, components in of_hosts.items() for component in components]:
        user = f"webmon-{component}"
        # Members of its group may ask for reports.
        right = ["640", "root", user] if component == "report" else ["600", user, user]
        for file in lab.on(host, f"find /etc/webmon/{component} -name .env -o -name 'key*.pem'").split():
            assert lab.on(host, f"stat -c '%a %U %G' {file}").split() == right
    assert lab.try_on("sink1", "runuser -u webmon-report -- cat /etc/webmon/sink/.env").returncode != 0


def test_kafka_refuses_a_client_without_a_certificate_and_the_database_one_without_tls(lab: Lab) -> None:
    kafka = lab.on("kafka1", "ss -Hltn 'sport = :9093' | awk '{print $4}'").split()
    assert kafka, "the broker listens on 9093"
    shaken = lab.try_on(
        "sink1",
        "python3 - <<'P'\nimport socket, ssl\n"
        "c = ssl.create_default_context(cafile='/etc/webmon/sink/tls/ca.pem'); c.check_hostname = False\n"
        "s = c.wrap_socket(socket.create_connection(('kafka1', 9093), 5)); s.settimeout(5)\n"
        "s.send(b'\\0\\0\\0\\4aaaa'); print(s.recv(1))\nP",
    )
    assert shaken.returncode != 0
    assert "certificate required" in shaken.stderr.lower() or "CERTIFICATE_REQUIRED" in shaken.stderr
    plain = lab.try_on("db1", "psql 'host=db1 user=webmon_sink dbname=webmon sslmode=disable password=x' -c 'SELECT 1'")
    assert plain.returncode != 0
    assert "no encryption" in plain.stderr


def test_a_wrong_setting_on_a_host_is_one_clear_line_and_status_2(lab: Lab) -> None:
    script = (
        "cd $(mktemp -d) && sed 's/^KAFKA_PORT=.*/KAFKA_PORT=9o92/; "
        "s/^MONITORING_TARGETS_PATH=.*/MONITORING_TARGETS_PATH=gone.yml/' /etc/webmon/agent/.env "
        "> .env && chmod 600 .env && webmon agent"
    )
    done = lab.try_on("agent1", script)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    lines = done.stderr.splitlines()
    assert any("KAFKA_PORT is '9o92'; right would be a port from 1 to 65535" in line for line in lines)
    assert any("MONITORING_TARGETS_PATH" in line and "gone.yml" in line for line in lines)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("s/^POSTGRES_PASSWORD=.*/POSTGRES_PASSWORD=wrong-one/", "POSTGRES_PASSWORD"),
        ("s/^POSTGRES_DATABASE=.*/POSTGRES_DATABASE=elsewhere/", "POSTGRES_DATABASE"),
        ("s/^POSTGRES_TABLE=.*//; $ a POSTGRES_TABLE=no_such_table", "webmon init"),
        ("s/^KAFKA_TOPIC_NAME=.*//; $ a KAFKA_TOPIC_NAME=no-such-topic", "no-such-topic"),
    ],
)
def test_a_sink_that_is_refused_says_so_in_one_line_and_ends_with_2(lab: Lab, change: str, says: str) -> None:
    done = lab.try_on(
        "sink1",
        f"cd $(mktemp -d) && sed '{change}' /etc/webmon/sink/.env > .env && chmod 600 .env && "
        "_WORKSPACE_PATH=/etc/webmon/sink timeout 50 webmon sink --env-file $PWD/.env",
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert says in done.stderr
    assert "wrong-one" not in done.stderr


def missing_slots(lab: Lab, agents: tuple[str, ...], since: str) -> list[list[str]]:
    """Give the slots since a moment that have no row although a later one of the same target and agent has one."""
    listed = ", ".join(f"'{agent}'" for agent in agents)
    return lab.sql(
        f"""SELECT target, agent, scheduled_at FROM (
              SELECT target, agent, scheduled_at, interval_secs,
                     scheduled_at - lag(scheduled_at) OVER (PARTITION BY target, agent ORDER BY scheduled_at) AS gap
              FROM ({CHECKS}) AS checks WHERE agent IN ({listed}) AND scheduled_at >= '{since}') AS slots
            WHERE gap > interval_secs * interval '1.01 second'"""  # noqa: S608
    )


def now(lab: Lab) -> str:
    """Give the store's time, to the second."""
    return lab.sql("SELECT date_trunc('second', now())")[0][0]


def newest(lab: Lab, since: str) -> set[str]:
    """Give the agents whose results begun since a moment are stored."""
    return {row[0] for row in lab.sql(f"SELECT DISTINCT agent FROM web_health_metrics_view WHERE time > '{since}'")}  # noqa: S608


def reboot(lab: Lab, host: str) -> None:
    """Reboot a host from inside and wait until it is back."""
    begin_of_init = "cut -d' ' -f22 /proc/1/stat"
    before = lab.on(host, begin_of_init)
    lab.log_in(host, "systemctl reboot")

    def back() -> bool:
        done = lab.log_in(host, begin_of_init)
        return done.returncode == 0 and done.stdout not in ("", before)

    wait_until(back, f"{host} back after its reboot", 90)
    lab.do("wait", host)


@pytest.mark.parametrize("host", ["kafka1", "db1", "sink1"])
def test_a_reboot_behind_the_agents_loses_no_result(lab: Lab, host: str) -> None:
    since = now(lab)
    reboot(lab, host)
    after = now(lab) if host == "db1" else None
    back = after or now(lab)
    wait_until(lambda: newest(lab, back) == set(AGENTS), f"results of every vantage after the reboot of {host}", 120)
    wait_until(lambda: not missing_slots(lab, AGENTS, since), "every slot stored", 60)


@pytest.mark.parametrize("host", AGENTS)
def test_a_reboot_of_an_agents_host_brings_its_service_back_and_keeps_what_it_acknowledged(lab: Lab, host: str) -> None:
    since = now(lab)
    reboot(lab, host)
    back = now(lab)
    assert lab.on(host, "systemctl is-active webmon-agent").strip() == "active"
    wait_until(lambda: newest(lab, back) == set(AGENTS), f"results of {host} after its reboot", 90)
    assert missing_slots(lab, tuple(agent for agent in AGENTS if agent != host), since) == []
    gaps = [target for target, _, _ in missing_slots(lab, (host,), since)]
    assert len(gaps) == len(set(gaps)), "one gap a target at most: while the host was down"


def test_the_playbook_in_check_mode_has_nothing_to_change(lab: Lab) -> None:
    recap = lab.play("playbooks/site.yml", "--check")
    assert recap.keys() >= {"kafka1", "db1", "sink1", *AGENTS}
    assert set(recap.values()) == {(0, 0, 0)}
