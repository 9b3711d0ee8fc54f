"""Reading a .env: as python-dotenv reads it, with ${NAME} and ${NAME:-default} expanded.

The process environment wins over the file, in values and in expansions alike; an empty value counts as not set.
"""

import dataclasses
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dotenv.parser import parse_stream
from dotenv.variables import parse_variables

from webmon.errors import UserError

WORKSPACE: Final = "_WORKSPACE_PATH"
"""The variable that names the directory where relative paths start; the .env's own where it is not set."""


@dataclasses.dataclass(frozen=True)
class Source:
    """The variables as found, and where."""

    file: Path | None
    values: Mapping[str, str]
    lines: Mapping[str, int]

    def place(self, variable: str) -> str:
        """Name where a variable was set, for people."""
        if variable in os.environ or self.file is None:
            return "environment"
        return f"{self.file}:{self.lines[variable]}" if variable in self.lines else str(self.file)


def find_env_file(component: str) -> Path | None:
    """Give the .env that a component reads when it is told none, or None where there is none.

    It is $_WORKSPACE_PATH/.env where that variable is set, else ./.env, else /etc/webmon/<component>/.env.
    """
    if workspace := os.environ.get(WORKSPACE):
        found = Path(workspace) / ".env"
    else:
        # A directory that is closed to us, such as root's after runuser, holds no .env of ours.
        found = Path(".env")
        if not os.access(found, os.F_OK):
            found = Path("/etc/webmon") / component / ".env"
    try:
        return found if found.exists() else None
    except PermissionError:
        # It may well be there: reading it tells the user what is wrong.
        return found


def environment(env_file: Path | None) -> Mapping[str, str]:
    """Give every variable of the .env file and of the process environment, ours and others; secrets are among them.

    Raises:
        UserError: the file cannot be read.
    """
    return read(env_file).values


def read(env_file: Path | None) -> Source:
    """Read and expand the file; process environment first, in values and in expansions alike."""
    base = Path.cwd()
    if env_file is None:
        return Source(None, {WORKSPACE: str(base), **os.environ}, {})
    env_file = env_file.absolute()
    try:
        mode = env_file.stat().st_mode
        with env_file.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except OSError as error:
        raise UserError(f"{env_file}: {error.strerror}; right would be a readable file of NAME=value lines") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{env_file}: not UTF-8 at byte {error.start}; right would be UTF-8 text") from error
    faults = [f"{env_file}:{b.original.line}: can't be read; right would be NAME=value" for b in bindings if b.error]
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        faults.append(
            f"{env_file}: others may read it (mode {mode & 0o777:04o}); right would be 0600: chmod 600 {env_file}"
        )
    if faults:
        raise UserError(*faults)
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    for binding in bindings:
        if binding.key is None or binding.value is None:
            continue
        known = {WORKSPACE: str(env_file.parent), **values, **os.environ}
        values[binding.key] = "".join(atom.resolve(known) for atom in parse_variables(binding.value))
        lines[binding.key] = binding.original.line
    values = {WORKSPACE: str(env_file.parent), **values, **os.environ}
    return Source(env_file, {name: value for name, value in values.items() if value}, lines)
