"""A controller as an operator has it, who types what docs/recovery.md says."""

import contextlib
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.e2e.lab import ROOT, Lab
from tests.e2e.test_readme import copied
from tests.readme import PAGES

BACK_UP, DATABASE, ANOTHER, BROKER = re.findall(r"```sh\n(.*?)```", PAGES["docs/recovery.md"], re.DOTALL)
"""What the page says to type."""
SITE: Final = ".venv/bin/ansible-playbook -i inventory/mine playbooks/site.yml"
REPOSITORY: Final = "/var/backups/webmon"
# The lab's secrets, list and sites' authority lie where no controller of an operator has them.
_ASKED_FOR: Final = f"""
timescaledb_backup_path: {REPOSITORY}
timescaledb_backup_passphrase: "{{{{ lookup('secret', lab_secrets ~ '/backup') }}}}"
backup_also: ["{{{{ lab_secrets }}}}", "{{{{ lab_dir }}}}/targets.yml", "{{{{ lab_dir }}}}/sites"]
"""


class Controller:
    """A checkout whose inventory/mine is the lab's."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        """Make it in a directory."""
        self.lab = lab
        self.safe = directory / "safe"
        self.safe.mkdir()
        (self.safe / "webmon-passphrase").write_text("only for this test's archive\n")
        (self.safe / "webmon-passphrase").chmod(0o600)
        self.checkout = directory / "webmon"
        self._check_out()
        shutil.copytree(self.checkout / "inventory/lab", self.mine)

    def _check_out(self) -> None:
        """Copy what the repository has."""
        copied(self.checkout)
        for made in (".venv", "build"):
            (self.checkout / made).symlink_to(ROOT / made)

    @property
    def mine(self) -> Path:
        """The inventory."""
        return self.checkout / "inventory/mine"

    @property
    def variables(self) -> Path:
        """Those of all hosts."""
        return self.mine / "group_vars/all.yml"

    def ask_for_backups(self) -> None:
        """Have backups made of the database."""
        self.variables.write_text(self.variables.read_text() + _ASKED_FOR)
        self.type(f"{SITE} --limit db1")

    @contextlib.contextmanager
    def lost(self, directory: Path) -> Iterator[dict[Path, Path]]:
        """Lose what this machine alone has, and have a fresh checkout; in the end what did not come back is put back.

        Gives of each path where in the directory it lies meanwhile.
        """
        beside = [self.lab.directory / name for name in ("pki", "secrets", "sites", "targets.yml")]
        away = {path: directory / path.name for path in (self.mine, *beside)}
        for path, place in away.items():
            shutil.move(path, place)
        shutil.rmtree(self.checkout)
        self._check_out()
        try:
            yield away
        finally:
            for path, place in away.items():
                if not path.exists():
                    shutil.move(place, path)

    def type(self, commands: str) -> str:
        """Run lines of the page; give what they printed, and print how long they took."""
        typed = commands.replace("/mnt/backup", str(self.safe)).replace("~/", f"{self.safe}/")
        began = time.monotonic()
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", typed],
            cwd=self.checkout,
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
            env=self.lab.environment(),
        )
        print(f"{time.monotonic() - began:.0f} s: {typed.strip()}")
        assert done.returncode == 0, f"{done.stdout[-5000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def destroy(self, *hosts: str) -> None:
        """Cut hosts' power, and remove them with their disks."""
        self.lab.do("cut", *hosts)
        self.lab.do("down", *hosts)
