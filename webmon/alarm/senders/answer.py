"""Answer: what became of a message, and the bounds that all senders keep."""

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from webmon.alarm.notice import Notice
from webmon.render import printable

DEADLINE: Final = 30.0
"""Seconds for a whole send: names, connection, TLS, all recipients, the answer."""
_SAID: Final = 300
"""Characters of what a receiver said."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a message."""

    state: Literal["taken", "again", "failed"]
    """`again`: it may be taken later; `failed`: it never will be."""
    said: str
    """What the receiver answered, or why there is no answer: one line, bounded, without secrets."""
    after: float | None = None
    """Seconds that a receiver asks to be left alone (Retry-After); None: it did not say."""
    left: tuple[str, ...] = ()
    """With `again`: the recipients that it is still due to; none: all of them."""
    refused: tuple[str, ...] = ()
    """Recipients that will never take it, and why, though others took it or may: a line each."""


class Sender(Protocol):
    """A way to one receiver. It is used by one thread at a time."""

    def send(self, notice: Notice, only: tuple[str, ...] = ()) -> Answer:
        """Send a notice once.

        Args:
            notice: what is told.
            only: the recipients that it is still due to, from the answer before; none: all of them.
        """

    def close(self) -> None:
        """Let go of what is open."""


def taken(said: str, refused: tuple[str, ...] = ()) -> Answer:
    """Say that it was taken."""
    return Answer("taken", line(said), refused=refused)


def again(said: str, after: float | None = None, left: tuple[str, ...] = (), refused: tuple[str, ...] = ()) -> Answer:
    """Say that it may be taken later."""
    return Answer("again", line(said), after, left, refused)


def failed(said: str, refused: tuple[str, ...] = ()) -> Answer:
    """Say that it never will be."""
    return Answer("failed", line(said), refused=refused)


def line(text: str) -> str:
    """Make one bounded line of what a receiver said."""
    text = " ".join(printable(text).split())
    return text if len(text) <= _SAID else text[: _SAID - 1] + "…"


def within(seconds: float, work: Callable[[], Answer], cut: Callable[[], Answer | None]) -> Answer:
    """Give what work gives, or `again` where it is not done in time.

    It is done in a thread, as neither a resolver nor a receiver that sends a byte now and then can be interrupted by a
    timeout of its socket.

    Args:
        seconds: for all of it.
        work: what is done.
        cut: breaks the connection, so that the thread ends; gives the answer, where it was there before the work ended.
    """
    done = _begun(work)
    try:
        return _of(done.get(timeout=seconds))
    except queue.Empty:
        return cut() or again(f"not done within {seconds:g} s")


def side_by_side(works: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Give what each gives, in their order, once all are done; a process that ends waits for none."""
    return [_of(done.get()) for done in [_begun(work) for work in works]]


_Done = queue.SimpleQueue[Answer | BaseException]


def _begun(work: Callable[[], Answer]) -> _Done:
    done: _Done = queue.SimpleQueue()

    def run() -> None:
        try:
            done.put(work())
        except BaseException as error:  # noqa: BLE001 (it is raised where it is waited for)
            done.put(error)

    threading.Thread(target=run, name="sending", daemon=True).start()
    return done


def _of(answer: Answer | BaseException) -> Answer:
    if isinstance(answer, BaseException):
        raise answer
    return answer
