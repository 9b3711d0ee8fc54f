"""What init says of each thing: created, changed, unchanged, or not set and why that is fine."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing that init looked after."""

    state: Literal["created", "changed", "unchanged", "not set"]
    what: str

    def __str__(self) -> str:
        """Give the line for people; Ansible reads its first word."""
        return f"{self.state}  {self.what}"
