"""A TCP relay before a service, so that a test can cut it off without touching the service."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator


class Relay:
    """Passes bytes between its own port and a service, until it is told to hold or to refuse."""

    def __init__(self, host: str, port: int) -> None:
        """Take the service's address."""
        self._target = (host, port)
        self._flows = threading.Event()
        self._ends: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.port = 0
        self.open()

    def open(self) -> None:
        """Take connections again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._flows.set()
        self._start(self._accept, self._listener)

    def refuse(self) -> None:
        """Reset every connection and refuse new ones: a service that is stopped."""
        # A thread that waits on a socket goes on waiting after close(); shutdown ends its wait.
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._flows.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def hold(self) -> None:
        """Pass nothing on, and close nothing: a service that hangs."""
        self._flows.clear()

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> threading.Thread:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)
        return thread

    def _accept(self, listener: socket.socket) -> None:
        with listener, contextlib.suppress(OSError):
            while True:
                self._start(self._serve, listener.accept()[0])

    def _serve(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(self._target) as far:
            self._ends |= {near, far}
            back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
            back.start()
            self._pump(near, far)
            back.join()
            self._ends -= {near, far}

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def relay(host: str, port: int) -> Iterator[Relay]:
    """Give a relay before a service, and end it."""
    made = Relay(host, port)
    try:
        yield made
    finally:
        made.refuse()
