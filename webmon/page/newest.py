"""The newest result of each vantage of each target, found as `webmon status` finds them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from webmon.check.result import Outcome
from webmon.page import collect_sql as sql
from webmon.page.scene import Basis, Described
from webmon.page.snapshot import Phases, Vantage
from webmon.report.status import LAST_DAYS, is_gone, possible
from webmon.store.reader import Session

_SILENT_SECS: Final = 300.0
"""How long the last results of a silent target are kept before they are looked for again."""
_MOST_OLD_DAYS: Final = 20
"""Days that the last results of silent targets are looked for on, in one snapshot."""
_OUTCOMES: Final = tuple(Outcome)
_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)


class Newest:
    """Finds them one after the other."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._silent: dict[int, tuple[datetime, list[Vantage]]] = {}

    def read(self, session: Session, basis: Basis, targets: Mapping[int, Described]) -> dict[int, list[Vantage]]:
        """Give the newest results of each target's vantages, as `webmon status` finds them."""
        now, back = basis.now, basis.back
        found: dict[int, list[Vantage]] = {}
        asked: dict[str, Any] = {"since": back.since, "until": back.until, "targets": None}
        _add_vantages(found, session.each(sql.NEWEST, asked))
        bound = now - timedelta(seconds=back.seen_secs)
        silent = [number for number in targets if max((v.time for v in found.get(number, ())), default=_NEVER) < bound]
        self._silent = {number: self._silent[number] for number in silent if number in self._silent}
        again = now - timedelta(seconds=_SILENT_SECS)
        wanted = [number for number in silent if number not in self._silent or self._silent[number][0] < again]
        if wanted:
            self._look_for(session, basis, wanted)
        for number in silent:
            if number in self._silent:
                found.setdefault(number, []).extend(self._silent[number][1])
        return {number: _present(vantages) for number, vantages in found.items() if vantages and number in targets}

    def _look_for(self, session: Session, basis: Basis, wanted: Sequence[int]) -> None:
        """Look for the last results of silent targets, wherever they are."""
        last_days = session.rows(LAST_DAYS, {"targets": list(wanted)})
        # The others' turn comes with the next snapshots.
        last_days.sort(key=lambda row: row[0], reverse=True)
        have_some = {number for _, ours in last_days for number in ours}
        for number in wanted:
            if number not in have_some:
                self._silent[number] = (basis.now, [])
        chosen = last_days[:_MOST_OLD_DAYS]
        if not chosen:
            return
        texts, values = [], dict[str, Any]()
        for place, (day, ours) in enumerate(chosen):
            text = sql.NEWEST
            for name, value in zip(("since", "until", "targets"), (*basis.back.around(day), ours), strict=True):
                text = text.replace(f"%({name})s", f"%({name}{place})s")
                values[f"{name}{place}"] = value
            texts.append(text)
        found: dict[int, list[Vantage]] = {}
        _add_vantages(found, session.each(" UNION ALL ".join(texts), values))
        for _, ours in chosen:
            for number in ours:
                self._silent[number] = (basis.now, found.get(number, []))


def _add_vantages(found: dict[int, list[Vantage]], rows: Iterable[Sequence[Any]]) -> None:
    for (
        number, agent, moment, interval, place, http_status, answer, error, response, total,
        dns, connect, tls, first_byte, transfer, redirects, address, http_version, tls_version, not_after,
    ) in rows:  # fmt: skip
        vantage = Vantage(
            name=agent,
            outcome=_OUTCOMES[place - 1],
            time=moment,
            interval=possible(interval),
            http_status=http_status,
            answer=answer,
            error=error,
            response=finite(response),
            total=finite(total) or 0.0,
            phases=Phases(finite(dns), finite(connect), finite(tls), finite(first_byte), finite(transfer)),
            redirects=redirects,
            remote_ip=address,
            http_version=http_version,
            tls_version=tls_version,
            certificate_ends=not_after,
        )
        found.setdefault(number, []).append(vantage)


def finite(value: float | None) -> float | None:
    """Give a time as agents have it: releases before took any number."""
    return value if value is not None and math.isfinite(value) else None


def _present(vantages: Iterable[Vantage]) -> list[Vantage]:
    """Give the newest of each agent, without those that have been silent for so long that they are none any more."""
    newest_of: dict[str, Vantage] = {}
    for vantage in sorted(vantages, key=lambda one: one.time):
        newest_of[vantage.name] = vantage
    newest = max(vantage.time for vantage in newest_of.values())
    return sorted(
        (one for one in newest_of.values() if not is_gone((newest - one.time).total_seconds(), one.interval)),
        key=lambda one: one.name,
    )
