"""`webmon page`: the process around collector and listeners, from its signals to its end."""

import functools
import gc
import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector as MetricsCollector

from webmon.alarm import orders
from webmon.daemon import log, threads
from webmon.daemon.listener import listen
from webmon.daemon.metrics import counter, gauge
from webmon.daemon.signals import Signals
from webmon.daemon.systemd import notify
from webmon.errors import UserError
from webmon.page.access import access_by
from webmon.page.chart import Charts
from webmon.page.collect import Collector
from webmon.page.export import Export, Exporter
from webmon.page.file import Public
from webmon.page.file import load as load_file
from webmon.page.operator_app import operator_app
from webmon.page.operator_site import OperatorSite
from webmon.page.public_app import public_app
from webmon.page.server import Face, Server, bind
from webmon.page.site import PublicSite
from webmon.settings import PageSettings

_log = logging.getLogger(__name__)

_STUCK_SECS: Final = 30.0
"""A loop of the listeners that has not turned for so long hangs."""
_TICK_SECS: Final = 1.0


def run(settings: PageSettings) -> int:
    """Show the page until SIGTERM or SIGINT.

    Raises:
        UserError: something that waiting will not mend, found at start.
    """
    log.configure(settings.common.log_level)
    signals = Signals(hears_hangup=True)
    page = Page(settings)
    gc.freeze()
    page.run(signals)
    return threads.exit_status()


class Page(MetricsCollector):
    """The parts."""

    def __init__(self, settings: PageSettings) -> None:
        """Read all files and take the addresses; nothing is connected, and nobody is served yet.

        Raises:
            UserError: a line for each fault.
        """
        self._settings = settings
        self._path: Path | None = settings.page.file_path
        self._file: Public | None = load_file(self._path) if self._path else None
        self.collector = Collector(settings)
        look = lambda: self.collector.look  # noqa: E731
        public = PublicSite(look, lambda: self._file)
        operator = OperatorSite(look, lambda: self._file)
        page, faces = settings.page, []
        if page.address is not None:
            faces.append(Face(public_app(public, url=page.url), bind(page.address, "PAGE_ADDRESS")))
        if page.operator_address is not None:
            app = operator_app(
                operator,
                access=access_by(page.auth),
                charts=Charts(settings.postgres),
                send=functools.partial(orders.send, settings.kafka) if settings.kafka else None,
            )
            faces.append(Face(app, bind(page.operator_address, "PAGE_OPERATOR_ADDRESS"), page.auth))
        if not faces:
            raise UserError("PAGE_ADDRESS and PAGE_OPERATOR_ADDRESS are off; right would be one of them, at least")
        self._server = Server(faces)
        self._export = Export(page.export_path, page.url) if page.export_path else None
        self._public = public

    def run(self, signals: Signals) -> None:
        """Serve until the stop."""
        self.collector.start()
        self._server.start()
        if self._export is not None:
            Exporter(self._export, self._public.page, signals.stop).start()
        address = self._settings.page.metrics_address
        listener = listen(address, "PAGE_METRICS_ADDRESS", self, self.is_alive, lambda: self.collector.look.trouble)
        notify("READY=1", f"STATUS={self.status()}")
        _log.info("the page is served: %s", self.status())
        try:
            while not signals.stop.is_set():
                if signals.wait(_TICK_SECS) == signal.SIGHUP:
                    self._reload()
                if self.is_alive():
                    notify("WATCHDOG=1", f"STATUS={self.status()}")
        finally:
            notify("STOPPING=1")
            if listener is not None:
                listener.close()
            self._server.stop()
            self.collector.stop()
        _log.info("stopped: %s", self.status())

    def is_alive(self) -> bool:
        """Tell whether listeners and collector turn; a database that is away does not matter."""
        return time.monotonic() - self._server.turned_at < _STUCK_SECS and self.collector.is_alive()

    def status(self) -> str:
        """Say in one line what is shown."""
        look = self.collector.look
        shown = "no snapshot yet"
        if look.snapshot is not None:
            shown = f"{len(look.snapshot.targets)} targets as of {look.snapshot.as_of:%H:%M:%S} UTC"
        public = "nothing is public" if self._file is None else f"{len(self._file.groups)} groups are public"
        return "; ".join(filter(None, [shown, public, look.trouble]))

    def collect(self) -> Iterator[Metric]:
        """Give the metrics of the page itself."""
        look, collector = self.collector.look, self.collector
        age = float("nan") if look.snapshot is None else max(0.0, time.time() - look.snapshot.as_of.timestamp())
        yield gauge("webmon_page_snapshot_age_seconds", "Age of what is shown; NaN before the first", age)
        yield counter("webmon_page_refreshes_total", "Snapshots that were tried to be read", collector.refreshes)
        yield counter("webmon_page_refresh_failures_total", "Those that could not be read", collector.failures)
        yield counter("webmon_page_refresh_seconds_total", "What all of them took", collector.seconds_sum)
        yield gauge("webmon_page_refresh_last_seconds", "What the last one took", collector.seconds)
        yield gauge("webmon_page_refresh_last_statements", "Statements of the last one", collector.statements)
        yield gauge("webmon_page_clients", "Connections that are open", self._server.clients)
        yield counter("webmon_page_requests_total", "Requests that were answered", self._server.requests)

    def _reload(self) -> None:
        """Read page.yml again; one that is wrong leaves what is public as it was."""
        if self._path is None:
            _log.warning("SIGHUP: PAGE_FILE_PATH is not set, so there is nothing to read again")
            return
        notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            self._file = load_file(self._path)
        except UserError as error:
            for line in error.lines:
                _log.error("page.yml is not read again: %s", line)
        else:
            _log.info("%s is read again: %d groups are public", self._path, len(self._file.groups))
        notify("READY=1", f"STATUS={self.status()}")
