"""The commands that the README shows, and where each of them is run."""

import re
from pathlib import Path
from typing import Final

README: Final = (Path(__file__).parents[1] / "README.md").read_text()

FOR_THE_CONTROLLER: Final = (".venv/bin/", "cp ")
"""How commands begin that tests/e2e/test_readme.py runs in a newcomer's checkout, whatever they are."""

MADE_BY_MAKE_TEST: Final = {
    "make test": "it is what runs the tests",
    "make check": "its first step",
    "make demo": "its test lab is a demo",
    "make demo-down": "its last step",
    "make help": "tests/e2e/test_readme.py",
    "make faults": "its most telling cases, at the end",
    "make bench": "one bench: tests/e2e/test_bench.py",
    "make controller": "all of it runs in what that makes",
}
"""Commands that `make test` runs around the tests or in one, and where."""

ON_HOSTS: Final = {
    "systemctl status webmon-agent": "agent1",
    "journalctl -u webmon-agent -n 20 --no-pager": "agent1",
    "webmon check URL": "agent1",
    "systemctl reload webmon-agent": "agent1",
    "runuser -u webmon-init -- webmon init": "db1",
    "runuser -u webmon-init -- webmon dead-letters list": "db1",
    "runuser -u webmon-init -- webmon retention --dry-run": "db1",
    "webmon doctor": "agent1",
    "webmon status": "sink1",
    "webmon status --json": "sink1",
    "webmon uptime": "sink1",
    "webmon uptime --since 365d --by label=team": "sink1",
    "webmon incidents": "sink1",
    "webmon incidents --since 2026-11-01 --target '*'": "sink1",
    "webmon slowest": "sink1",
    "webmon slowest --since 12h --by agent --csv": "sink1",
}
"""Commands that the README gives for a host, and one where they must work: tests/e2e/test_readme.py."""


def commands() -> list[str]:
    """Give the commands that the README shows: lines of its sh blocks, and code in its tables and text that runs."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines() if line.strip()]
    ours = "status|uptime|incidents|slowest|check|doctor"
    words = rf"`((?:make|\.venv/bin/\S+|systemctl|journalctl|runuser|webmon (?:{ours})|cp)\b[^`]*)`"
    return list(dict.fromkeys(lines + [found for found in re.findall(words, README) if "FILE" not in found]))
