"""playbooks/certificates.yml while the agents measure: renewal, and another authority; no result is lost by either."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.e2e.lab import Lab
from tests.e2e.test_lab import AGENTS, missing_slots, newest, now
from tests.lab.demo import recap
from tests.waiting import wait_until

PLAYBOOK = "playbooks/certificates.yml"
UNITS = {
    **dict.fromkeys(AGENTS, "webmon-agent"),
    "sink1": "webmon-sink",
    "db1": "postgresql@17-main",
    "kafka1": "kafka",
}
FILES = {
    **dict.fromkeys(AGENTS, "/etc/webmon/agent/tls"),
    "sink1": "/etc/webmon/sink/tls",
    "db1": "/etc/webmon/timescaledb/tls",
    "kafka1": "/etc/kafka/tls",
}


def processes(lab: Lab) -> dict[str, str]:
    """Give the main process of the service on each host."""
    return {host: lab.on(host, f"systemctl show {unit} -P MainPID").strip() for host, unit in UNITS.items()}


def restarted(lab: Lab, before: dict[str, str]) -> set[str]:
    """Give the hosts whose service has another process than before."""
    return {host for host, process in processes(lab).items() if process != before[host]}


def presented(lab: Lab) -> dict[str, str]:
    """Give the serial number of the certificate on each host; it is the key's, or this fails."""
    script = (
        'cd {} && [ "$(openssl x509 -in cert.pem -noout -pubkey)" = "$(openssl pkey -in key.pem -pubout)" ] && '
        "openssl verify -CAfile ca.pem cert.pem >&2 && openssl x509 -in cert.pem -noout -serial && "
        "openssl pkey -in key.pem -pubout"
    )
    return {host: lab.on(host, script.format(place)) for host, place in FILES.items()}


def serials(shown: dict[str, str]) -> set[str]:
    """Give the serial numbers of what was presented."""
    return {text.splitlines()[0] for text in shown.values()}


def keys(shown: dict[str, str]) -> dict[str, list[str]]:
    """Give the public keys of what was presented."""
    return {host: text.splitlines()[1:] for host, text in shown.items()}


def trusted(lab: Lab, host: str) -> int:
    """Count the authorities that a host trusts."""
    return int(lab.on(host, f"grep -c BEGIN {FILES[host]}/ca.pem"))


def authority(lab: Lab) -> x509.Certificate:
    """Give the authority that signs."""
    return x509.load_pem_x509_certificate((lab.directory / "pki/ca.pem").read_bytes())


def assert_nothing_was_lost_or_refused(lab: Lab, since: str) -> None:
    """Every slot since then has its row, and no server and no client found a certificate wrong."""
    after = now(lab)
    wait_until(lambda: newest(lab, after) == set(AGENTS), "results of every vantage afterwards", 60)
    wait_until(lambda: not missing_slots(lab, AGENTS, since), "a row of every slot", 60)
    for host, unit in UNITS.items():
        said = lab.on(host, f"journalctl -u {unit} --since '{since}' --no-pager -o cat; :")
        # A vantage that was too busy says so, with the last of the sites: that may be one with a bad certificate.
        lines = [line for line in said.splitlines() if "because of this host and not of the sites" not in line]
        wrong = [line for line in lines if "handshake" in line or "certificate" in line.lower()]
        assert not wrong, f"{host}: {wrong}"


def test_all_certificates_are_renewed_and_only_the_broker_is_restarted(lab: Lab) -> None:
    since, before, shown = now(lab), processes(lab), presented(lab)
    recap = lab.play(PLAYBOOK, "-e", "certificates_renew_all=true", "--check")
    assert all(changed > 0 and not unreachable and not failed for changed, unreachable, failed in recap.values())
    assert (processes(lab), presented(lab)) == (before, shown)

    recap = lab.play(PLAYBOOK, "-e", "certificates_renew_all=true")
    assert all(changed > 0 and not unreachable and not failed for changed, unreachable, failed in recap.values())
    assert restarted(lab, before) == {"kafka1"}
    renewed = presented(lab)
    assert not serials(renewed) & serials(shown)
    assert keys(renewed) == keys(shown)
    assert_nothing_was_lost_or_refused(lab, since)


