"""The table of ports in docs/operations.md names those that the code and the roles listen on, and no others."""

import re
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).parents[2]
SSH: Final = 22


def test_the_table_has_each_port_that_something_listens_on_by_default() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \| .* \| .* \|$", (TOP / "docs/operations.md").read_text(), re.MULTILINE)
    told = [int(port) for row in rows for port in row.split(",")]
    settings = (TOP / "webmon/settings.py").read_text()
    ports = re.findall(r'HostPort\("127\.0\.0\.1", (\d+)\)', settings)
    for role in ("kafka", "timescaledb"):
        defaults = (TOP / f"roles/{role}/defaults/main.yml").read_text()
        ports += re.findall(rf"^{role}_(?:\w+_)?port: \D*(\d+)", defaults, re.MULTILINE)
    assert sorted(told) == sorted([SSH, *map(int, ports)])
