"""Every playbook can be read by Ansible."""

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
