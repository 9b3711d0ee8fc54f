"""Reading a .env: as python-dotenv reads it, with ${NAME} and ${NAME:-default} expanded.

The process environment wins over the file, in values and in expansions alike; an empty value counts as not set.
"""

import dataclasses
import errno
import grp
import io
import os
import pwd
import stat
import unicodedata
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

from dotenv.parser import Binding, parse_stream
from dotenv.variables import Variable, parse_variables

from webmon import files
from webmon.errors import UserError

WORKSPACE: Final = "_WORKSPACE_PATH"
"""The variable that names the directory where relative paths start; the .env's own where it is not set."""
_HERE: Final = Path(".env")
"""The one that is found where the user happens to be; one that the user names is absolute."""
_ROOT: Final = 0
_LAST_SYSTEM_USER: Final = 999
"""SYS_UID_MAX of login.defs(5): users up to it are made by root, for services."""
_AS_TEXT_HAS: Final = "\t\n\r"
"""Control characters that a value may hold."""


@dataclasses.dataclass(frozen=True)
class Source:
    """The variables as found, and where."""

    file: Path | None
    values: Mapping[str, str]
    lines: Mapping[str, int]
    """Of what the file sets."""
    environment: Mapping[str, str]
    """What was known beside the file, and won over it."""
    expanded: AbstractSet[str] = frozenset()
    """Names that the file takes the value of, as ${NAME}."""

    def place(self, variable: str) -> str:
        """Name where a variable was set, for people."""
        if variable in self.environment or self.file is None:
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
        found = _HERE
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


def read(env_file: Path | None, *, readers: str | None = None) -> Source:
    """Read and expand the file; process environment first, in values and in expansions alike.

    A file that another may have written is not read: whoever writes a .env decides where passwords are sent to, and
    ${...} gives away the environment of whoever reads it. So it belongs to the user who runs, or to root. Root also
    reads that of a service (a user of the system, which root made), as an operator does with `--env-file` and with
    those of /etc/webmon; but not where it only happens to be in the current directory.

    Args:
        env_file: absolute where it was named, as find_env_file gives it where it was found; None: the environment
            alone.
        readers: a group whose members may read it too, where it is root's.

    Raises:
        UserError: one line for each fault of the file.
    """
    source, faults = look(env_file, os.environ, readers=readers)
    if faults:
        raise UserError(*faults)
    return source


def look(
    env_file: Path | None, environment: Mapping[str, str], *, readers: str | None = None
) -> tuple[Source, list[str]]:
    """As `read`, with the environment that is given; give what could be read, and a line for each fault of the file.

    Raises:
        UserError: it can't be read, or is another's.
    """
    base = Path.cwd()
    environment = {name: value for name, value in environment.items() if value}
    if env_file is None:
        return Source(None, {WORKSPACE: str(base), **environment}, {}, environment), []
    is_here, env_file = env_file == _HERE, env_file.absolute()
    try:
        # Of a link, too: who made it decides what is read.
        owners = [found for found in (env_file.lstat(), env_file.stat()) if not _is_trusted(found, is_here=is_here)]
        if owners:
            raise UserError(_distrusted(env_file, owners[0], is_here=is_here))
        data, status = files.read(env_file, most=files.SETTINGS, pipe=True)
        if not _is_trusted(status, is_here=is_here):  # another has come in its place
            raise UserError(_distrusted(env_file, status, is_here=is_here))
        bindings = list(parse_stream(io.StringIO(data.decode(), newline=None)))
    except OSError as error:
        right = "a readable file of NAME=value lines"
        if error.errno == errno.EACCES and readers:
            right = f"to be root, or a member of the group {readers}"
        raise UserError(f"{env_file}: {error.strerror}; right would be {right}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{env_file}: not UTF-8 at byte {error.start}; right would be UTF-8 text") from error
    faults = [f"{env_file}:{fault}" for binding in bindings for fault in _faults(binding)]
    faults += _open_to_others(env_file, status, readers)
    values: dict[str, str] = {}
    lines: dict[str, int] = {}
    expanded: set[str] = set()
    for binding in bindings:
        if binding.key is None or binding.value is None:
            continue
        known = {WORKSPACE: str(env_file.parent), **values, **environment}
        atoms = list(parse_variables(binding.value))
        expanded.update(atom.name for atom in atoms if isinstance(atom, Variable))
        values[binding.key] = "".join(atom.resolve(known) for atom in atoms)
        lines[binding.key] = _line(binding)
    values = {WORKSPACE: str(env_file.parent), **values, **environment}
    kept = {name: value for name, value in values.items() if value}
    return Source(env_file, kept, lines, environment, expanded), faults


def _open_to_others(env_file: Path, status: os.stat_result, readers: str | None) -> Iterator[str]:
    shared = stat.S_IRGRP if readers and status.st_uid == _ROOT and _group(status.st_gid) == readers else 0
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) & ~shared:
        mode = f"{status.st_mode & 0o777:04o}"
        or_else = f", or root's with mode 0640 and the group {readers}" if readers else ""
        yield f"{env_file}: others may read it (mode {mode}); right would be 0600: chmod 600 {env_file}{or_else}"


def _is_trusted(found: os.stat_result, *, is_here: bool) -> bool:
    me = os.geteuid()
    return found.st_uid in (me, _ROOT) or (me == _ROOT and not is_here and found.st_uid <= _LAST_SYSTEM_USER)


def _distrusted(env_file: Path, found: os.stat_result, *, is_here: bool) -> str:
    me = os.geteuid()
    right = f"a file of {_user(me)}" if me == _ROOT else f"a file of {_user(me)} or of root"
    elsewhere = ", or another directory to start in" if is_here else ""
    return (
        f"{env_file}: belongs to {_user(found.st_uid)} (mode {stat.S_IMODE(found.st_mode):04o}), who may write into it "
        f"what {_user(me)} would do; right would be {right}{elsewhere}"
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"the group {gid}"


def _faults(binding: Binding) -> Iterator[str]:
    """Say what is wrong with a line; never its value, which may be a secret."""
    if binding.error:
        yield f"{_line(binding)}: can't be read; right would be NAME=value"
    for of, text in (("a name", binding.key), (f"the value of {binding.key}", binding.value)):
        wrong = [char for char in text or "" if unicodedata.category(char) == "Cc" and char not in _AS_TEXT_HAS]
        if wrong:
            yield (f"{_line(binding)}: {of} holds the control character {wrong[0]!a}; right would be text without one")
            return


def _line(binding: Binding) -> int:
    """Give where an assignment stands: python-dotenv counts the empty lines before it to it."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")
