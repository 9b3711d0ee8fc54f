"""The cases on which webmon and blackbox_exporter are compared: what a server does, and what is asked of it.

Where the two differ stands in docs/differences.md, with the reason, and nowhere else.
"""

import atexit
import base64
import gzip
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trustme
import zstandard
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.certificates import issue, pem, server_of
from tests.hostile import (
    AUTHORITY,
    HOSTILE,
    OK,
    STRANGER,
    Behaviour,
    Hostile,
    HostileServer,
    answer,
    by_path,
    full_backlog,
    hang,
    hear,
    moved,
    now_and,
    page,
    redirects,
    response,
    server_context,
)
from tests.http2 import by_alpn
from tests.http_proxy import HttpProxy
from tests.sockets import free_port
from webmon.check.pattern import compile_pattern
from webmon.check.result import Outcome
from webmon.check.target import Tls
from webmon.check.verdict import Expectations

NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "localhost": ("127.0.0.1",),
    "other.example": ("127.0.0.1",),
    "www.site.example": ("127.0.0.1",),
    "a.b.site.example": ("127.0.0.1",),
    "my_shop.site.example": ("127.0.0.1",),
    "xn--bcher-kva.example": ("127.0.0.1",),
    "six.example": ("::1",),
    "both.example": ("::1", "127.0.0.1"),
}
"""All names that there are."""

Serve = Callable[[ExitStack], str]
"""Starts what a case needs, and gives the URL that is checked."""
Context = Callable[[], ssl.SSLContext]


@dataclass(frozen=True)
class Case:
    """What there is, what is asked, and what webmon must say; blackbox_exporter agrees where no page says why not."""

    serve: Serve
    outcome: Outcome = Outcome.UP
    target: dict[str, Any] = field(default_factory=dict)
    """What the target says beside its URL."""
    module: dict[str, Any] = field(default_factory=dict)
    """What the module says beside what follows from the target."""
    proxy: HttpProxy | None = None
    """What stands between."""
    proxy_password: str | None = None
    """Joe's."""
    prober: str = "http"


# Servers


def at(
    behaviour: Behaviour,
    tls: Context | None = None,
    *,
    host: str = "localhost",
    address: str = "127.0.0.1",
    path: str = "",
) -> Serve:
    """Have a server of a behaviour."""

    def serve(stack: ExitStack) -> str:
        # To `localhost` a check goes by IPv6 first: no other server may have the same port there.
        port = free_port() if ":" in address else 0
        server = stack.enter_context(HostileServer(behaviour, tls() if tls else None, address=address, port=port))
        return f"{'https' if tls else 'http'}://{host}:{server.port}/{path}"

    return serve


def before(first: Callable[[str], Serve], there: Serve) -> Serve:
    """Have a server that knows the URL of another."""
    return lambda stack: first(there(stack))(stack)


def to(there: Serve, tls: Context | None = None, *, prefix: str = "") -> Serve:
    """Have a redirect to another server; `prefix` stands before its host."""
    return before(lambda url: at(answer(moved(url.replace("://", "://" + prefix).encode())), tls), there)


def only(path: str, wanted: str = "") -> Serve:
    """Have a server where all is well if a path is asked for as it is written, or as `wanted` has it."""
    return at(by_path(lambda asked, _: WELCOME if asked == (wanted or f"/{path}") else NOT_FOUND), path=path)


def leads(location: bytes, wanted: str, path: str = "") -> Serve:
    """Have a server where a Location is followed rightly if this is asked for."""
    answers = {f"/{path}": moved(location), wanted: WELCOME}
    return at(by_path(lambda asked, _: answers.get(asked, NOT_FOUND)), path=path)


def whole(connection: socket.socket) -> bytes:
    """Read a request with its body."""
    request = hear(connection)
    if (length := re.search(rb"\r\nContent-Length: ([0-9]+)", request, re.IGNORECASE)) is not None:
        while len(request.partition(b"\r\n\r\n")[2]) < int(length[1]) and (part := connection.recv(65536)):
            request += part
    return request


def wants(*parts: bytes, but: bytes = b"400 Bad Request", first: bytes = b"") -> Behaviour:
    """Be well where all of these are in the request, and say `but` where not; `first` is the answer to `/`."""

    def behave(connection: socket.socket) -> None:
        request = whole(connection)
        if first and b" / " in request:
            connection.sendall(first)
        else:
            connection.sendall(WELCOME if all(part in request for part in parts) else response(b"", status=but))

    return behave


def late(seconds: float, then: bytes) -> Behaviour:
    """Take a while before an answer."""

    def behave(connection: socket.socket) -> None:
        hear(connection)
        time.sleep(seconds)
        connection.sendall(then)

    return behave


