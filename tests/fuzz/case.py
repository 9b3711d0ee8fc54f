"""A case: what is asked, and by its number what the server answers."""

import random
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz import http1, http2, tls
from tests.fuzz.script import Script, draw
from webmon.check.pattern import compile_pattern
from webmon.check.target import ConnectionUse, HttpVersion, Proxy, Target, Tls
from webmon.check.verdict import Expectations

TIMEOUT_SECS: Final = 1.0
SECRET: Final = "s3cret-of-the-fuzz"
DOMAIN: Final = "fuzz.localhost"
"""Whatever stands before it is this machine, and nobody is asked for it (RFC 6761, 6.3)."""
EXPECTATIONS: Final = (
    Expectations(),
    Expectations(body=compile_pattern("(W+e+)+lcome")),
    Expectations(body_not=compile_pattern("nowhere"), status=((100, 999),)),
    Expectations(headers=(("server", compile_pattern("x")),), headers_not=(("x", compile_pattern("y$")),)),
    Expectations(max_response_time=0.005, certificate_days=1),
)


class Kind(StrEnum):
    """What the server speaks."""

    HTTP1 = "HTTP/1"
    HTTP1_TLS = "HTTP/1 in TLS"
    HTTP2 = "HTTP/2"
    TLS = "rubbish instead of TLS"
    PROXY = "HTTP/1 as a proxy"


class Ports(NamedTuple):
    """Where the server listens."""

    plain: int
    secure: int


def kind_of(seed: int, number: int) -> Kind:
    """Give what a case is about."""
    return draw(seed, number, "kind").choices(list(Kind), (40, 12, 34, 6, 8))[0]


def script_of(seed: int, number: int, nth: int, here: str, spoken: Kind) -> Script:
    """Give what the server answers to the nth request of a case, on a port where it speaks what is given."""
    dice = draw(seed, number, f"answer {nth}")
    if spoken is Kind.TLS:
        return tls.response(dice)
    return http2.response(dice, here) if spoken is Kind.HTTP2 else http1.response(dice, here)


def target_of(seed: int, number: int, ports: Ports, authority: Path, kept: str | None) -> Target:
    """Give what is asked in a case.

    Args:
        seed: of the run.
        number: of the case.
        ports: where the server is.
        authority: PEM file of who signed its certificate.
        kept: the name of a connection to go on with, where the case wants one; None: anew.
    """
    dice, kind = draw(seed, number, "target"), kind_of(seed, number)
    secure = kind in (Kind.HTTP1_TLS, Kind.HTTP2, Kind.TLS) or (kind is Kind.PROXY and dice.random() < 0.5)
    port = ports.secure if kind in (Kind.HTTP1_TLS, Kind.HTTP2) else ports.plain
    method = dice.choices(("GET", "HEAD", "POST"), (8, 1, 1))[0]
    version: HttpVersion = "1.1" if kind is Kind.HTTP1_TLS else "auto"
    connection: ConnectionUse = "reused" if kept and wants_kept(seed, number) else "fresh"
    return Target(
        name=kept if kept and connection == "reused" else f"case {number}",
        url=f"{'https' if secure else 'http'}://c{number}.{DOMAIN}:{port}/",
        interval=60,
        timeout=TIMEOUT_SECS,
        expect=dice.choice(EXPECTATIONS),
        tls=Tls(verify=dice.random() < 0.7, ca=authority),
        method=method,
        headers={"X-Token": SECRET},
        body=SECRET.encode() if method == "POST" else None,
        ip_version=4,
        proxy=Proxy("127.0.0.1", ports.plain, "Basic eDp5") if kind is Kind.PROXY else None,
        connection=connection,
        http_version=version,
        max_redirects=dice.choice((None, 10, 10, 3)),
        body_limit=dice.choice((1 << 20, 1 << 20, 100)),
        secrets=(SECRET,),
    )


def wants_kept(seed: int, number: int) -> bool:
    """Tell whether a case goes on with a connection where there is one."""
    return draw(seed, number, "kept").random() < 0.3


def dice_of_server(seed: int, number: int) -> random.Random:
    """Give the dice of what the server does beside its answers."""
    return draw(seed, number, "server")
