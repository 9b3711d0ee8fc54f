"""The site that is checked, in a process of its own so that its CPU is nobody's: `python -m tests.bench.site ...`.

It serves one page over HTTPS and over HTTP, and has a port that accepts and never answers.
"""

import argparse
import asyncio
import ssl
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import trustme

from tests.sockets import free_port, wait_for_port

PATTERN: Final = r"order number [0-9]+"
BODY: Final = (b"<p>nothing to see here</p>\n" * 200)[:4060] + b"<p>order number 4711</p>\n"
_ANSWER: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
)


class Site:
    """Runs the site; the authority of its certificate is in the workspace."""

    def __init__(self, workspace: Path) -> None:
        """Make a certificate for localhost, and choose ports."""
        authority = trustme.CA()
        self.authority = workspace / "site-ca.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        self._certificate = workspace / "site.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(self._certificate))
        self._ports = [free_port() for _ in range(3)]
        self.https, self.http, self.hanging = (
            f"{scheme}://localhost:{port}/" for scheme, port in zip(("https", "http", "http"), self._ports, strict=True)
        )

    def __enter__(self) -> Self:
        ports = map(str, self._ports)
        self._process = subprocess.Popen([sys.executable, "-m", "tests.bench.site", str(self._certificate), *ports])
        for port in self._ports:
            wait_for_port(port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()


async def _page(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(_ANSWER)
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass  # a client that left
    finally:
        writer.close()


async def _hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def _serve(certificate: str, https: int, http: int, hanging: int) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    await asyncio.start_server(_page, "127.0.0.1", https, ssl=context, backlog=1024)
    await asyncio.start_server(_page, "127.0.0.1", http, backlog=1024)
    await asyncio.start_server(_hang, "127.0.0.1", hanging, backlog=1024)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("certificate")
    parser.add_argument("port", nargs=3, type=int)
    options = parser.parse_args()
    asyncio.run(_serve(options.certificate, *options.port))