def if_gzip_is_asked(connection: socket.socket) -> None:
    """Pack the page for those who say that they can unpack it."""
    asked = re.search(rb"accept-encoding:[^\r]*gzip", hear(connection).lower())
    connection.sendall(GZIPPED if asked else response(b"Welcome"))


def says_goodbye(connection: socket.socket) -> None:
    """End a body as TLS has it, with a close_notify."""
    hear(connection)
    connection.sendall(OK + b"\r\nWelcome")
    assert isinstance(connection, ssl.SSLSocket)
    connection.unwrap()


def logs_in(path: str, request: bytes) -> bytes:
    """Set a cookie on the way in, and another in place of it."""
    if path == "/":
        is_in = b"done=1" in request and b"pending" not in request
        return WELCOME if is_in else moved(b"/login", b"Set-Cookie: pending=1; Path=/")
    gone = (b"Set-Cookie: pending=; Path=/; Max-Age=0", b"Set-Cookie: done=1; Path=/")
    return moved(b"/", *gone) if b"pending=1" in request else NOT_FOUND


def own_name(connection: socket.socket) -> None:
    """Set a cookie and send to a page of the same host, by the whole URL; that page wants the cookie."""
    request = hear(connection)
    if b" /in " in request:
        connection.sendall(WELCOME if b"a=1" in request else response(b"", status=b"403 Forbidden"))
    else:
        port = connection.getsockname()[1]
        connection.sendall(moved(b"http://localhost:%d/in" % port, b"Set-Cookie: a=1; Path=/"))


def moves_and_hangs(connection: socket.socket) -> None:
    """Send to a page, by a redirect whose own page begins and does not end."""
    if b" /in " in hear(connection):
        connection.sendall(WELCOME)
    else:
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /in\r\n\r\n<p>")
        hang(connection)


def crowded(stack: ExitStack) -> str:
    """Have a port that neither accepts nor refuses."""
    return f"http://127.0.0.1:{stack.enter_context(full_backlog())}/"


def hostile(one: Hostile) -> Serve:
    """Have a server of tests/hostile.py."""
    return lambda stack: stack.enter_context(one.server()).url


# TLS

_FOLDER: Final = Path(tempfile.mkdtemp(prefix="webmon-peers-"))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)


def kept(name: str, content: bytes) -> Path:
    """Keep a file for as long as the tests run."""
    path = _FOLDER / name
    path.write_bytes(content)
    return path


ROOT: Final = issue("root")
MIDDLE: Final = issue("middle", ROOT)
SHORT_MIDDLE: Final = issue("middle", ROOT, days=30, key=MIDDLE[1])
FORMER_MIDDLE: Final = issue("middle", ROOT, days=-30, key=MIDDLE[1])
LEAF: Final = issue("site", MIDDLE, names=("localhost",))
ALONE: Final = issue("alone", names=("localhost",))
AUTHORITIES: Final = kept("authorities.pem", AUTHORITY.cert_pem.bytes() + pem(ROOT))
"""Who is trusted."""
OWN: Final = AUTHORITY.issue_cert("agent")
OWN_FILE: Final = kept("own.pem", OWN.private_key_and_cert_chain_pem.bytes())
STRANGERS: Final = kept("stranger.pem", STRANGER.issue_cert("agent").private_key_and_cert_chain_pem.bytes())
RSA: Final = AUTHORITY.issue_cert("localhost", key_type=trustme.KeyType.RSA)
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


def known_as(*names: str, **more: Any) -> Context:
    """Have a certificate for other names."""
    return lambda: server_context(AUTHORITY.issue_cert(*names, **more))


def only_by(version: ssl.TLSVersion) -> Context:
    """Speak one version of TLS."""
    return lambda: server_context(minimum_version=version, maximum_version=version)


def asks(mode: ssl.VerifyMode = ssl.CERT_REQUIRED, **more: Any) -> ssl.SSLContext:
    """Ask for a certificate."""
    context = server_context(verify_mode=mode, **more)
    AUTHORITY.configure_trust(context)
    return context


def offers(*protocols: str) -> Context:
    """Offer versions of HTTP."""

    def made() -> ssl.SSLContext:
        context = server_context()
        context.set_alpn_protocols(protocols)
        return context

    return made


def of_name(*names: str) -> Context:
    """Have a certificate for each name, and for no name one that fits none."""

    def made() -> ssl.SSLContext:
        contexts = {name: server_context(AUTHORITY.issue_cert(name)) for name in names}
        context = server_context(STRANGER.issue_cert("nobody.example"))

        def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
            connection.context = contexts.get(name or "", context)

        context.sni_callback = choose
        return context

    return made


