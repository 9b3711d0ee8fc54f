"""Do something again and again beside a block of a test."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor


@contextlib.contextmanager
def meanwhile(once: Callable[[], object], *, every: float) -> Iterator[None]:
    """Call something in a thread every so many seconds as long as the block lasts; its end raises what that raised."""
    over = threading.Event()

    def again() -> None:
        while not over.wait(every):
            once()

    with ThreadPoolExecutor(1) as pool:
        doing = pool.submit(again)
        try:
            yield
        finally:
            over.set()
        doing.result()
