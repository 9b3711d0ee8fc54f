"""What is kept from one snapshot to the next: what was read of spans that are over."""

from collections.abc import Collection
from typing import Any, Generic, TypeVar

C = TypeVar("C")


class Kept(Generic[C]):
    """What was read of spans that are over."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._held: dict[Any, C] = {}
        self._read: dict[Any, int] = {}
        """The snapshot in which each was read last."""
        self._marked: set[Any] = set()
        self._stale: set[Any] = set()
        """Those in which an hour is marked, or was when they were last read: a snapshot may fail before they are."""
        self.version = 0
        """Grows when something that is kept is another than before."""

    def wanted(
        self, keys: Collection[Any], marked: Collection[Any], again: int, also: Collection[Any] = ()
    ) -> list[Any]:
        """Give which of the keys are to be read; what is none of them is forgotten.

        Args:
            keys: all that are needed.
            marked: those in which an hour is marked.
            again: how many of the others are read again, the longest unread first.
            also: those that are read now, whatever is known of them.
        """
        needed = set(keys)
        if not self._held.keys() <= needed:
            self._held = {key: held for key, held in self._held.items() if key in needed}
            self._read = {key: read for key, read in self._read.items() if key in needed}
            self.version += 1
        self._marked = needed.intersection(marked)
        self._stale = (self._stale & needed) | self._marked
        must = self._stale | {key for key in needed if key not in self._held}
        others = sorted((key for key in keys if key not in must), key=self._read.__getitem__)[:again]
        chosen = must.union(others, also)
        return [key for key in keys if key in chosen]

    def put(self, key: Any, content: C, number: int) -> None:
        """Keep what was read in a snapshot."""
        if key not in self._held or self._held[key] != content:
            self.version += 1
            self._held[key] = content
        self._read[key] = number
        if key not in self._marked:
            self._stale.discard(key)

    def __getitem__(self, key: Any) -> C:
        """Give what is kept."""
        return self._held[key]