def classic_diffie_hellman() -> ssl.SSLContext:
    """Agree on keys by Diffie-Hellman without elliptic curves alone."""
    command = ["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048"]
    parameters = subprocess.run(command, check=True, capture_output=True).stdout
    context = server_context(RSA, maximum_version=TLS12, ciphers="DHE-RSA-AES128-GCM-SHA256")
    context.load_dh_params(str(kept("dh.pem", parameters)))
    return context


def small_key() -> ssl.SSLContext:
    """Have a key of 1024 bits."""
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505 (that it is weak is the point)
    return server_of(issue("site", MIDDLE, names=("localhost",), key=small), MIDDLE)


# What is asked


def expects(status: str = "200-299", **more: Any) -> dict[str, Any]:
    """Say what is expected, patterns as texts."""
    ranges = tuple((int(part[0]), int(part[-1])) for part in (one.split("-") for one in status.split()))
    made: dict[str, Any] = {}
    for key, value in more.items():
        if isinstance(value, str):
            made[key] = compile_pattern(value)
        else:
            made[key] = tuple((name, compile_pattern(pattern)) for name, pattern in value.items())
    return {"expect": Expectations(status=ranges, **made)}


def basic(user: str, password: str) -> dict[str, Any]:
    """Say who asks, as the targets file's `auth` does."""
    told = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"headers": {"Authorization": f"Basic {told}"}}


WELCOME: Final = response(b"Welcome", b"Connection: close")
NOT_FOUND: Final = response(b"", status=b"404 Not Found")
FINE: Final = page(b"Welcome")
GZIPPED: Final = response(gzip.compress(b"Welcome"), b"Content-Encoding: gzip")
LARGE: Final = b"x" * (1 << 20)
IS_WELCOME: Final = expects(body="^Welcome$")
FOUND: Final = expects("302")
NOT_VERIFIED: Final = {"tls": Tls(verify=False)}
FROM_JOE: Final = basic("joe", "s3cret")
JOE: Final = b"Authorization: Basic " + base64.b64encode(b"joe:s3cret")
SHORT: Final = {"timeout": 0.5}
LASTING: Final = {
    "floods a body": 2,
    "accepts and says nothing": 0.5,
    "stops in the body": 0.5,
    "drips a header": 0.5,
    "drips a chunked body": 0.5,
    "answers a greeting with nothing": 0.5,
}
"""Those of the hostile servers that take all the time there is, and how much; more of them would tell no more."""

_STATUS, _BODY, _HEADER = Outcome.STATUS_MISMATCH, Outcome.BODY_MISMATCH, Outcome.HEADER_MISMATCH
_DNS, _CONNECT, _TLS, _READ = Outcome.DNS_ERROR, Outcome.CONNECT_ERROR, Outcome.TLS_ERROR, Outcome.READ_ERROR
_TIMEOUT, _MANY = Outcome.TIMEOUT, Outcome.TOO_MANY_REDIRECTS

