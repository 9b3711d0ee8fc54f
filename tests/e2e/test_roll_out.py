"""site.yml for one host of many, by tags, and while another is down."""

import re

from tests.e2e.lab import Lab
from tests.e2e.more import DOWN, HOST, More
from tests.lab.demo import recap

SITE = "playbooks/site.yml"
COMPONENTS = {"agent", "sink", "report", "alarm", "page"}


def test_a_host_that_is_down_is_named_at_the_end_and_the_others_are_installed_all_the_same(more: More) -> None:
    status, out = more.installed
    assert status != 0
    found = recap(out)
    assert found.keys() - {"localhost"} == {HOST, DOWN, "db1"}
    assert found[HOST][0] > 0
    assert found[DOWN][1] == 1, "unreachable"
    assert f"{DOWN}: FAILED: not looked over: it did not answer before" in out
    # Who reads results has to believe the one that is down without a key, and says so; all else is well.
    well, looked_at = map(int, re.findall(rf"\b{HOST}: (\d+) of (\d+) well", out)[0])
    assert well == looked_at - 2, out[-5000:]
    for component in ("sink", "alarm"):
        assert re.search(rf"\b{HOST} {component}: warning agents: .* takes results without a MAC of {DOWN}\b", out)
    assert {component for component in COMPONENTS if f"webmon-{component}" in users(more.lab)} == COMPONENTS


def users(lab: Lab) -> str:
    return lab.on(HOST, "getent passwd")


def test_one_host_alone_again_changes_nothing(more: More) -> None:
    status, out = more.play(SITE, "--limit", HOST)
    assert status == 0, out
    assert recap(out) == {HOST: (0, 0, 0)}
    assert "Watch them as long as it takes" not in out, "nothing is rolled out"


def test_each_tag_does_its_part_and_no_other(more: More) -> None:
    more.lab.on(HOST, "systemctl stop webmon-agent; rm -r /etc/webmon/sink/.env; rm /usr/local/bin/webmon")
    hosts = ("--limit", f"kafka1,db1,{HOST}")

    def changed(tags: str) -> dict[str, bool]:
        status, out = more.play(SITE, *hosts, "--tags", tags)
        assert status == 0, out
        return {host: counts[0] > 0 for host, counts in recap(out).items()}

    nothing = {"kafka1": False, "db1": False, HOST: False}
    assert changed("preflight,install") == nothing
    assert changed("configure") == nothing | {HOST: True}
    assert more.lab.try_on(HOST, "systemctl is-active webmon-agent webmon-sink").stdout.split() == [
        "inactive",
        "active",
    ]
    assert changed("run") == nothing | {HOST: True}
    assert more.lab.on(HOST, "systemctl is-active webmon-agent").strip() == "active"


def test_no_component_of_a_host_can_read_what_is_anothers(more: More) -> None:
    files = more.lab.on(HOST, "find /etc/webmon -name .env -o -name key.pem; ls /var/lib/webmon-agent/*").split()
    owned = {file: re.findall(rf"webmon[-/]({'|'.join(COMPONENTS)})", file)[0] for file in files}
    assert set(owned.values()) == COMPONENTS
    tried = "; ".join(
        f"runuser -u webmon-{user} -- test -r {file} && echo {user} {file}" for user in COMPONENTS for file in owned
    )
    readable = {tuple(line.split()) for line in more.lab.try_on(HOST, tried).stdout.splitlines()}
    assert readable == {(owner, file) for file, owner in owned.items()}
