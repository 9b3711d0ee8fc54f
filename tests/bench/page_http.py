"""What visitors cost the public page: 50 targets with 90 days, on one core, with no database behind it.

The page runs in a process of its own on one core; who asks is on the others. A part of the bench `page`.
"""

import asyncio
import gzip
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from statistics import quantiles
from typing import Final

import psutil

from tests.bench import lighthouse
from tests.bench.figures import Figure
from tests.unit.page import fakes
from tests.unit.page.faces import Markup, Shown
from webmon.page.public_app import public_app
from webmon.page.server import Face, Server, bind
from webmon.page.site import PublicSite
from webmon.settings import HostPort

TARGETS: Final = 50
IDLE: Final = 2000
SECS: Final = 8.0
AT_ONCE: Final = 8
PATHS: Final = ("/", "/t/service-001", "/api/v1/status", "/badge/service-002/status.svg", "/incidents", "/feed.atom")


def figures() -> Iterator[Figure]:
    """Give the figures of HTTP; they need no lab."""
    command = [sys.executable, "-m", "tests.bench.page_http"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as page:
        assert page.stdout is not None
        try:
            port = int(page.stdout.readline())
            yield from _of_first_load(port)
            process = psutil.Process(page.pid)
            before = _cpu_secs(process)
            answered, late = asyncio.run(_ask(port))
            rate = answered / (_cpu_secs(process) - before)
            yield Figure("requests of one core", rate, "1/s", at_least=1000, note="a second of CPU; with gzip")
            yield Figure(
                "99th percentile", late * 1000, "ms", at_most=20, note=f"{AT_ONCE} clients, each at once again"
            )
            yield from _of_idle(port, process)
            yield from lighthouse.figures(f"http://127.0.0.1:{port}/")
        finally:
            page.kill()


def _of_first_load(port: int) -> Iterator[Figure]:
    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            text: str = answer.read().decode()
            return text

    page = get("/")
    loads = set(re.findall(r'(?:href|src)="(static/[^"]+|icon/[^"]+)"', page))
    size = sum(len(gzip.compress(text.encode(), 6)) for text in (page, *(get(f"/{path}") for path in loads)))
    yield Figure("first load", size / 1024, "KiB", at_most=20, note=f"{TARGETS} targets, 90 days, gzip")
    yield Figure("requests of it", 1 + len(loads), "", at_most=4)
    yield Figure("elements", len(Markup(page).elements), "", at_most=1500)


def _cpu_secs(process: psutil.Process) -> float:
    """Give what a process has used of a core: what else the machine does takes nothing from that."""
    times = process.cpu_times()
    return times.user + times.system


async def _ask(port: int) -> tuple[int, float]:
    """Ask as fast as answers come; give how many came, and the 99th percentile in seconds."""
    took: list[float] = []
    end = time.perf_counter() + SECS

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn = number
        while time.perf_counter() < end:
            path = PATHS[turn % len(PATHS)]
            turn += 1
            began = time.perf_counter()
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            assert head.startswith(b"HTTP/1.1 200 "), head
            assert length
            await reader.readexactly(int(length[1]))
            took.append(time.perf_counter() - began)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(AT_ONCE)))
    return len(took), quantiles(took, n=100)[-1]


def _of_idle(port: int, page: psutil.Process) -> Iterator[Figure]:
    threads = page.num_threads()

    async def idle() -> None:
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(IDLE)]
        for _, writer in clients:
            writer.write(b"GET /icon/up.svg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for reader, _ in clients:
            await reader.readuntil(b"</svg>\n")
        held.append((page.memory_info().rss / 1e6, page.num_threads()))
        for _, writer in clients:
            writer.close()

    held: list[tuple[float, int]] = []
    asyncio.run(idle())
    memory, now = held[0]
    yield Figure(f"memory with {IDLE} idle clients", memory, "MB", at_most=150)
    yield Figure("threads more with them", now - threads, "", at_most=0)


def main() -> None:
    """Serve until it is killed, on the last of the cores; tell the port."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    snapshot = fakes.many(TARGETS, "one down")
    for place, target in enumerate(snapshot.targets):
        target.days = fakes.days(seed=place)
    shown = Shown(snapshot)
    taken = bind(HostPort("127.0.0.1", 0), "PAGE_ADDRESS")
    Server([Face(public_app(PublicSite(lambda: shown.look, shown.public_file, shown.clock)), taken)]).start()
    print(taken.getsockname()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
