"""URLs are asked for as they are written, and a Location goes where a browser would go."""

import pytest

from webmon.check.url import Url, join, parse


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        ("http://h", "/"),
        ("http://h/a%2fb?sig=x%3d%3d", "/a%2fb?sig=x%3d%3d"),
        ("http://h/%7euser", "/%7euser"),
        ("http://h/100%", "/100%"),
        ("http://h/%2e%2e/x/../y", "/%2e%2e/x/../y"),
        ("http://h/?", "/?"),
        ("http://h?a=b", "/?a=b"),
        ("http://h/a#part", "/a"),
        ("http://h/[x]:@!$&'()*+,;=~", "/[x]:@!$&'()*+,;=~"),
        ('http://h/"<>`{}^', "/%22%3C%3E%60%7B%7D%5E"),
        ("http://h/a|b?c|d", "/a|b?c|d"),
        ("http://h/a\\b", "/a/b"),
        ("http://h/?q={a}|[b]^`'\\c\"<>", "/?q={a}|[b]^`'\\c%22%3C%3E"),
        ("http://h/a?b?{c}", "/a?b?{c}"),
        ("http://h/\u0645\u06cc\u200c\u062e", "/%D9%85%DB%8C%E2%80%8C%D8%AE"),
        ("http://h/caf\u00e9?\u20ac", "/caf%C3%A9?%E2%82%AC"),
    ],
)
def test_what_is_written_is_what_is_asked_for(written: str, asked: str) -> None:
    assert parse(written).target == asked


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("http://WWW.Example.ORG/", "www.example.org"),
        ("http://my_site.example./", "my_site.example."),
        ("http://\u2603.example.test/", "xn--n3h.example.test"),
        ("http://i\u2764.example.test/", "xn--i-7iq.example.test"),
        ("http://xn--n3h.example.test/", "xn--n3h.example.test"),
        ("http://stra\u00dfe.example/", "xn--strae-oqa.example"),
        ("http://\uff11\uff12\uff17.0.0.1:9/", "127.0.0.1"),
        ("http://127.1/", "127.0.0.1"),
        ("http://0x7f.0.0.1/", "127.0.0.1"),
        ("http://0177.0.0.01/", "127.0.0.1"),
        ("http://2130706433/", "127.0.0.1"),
        ("http://ex%41mple.org/", "example.org"),
        ("http://a\u3002b/", "a.b"),
        ("http://[::0001]/", "::1"),
        ("http://[fe80::1%25lo]:8080/", "fe80::1%lo"),
    ],
)
def test_a_host_is_what_browsers_make_of_it(written: str, host: str) -> None:
    assert parse(written).host == host


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("ftp://h/", "right would be tcp://HOST:PORT"),
        ("tpc://h:22", "right would be tcp://HOST:PORT"),
        ("HTPS://h/", "right would be https://HOST/..."),
        ("SMTPS://h", "right would be tls://HOST:465"),
        ("imaps://h:993", "right would be tls://HOST:993"),
        ("pop3s://h", "right would be tls://HOST:995"),
        ("ssl://h:443", "right would be tls://HOST:PORT"),
        ("ping://h", "right would be icmp://HOST"),
        ("udp://h:53", "right would be http://HOST/..., https://HOST/..., or tcp://HOST:PORT for most others"),
        ("http:///x", "right would be http://HOST/..."),
        ("h/x", "right would be http://HOST/... or https://HOST/..."),
        ("http://a b/", "has a space or a control character in it; right would be %20 for a space"),
        ("http://a/\u200b", "has a space or a control character in it; right would be %20 for a space"),
        ("http://a/\u00a0", "has a space or a control character in it; right would be %20 for a space"),
        ("http://joe:pw@h/", "right would be `auth`"),
        ("wss://joe:pw@h/", "right would be `auth`"),
        ("tcp://joe:pw@h:1", "right would be tcp://HOST:PORT"),
        ("smtp://joe@h", "right would be smtp://HOST"),
        ("http://h:0/", "a port from 1 to 65535"),
        ("http://h:65536/", "a port from 1 to 65535"),
        ("http://h:x/", "a port from 1 to 65535"),
        ("http://[::1/", "right would be a valid host"),
        ("http://[::g]/", "right would be a valid host name"),
        ("http://a..b/", "right would be a valid host name"),
        ("http://256.0.0.1/", "right would be a valid host name"),
        ("http://1.2.3.4.5/", "right would be a valid host name"),
        ("http://09.0.0.1/", "right would be a valid host name"),
        (f"http://{'x' * 64}.example/", "right would be a valid host name"),
        (f"http://{'x.' * 130}example/", "right would be a valid host name"),
        ("http://a%2fb/", "right would be a valid host name"),
        ("http://\ufdd0.example/", "has a space or a control character"),
    ],
)
def test_a_url_that_cannot_be_asked_for_says_what_would_be_right(written: str, right: str) -> None:
    with pytest.raises(ValueError, match=right.replace("(", r"\(")) as caught:
        parse(written)
    assert right in str(caught.value)


