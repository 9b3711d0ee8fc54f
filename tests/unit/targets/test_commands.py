"""The file of commands: what may be run, every fault of it at once, and who but root could change any of it."""

import grp
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from webmon.check.target import Target
from webmon.errors import UserError
from webmon.targets import commands
from webmon.targets.file import check_file, load

OTHER = 54321
"""A user and a group that nobody has."""


@pytest.fixture(autouse=True)
def whoever_runs_the_tests_is_trusted_as_root_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "_TRUSTED", frozenset({0, os.getuid()}))


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A file of commands beside a program, in directories that their owner alone may change."""
    for place in (tmp_path, tmp_path / "plugins"):
        place.mkdir(exist_ok=True)
        place.chmod(0o755)
    program(tmp_path / "plugins/check_load")
    made = tmp_path / "commands.yml"
    made.write_text("commands: {}\n")
    made.chmod(0o644)
    yield made
    for place in (tmp_path, tmp_path / "plugins"):
        place.chmod(0o755)


def program(path: Path, mode: int = 0o755) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def faults(file: Path, text: str | None = None) -> list[str]:
    """Give the faults of a file with this text; PLUGINS in it stands for where the program is."""
    if text is not None:
        file.write_text(text.replace("PLUGINS", str(file.parent / "plugins")))
    return [fault.replace(str(file.parent / "plugins"), "PLUGINS") for fault in commands.read(file).faults]


def test_what_is_listed_is_a_program_and_its_arguments(file: Path) -> None:
    text = 'commands:\n  load: [PLUGINS/check_load, -w, "5", -c, "10", "--label=a b", ""]\n  Plain_1.x-y: [/bin/true]\n'
    assert faults(file, text) == []
    read = commands.read(file)
    load_1 = (f"{file.parent}/plugins/check_load", "-w", "5", "-c", "10", "--label=a b", "")
    assert read.listed == {"load": load_1, "Plain_1.x-y": ("/bin/true",)}
    filled = read.fill(Target(name="t", url="command:load", interval=60, timeout=10))
    assert filled.command == load_1
    other = Target(name="t", url="http://a/", interval=60, timeout=10)
    assert read.fill(other) is other


def test_every_fault_is_told_at_once_with_its_line_its_value_and_what_would_be_right(file: Path) -> None:
    text = """\
commands:
  load: [check_load, -w, 5]
  'a b': [/bin/true]
  text: /bin/true -x
  none: []
  empty:
  on: [/bin/true, yes, 010, 1.5, null, {a: b}]
  gone: [PLUGINS/gone]
  plain: [PLUGINS/plain]
  folder: [PLUGINS]
  odd: [/bin/a=b]
  nul: ["/bin/true\\0", "\\0"]
  load: [/bin/true]
