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
        self._was_marked: set[Any] = set()
        self.version = 0
        """Grows when something that is kept is another than before."""

    def wanted(self, keys: Collection[Any], marked: Collection[Any], again: int) -> list[Any]:
        """Give which of the keys are to be read; what is none of them is forgotten.

        Args:
            keys: all that are needed.
            marked: those in which an hour is marked.
            again: how many of the others are read again, the longest unread first.
        """
        if any(key not in keys for key in self._held):
            self._held = {key: held for key, held in self._held.items() if key in keys}
            self._read = {key: read for key, read in self._read.items() if key in keys}
            self.version += 1
        must = {key for key in keys if key not in self._held or key in marked or key in self._was_marked}
        others = sorted((key for key in keys if key not in must), key=lambda key: self._read[key])
        self._was_marked = {key for key in keys if key in marked}
        return [key for key in keys if key in must or key in others[:again]]

    def put(self, key: Any, content: C, number: int) -> None:
        """Keep what was read in a snapshot."""
        if key not in self._held or self._held[key] != content:
            self.version += 1
            self._held[key] = content
        self._read[key] = number

    def __getitem__(self, key: Any) -> C:
        """Give what is kept."""
        return self._held[key]

    def __contains__(self, key: Any) -> bool:
        """Tell whether something is."""
        return key in self._held
