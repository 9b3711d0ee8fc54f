"""The bars of a target: a column for each day, filled by share, as one path for each kind of share."""

from collections.abc import Sequence
from typing import Final, NamedTuple

HEIGHT: Final = 24
STEP: Final = 5
"""Width of a day, its gap of 1 included."""
_LEAST: Final = 2
"""Height at which a share can still be seen: two minutes of a day are 0.03 of 24."""
_KINDS: Final = ("up", "slow", "maintenance", "down", "none")
"""From the bottom up."""


class Day(NamedTuple):
    """Shares of a day, 0 to 1, which are 1 together or less; what is missing was not watched."""

    up: float = 0.0
    slow: float = 0.0
    maintenance: float = 0.0
    down: float = 0.0


def heights(day: Day) -> tuple[int, int, int, int, int]:
    """Give the height of each kind, from the bottom up, HEIGHT in all; no share that is there is left out."""
    shares = (*day, max(0.0, 1.0 - sum(day)))
    sizes = [0 if share <= 1e-9 else max(_LEAST, round(share * HEIGHT)) for share in shares]
    while (over := sum(sizes) - HEIGHT) != 0:
        largest = max(range(len(sizes)), key=sizes.__getitem__)
        sizes[largest] -= over if over < 0 else min(over, max(1, sizes[largest] - _LEAST))
    return (sizes[0], sizes[1], sizes[2], sizes[3], sizes[4])


def paths(days: Sequence[Day]) -> list[tuple[str, str]]:
    """Give the kinds that there are, each with its path, in a box of STEP * days x HEIGHT.

    Neighbours of one height are one rectangle: what parts them is drawn over them.
    """
    boxes: dict[str, list[tuple[int, int, int, int]]] = {kind: [] for kind in _KINDS}
    for number, day in enumerate(days):
        top = HEIGHT
        for kind, size in zip(_KINDS, heights(day), strict=True):
            top -= size
            if not size:
                continue
            before = boxes[kind][-1] if boxes[kind] else None
            if before and before[0] + before[2] == number and before[1] == top and before[3] == size:
                boxes[kind][-1] = (before[0], top, before[2] + 1, size)
            else:
                boxes[kind].append((number, top, 1, size))
    return [
        (kind, "".join(f"M{x * STEP} {y}h{w * STEP}v{h}h-{w * STEP}z" for x, y, w, h in found))
        for kind, found in boxes.items()
        if found
    ]
