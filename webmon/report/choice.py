"""Which targets are asked about, and by what the answer is grouped."""

import dataclasses
import difflib
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from webmon.errors import UserError
from webmon.store.reader import Session

_SHOWN: Final = 3
"""Names that are proposed in place of one that nothing has."""


class Target(NamedTuple):
    """A target as its newest result describes it."""

    id: int
    name: str
    url: str
    labels: dict[str, str]
    first_seen: datetime


_CHOSEN: Final = """
SELECT id, target, url, labels, first_seen FROM {targets}
WHERE %(patterns)s::text[] IS NULL OR target LIKE ANY (%(patterns)s) ORDER BY target
"""


def targets(session: Session, patterns: Sequence[str] | None) -> dict[int, Target]:
    """Give the targets that any pattern fits, or all, by their number.

    In a pattern * stands for any text and ? for any character; a name stands for itself.

    Raises:
        UserError: a pattern fits no target.
    """
    likes = None if patterns is None else [like(pattern) for pattern in patterns]
    found = session.rows(_CHOSEN, {"patterns": likes})
    for pattern in patterns or ():
        if not session.rows(_CHOSEN + "LIMIT 1", {"patterns": [like(pattern)]}):
            names = [name for (name,) in session.rows("SELECT target FROM {targets} ORDER BY 1")]
            near = difflib.get_close_matches(pattern, names, n=_SHOWN) or names[:_SHOWN]
            shown = f"; there are such as {', '.join(near)}" if near else "; there is none yet"
            raise UserError(f"--target: no target is called {pattern!r}{shown} (`webmon status` lists all)")
    return {row[0]: Target(*row) for row in found}


def like(pattern: str) -> str:
    """Give the LIKE pattern of one with * and ?."""
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return escaped.replace("*", "%").replace("?", "_")


@dataclasses.dataclass(frozen=True)
class By:
    """What groups the answer: each target, each agent, or each value of a label."""

    kind: str
    """`target`, `agent` or `label`."""
    key: str = ""
    """The label's key."""

    @classmethod
    def parse(cls, text: str) -> "By":
        """Read `target`, `agent` or `label=KEY`.

        Raises:
            ValueError: it is none of them.
        """
        kind, _, key = text.partition("=")
        if (kind in ("target", "agent") and text == kind) or (kind == "label" and key):
            return cls(kind, key)
        raise ValueError(f"{text!r}; right would be target, agent or label=KEY, such as label=team")

    @property
    def head(self) -> str:
        """Name it for people."""
        return (self.key or self.kind).upper()

    def group(self, target: Target, agent: str) -> str | None:
        """Give the group of a target's results from an agent; None for a target without the label."""
        if self.kind == "label":
            return target.labels.get(self.key)
        return agent if self.kind == "agent" else target.name
