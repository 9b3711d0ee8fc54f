"""The operator's list of targets: which of them are shown, and on which of its pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from webmon.page.model import OperatorTarget, State

EACH: Final = 200
"""Targets on one page."""
_LONGEST: Final = 500


@dataclass(frozen=True)
class Filter:
    """What somebody looks for; it stands in the address, so that it can be shared."""

    text: str = ""
    """In the name, the URL, a label or the error; without regard to case."""
    state: str = ""
    """One of State, or `failing`: whatever is not up."""
    label: str = ""
    """`label=value`, or `label`."""
    page: int = 1

    def query(self, **changes: object) -> str:
        """Give the address' query of this with some changes."""
        values = {"q": self.text, "state": self.state, "label": self.label, "page": self.page, **changes}
        kept = {name: value for name, value in values.items() if value and (name, value) != ("page", 1)}
        return f"?{urlencode(kept)}" if kept else "?"

    def takes(self, one: OperatorTarget) -> bool:
        """Tell whether a target is looked for."""
        if self.state and not (one.state == self.state or (self.state == "failing" and one.state is not State.UP)):
            return False
        if self.label:
            name, equals, value = self.label.partition("=")
            labels = one.target.labels
            if name not in labels or (equals and labels[name] != value):
                return False
        wanted = self.text.casefold()
        return not wanted or any(wanted in text.casefold() for text in _texts(one))


def _texts(one: OperatorTarget) -> list[str]:
    return [one.target.name, one.target.url, one.error or "", *one.target.labels.values()]


def read(query: QueryParams) -> Filter:
    """Read a filter from an address; what is none is left out."""
    state = query.get("state", "")
    page = query.get("page", "")
    return Filter(
        text=query.get("q", "").strip()[:_LONGEST],
        state=state if state == "failing" or state in list(State) else "",
        label=query.get("label", "").strip()[:_LONGEST],
        page=max(1, int(page)) if page.isascii() and page.isdecimal() and len(page) < 6 else 1,
    )


@dataclass(frozen=True)
class Board:
    """One page of the list."""

    targets: Sequence[OperatorTarget]
    found: int
    """How many there are on all pages."""
    page: int
    pages: int


def board(targets: Sequence[OperatorTarget], wanted: Filter) -> Board:
    """Give the page that is looked for, or the last one."""
    found = [one for one in targets if wanted.takes(one)]
    pages = max(1, -(-len(found) // EACH))
    page = min(wanted.page, pages)
    return Board(found[(page - 1) * EACH : page * EACH], len(found), page, pages)
