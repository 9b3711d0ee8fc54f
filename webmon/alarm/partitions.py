"""The partitions of the results: one in which nothing comes, while who watches its targets is heard of in others.

Then it can't be written, and agents keep what is for it: its targets are not silent of themselves.
"""

from collections import defaultdict
from typing import Final, NamedTuple

from webmon.alarm.records import Episode
from webmon.alarm.votes import Site

OF_A_PARTITION: Final = "partition "
"""How the name of its trouble begins."""
_LEAST: Final = 2
"""Targets that fell silent together: one alone may as well be checked no more."""


class SilentPartition(NamedTuple):
    """One in which nothing comes."""

    targets: int
    """That were last heard of in it."""
    since: int
    """Arrival of the newest result in it."""


class _Partition:
    __slots__ = ("back", "is_silent", "last", "looked", "sites")

    def __init__(self) -> None:
        self.sites: set[Site] = set()
        self.last = 0
        """Arrival of the newest result, as far as it was looked for."""
        self.looked = 0
        self.is_silent = False
        self.back = 0
        """When it last gave again."""

    def newest(self) -> int:
        """Give the newest arrival."""
        return max((slot.arrived for site in self.sites for slot in site.slots.values()), default=0)


class Partitions:
    """Judges partitions by what came of their targets, where a target would be told silent; pure."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._all: defaultdict[int, _Partition] = defaultdict(_Partition)

    def restore(self, trouble: Episode) -> None:
        """Take what the log says of a partition."""
        number = trouble.subject.removeprefix(OF_A_PARTITION)
        if number == trouble.subject or not number.isdecimal():
            return
        partition = self._all[int(number)]
        if trouble.is_open:
            partition.is_silent, partition.last = True, trouble.since
        else:
            partition.back = max(partition.back, trouble.closed or 0)

    def hear(self, site: Site, number: int) -> None:
        """Take that a target is heard of in a partition, where a key may come when the topic gets more of them."""
        self.leave(site)
        site.heard_in = number
        self._all[number].sites.add(site)

    def leave(self, site: Site) -> None:
        """Take that a target is no more, or is heard of elsewhere; when its partition last gave stays known."""
        if site.heard_in >= 0:
            partition = self._all[site.heard_in]
            partition.last = max(partition.last, *(slot.arrived for slot in site.slots.values()), 0)
            partition.sites.discard(site)

    def tick(self, seen: int) -> None:
        """Look which give again, up to when all results are read."""
        for partition in self._all.values():
            if partition.is_silent and (partition.newest() > partition.last or not partition.sites):
                partition.is_silent, partition.back = False, seen

    def is_silent(self, site: Site, seen: int) -> bool:
        """Tell whether nothing comes in the partition that a target was last heard of in."""
        if site.heard_in < 0:
            return False
        partition = self._all[site.heard_in]
        if not partition.is_silent and partition.looked < seen:
            partition.looked = seen
            partition.last = last = max(partition.last, partition.newest())
            partition.is_silent = sum(_fell_silent(one, last) for one in partition.sites) >= _LEAST
        return partition.is_silent

    def back(self, site: Site) -> int:
        """Give when the partition of a target last gave again; 0: it always did."""
        return self._all[site.heard_in].back if site.heard_in >= 0 else 0

    def silent(self) -> dict[int, SilentPartition]:
        """Give those in which nothing comes."""
        return {n: SilentPartition(len(one.sites), one.last) for n, one in sorted(self._all.items()) if one.is_silent}


def _fell_silent(site: Site, last: int) -> bool:
    """Tell whether a target was fresh when its partition gave last, and is no more though its vantage goes on."""
    return any(last <= slot.arrived + slot.fresh_for < slot.vantage.last for slot in site.slots.values())
