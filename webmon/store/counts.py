"""How many names the store holds, and how many contexts it shall."""

from typing import Final, NamedTuple

MOST_CONTEXTS: Final = 1_000_000
"""From here on new contexts leave out the address that answered, and from twice as many the certificate's end too.

100,000 targets with three addresses each and certificates of 90 days make half as many. With its index a context takes
some 200 bytes.
"""

COUNT: Final = """
SELECT
    (SELECT count(*) FROM {targets}), (SELECT count(*) FROM {agents}),
    (SELECT count(*) FROM {series}), (SELECT count(*) FROM {contexts})
"""
"""How many rows the small tables have, in the order of Counts."""


class Counts(NamedTuple):
    """Rows of the small tables."""

    targets: int
    agents: int
    series: int
    contexts: int
