"""Both faces on ports of this machine, and an order topic that is a list."""

from datetime import datetime, timedelta
from typing import Any

from tests.unit.page import fakes
from tests.unit.page.faces import Shown
from webmon.alarm import orders
from webmon.check.result import Outcome
from webmon.page.operator_app import operator_app
from webmon.page.operator_site import OperatorSite
from webmon.page.public_app import public_app
from webmon.page.server import Face, Server, bind
from webmon.page.site import PublicSite
from webmon.page.snapshot import Chart, Phases, Point, Snapshot, Target
from webmon.settings import HostPort


class Faces:
    """What they show can be changed while somebody looks."""

    def __init__(self, snapshot: Snapshot | None, **changes: Any) -> None:
        """Serve a snapshot; the changes are those of Shown."""
        self.shown = Shown(snapshot)
        for name, value in changes.items():
            setattr(self.shown, name, value)
        self.orders: list[orders.Order] = []
        public, operator = (bind(HostPort("127.0.0.1", 0), "PAGE_ADDRESS") for _ in range(2))
        shown = self.shown
        faces = [
            Face(public_app(PublicSite(lambda: shown.look, shown.public_file, shown.clock)), public),
            Face(
                operator_app(
                    OperatorSite(lambda: shown.look, shown.public_file, shown.clock),
                    charts=chart,
                    send=self.orders.append,
                ),
                operator,
            ),
        ]
        self.public = f"http://127.0.0.1:{public.getsockname()[1]}"
        self.operator = f"http://127.0.0.1:{operator.getsockname()[1]}"
        self._server = Server(faces)
        self._server.start()

    def close(self) -> None:
        """Serve no more."""
        self._server.stop()


def chart(target: Target, seconds: float) -> Chart:
    """Give six hours of three vantages, with a slow time and one in which all failed."""
    until = fakes.NOW
    since = until - timedelta(seconds=seconds)
    vantages = {
        name: [_point(since, minute, place) for minute in range(int(seconds // 60))]
        for place, name in enumerate(fakes.VANTAGES)
    }
    errors = [
        (until - timedelta(minutes=140 + ago), name, "connect_error", "connecting: Connection refused")
        for ago in range(3)
        for name in fakes.VANTAGES
    ]
    return Chart(since=since, until=until, vantages=vantages, errors=errors)


def _point(since: datetime, minute: int, place: int) -> Point:
    at = since + timedelta(minutes=minute, seconds=7 * place)
    if 208 <= minute < 222:
        return Point(at, Outcome.CONNECT_ERROR, None, Phases(0.004, 0.011))
    # No two are alike, and each run draws the same.
    wave = ((minute * 7919 + place * 104729) % 97) / 97
    seconds = (0.09 + 0.03 * place + 0.03 * wave) * (3 if 100 < minute < 112 else 1)
    return Point(at, Outcome.UP, seconds, Phases(0.004, 0.012, 0.026, seconds - 0.042, 0.008))
