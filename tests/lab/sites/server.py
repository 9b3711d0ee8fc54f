"""The demo sites of web1: one page for every outcome that an agent can report.

    server.py CERTIFICATES

serves on all addresses until it is ended: http on 80, https on 443 (good), 8443 (expired) and 8444 (wrong name), each
with CERTIFICATES/<good|expired|wrong-name>.pem (certificate and key), and on 8082 a port that accepts and never
answers. Nothing listens on 8081: it shows a closed port. What is posted to 8090, the lab's alarms, is printed a line
each: it stands in the journal. Only the standard library, so that the host needs no more.
"""

import http.server
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

SLOW_SECS = 1.5
FLAP_SECS = 60
"""The site that comes and goes is up for this long, then down for as long."""


class Site(http.server.BaseHTTPRequestHandler):
    """The pages; each path behaves in its own way."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a path."""
        match self.path:
            case "/" | "/moved-here":
                self._page(200, "Welcome to the demo")
            case "/slow":
                time.sleep(SLOW_SECS)
                self._page(200, "Welcome, at last")
            case "/other-text":
                self._page(200, "Closed for maintenance")
            case "/broken":
                self._page(500, "Something broke")
            case "/moved":
                self._redirect("/moved-here")
            case "/loop":
                self._redirect("/loop")
            case "/flapping":
                up = int(time.time() / FLAP_SECS) % 2 == 0
                self._page(200 if up else 503, "Welcome back" if up else "Gone again")
            case "/cut-off":
                self._cut_off()
            case _:
                self._page(404, "No such page")

    def _page(self, status: int, text: str) -> None:
        body = f"<html><body><h1>{text}</h1></body></html>\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _redirect(self, path: str) -> None:
        self.send_response(302)
        self.send_header("Location", path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _cut_off(self) -> None:
        """Promise more than is sent, then close."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"half a page")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """Say nothing: a check every few seconds would fill the journal."""


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes every message, and the calls that say that the judge is well."""

    def do_GET(self) -> None:
        """Answer that all is well."""
        self.send_response(204)
        self.end_headers()

    def do_POST(self) -> None:
        """Print it, and answer that it was taken."""
        print(self.rfile.read(int(self.headers["Content-Length"])).decode(), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """Say nothing else."""


class Server(http.server.ThreadingHTTPServer):
    """One port; with a certificate it speaks TLS, and a handshake that fails is the client's business."""

    def __init__(
        self,
        port: int,
        certificate: Path | None = None,
        handler: type[http.server.BaseHTTPRequestHandler] = Site,
    ) -> None:
        """Listen on a port; the certificate file holds the key too."""
        super().__init__(("", port), handler)
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)

    def finish_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Shake hands in the connection's own thread, so that a slow client holds up no other."""
        assert isinstance(request, socket.socket)
        if self._context is None:
            super().finish_request(request, client_address)
            return
        request.settimeout(10)
        try:
            with self._context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)
        except OSError:
            return


def silence(port: int) -> None:
    """Accept connections and never answer; a client that gives up closes its own end."""
    listener = socket.create_server(("", port))
    held: list[socket.socket] = []
    while True:
        held.append(listener.accept()[0])
        if len(held) > 100:
            held.pop(0).close()


def main() -> None:
    """Serve every port until ended."""
    certificates = Path(sys.argv[1])
    servers = [
        Server(80),
        Server(443, certificates / "good.pem"),
        Server(8443, certificates / "expired.pem"),
        Server(8444, certificates / "wrong-name.pem"),
        Server(8090, handler=Receiver),
    ]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    threads.append(threading.Thread(target=silence, args=(8082,)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
