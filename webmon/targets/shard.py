"""Which targets of a list are this instance's, where several agents share one list.

Rendezvous hashing (Thaler and Ravishankar, 1998): each instance draws a number for each target, and the highest has it.
So every target is on exactly one instance, nobody has to be asked, and one more instance takes its share from all
others while the rest stays where it is.
"""

import hashlib
from collections.abc import Iterable

from webmon.check.target import Target
from webmon.settings import Shard


def mine(targets: Iterable[Target], shard: Shard) -> tuple[Target, ...]:
    """Give the targets of one instance, in their order."""
    return tuple(target for target in targets if owner(target.name, shard.instances) == shard.instance)


def owner(target: str, instances: int) -> int:
    """Give the instance that has a target: from 1 to the number of instances."""
    return max(range(1, instances + 1), key=lambda instance: _draw(target, instance))


def _draw(target: str, instance: int) -> bytes:
    return hashlib.blake2b(f"{instance}\0{target}".encode(), digest_size=8).digest()
