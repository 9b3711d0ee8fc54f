"""Lines for pg_hba.conf are judged by their form before any host gets them, and told without a password in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.filters import load

plugin = load("hba")


def faults(*lines: object) -> list[str]:
    """Judge lines."""
    found: list[str] = plugin.hba_faults(list(lines))
    return found


@pytest.mark.parametrize(
    "line",
    [
        "hostssl webmon dashboards 10.1.2.0/24 scram-sha-256",
        "hostssl webmon,other +people,admin fd00::/8 scram-sha-256",
        "host all, replication all 10.1.2.3 255.255.255.255 reject",
        "hostssl webmon all fe80::1 ffff:: cert clientname=DN map=corp",
        'hostssl "my db" "a # b" .example.org ldap ldapserver=ldap.example.org ldapbasedn="dc=example,dc=org"',
        'hostssl webmon /^ops-.*$ samenet ldap ldapsearchfilter="(uid=$username)" ldapbindpasswd="a b" ldaptls=1',
        "  local webmon monitoring peer map=monitoring  ",
        "hostgssenc webmon all db-clients.example.org gss include_realm=0 krb_realm=EXAMPLE.ORG",
        "local all all trust",
    ],
)
def test_what_postgresql_takes_has_no_fault(line: str) -> None:
    assert faults(line) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "ends within quotes, has a comment, or nothing at all"),
        ("# dashboards", "ends within quotes, has a comment, or nothing at all"),
        ("hostssl webmon all all md5 # for now", "has a comment"),
        ('hostssl webmon "all all md5', "ends within quotes"),
        ("include other.conf", "it begins with include; right would be one of local, host, hostssl"),
        ("hostsll webmon all all md5", "it begins with hostsll"),
        ("hostssl webmon all all", "something is missing; right would be hostssl DATABASE USER ADDRESS METHOD"),
        ("hostssl", "something is missing"),
        ("local webmon all", "something is missing; right would be local DATABASE USER METHOD"),
        ("hostssl webmon all 10.1.2.3 md5", "its address 10.1.2.3 has no mask; right would be 10.1.2.3/32"),
        ("hostssl webmon all fd00::1 md5", "its address fd00::1 has no mask; right would be fd00::1/128"),
        ("hostssl webmon all 10.1.2.0/33 md5", "its address is 10.1.2.0/33"),
        ("hostssl webmon all 10.1.2/24 md5", "its address is 10.1.2/24"),
        ("hostssl webmon all a,b md5", "its address is a,b"),
        ("hostssl webmon all all scram", "its method is scram; right would be one of scram-sha-256, "),
        ("hostssl webmon all all radius", "its method is radius"),
        ("hostssl webmon all all peer", "peer is for local alone"),
        ("host webmon all all cert", "cert is for hostssl alone"),
        ("local webmon all gss", "gss is not for local"),
        ("hostssl webmon all all ldap ldapsrv=x", "it has the option ldapsrv; right would be NAME=VALUE"),
        ("hostssl webmon all all ldap ldapbasedn=dc=example,dc=org", "it has the option dc"),
        ("hostssl webmon all all cert now", "it has the option now"),
        ("host all all all reject\nhost all all all trust", "it is more than one"),
        ("host all all all reject \\", "it ends with a backslash"),
    ],
)
def test_what_it_would_refuse_is_told_with_the_line(line: str, told: str) -> None:
    (fault,) = faults("local all all reject", line)
    assert fault.startswith(f"timescaledb_hba_lines has as its line 2 {line!r}: ")
    assert told in fault


def test_every_line_with_a_fault_is_told() -> None:
    assert [fault[:42] for fault in faults("a", "local all all trust", "b")] == [
        "timescaledb_hba_lines has as its line 1 'a",
        "timescaledb_hba_lines has as its line 3 'b",
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('hostssl webmon all all ldapp ldapbindpasswd="hunter2 hunter2" ldapport=5', "its method is ldapp"),
        ("hostssl webmon all all ldap LDAPbindpasswd=hunter2", "it has the option LDAPbindpasswd"),
        ("hostssl webmon all all ldap ldapbindpasswd=an hunter2", "what stands behind passwd= can't be read"),
        ("hostssl webmon all all ldap ldapbindpasswd=a,hunter2", "what stands behind passwd= can't be read"),
        ('hostssl webmon all all ldap ldapbindpasswd="a""hunter2', "what stands behind passwd= can't be read"),
        ("ldapbindpasswd=hunter2 hostssl webmon all all ldap", "it begins with ldapbindpasswd=x"),
    ],
)
def test_a_password_in_a_line_is_not_told(line: str, told: str) -> None:
    (fault,) = faults(line)
    assert told in fault
    assert "hunter2" not in fault


def test_a_password_may_hold_what_a_line_may_not() -> None:
    assert faults('hostssl webmon all all ldap "ldapbindpasswd=a, b#" ldaptls=1') == []


@pytest.mark.parametrize("given_lines", ["local all all trust", None, 5, {"local": "all"}])
def test_what_is_no_list_is_told(given_lines: object) -> None:
    (fault,) = plugin.hba_faults(given_lines)
    assert fault.startswith("timescaledb_hba_lines is no list; right would be one")


@given(st.lists(st.text(st.sampled_from('hostl al"#,/\\\n\t=-.10\0x'))))
def test_no_line_breaks_the_judge_and_none_that_it_takes_is_two(lines: list[str]) -> None:
    told = faults(*lines)
    assert len(told) == sum(bool(faults(line)) for line in lines)
    assert all("\n" not in line.strip() for line in lines if not faults(line))