CASES: dict[str, Case] = {
    # Status
    "200": Case(at(FINE)),
    "204": Case(at(answer(b"HTTP/1.1 204 No Content\r\n\r\n"))),
    "205 with a body": Case(at(page(b"odd", status=b"205 Reset"))),
    "299, the last of those that are good": Case(at(page(b"", status=b"299 Odd"))),
    "300 with a Location": Case(at(page(b"", b"Location: /in", status=b"300 Many")), target=expects("300")),
    "304 that nobody expects": Case(at(answer(b"HTTP/1.1 304 Not Modified\r\n\r\n")), _STATUS),
    "304 that is expected": Case(at(answer(b"HTTP/1.1 304 Not Modified\r\n\r\n")), target=expects("304")),
    "404": Case(at(page(b"", status=b"404 Not Found")), _STATUS),
    "404 that is expected": Case(at(page(b"", status=b"404 Not Found")), target=expects("200 404")),
    "418 of a range": Case(at(page(b"", status=b"418 Teapot")), target=expects("200-204 400-499")),
    "500 beside a range": Case(at(page(b"", status=b"500 Oh")), _STATUS, expects("200-204 400-499")),
    "999": Case(at(page(b"", status=b"999 Denied")), _STATUS),
    "201 with a Location": Case(at(page(b"", b"Location: /in", status=b"201 Created"))),
    # How a body comes
    "a length of 0": Case(at(page(b"")), target=expects(body="^$")),
    "a length of 0 where a pattern must match": Case(at(page(b"")), _BODY, IS_WELCOME),
    "chunks": Case(
        at(answer(OK + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nWel\r\n4\r\ncome\r\n0\r\nTrailer: z\r\n\r\n")),
        target=IS_WELCOME,
    ),
    "chunks and a length": Case(
        at(answer(OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nWelcome\r\n0\r\n\r\n")),
        target=IS_WELCOME,
    ),
    "a body up to the close": Case(at(answer(OK + b"\r\nWelcome")), target=IS_WELCOME),
    "a body over TLS up to the close": Case(at(says_goodbye, server_context), target=IS_WELCOME),
    "a body over TLS up to a close without a word": Case(
        at(answer(OK + b"\r\nWelcome"), server_context), target=IS_WELCOME
    ),
    "HTTP/1.0": Case(at(answer(b"HTTP/1.0 200 OK\r\n\r\nWelcome")), target=IS_WELCOME),
    "HTTP/1.0 that keeps the connection": Case(
        at(answer(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 7\r\n\r\nWelcome", then=hang)),
        target=IS_WELCOME,
    ),
    "HEAD": Case(at(answer(OK + b"Content-Length: 4000\r\n\r\n", then=hang)), target={"method": "HEAD"}),
    "HEAD of chunks": Case(
        at(answer(OK + b"Transfer-Encoding: chunked\r\n\r\n", then=hang)), target={"method": "HEAD"}
    ),
    "HEAD where a pattern must match": Case(at(FINE), _BODY, {"method": "HEAD"} | IS_WELCOME),
    "a body of 900 KB with the pattern at its end": Case(
        at(page(LARGE[:900_000] + b"Welcome")), target=expects(body="Welcome$")
    ),
    "a body of 5 MB": Case(at(page(LARGE * 5))),
    "a pattern past the first megabyte": Case(at(page(LARGE + b"Welcome")), _BODY, expects(body="Welcome")),
    "a body over the limit": Case(at(page(b"x" * 200)), target={"body_limit": 100}),
    # Packed bodies
    "gzip for those who ask": Case(at(if_gzip_is_asked), target=IS_WELCOME),
    "gzip as the module says": Case(at(answer(GZIPPED)), target=IS_WELCOME, module={"compression": "gzip"}),
    "gzip and no word of it in the module": Case(at(answer(GZIPPED)), target=IS_WELCOME),
    "gzip that is cut off, as the module says": Case(
        at(page(gzip.compress(LARGE)[:500], b"Content-Encoding: gzip")), module={"compression": "gzip"}
    ),
    "no gzip where the module says so": Case(at(FINE), target=IS_WELCOME, module={"compression": "gzip"}),
    "deflate as RFC 9110 has it": Case(
        at(page(zlib.compress(b"Welcome"), b"Content-Encoding: deflate")),
        target=IS_WELCOME,
        module={"compression": "deflate"},
    ),
    "bare deflate": Case(
        at(page(zlib.compress(b"Welcome")[2:-4], b"Content-Encoding: deflate")),
        target=IS_WELCOME,
        module={"compression": "deflate"},
    ),
    "zstd": Case(at(page(zstandard.compress(b"Welcome"), b"Content-Encoding: zstd")), target=IS_WELCOME),
    # Patterns
    "a pattern that matches": Case(at(FINE), target=expects(body="W[a-z]+e$")),
    "a pattern that does not match": Case(at(FINE), _BODY, expects(body="Goodbye")),
    "a pattern that must not match, and does": Case(at(FINE), _BODY, expects(body_not="come")),
    "a pattern that must not match, and does not": Case(at(FINE), target=expects(body_not="Error")),
    "a pattern in any case": Case(at(FINE), target=expects(body="(?i)WELCOME")),
    "a pattern over lines": Case(at(page(b"a\nb\r\nc")), target=expects(body="(?s)^a.*c$")),
    "a pattern that stays on its line": Case(at(page(b"a\nb")), _BODY, expects(body="a.*b")),
    "a pattern of a line": Case(at(page(b"a\nb\nc")), target=expects(body="(?m)^b$")),
    "a pattern in UTF-8": Case(at(page("Gr\u00fc\u00dfe".encode())), target=expects(body="^Gr.{2}e$")),
    "a pattern beside bytes that are no UTF-8": Case(
        at(page(b"\xff\xfe Welcome \x80")), target=expects(body="We.come")
    ),
    "a pattern in a page of Latin-1": Case(
        at(page("Gr\u00fc\u00dfe".encode("latin-1"), b"Content-Type: text/html; charset=iso-8859-1")),
        target=expects(body="Gr\u00fc\u00dfe"),
    ),
    # Headers of the answer
    "a header that matches": Case(at(page(b"", b"X-State: good")), target=expects(headers={"x-state": "^go+d$"})),
    "a header that does not match": Case(at(page(b"", b"X-State: bad")), _HEADER, expects(headers={"X-State": "good"})),
    "a header that is missing": Case(at(FINE), _HEADER, expects(headers={"X-State": ".*"})),
    "a header that must not match, and does": Case(
        at(page(b"", b"Server: old/1.0")), _HEADER, expects(headers_not={"Server": "[0-9]"})
    ),
    "a header that must not match, and is missing": Case(at(FINE), target=expects(headers_not={"Server": "[0-9]"})),
    "the second of two headers matches": Case(
        at(page(b"", b"Vary: a", b"Vary: b")), _HEADER, expects(headers={"Vary": "^b$"})
    ),
    "the second of two headers must not match, and does": Case(
        at(page(b"", b"Vary: a", b"Vary: b")), target=expects(headers_not={"Vary": "^b$"})
    ),
    # Odd answers
    "lines that end without CR": Case(at(answer(b"HTTP/1.1 200 OK\nContent-Length: 7\n\nWelcome")), target=IS_WELCOME),
    "a header over two lines": Case(
        at(page(b"", b"X-State: go\r\n  od")), target=expects(headers={"X-State": "^go od$"})
    ),
    "a blank before a colon": Case(at(page(b"", b"X-State : good"))),
    "a status line without a reason": Case(at(answer(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"))),
    "a status line in small letters": Case(at(answer(b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))),
    "a status line without a blank": Case(at(answer(b"HTTP/1.1 200OK\r\nContent-Length: 0\r\n\r\n"))),
    "HTTP/2.0 in a status line": Case(at(answer(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"))),
    "HTTP/2 in a status line": Case(at(answer(b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n")), _READ),
    "HTTP/0.9": Case(at(answer(b"<html>Welcome</html>")), _READ),
    "ICY (Shoutcast)": Case(at(answer(b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n"))),
    "an empty line before the status line": Case(at(answer(b"\r\n" + response(b""))), _READ),
    "early hints": Case(at(answer(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + WELCOME)), target=IS_WELCOME),
    "six interim responses": Case(at(answer(b"HTTP/1.1 102 Processing\r\n\r\n" * 6 + WELCOME))),
    "two lengths that are the same": Case(
        at(answer(OK + b"Content-Length: 7\r\nContent-Length: 7\r\n\r\nWelcome")), target=IS_WELCOME
    ),
    "a transfer coding of identity": Case(at(answer(OK + b"Transfer-Encoding: identity\r\n\r\nWelcome"))),
    "a header line of 150 KB": Case(at(page(b"", b"X: " + LARGE[:150_000])), _READ),
    "headers of 300 KB together": Case(at(page(b"", *[b"X: " + LARGE[:10_000]] * 30)), _READ),
    # Requests
    "POST with a body": Case(
        at(wants(b"POST / ", b"Content-Type: application/json", b'{"a": 1}')),
        target={"method": "POST", "body": b'{"a": 1}', "headers": {"Content-Type": "application/json"}},
    ),
    "POST without a body": Case(at(wants(b"POST / ", b"ontent-")), target={"method": "POST"}),
    "PUT": Case(at(wants(b"PUT / ", b"new")), target={"method": "PUT", "body": b"new"}),
    "DELETE": Case(at(wants(b"DELETE / ")), target={"method": "DELETE"}),
    "OPTIONS": Case(at(wants(b"OPTIONS / ")), target={"method": "OPTIONS"}),
    "PROPFIND": Case(at(wants(b"PROPFIND / ")), target={"method": "PROPFIND"}),
    "a method that is refused": Case(at(wants(b"GET / ", but=b"405 No")), _STATUS, {"method": "POST", "body": b"x"}),
    "a header of one's own": Case(at(wants(b"X-Key: k\r\n")), target={"headers": {"X-Key": "k"}}),
    "a User-Agent of one's own": Case(at(wants(b"User-Agent: me/1\r\n")), target={"headers": {"User-Agent": "me/1"}}),
    "a Host of one's own": Case(
        at(wants(b"Host: www.site.example\r\n")), target={"headers": {"Host": "www.site.example"}}
    ),
    "the Host of the URL": Case(at(wants(b"Host: other.example:"), host="other.example")),
    # Who asks
    "basic": Case(at(wants(JOE, but=b"401 No")), target=FROM_JOE),
    "basic, the wrong password": Case(at(wants(JOE, but=b"401 No")), _STATUS, basic("joe", "other")),
    "basic, in other letters than ASCII": Case(
        at(wants(base64.b64encode("j\u00fcrgen:\u20ac".encode()), but=b"401 No")), target=basic("j\u00fcrgen", "\u20ac")
    ),
    "bearer": Case(
        at(wants(b"Authorization: Bearer t0ken\r\n", but=b"401 No")),
        target={"headers": {"Authorization": "Bearer t0ken"}},
    ),
    "nobody where somebody is wanted": Case(at(wants(JOE, but=b"401 No")), _STATUS),
    "basic, after a redirect of the same host": Case(
        at(wants(JOE, but=b"401 No", first=moved(b"/in"))), target=FROM_JOE
    ),
    "basic, wanted by another host that a redirect leads to": Case(
        to(at(wants(JOE, but=b"401 No"), host="other.example")), _STATUS, FROM_JOE
    ),
    "user and password in a Location": Case(to(at(wants(JOE, but=b"401 No")), prefix="joe:s3cret@"), _STATUS),
    # Redirects
    "a redirect to a path": Case(leads(b"/in", "/in")),
    "a redirect to a relative path": Case(leads(b"in?x=1", "/there/in?x=1", path="there/now")),
    "a redirect to a query": Case(leads(b"?x=1", "/?x=1")),
    "a redirect with a fragment": Case(leads(b"/in#part", "/in")),
    "a redirect up and down": Case(leads(b"/a/b/../../in", "/in")),
    "a redirect to another host": Case(to(at(wants(b"Host: other.example:"), host="other.example"))),
    "a redirect without a scheme": Case(
        before(lambda url: at(answer(moved(url.removeprefix("http:").encode()))), at(FINE)), target=IS_WELCOME
    ),
    "a redirect from http to https": Case(to(at(FINE, server_context)), target=IS_WELCOME),
    "a redirect from https to http": Case(to(at(FINE), server_context), target=IS_WELCOME),
    "a redirect to another host with a certificate of its own": Case(
        to(at(FINE, of_name("other.example"), host="other.example"), server_context), target=IS_WELCOME
    ),
    "a redirect to another host without a certificate for it": Case(
        to(at(FINE, server_context, host="other.example"), server_context), _TLS
    ),
    "a redirect to a page that is not there": Case(leads(b"/in", "/other"), _STATUS),
    "ten redirects": Case(at(redirects(10))),
    "twenty redirects": Case(at(redirects(20))),
    "21 redirects": Case(at(redirects(21)), _MANY),
    "eleven redirects, ten are allowed, and their status is expected": Case(
        at(redirects(11)), _MANY, {"max_redirects": 10} | FOUND
    ),
    "a redirect that is not followed": Case(at(redirects(1)), _STATUS, {"max_redirects": None}),
    "a redirect that is not followed, and expected": Case(at(redirects(1)), target={"max_redirects": None} | FOUND),
    "the page of a redirect that is not followed": Case(
        at(page(b"Welcome", b"Location: /in", status=b"302 Found")),
        target={"max_redirects": None} | expects("302", body="Welcome"),
    ),
    "a redirect without a Location": Case(at(page(b"Welcome", status=b"302 Found")), target=FOUND),
    "a redirect with an empty Location": Case(at(page(b"", b"Location: ", status=b"302 Found")), target=FOUND),
    "two Locations that are the same": Case(leads(b"/in\r\nLocation: /in", "/in")),
    "two Locations that are not": Case(leads(b"/in\r\nLocation: /out", "/in"), _READ),
    "a redirect out of HTTP, and its status is expected": Case(at(answer(moved(b"app://open/me"))), target=FOUND),
    "a Location with a blank": Case(leads(b"/a b", "/a%20b")),
    "a Location with a lone percent sign": Case(leads(b"/100%", "/100%")),
    "a Location with a backslash": Case(leads(b"\\in", "/in")),
    "a Location in Latin-1": Case(leads(b"/caf\xe9", "/caf%E9")),
    "a Location with an escape": Case(leads(b"/a%2fb?c=%7e", "/a%2fb?c=%7e")),
    "a redirect whose own page does not end": Case(
        at(moves_and_hangs),
        target=SHORT,
    ),
    "POST, then 301": Case(
        at(wants(b"GET /in ", first=moved(b"/in", status=b"301 M"))), target={"method": "POST", "body": b"x"}
    ),
    "POST, then 303": Case(
        at(wants(b"GET /in ", first=moved(b"/in", status=b"303 M"))), target={"method": "POST", "body": b"x"}
    ),
    "POST, then 307": Case(
        at(wants(b"POST /in ", b"whole", first=moved(b"/in", status=b"307 M"))),
        target={"method": "POST", "body": b"whole"},
    ),
    "POST, then 308": Case(
        at(wants(b"POST /in ", b"whole", first=moved(b"/in", status=b"308 M"))),
        target={"method": "POST", "body": b"whole"},
    ),
    "PUT, then 301, where GET is right": Case(
        at(wants(b"GET /in ", first=moved(b"/in", status=b"301 M"))), _STATUS, {"method": "PUT", "body": b"x"}
    ),
    "HEAD, then 302": Case(at(wants(b"HEAD /in ", first=moved(b"/in"))), target={"method": "HEAD"}),
    # Cookies
    "a cookie of a redirect": Case(
        at(wants(b"Cookie: a=1\r\n", first=moved(b"/in", b"Set-Cookie: a=1; Path=/"))),
    ),
    "a cookie that is taken away on the way": Case(at(by_path(logs_in)), target=IS_WELCOME),
    "a cookie of a redirect by the whole URL": Case(at(own_name)),
    "a cookie of another path": Case(at(wants(b"a=1", first=moved(b"/in", b"Set-Cookie: a=1; Path=/out"))), _STATUS),
    "a cookie for TLS alone": Case(
        at(wants(b"a=1", first=moved(b"/in", b"Set-Cookie: a=1; Path=/; Secure")), host="other.example"), _STATUS
    ),
    # Paths
    "a path in other letters": Case(only("caf\u00e9/\u4e2d", "/caf%C3%A9/%E4%B8%AD")),
    "a path with escapes": Case(only("a%2fb%7e/%2e%2e/x")),
    "a path with dots": Case(only("a/../b/./c")),
    "a path with two slashes": Case(only("/a//b")),
    "a path with signs": Case(only("a;b=c,d/[e]!$&'()*+:@")),
    "a path with quotes and brackets": Case(only('"<a>{b}^`', "/%22%3Ca%3E%7Bb%7D%5E%60")),
    "a path with a bar": Case(only("a|b")),
    "a query with bars and brackets": Case(only("?a={b}|[c]^`\\")),
    "a path with a lone percent sign": Case(only("100%")),
    "a query": Case(only("?a=b&c=%20d+e?/")),
    "an empty query": Case(only("?")),
    "a query in other letters": Case(only("?q=\u00fc", "/?q=%C3%BC")),
    "a fragment": Case(only("in#part", "/in")),
    # Names and addresses
    "an address": Case(at(FINE, host="127.0.0.1")),
    "an address of IPv6": Case(at(FINE, address="::1", host="[::1]")),
    "an address in short": Case(at(FINE, host="127.1")),
    "a name of IPv6 alone": Case(at(FINE, address="::1", host="six.example")),
    "IPv4 of both": Case(at(FINE, host="both.example"), target={"ip_version": 4}),
    "IPv6 of both": Case(at(FINE, address="::1", host="both.example"), target={"ip_version": 6}),
    "IPv6 of both where IPv4 alone is served": Case(at(FINE, host="both.example"), _CONNECT, {"ip_version": 6}),
    "IPv4 of a name of IPv6 alone": Case(at(FINE, address="::1", host="six.example"), _DNS, {"ip_version": 4}),
    "IPv6 of a name of IPv4 alone": Case(at(FINE, host="other.example"), _DNS, {"ip_version": 6}),
    "the first address is dead": Case(at(FINE, host="both.example")),
    "a name of this host": Case(at(FINE, host="shop.localhost")),
    "a host in other letters": Case(at(FINE, host="b\u00fccher.example")),
    "a name that nobody has": Case(lambda _: "http://nobody.invalid/", _DNS),
    "a port where nobody listens": Case(lambda _: "http://127.0.0.1:1/", _CONNECT),
    "a port that neither accepts nor refuses": Case(crowded, _TIMEOUT, SHORT),
    # Time
    "an answer that takes a while": Case(at(late(0.3, WELCOME)), target=IS_WELCOME),
    "an answer that takes too long": Case(at(late(2, WELCOME)), _TIMEOUT, SHORT),
    "redirects that take too long together": Case(at(late(0.3, moved(b"/"))), _TIMEOUT, SHORT),
    # Certificates
    "a certificate": Case(at(FINE, server_context), target=IS_WELCOME),
    "a certificate with a key of RSA": Case(at(FINE, lambda: server_context(RSA))),
    "a certificate with a key of 1024 bits": Case(at(FINE, small_key), _TLS),
    "a wildcard": Case(at(FINE, known_as("*.site.example"), host="www.site.example")),
    "a wildcard and two labels": Case(at(FINE, known_as("*.site.example"), host="a.b.site.example"), _TLS),
    "a wildcard and an underscore": Case(at(FINE, known_as("*.site.example"), host="my_shop.site.example")),
    "a certificate for an address": Case(at(FINE, known_as("127.0.0.1"), host="127.0.0.1")),
    "a certificate for an address of IPv6": Case(at(FINE, known_as("::1"), address="::1", host="[::1]")),
    "a certificate for another address": Case(at(FINE, known_as("127.0.0.2"), host="127.0.0.1"), _TLS),
    "a certificate by name": Case(at(FINE, of_name("www.site.example"), host="www.site.example")),
    "a certificate that signed itself": Case(at(FINE, lambda: server_of(ALONE)), _TLS),
    "a certificate that signed itself, and is trusted": Case(
        at(FINE, lambda: server_of(ALONE)), target={"tls": Tls(ca=kept("alone.pem", pem(ALONE)))}
    ),
    "a name in the subject alone": Case(at(FINE, lambda: server_of(issue("localhost", MIDDLE), MIDDLE)), _TLS),
    "an intermediate": Case(at(FINE, lambda: server_of(LEAF, MIDDLE))),
    "an intermediate that is not sent": Case(at(FINE, lambda: server_of(LEAF)), _TLS),
    "an intermediate that ends before the certificate": Case(at(FINE, lambda: server_of(LEAF, SHORT_MIDDLE))),
    "an intermediate that has ended": Case(at(FINE, lambda: server_of(LEAF, FORMER_MIDDLE)), _TLS),
    "an intermediate that has ended beside another": Case(at(FINE, lambda: server_of(LEAF, FORMER_MIDDLE, MIDDLE))),
    "not verified: ended": Case(
        at(FINE, known_as("localhost", not_before=now_and(days=-9), not_after=now_and(days=-1))), target=NOT_VERIFIED
    ),
    "not verified: of an unknown authority, for another name": Case(
        at(FINE, lambda: server_context(STRANGER.issue_cert("other.example"))), target=NOT_VERIFIED
    ),
    "a Host of one's own that the certificate does not name": Case(
        at(FINE, server_context), target={"headers": {"Host": "www.site.example"}}
    ),
    # TLS
    "TLS 1.2": Case(at(FINE, only_by(TLS12))),
    "TLS 1.3": Case(at(FINE, only_by(TLS13))),
    "TLS 1.2 where 1.3 is the least": Case(at(FINE, only_by(TLS12)), _TLS, {"tls": Tls(minimum="1.3")}),
    "TLS 1.3 where 1.3 is the least": Case(at(FINE, only_by(TLS13)), target={"tls": Tls(minimum="1.3")}),
    "keys without forward secrecy": Case(
        at(FINE, lambda: server_context(RSA, maximum_version=TLS12, ciphers="AES128-GCM-SHA256"))
    ),
    "Diffie-Hellman without curves": Case(at(FINE, classic_diffie_hellman)),
    "our certificate": Case(at(FINE, asks), target={"tls": Tls(certificate=OWN_FILE)}),
    # By TLS 1.3 the server's word may be lost with the connection.
    "our certificate, of an authority that the server does not know": Case(
        at(FINE, lambda: asks(maximum_version=TLS12)), _TLS, {"tls": Tls(certificate=STRANGERS)}
    ),
    "our certificate, if we have one": Case(at(FINE, lambda: asks(ssl.CERT_OPTIONAL))),
    "TLS where there should be none": Case(
        lambda stack: at(FINE, server_context)(stack).replace("https:", "http:"), _READ
    ),
    "HTTP/2": Case(at(by_alpn, offers("h2", "http/1.1")), target=IS_WELCOME),
    "HTTP/2 alone": Case(at(by_alpn, offers("h2")), target=IS_WELCOME),
    "HTTP/1.1 as the target says": Case(
        at(by_alpn, offers("h2", "http/1.1")), target={"http_version": "1.1"} | IS_WELCOME
    ),
    # Proxies
    "a proxy": Case(at(FINE), target=IS_WELCOME, proxy=HttpProxy()),
    "a proxy for https": Case(at(FINE, server_context), target=IS_WELCOME, proxy=HttpProxy()),
    "a proxy that wants a password": Case(
        at(FINE, server_context), proxy=HttpProxy(JOE.partition(b" ")[2].decode()), proxy_password="s3cret"
    ),
    "a proxy that wants another password": Case(
        at(FINE, server_context), _CONNECT, proxy=HttpProxy(JOE.partition(b" ")[2].decode()), proxy_password="other"
    ),
    "a proxy that refuses": Case(at(FINE, server_context), _CONNECT, proxy=HttpProxy(refusal=b"403 Forbidden")),
    # What sites do to those who watch them
    **{
        f"a server that {does}": Case(hostile(one), one.outcome, {"timeout": LASTING.get(does, 5)})
        for does, one in HOSTILE.items()
        if does in LASTING or not (one.outcome is _TIMEOUT or "floods" in does)
    },
}