command: {}
"""
    program(file.parent / "plugins/plain", 0o644)
    right = "right would be a list of texts, the first an absolute path, such as [/usr/lib/nagios/plugins/check_ssh, "
    right += '-t, "5", shop]'
    assert sorted(faults(file, text), key=lambda fault: int(fault.split(":")[1])) == [
        f"{file}:3: 'a b' can't be a name; right would be up to 100 letters, digits, dots, dashes and underscores, "
        "a letter or digit first",
        f"{file}:4: text is '/bin/true -x'; {right}",
        f"{file}:5: none is []; {right}",
        f"{file}:6: empty is None; {right}",
        f"{file}:7: on: True is no text; right would be a text in quotes (YAML reads yes, no, on and off so)",
        f'{file}:7: on: 8 is no text; right would be "010"',
        f"{file}:7: on: 1.5 is no text; right would be a text in quotes",
        f"{file}:7: on: None is no text; right would be a text in quotes",
        f"{file}:7: on: {{'a': 'b'}} is no text; right would be a text in quotes",
        f"{file}:8: gone: 'PLUGINS/gone': No such file or directory; right would be an executable file",
        f"{file}:9: plain: 'PLUGINS/plain' can't be run; right would be an executable file",
        f"{file}:10: folder: 'PLUGINS' can't be run; right would be an executable file",
        f"{file}:11: odd: '/bin/a=b': right would be an absolute path without =",
        f"{file}:12: nul: '/bin/true\\x00' holds a NUL; right would be a text without one",
        f"{file}:12: nul: '\\x00' holds a NUL; right would be a text without one",
        f"{file}:13: load is here twice, first on line 2",
        f"{file}:14: 'command' is not known; right would be commands",
    ]
    first = "commands:\n  load: [check_load, -w, 5]\n"
    assert faults(file, first) == [
        f'{file}:2: load: 5 is no text; right would be "5"',
        f"{file}:2: load: 'check_load': right would be an absolute path without =",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1: right would be `commands`, a mapping of names to lists"),
        ("- a\n", "1: right would be `commands`, a mapping of names to lists"),
        ("\ncommands: [a]\n", "2: right would be `commands`, a mapping of names to lists"),
        ("commands: {a: [\n", "1: not YAML: did not find expected node content"),
        ("commands:\n  a: !!timestamp x\n", "2: a is 'x'; right would be " + commands._RIGHT),
    ],
)
def test_what_is_no_file_of_commands_is_told(file: Path, text: str, fault: str) -> None:
    assert faults(file, text) == [f"{file}:{fault}"]


def test_a_file_that_cannot_be_read_is_told(file: Path) -> None:
    file.write_bytes(b"commands: {a: \xff}\n")
    assert faults(file) == [f"{file}: not UTF-8 at byte 14; right would be UTF-8 text"]
    file.unlink()
    assert faults(file) == [f"{file}: No such file or directory; right would be a readable file of commands"]


def test_a_file_that_others_may_change_is_told_with_who_could(file: Path) -> None:
    group = file.stat().st_gid
    file.chmod(0o666)
    assert [fault.replace(f"group {name_of(group)} ", "group G ") for fault in faults(file)] == [
        f"{file}: the group G may change {file} (mode 0666); right would be chmod g-w {file}",
        f"{file}: everybody may change {file} (mode 0666); right would be chmod o-w {file}",
    ]


def name_of(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


def test_a_directory_above_that_others_may_change_is_told_once(file: Path) -> None:
    plugins = file.parent / "plugins"
    plugins.chmod(0o757)
    text = "commands:\n  one: [PLUGINS/check_load]\n  two: [PLUGINS/check_load, -v]\n"
    told = "everybody may change PLUGINS (mode 0757); right would be chmod o-w PLUGINS"
    assert faults(file, text) == [f"{file}:2: one: {told}"]
    plugins.chmod(0o755)
    file.parent.chmod(0o757)
    assert faults(file)[0].startswith(f"{file}: everybody may change {file.parent} (mode 0757)")
    file.parent.chmod(0o1757)  # nobody takes away there what is another's
    assert faults(file) == []


def test_a_program_that_others_may_change_is_told(file: Path) -> None:
    (file.parent / "plugins/check_load").chmod(0o757)
    told = "load: everybody may change PLUGINS/check_load (mode 0757); right would be chmod o-w PLUGINS/check_load"
    assert faults(file, "commands:\n  load: [PLUGINS/check_load]\n") == [f"{file}:2: {told}"]


def test_what_belongs_to_another_user_is_told_with_his_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Who is not root can give nothing away; so root is the other one here.
    monkeypatch.setattr(commands, "_TRUSTED", frozenset({OTHER}))
    assert faults(file)[0] == f"{file}: / belongs to the user root, who may change it; right would be chown -h root /"


def test_a_link_on_the_way_is_followed_and_what_it_leads_through_is_looked_at(file: Path) -> None:
    folder = file.parent
    (folder / "open").mkdir()
    (folder / "open").chmod(0o777)
    (folder / "open/hop").symlink_to("../plugins")
    (folder / "way").symlink_to("open/hop")
    text = f"commands:\n  load: [{folder}/way/check_load]\n"
    told = f"everybody may change {folder}/open (mode 0777); right would be chmod o-w {folder}/open"
    assert f"{file}:2: load: {told}" in faults(file, text)
    (folder / "open").chmod(0o755)
    assert faults(file, text) == []
    (folder / "way").unlink()
    (folder / "way").symlink_to("way")
    looped = f"load: '{folder}/way/check_load': Too many levels of symbolic links; right would be an executable file"
    assert faults(file, text) == [f"{file}:2: {looped}"]


def test_a_target_that_names_no_listed_command_is_a_fault_of_its_line(file: Path) -> None:
    targets = file.parent / "targets.yml"
    targets.write_text("targets:\n- http://a/\n- command:loda\n- {name: x, url: 'command:xyz'}\n")

    def told(read: commands.Commands) -> list[str]:
        with pytest.raises(UserError) as caught:
            load(targets, commands=read)
        return list(caught.value.lines)

    file.write_text("commands: {load: [/bin/true], disk: [/bin/true]}\n")
    assert told(commands.read(file)) == [
        f"{targets}:3: target 'command:loda': url is 'command:loda': {file} lists no command loda; right would be load",
        f"{targets}:4: target 'x': url is 'command:xyz': {file} lists no command xyz; right would be one of disk, load",
    ]
    file.write_text("commands: {}\n")
    assert told(commands.read(file))[1].endswith(f"{file} lists no command xyz; right would be a line for xyz there")
    assert told(commands.read(None))[1] == (
        f"{targets}:4: target 'x': url is 'command:xyz': no command may be run while MONITORING_COMMANDS_PATH is not "
        "set; right would be the path of a file that lists xyz"
    )


def test_faults_of_targets_and_of_commands_are_told_together(file: Path) -> None:
    targets = file.parent / "targets.yml"
    targets.write_text("targets:\n- command:load\n- ftp://a/\n")
    file.write_text("commands:\n  load: x\n")
    with pytest.raises(UserError) as caught:
        check_file(targets, commands=file)
    assert [line.partition(": ")[0] for line in caught.value.lines] == [f"{file}:2", f"{targets}:3"]
    file.write_text("commands:\n  load: [/bin/true]\n")
    targets.write_text("targets:\n- command:load\n")
    assert check_file(targets, commands=file) == 1
    assert check_file(targets) == 1


def test_a_target_with_its_command_is_another_when_the_command_changes(file: Path) -> None:
    targets = file.parent / "targets.yml"
    targets.write_text("targets: ['command:load']\n")
    found: list[Target] = []
    for word in ("1", "2", "2"):
        file.write_text(f"commands: {{load: [/bin/true, '{word}']}}\n")
        found += load(targets, commands=commands.read(file))
    assert found[0] != found[1]
    assert found[1] == found[2]
