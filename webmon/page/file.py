"""The page's file, read whole: which targets are public, in which groups, under which names, and what is shown of them.

Each fault is told with file, line, key, value and what would be right, all at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from webmon import files
from webmon.alarm.match import Match
from webmon.errors import UserError
from webmon.page.file_model import GroupModel, PageFile, Show
from webmon.page.slug import slug
from webmon.targets.faults import Faults, shown
from webmon.targets.keys import fields_of


@dataclass(frozen=True)
class Entry:
    """A target that is named."""

    target: str
    name: str
    """Under which it is public."""
    id: str
    """In addresses."""


@dataclass(frozen=True)
class Group:
    """What stands together."""

    name: str
    id: str
    """In addresses."""
    entries: tuple[Entry, ...] = ()
    match: Match | None = None
    """None: no others than those that are named."""
    show: frozenset[Show] = frozenset()


@dataclass(frozen=True)
class Public:
    """What is public. Of nothing that is not named here anything is."""

    title: str
    groups: tuple[Group, ...] = ()
    named: Mapping[str, Entry] = field(default_factory=dict)
    """Each target that is named, wherever."""


_NOTHING: Final = "right would be a mapping with `title` and `groups`"


def load(path: Path, *, named: bool = False) -> Public:
    """Read a page's file.

    Args:
        path: the file.
        named: whether a person names it now, on the command line, where it may be a pipe (webmon.files).

    Raises:
        UserError: a line for each fault.
    """
    try:
        text = files.read(path, most=files.LIST, pipe=named).data.decode()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; right would be a readable file of what is public") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}; right would be UTF-8 text") from error
    return _Reader(path).read(text)


class _Reader:
    """Reads one file; gathers groups and faults."""

    def __init__(self, path: Path) -> None:
        self._faults = Faults(path, closed=(), mappings=("labels",))
        self._ids: dict[str, int] = {}
        """Lines of the ids of targets, and of groups with a blank before."""
        self._targets: dict[str, int] = {}

    def read(self, text: str) -> Public:
        """Give what it says.

        Raises:
            UserError: a line for each fault.
        """
        value = self._faults.read(text)
        if not isinstance(value, dict):
            if not self._faults.told:
                self._faults.add(1, _NOTHING)
            self._faults.end()
        groups = value.get("groups")
        whole = {key: one for key, one in value.items() if key != "groups"}
        if not isinstance(groups, list) or not groups:
            whole |= {"groups": groups} if "groups" in value else {}
            groups = []
        else:
            whole["groups"] = [{"name": "-", "targets": [{"target": "-"}]}]  # each is looked at by itself
        model, _ = self._faults.validate(PageFile, whole, (), "the page")
        found = tuple(self._groups(groups))
        self._faults.end()
        assert isinstance(model, PageFile)
        named = {entry.target: entry for group in found for entry in group.entries}
        return Public(model.title, found, named)

    def _groups(self, given: list[Any]) -> Iterator[Group]:
        for place, value in enumerate(given):
            path = ("groups", place)
            name = value.get("name") if isinstance(value, dict) else None
            who = f"group {shown(name)}" if isinstance(name, str) else f"group {place + 1}"
            if not isinstance(value, dict):
                right = fields_of(PageFile)["groups"].description
                self._faults.at(path, f"{who} is {shown(value)}; right would be one of {right}")
                continue
            model, _ = self._faults.validate(GroupModel, value, path, who)
            if not isinstance(model, GroupModel):
                continue
            match = model.match
            if match is not None and match.names is None and match.labels is None:
                self._faults.at((*path, "match"), f"{who}: match says nothing; right would be names or labels")
            if match is None and model.targets is None:
                self._faults.at(path, f"{who} has no target; right would be match or targets")
            ours = model.id or slug(model.name)
            self._note(f" {ours}", (*path, "id" if model.id else "name"), f"{who}: its address /g/{ours}")
            yield Group(
                name=model.name,
                id=ours,
                entries=tuple(self._entries(model, place, who)),
                match=Match(tuple(match.names or ()), match.labels or {}) if match else None,
                show=frozenset(model.show or ()),
            )

    def _entries(self, model: GroupModel, group: int, who: str) -> Iterator[Entry]:
        for place, entry in enumerate(model.targets or ()):
            path = ("groups", group, "targets", place)
            name = entry.as_ or entry.target
            if entry.as_ is None and "://" in entry.target and "url" not in (model.show or ()):
                self._faults.at(
                    path,
                    f"{who}: target {shown(entry.target)} is called by its URL, which would be public; right would be "
                    "`as` with another name, or `url` in show",
                )
            line = self._faults.document.line((*path, "target"))
            if entry.target in self._targets:
                self._faults.add(
                    line,
                    f"{who}: target {shown(entry.target)} is here twice, first on line {self._targets[entry.target]}; "
                    "right would be one of them",
                )
            self._targets.setdefault(entry.target, line)
            ours = entry.id or slug(name)
            key = "id" if entry.id else "as" if entry.as_ else "target"
            self._note(ours, (*path, key), f"{who}: target {shown(name)}: its address /t/{ours}")
            yield Entry(entry.target, name, ours)

    def _note(self, key: str, path: tuple[str | int, ...], what: str) -> None:
        line = self._faults.document.line(path)
        if key in self._ids:
            self._faults.add(
                line, f"{what} is also that of line {self._ids[key]}; right would be an `id` of its own for one of them"
            )
        self._ids.setdefault(key, line)
