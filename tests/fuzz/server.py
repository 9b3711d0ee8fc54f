"""The server: whoever connects names the case by the host it asks for, and gets what the case's dice say."""

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

import trustme

from tests.fuzz.case import DOMAIN, Kind, Ports, dice_of_server, kind_of, script_of
from tests.fuzz.http1 import bombs
from tests.fuzz.http2 import HEADERS, greeting
from tests.fuzz.script import Script

_NAMED: Final = re.compile(rb"c([0-9]+)\." + DOMAIN.encode())
_LONGEST_SECS: Final = 2.0
"""That a connection lasts: longer than a check."""
_PREFACE: Final = 24
"""Bytes that a client of HTTP/2 begins with."""


class Server:
    """Answers on two ports of this machine."""

    def __init__(self, seed: int, workspace: Path) -> None:
        """Make the certificate; `start` makes it listen."""
        self._seed = seed
        self._asked: OrderedDict[int, int] = OrderedDict()
        """Requests so far of the last cases."""
        self._running: set[asyncio.Task[None]] = set()
        authority = trustme.CA()
        self.authority = workspace / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(f"*.{DOMAIN}").configure_cert(self._tls)
        self._tls.set_alpn_protocols(["h2", "http/1.1"])
        self._tls.sni_callback = self._take_name

    async def start(self) -> Ports:
        """Listen."""
        bombs()  # they take a second, in which nobody would be answered
        # What a client does to its connection is no concern of a server that does worse.
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        plain = await asyncio.start_server(self._bounded, "127.0.0.1", 0, backlog=1024)
        secure = await asyncio.start_server(self._bounded, "127.0.0.1", 0, backlog=1024, ssl=self._tls)
        self._listening = plain, secure
        return Ports(*(server.sockets[0].getsockname()[1] for server in self._listening))

    def _take_name(self, connection: Any, name: str | None, _context: ssl.SSLContext) -> None:
        connection.asked_for = name or ""

    async def _bounded(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, TimeoutError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_LONGEST_SECS):
                    await self._serve(reader, writer)
        finally:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        secured = writer.get_extra_info("ssl_object")
        if secured is not None and secured.selected_alpn_protocol() == "h2":
            await self._serve_http2(secured.asked_for, reader, writer)
            return
        while heard := await reader.read(65_536):
            if (found := _NAMED.search(heard)) is None:
                return
            number, is_tls = int(found[1]), heard[0] == 0x16
            spoken = Kind.TLS if is_tls and secured is None else Kind.HTTP1
            if not await _play(self._next(number, spoken, secure=secured is not None, writer=writer), reader, writer):
                return

    async def _serve_http2(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = int(name.partition(".")[0][1:])
        dice = dice_of_server(self._seed, number)
        writer.write(greeting(dice))
        if dice.random() < 0.9:  # else the answer is there before the question
            heard = await reader.readexactly(_PREFACE)
            kind = -1
            while kind != HEADERS:
                heard = await reader.readexactly(9)
                kind = heard[3]
                await reader.readexactly(int.from_bytes(heard[:3]))
        if await _play(self._next(number, Kind.HTTP2, secure=True, writer=writer), reader, writer):
            await reader.read(-1)

    def _next(self, number: int, spoken: Kind, *, secure: bool, writer: asyncio.StreamWriter) -> Script:
        nth = self._asked.get(number, 0)
        self._asked[number] = nth + 1
        if len(self._asked) > 5000:
            self._asked.popitem(last=False)
        port = writer.get_extra_info("sockname")[1]
        if kind_of(self._seed, number) is Kind.PROXY:
            secure = False
        here = f"{'https' if secure else 'http'}://c{number}.{DOMAIN}:{port}/"
        return script_of(self._seed, number, nth, here, spoken)


async def _play(script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Do it; tell whether the connection stays."""
    for step in script.steps:
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        else:
            await asyncio.sleep(step)
    match script.end:
        case "stay":
            return True
        case "hang":
            await reader.read(-1)
        case "half" if writer.can_write_eof():
            writer.write_eof()
            await reader.read(-1)
        case "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        case _:
            writer.close()
            await writer.wait_closed()
    return False
