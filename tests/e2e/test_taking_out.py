"""playbooks/remove.yml: a host is taken out with nothing lost unsaid, and nothing of ours is left on it."""

import re

import pytest

from tests.e2e.lab import Lab
from tests.e2e.more import ADDRESS, DOWN, HOST, More
from tests.lab.demo import recap
from tests.waiting import wait_until

PLAYBOOK = "playbooks/remove.yml"


def left(lab: Lab) -> str:
    """Give what is left of webmon on the host, a line each."""
    return lab.on(
        HOST,
        "ls -d /etc/webmon /opt/webmon /usr/local/bin/webmon /var/lib/webmon-* 2>/dev/null; "
        "find /etc/systemd/system -name 'webmon-*'; getent passwd | grep webmon; getent group | grep webmon; "
        "systemctl list-units --all --plain --no-legend 'webmon-*'",
    )


@pytest.mark.parametrize("limit", [(), ("--limit", "agents"), ("--limit", "agent*")])
def test_hosts_that_are_not_named_one_by_one_are_refused(more: More, limit: tuple[str, ...]) -> None:
    status, out = more.play(PLAYBOOK, *limit)
    assert status != 0
    assert re.search(r"right would be --limit \w+, or several names with commas", out)
    assert {counts[0] for counts in recap(out).values()} == {0}


def test_results_that_cannot_be_sent_are_counted_and_the_agent_runs_on(more: More) -> None:
    lab = more.lab
    kafka = lab.on("kafka1", "hostname -I").split()[0]
    agent = "systemctl show webmon-agent --property=MainPID --value"
    before = lab.on(HOST, agent)
    lab.on(HOST, f"ip route add unreachable {kafka}")
    try:
        status, out = more.play(PLAYBOOK, "--limit", HOST, "--extra-vars", "_agent_drain_secs=3")
        assert status != 0
        told = re.search(r"(\d+) of \d+ results \(of \S+ \S+ to \S+ \S+ UTC\) are left: Kafka at", out)
        assert told, out
        assert int(told[1]) > 0
        assert "-e remove_anyway=true" in out
        assert before != lab.on(HOST, agent) != "0\n"
    finally:
        lab.on(HOST, f"ip route del unreachable {kafka}")


def test_a_damaged_outbox_is_told_before_anything_is_stopped(more: More) -> None:
    lab, aside = more.lab, "/var/lib/webmon-agent/outbox.sqlite.corrupt-20260101T000000Z"
    agent = "systemctl show webmon-agent --property=MainPID --value"
    before = lab.on(HOST, agent)
    lab.on(HOST, f"runuser -u webmon-agent -- touch {aside}")
    try:
        status, out = more.play(PLAYBOOK, "--limit", HOST)
        assert status != 0
        assert aside in out
        assert lab.on(HOST, agent) == before
    finally:
        lab.on(HOST, f"rm {aside}")


def test_a_host_that_does_not_answer_is_kept_unless_it_is_said_to_be_gone(more: More) -> None:
    status, out = more.play(PLAYBOOK, "--limit", DOWN)
    assert status != 0
    assert f"{DOWN} does not answer" in out
    status, out = more.play(PLAYBOOK, "--limit", DOWN, "--extra-vars", "remove_anyway=true")
    assert status == 0, out
    assert f"take {DOWN} out of the inventory" in out
    assert f"User:webmon-agent-{DOWN}" not in more.lab.on("db1", "cat /etc/webmon/init/.env")
    assert DOWN not in more.lab.on("sink1", "cut -d' ' -f1 /etc/webmon/sink/agents").split()
    assert not list((more.lab.directory / "secrets/agents").glob(f"{DOWN}*"))


def test_it_goes_with_all_that_was_installed_and_what_it_measured_is_stored(more: More) -> None:
    lab = more.lab
    status, out = more.play(PLAYBOOK, "--limit", HOST, "--check", "--diff")
    assert status == 0, out
    services = "webmon-agent webmon-sink webmon-alarm webmon-page"
    assert lab.on(HOST, f"systemctl is-active {services}").split() == ["active"] * 4

    status, out = more.play(PLAYBOOK, "--limit", HOST)
    assert status == 0, out
    sent = re.search(r"outbox\.sqlite: \d+ results sent; it is empty and removed", out)
    assert sent or "Send what waits in them" in out
    assert f"take {HOST} out of the inventory" in out
    assert left(lab) == ""
    assert f"User:webmon-agent-{HOST}" not in lab.on("db1", "cat /etc/webmon/init/.env")
    revoked = lab.on("db1", f"runuser -u webmon-init -- webmon revoke User:webmon-agent-{HOST}")
    assert revoked == f"unchanged  ACLs of User:webmon-agent-{HOST} are taken away: it has none\n"
    assert HOST not in lab.on("sink1", "cut -d' ' -f1 /etc/webmon/sink/agents").split()
    # The other sink has the group to itself at once, and stores what was sent last.
    said = "journalctl -u webmon-agent -o short-unix --no-pager | grep ': Stopping ' | tail -1 | cut -d. -f1"
    stopping = lab.on(HOST, said).strip()
    # Each is checked every 5 s, some of that after the others.
    last = (
        "SELECT count(DISTINCT target) FROM web_health_metrics_view"  # noqa: S608
        f" WHERE agent = '{HOST}' AND time > to_timestamp({stopping}) - interval '6 s'"
    )
    wait_until(lambda: lab.sql(last) == [[str(len(more.targets))]], "the last result of each target in the store", 30)

    status, out = more.play(PLAYBOOK, "--limit", HOST)
    assert status == 0, out
    assert recap(out)[HOST] == (0, 0, 0)


def test_who_is_out_of_the_inventory_is_known_to_nobody_any_more(more: More) -> None:
    lab = more.lab
    believed = "cut -d' ' -f1 /etc/webmon/sink/agents"
    let_in = "cat /etc/postgresql/*/main/pg_hba.conf"
    assert DOWN in lab.on("sink1", believed).split(), "as long as the inventory has it"
    assert f"{ADDRESS}/32" in lab.on("db1", let_in)
    lab.play("playbooks/site.yml", "--limit", "db1,sink1")
    assert not {HOST, DOWN} & set(lab.on("sink1", believed).split())
    assert f"{ADDRESS}/32" not in lab.on("db1", let_in)
    assert DOWN not in lab.on("db1", "cat /etc/webmon/init/.env")
