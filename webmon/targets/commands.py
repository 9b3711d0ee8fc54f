"""The file of commands: what targets of the kind `command` may run, and that root alone could change any of it.

    commands:
      ssh: [/usr/lib/nagios/plugins/check_ssh, -t, "5", shop.example.org]

A program runs with an agent's rights, so neither the file nor a program may be another's than root's, nor be writable
by anybody else; nor may what leads to it, each directory and each link.
"""

import dataclasses
import difflib
import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from webmon import files
from webmon.check import url as urls
from webmon.check.target import Target
from webmon.targets import yaml_lines

_TRUSTED: frozenset[int] = frozenset({0})
"""The users who may own what is run."""
_MOST_LINKS: Final = 40
"""As Linux has it (path_resolution(7))."""
_SHOWN: Final = 200
"""Characters of a value in a message."""
_RIGHT: Final = (
    'a list of texts, the first an absolute path, such as [/usr/lib/nagios/plugins/check_ssh, -t, "5", shop]'
)


@dataclass(frozen=True)
class Commands:
    """What a file lists."""

    path: Path | None = None
    """The file; None: MONITORING_COMMANDS_PATH is not set, and nothing may be run."""
    listed: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Of each name, the program's absolute path and its arguments."""
    faults: tuple[str, ...] = ()
    """A line for each; with one, nothing of it counts."""

    def fill(self, target: Target) -> Target:
        """Give a target with what it runs, where it is a command.

        Raises:
            ValueError: it is not listed; says what would be right.
        """
        if target.kind != "command":
            return target
        name = target.asked.target
        if self.path is None:
            raise ValueError(
                "no command may be run while MONITORING_COMMANDS_PATH is not set; right would be the path of a file "
                f"that lists {name}"
            )
        if (command := self.listed.get(name)) is None:
            near = difflib.get_close_matches(name, self.listed, n=1)
            known = near or sorted(self.listed)
            right = f"{'' if near else 'one of '}{', '.join(known)}" if known else f"a line for {name} there"
            raise ValueError(f"{self.path} lists no command {name}; right would be {right}")
        return dataclasses.replace(target, command=command)


def read(path: Path | None) -> Commands:
    """Read a file of commands; never raises, the faults say what is wrong.

    Args:
        path: the file; None where there is none.
    """
    if path is None:
        return Commands()
    reader = _Reader(path)
    try:
        reader.distrust(path)
        text = files.read(path, most=files.LIST).data.decode()
    except OSError as error:
        return Commands(path, faults=(f"{path}: {error.strerror}; right would be a readable file of commands",))
    except UnicodeDecodeError as error:
        return Commands(path, faults=(f"{path}: not UTF-8 at byte {error.start}; right would be UTF-8 text",))
    reader.read(text)
    return Commands(path, reader.listed, tuple(reader.faults))


