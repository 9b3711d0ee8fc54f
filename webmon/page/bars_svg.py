"""The bars of a target: a column for each day, filled by share, as one path for each kind of share."""

from collections.abc import Sequence
from typing import Final

from webmon.page.bars import Bar

HEIGHT: Final = 24
STEP: Final = 5
"""Width of a day, its gap of 1 included."""
_LEAST: Final = 2
"""Height at which a share can still be seen: two minutes of a day are 0.03 of 24."""
_NOTHING: Final = 1e-9
_KINDS: Final = ("up", "slow", "maintenance", "down", "none")
"""From the bottom up."""


def _size(share: float) -> int:
    return 0 if share <= _NOTHING else max(_LEAST, round(share * HEIGHT))


def heights(bar: Bar) -> list[int]:
    """Give the height of each kind, from the bottom up, HEIGHT in all; what was seen is never too small to be seen."""
    sizes = [_size(share) for share in (bar.up, bar.slow, bar.maintenance, bar.down)]
    sizes.append(round(bar.unwatched * HEIGHT))
    largest = max(range(len(sizes)), key=sizes.__getitem__)
    sizes[largest] += HEIGHT - sum(sizes)
    return sizes


def paths(days: Sequence[Bar]) -> list[tuple[str, str]]:
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