BASE = parse("https://www.example.org/a/b?c=d")


@pytest.mark.parametrize(
    ("location", "there"),
    [
        ("/in", "https://www.example.org/in"),
        ("in", "https://www.example.org/a/in"),
        ("../in", "https://www.example.org/in"),
        ("../../../in", "https://www.example.org/in"),
        ("./in/.", "https://www.example.org/a/in/"),
        ("/x/y/..", "https://www.example.org/x/"),
        ("/%2e%2E/in", "https://www.example.org/in"),
        ("/x/.%2e/%2e/in", "https://www.example.org/in"),
        ("/a|b?{c|d}", "https://www.example.org/a|b?{c|d}"),
        ("?e=f", "https://www.example.org/a/b?e=f"),
        ("#part", "https://www.example.org/a/b?c=d"),
        ("/file%2cname?sig=a%2fb", "https://www.example.org/file%2cname?sig=a%2fb"),
        ("/caf\xe9", "https://www.example.org/caf%E9"),
        ("/caf\xc3\xa9?\xff", "https://www.example.org/caf%C3%A9?%FF"),
        ("/voil\xc3\xa0", "https://www.example.org/voil%C3%A0"),
        ("/\xc3\x85", "https://www.example.org/%C3%85"),
        ("\xa0", "https://www.example.org/a/%A0"),
        ("/a b", "https://www.example.org/a%20b"),
        ("  /in \t", "https://www.example.org/in"),
        ("//other.example/x", "https://other.example/x"),
        ("///other.example/x", "https://other.example/x"),
        ("//\\//other.example", "https://other.example/"),
        ("///", None),
        ("\\\\other.example\\x?a\\b", "https://other.example/x?a\\b"),
        ("http://other.example", "http://other.example/"),
        ("HTTP://Other.Example:8080/x", "http://other.example:8080/x"),
        ("https:/in", "https://www.example.org/in"),
        ("http:/other.example/in", "http://other.example/in"),
        ("https://joe:pw@other.example/", "https://other.example/"),
        ("https://\xe2\x98\x83.example/", "https://xn--n3h.example/"),
        ("https://[::1]:8443/", "https://[::1]:8443/"),
        ("a:b", None),
        ("mailto:joe@example.org", None),
        ("ftp://other.example/", None),
        ("", None),
        ("  ", None),
        ("http://[::1/", None),
        (f"http://{'x' * 300}/", None),
        ("http://h:0/", None),
        ("http://\xff/", None),
    ],
)
def test_a_location_goes_where_a_browser_would_go(location: str, there: str | None) -> None:
    found = join(BASE, location)
    assert (None if found is None else str(found)) == there


def test_the_schemes_own_port_is_not_written() -> None:
    assert parse("http://h:80/").authority == "h"
    assert parse("https://h:443/").authority == "h"
    assert parse("https://h:80/").authority == "h:80"
    assert parse("http://[::1]:80/").authority == "[::1]"
    assert parse("http://h/").origin != parse("https://h/").origin
    assert Url("http", "h", 80, "/") == parse("http://H")