def without(host: str, tmp_path: Path) -> tuple[str, str]:
    """Give the arguments with an inventory beside the lab's by which a host is not reached."""
    path = tmp_path / "hosts.yml"
    path.write_text(f"all: {{hosts: {{{host}: {{ansible_port: 1}}}}}}\n")
    return "-i", str(path)


def test_a_renewal_goes_past_a_host_that_is_away_begins_with_one_that_is_there_and_names_the_other(
    lab: Lab, tmp_path: Path
) -> None:
    shown = presented(lab)
    agents = ("--limit", ",".join(AGENTS), "-e", "certificates_renew_all=true")
    done = lab.try_play(PLAYBOOK, *agents, *without("agent1", tmp_path))
    assert done.returncode != 0
    assert recap(done.stdout)["agent1"] == (0, 1, 0)
    assert {host for host, now_shown in presented(lab).items() if now_shown != shown[host]} == {"agent2", "agent3"}
    batches = done.stdout.split("PLAY [Certificates of the components]")
    assert "changed: [agent2]" in batches[1]
    assert "agent3" not in batches[1]
    assert "agent1: FAILED: not looked over: it did not answer before" in done.stdout


def test_a_new_authority_waits_for_a_host_that_is_away_and_is_then_brought_in_by_the_next_run(
    lab: Lab, tmp_path: Path
) -> None:
    since, before, shown, first = now(lab), processes(lab), presented(lab), authority(lab)
    broken_off = lab.try_play(PLAYBOOK, "-e", "certificates_new_authority=true", *without("agent3", tmp_path), "-vvv")
    assert broken_off.returncode != 0
    assert "stops here, safely: agent3 did not come this far" in " ".join(broken_off.stdout.split())
    assert {host: trusted(lab, host) for host in ("kafka1", "agent1", "agent3")} == {
        "kafka1": 2,
        "agent1": 2,
        "agent3": 1,
    }
    assert serials(presented(lab)) == serials(shown)
    assert authority(lab) == first

    limited = lab.try_play(PLAYBOOK, "--limit", "agent1")
    assert limited.returncode != 0
    assert "a new authority needs every host" in limited.stdout

    finished = lab.try_play(PLAYBOOK, "--diff", "-vvv")
    assert finished.returncode == 0, finished.stdout[-3000:]
    assert restarted(lab, before) == {"kafka1"}
    assert {trusted(lab, host) for host in UNITS} == {1}
    renewed = presented(lab)
    assert not serials(renewed) & serials(shown)
    assert authority(lab).subject != first.subject
    assert sorted(path.name for path in (lab.directory / "pki").iterdir()) == ["ca.key", "ca.pem"]
    assert "ENCRYPTED" in (lab.directory / "pki/ca.key").read_text()
    told = broken_off.stdout + finished.stdout
    assert (lab.directory / "secrets/authority").read_text().split()[0] not in told
    assert "PRIVATE KEY" not in told
    assert_nothing_was_lost_or_refused(lab, since)


@pytest.fixture
def taken_agent1(lab: Lab) -> Iterator[None]:
    """Root of agent1 makes it look as a host of init and of a sink does."""
    lab.on("agent1", "for i in init sink; do useradd --system webmon-$i; mkdir /etc/webmon/$i; done")
    yield
    lab.on("agent1", "for i in init sink; do rm -r /etc/webmon/$i; userdel webmon-$i; done")


@pytest.mark.usefixtures("taken_agent1")
def test_a_host_gets_the_certificates_of_its_groups_alone_whatever_is_on_it(lab: Lab) -> None:
    # The doctor looks at what lies there, and has its say too: the exit status is no subject here.
    told = " ".join(lab.try_play(PLAYBOOK, "--limit", "agent1").stdout.split())
    assert "agent1 has /etc/webmon/init, /etc/webmon/sink, but is not in the group of it" in told
    assert lab.on("agent1", "find /etc/webmon/init /etc/webmon/sink -type f") == ""
