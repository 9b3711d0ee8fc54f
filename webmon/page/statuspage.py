"""/api/v2: the same in Statuspage's shape, for programs that read such pages already.

What is not known is never operational: it is `degraded_performance`.
"""

import uuid
from datetime import UTC, datetime, time
from typing import Any, Final

from webmon.page.feeds import incident_title, moment_text
from webmon.page.markup import iso
from webmon.page.model import Incident, PlannedWork, PublicPage, PublicTarget, Sentence, State
from webmon.page.texts import ALL

_EN: Final = ALL["en"]
_SPACE: Final = uuid.UUID("0e8a7a52-5d3f-5b44-8d8e-6d7d2c6a1f0b")
_STATUS: Final = {
    State.UP: "operational",
    State.SLOW: "degraded_performance",
    State.PARTIAL: "degraded_performance",
    State.UNKNOWN: "degraded_performance",
    State.DOWN: "major_outage",
    State.MAINTENANCE: "under_maintenance",
}
_WHEN: Final = {"coming": "scheduled", "now": "in_progress", "past": "completed"}
NAMES: Final = ("summary", "status", "components", "incidents", "scheduled-maintenances")


def answer(page: PublicPage, name: str, url: str | None) -> dict[str, Any]:
    """Give what one of NAMES has."""
    whole = _Shape(page, url)
    answers: dict[str, dict[str, Any]] = {
        "status": {"status": _of_all(page.sentence)},
        "components": {"components": whole.components()},
        "incidents": {"incidents": [whole.incident(one) for one in page.incidents]},
        "scheduled-maintenances": {"scheduled_maintenances": [whole.work(one) for one in page.maintenance]},
        "summary": {
            "components": whole.components(),
            "incidents": [whole.incident(one) for one in page.incidents if one.is_open],
            "scheduled_maintenances": [whole.work(one) for one in page.maintenance if one.when != "past"],
            "status": _of_all(page.sentence),
        },
    }
    return {"page": whole.page(), **answers[name]}


def _id(*parts: str) -> str:
    return str(uuid.uuid5(_SPACE, "/".join(parts)))


def _of_all(said: Sentence) -> dict[str, str]:
    indicators = {
        "nothing": "none",
        "all_up": "none",
        "all_down": "critical",
        "maintenance": "maintenance",
        "some_fail": "major" if said.counts.down else "minor",
    }
    return {"indicator": indicators.get(said.code, "minor"), "description": said.text}


class _Shape:
    """Shapes one page."""

    def __init__(self, page: PublicPage, url: str | None) -> None:
        self._page = page
        self._url = url or ""
        self._id = _id("page", url or page.title)

    def page(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "name": self._page.title,
            "url": self._url,
            "time_zone": "Etc/UTC",
            "updated_at": iso(self._page.as_of),
        }

    def components(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for group in self._page.groups:
            ours = [self._target(one, place) for place, one in enumerate(group.targets, 1)]
            head = self._component(_id("group", group.id), group.name, group.state, len(found) + 1)
            found += [head | {"group": True, "components": [one["id"] for one in ours]}, *ours]
        return found

    def _target(self, one: PublicTarget, place: int) -> dict[str, Any]:
        known = next((bar.day for bar in one.bars if bar.is_known), None)
        made = self._component(_id("target", one.id), one.name, one.state, place)
        created = datetime.combine(known, time(), UTC) if known else one.newest
        times = {"created_at": iso(created or self._page.as_of), "updated_at": iso(one.newest or self._page.as_of)}
        return made | times | {"group_id": _id("group", one.group)}

    def _component(self, number: str, name: str, state: State, place: int) -> dict[str, Any]:
        return {
            "id": number,
            "name": name,
            "status": _STATUS[state],
            "created_at": iso(self._page.as_of),
            "updated_at": iso(self._page.as_of),
            "position": place,
            "description": None,
            "showcase": True,
            "start_date": None,
            "group_id": None,
            "page_id": self._id,
            "group": False,
            "only_show_if_degraded": False,
        }

    def incident(self, one: Incident) -> dict[str, Any]:
        resolved = one.ended or one.closed
        changed = max((moment.at for moment in one.timeline), default=one.began)
        last = "resolved" if not one.is_open else "investigating"
        updates = [
            {
                "id": _id("update", one.id, str(place)),
                "status": "resolved" if moment.step in ("ended", "closed") else "investigating",
                "body": moment_text(one, moment, _EN),
                "incident_id": one.id,
                "created_at": iso(moment.at),
                "updated_at": iso(moment.at),
                "display_at": iso(moment.at),
                "affected_components": None,
                "deliver_notifications": True,
                "custom_tweet": None,
                "tweet_id": None,
            }
            for place, moment in enumerate(one.timeline)
        ]
        return {
            "id": one.id,
            "name": incident_title(one, _EN),
            "status": last,
            "created_at": iso(one.began),
            "updated_at": iso(changed),
            "monitoring_at": None,
            "resolved_at": iso(resolved) if resolved and not one.is_open else None,
            "impact": "major" if one.condition == "down" else "minor",
            "shortlink": self._link(f"incidents/{one.id}"),
            "started_at": iso(one.began),
            "page_id": self._id,
            "incident_updates": updates[::-1],
            "components": self._affected([one.target]),
        }

    def work(self, one: PlannedWork) -> dict[str, Any]:
        return {
            "id": _id("maintenance", one.id),
            "name": one.name or _EN("work"),
            "status": _WHEN[one.when],
            "created_at": iso(one.begins),
            "updated_at": iso(one.begins),
            "monitoring_at": None,
            "resolved_at": iso(one.until) if one.when == "past" else None,
            "impact": "maintenance",
            "shortlink": self._link("maintenance"),
            "started_at": iso(one.begins),
            "page_id": self._id,
            "incident_updates": [],
            "components": self._affected(one.targets),
            "scheduled_for": iso(one.begins),
            "scheduled_until": iso(one.until),
        }

    def _affected(self, ids: list[str]) -> list[dict[str, Any]]:
        found = (self._page.target(number) for number in ids)
        return [self._target(one, place) for place, one in enumerate(found, 1) if one]

    def _link(self, path: str) -> str:
        return f"{self._url.rstrip('/')}/{path}" if self._url else path
