"""The lookup `secret`: as ansible.builtin.password, but a secret that is only looked at is not made.

    {{ lookup('secret', secrets_dir ~ '/postgres-sink length=32') }}

In check mode, and in the preflight (`secret_is_only_looked_at`), one that is not there yet is a stand-in. A file may be
encrypted by ansible-vault.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.plugins.loader import lookup_loader
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: secret
short_description: A secret in a file, made at its first use
description: As ansible.builtin.password, but in check mode none is made, and a file may be encrypted by ansible-vault.
options:
  _terms:
    description: The path of the file, and length= and chars= as ansible.builtin.password takes them.
    required: true
"""


class LookupModule(LookupBase):
    """What Ansible looks for in a lookup plugin."""

    def run(self, terms: Sequence[str], variables: Mapping[str, Any] | None = None, **options: Any) -> list[str]:
        """Give each secret, or what stands in for it."""
        known = variables or {}
        only_looks = known.get("ansible_check_mode") or known.get("secret_is_only_looked_at")
        password = lookup_loader.get("ansible.builtin.password", loader=self._loader, templar=self._templar)
        found: list[str] = []
        for term in terms:
            # There may be spaces in the path, as there.
            path = re.sub(r"( +\w+=\S*)+$", "", term)
            file = Path(self._loader.path_dwim(path))
            if file.is_file() and file.read_bytes().startswith(b"$ANSIBLE_VAULT"):
                found.append(self._loader.get_text_file_contents(str(file)).rstrip("\n"))
            elif only_looks and not file.exists():
                length = re.search(r" length=([0-9]+)", term.removeprefix(path))
                found.append("x" * int(length[1] if length else 20))
            else:
                found += password.run([term], variables, **options)
        return found
