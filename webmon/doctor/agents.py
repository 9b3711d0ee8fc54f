"""Whom a sink or a judge believes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from webmon.doctor.finding import Finding, failed, ok, warning
from webmon.errors import UserError
from webmon.kafka import agents
from webmon.render import some

_SHOWN: Final = 5


def examine(path: Path | None, variable: str) -> Iterator[Finding]:
    """Look at the keys of the agents, in the file that a variable names."""
    if path is None:
        yield warning(
            "agents",
            f"{variable} is not set, so any agent can speak for any other; right would be a file with their keys",
        )
        return
    try:
        listed = agents.read(path, variable)
    except UserError as error:
        for line in error.lines:
            yield failed("agents", line)
        return
    if without := listed.without_key():
        yield warning(
            "agents",
            f"{path} takes results without a MAC of {some(without, _SHOWN)}, so any agent can speak for those: give "
            "them their keys (playbooks/agents.yml)",
        )
    else:
        yield ok("agents", f"{path} lists {len(listed)}, and takes no result that its agent did not sign")