class _Reader:
    """Reads one file; gathers commands and faults."""

    def __init__(self, path: Path) -> None:
        self.listed: dict[str, tuple[str, ...]] = {}
        self.faults: list[str] = []
        self._path = path
        self._document = yaml_lines.Document()
        self._seen: set[Path] = set()
        """Places whose rights were looked at: each is told once, however many programs it leads to."""

    def read(self, text: str) -> None:
        document = self._document = yaml_lines.read(text)
        for line, message in document.faults:
            self._fault(line, message)
        if document.value is None and document.faults:
            return
        value = document.value
        listed = value.get("commands") if isinstance(value, dict) else None
        if not isinstance(listed, dict):
            self._fault(document.line(("commands",)), "right would be `commands`, a mapping of names to lists")
            return
        for key in value:
            if key != "commands":
                self._fault(document.line((key,)), f"{_shown(key)} is not known; right would be commands")
        for name, command in listed.items():
            self._command(name, command)

    def distrust(self, file: Path, line: int | None = None, of: str = "") -> os.stat_result:
        """Tell who but root could change a file, or put another in its place; give what it is.

        Raises:
            OSError: it is not there, or may not be looked at.
        """
        for place, found in _on_the_way(file):
            if place not in self._seen:
                self._seen.add(place)
                for fault in _who_else(place, found):
                    self._fault(line, of + fault)
        return found

    def _command(self, name: str, command: Any) -> None:
        line = self._document.line(("commands", name))
        try:
            urls.parse(f"command:{name}")
        except ValueError:
            right = "right would be up to 100 letters, digits, dots, dashes and underscores, a letter or digit first"
            self._fault(line, f"{_shown(name)} can't be a name; {right}")
            return
        if not isinstance(command, list) or not command:
            self._fault(line, f"{name} is {_shown(command)}; right would be {_RIGHT}")
            return
        before = len(self.faults)
        for place, part in enumerate(command):
            where = self._document.line(("commands", name, place))
            if not isinstance(part, str):
                written, _ = self._document.numbers.get(("commands", name, place), (part, part))
                so = " (YAML reads yes, no, on and off so)" if isinstance(part, bool) else ""
                right = f'"{written}"' if type(part) is int else f"a text in quotes{so}"
                self._fault(where, f"{name}: {_shown(part)} is no text; right would be {right}")
            elif "\0" in part:
                self._fault(where, f"{name}: {_shown(part)} holds a NUL; right would be a text without one")
        if isinstance(command[0], str) and "\0" not in command[0]:
            self._program(name, command[0])
        if len(self.faults) == before:
            self.listed[name] = tuple(command)

    def _program(self, name: str, program: str) -> None:
        line = self._document.line(("commands", name, 0))
        if not program.startswith("/") or "=" in program:  # env(1), by which it is started, takes NAME=VALUE for itself
            self._fault(line, f"{name}: {_shown(program)}: right would be an absolute path without =")
            return
        try:
            found = self.distrust(Path(program), line, f"{name}: ")
        except OSError as error:
            self._fault(line, f"{name}: {_shown(program)}: {error.strerror}; right would be an executable file")
            return
        if not stat.S_ISREG(found.st_mode) or not os.access(program, os.X_OK):
            self._fault(line, f"{name}: {_shown(program)} can't be run; right would be an executable file")

    def _fault(self, line: int | None, message: str) -> None:
        place = self._path if line is None else f"{self._path}:{line}"
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)
        self.faults.append(f"{place}: {shown}")


def _on_the_way(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Give all that decides which file a path leads to, from the root on: directories, links, and at last the file.

    Raises:
        OSError: it leads nowhere, or further than we may look.
    """
    place, links = Path("/"), 0
    left = [*reversed(path.absolute().parts[1:])]
    yield place, place.lstat()
    while left:
        part = left.pop()
        if part == "..":
            place = place.parent
            continue
        found = (place / part).lstat()
        yield place / part, found
        if not stat.S_ISLNK(found.st_mode):
            place /= part
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        to = (place / part).readlink()
        left += reversed(to.parts[1:] if to.is_absolute() else to.parts)
        place = Path("/") if to.is_absolute() else place


def _who_else(place: Path, found: os.stat_result) -> Iterator[str]:
    """Say who but those who are trusted may change a place, and how that is mended."""
    if found.st_uid not in _TRUSTED:
        yield f"{place} belongs to {_user(found.st_uid)}, who may change it; right would be chown -h root {place}"
    # A link has no rights; of a directory with the sticky bit nobody takes away what is another's.
    if stat.S_ISLNK(found.st_mode) or (stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX):
        return
    mode = f"(mode {stat.S_IMODE(found.st_mode):04o})"
    if found.st_mode & stat.S_IWGRP:
        yield f"the group {_group(found.st_gid)} may change {place} {mode}; right would be chmod g-w {place}"
    if found.st_mode & stat.S_IWOTH:
        yield f"everybody may change {place} {mode}; right would be chmod o-w {place}"


def _user(uid: int) -> str:
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        text = "a huge number"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
