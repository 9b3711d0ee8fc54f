"""Check mode in every combination of a host's state, a tag and a user: it ends well, writes nothing, and is right.

That takes twenty minutes; test_rehearsal.py has the most telling combinations, for `make test`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.e2e.lab import Lab
from tests.e2e.more import HOST, SITE, USER, Words, boot, inventory_of, kept, plant
from tests.lab.demo import recap

STATES: Final = ("fresh", "half", "finished")
TAGS: Final = ("", "preflight", "install", "configure", "run", "verify")
TWICE: Final = {"init : Tell init which there are"}
"""It changes a line of a file that a run has written whole by then, and check mode has not."""
OURS: Final = "/etc /opt /usr /srv /var/lib/dpkg"
"""Where files stand that a role could write."""

pytestmark = pytest.mark.long


def changed(out: str) -> set[str]:
    """Give the names of the tasks that change something, by what Ansible printed."""
    found, task = set(), ""
    for line in out.splitlines():
        if match := re.match(r"(?:TASK|RUNNING HANDLER) \[(.+)\] \*", line):
            task = match[1]
        elif line.startswith("changed: ["):
            found.add(task)
    return found


class Host:
    """The host, and what was told of it before each real run and done by it."""

    def __init__(self, lab: Lab, directory: Path) -> None:
        """Boot it."""
        self.lab = lab
        password, planted = boot(lab), plant()
        self._inventory = directory / "matrix.yml"
        self._inventory.write_text(yaml.safe_dump(inventory_of(lab, planted, password)))
        self.words = Words(planted | {"SUDO": password})
        self.told: dict[str, set[str]] = {}
        """Before the next run, by state."""
        self.done: dict[str, set[str]] = {}

    def play(self, *arguments: str) -> str:
        """Run site.yml, which must go well; give what it said."""
        done = self.lab.try_play(SITE, "--inventory", str(self._inventory), *arguments)
        assert done.returncode == 0, (arguments, done.stdout[-3000:], done.stderr[-1000:])
        assert not self.words.within(done.stdout + done.stderr), arguments
        return done.stdout

    def bring_to(self, state: str) -> None:
        """Bring it from the state before to this one."""
        if state == "half":
            self.told["fresh"] = changed(self.play("--limit", HOST, "--tags", "install", "--check"))
            self.done["fresh"] = changed(self.play("--limit", HOST, "--tags", "install"))
        elif state == "finished":
            # The database lets in the sinks and readers of the inventory alone.
            self.told["half"] = changed(self.play("--limit", f"{HOST},db1", "--check"))
            self.done["half"] = changed(self.play("--limit", f"{HOST},db1"))

    def remove(self) -> None:
        """Take it out of the fleet."""
        self.lab.play("playbooks/remove.yml", "--inventory", str(self._inventory), "--limit", HOST)

    def mark(self) -> str:
        """Remember the moment; give what runs of ours."""
        return self.lab.on(HOST, "touch /run/before-check; systemctl show 'webmon-*' --property=Id,ActiveState,MainPID")

    def written(self) -> list[str]:
        """Give the files that were written since then, or whose mode or owner was changed."""
        others = "-name __pycache__ -prune -o -path /usr/local/lib/warm-python -prune -o"
        return self.lab.on(HOST, f"find {OURS} {others} -cnewer /run/before-check -print").split()


@pytest.fixture(scope="module")
def booted(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The host, fresh."""
    host = Host(lab, tmp_path_factory.mktemp("matrix"))
    yield host
    host.remove()
    lab.do("down", HOST)


@pytest.fixture(scope="module", params=STATES)
def state(booted: Host, request: pytest.FixtureRequest) -> str:
    """What it is in."""
    booted.bring_to(request.param)
    return str(request.param)


@pytest.mark.parametrize("user", ["root", USER])
@pytest.mark.parametrize("tag", TAGS)
def test_check_mode_ends_well_and_writes_nothing(booted: Host, state: str, tag: str, user: str) -> None:
    secrets, running = kept(booted.lab), booted.mark()
    out = booted.play(
        *("--limit", HOST, "--check", "--diff", "-e", f"ansible_user={user}"), *(("--tags", tag) if tag else ())
    )
    assert recap(out)[HOST][1:] == (0, 0)
    assert booted.written() == []
    assert booted.mark() == running
    assert kept(booted.lab) == secrets
    if state == "finished":
        assert recap(out)[HOST][0] == 0, changed(out)


@pytest.mark.parametrize("state", ["finished"], indirect=True)
@pytest.mark.usefixtures("state")
def test_what_check_mode_told_is_done_by_a_run(booted: Host) -> None:
    for before, told in booted.told.items():
        done = booted.done[before]
        # What stands on something that is not there yet can't be told.
        print(f"{before}: {len(told)} told, {len(done)} done; not told: {', '.join(sorted(done - told))}")
        assert told
        assert told - TWICE <= done
