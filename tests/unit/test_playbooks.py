"""Every playbook can be read by Ansible, and gives what people read in one order."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PLAYBOOKS: Final = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "playbooks").glob("*.yml"))


def test_ansible_finds_no_fault_in_the_syntax_of_any() -> None:
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    command = [program, "-i", "inventory/example", "--syntax-check", *PLAYBOOKS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(f"playbook: {name}" in done.stdout for name in PLAYBOOKS)


def test_nothing_that_people_read_or_that_is_cut_has_the_order_of_a_set() -> None:
    """Ansible's `difference`, `intersect` and `union` give texts in another order each time."""
    ordered = re.compile(
        r"""\|\s*(?:difference|intersect|union)       # a filter that makes a set of it,
        \((?:[^()]|\([^()]*\))*\)\s*\)*\s*           # with its argument,
        (?:\[|\|\s*(?:first|last|join)\b)           # and what then depends on the order""",
        re.VERBOSE,
    )
    files = [*(ROOT / "playbooks").rglob("*.yml"), *(ROOT / "roles").rglob("*.yml"), *(ROOT / "roles").rglob("*.j2")]
    found = {f"{file.relative_to(ROOT)}: {hit[0]}" for file in files for hit in ordered.finditer(file.read_text())}
    assert found == set()


def test_every_play_stands_where_playbook_dir_is_the_same() -> None:
    """Inventories may name files by it; it is the directory of the file with the play, also of one that is imported."""
    texts = {path.name: path.read_text() for path in (ROOT / "playbooks").glob("*.yml")}
    imported = {name: re.findall(r"import_playbook: (\S+)", text) for name, text in texts.items()}
    assert {other for others in imported.values() for other in others} <= texts.keys()
