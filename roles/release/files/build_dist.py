"""Build the archive of a release, which makes a controller and installs hosts without any index of packages.

    build_dist.py PROJECT BUILD_DIR

Writes BUILD_DIR/webmon-NAME.tar and prints its path. In it, below webmon-NAME/: what of the checkout an operator uses,
wheelhouse/ with the wheels of the locks and the collections for every platform, and SHA256SUMS of all. The same sources
give the same bytes. NAME is that of the release, as hosts have it.
"""

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from packaging.requirements import Requirement

sys.path.insert(0, str(Path(__file__).parents[3]))

import build_release

import controller

PYTHONS = ("3.11", "3.12", "3.13")
"""Debian 12's and 13's, which hosts have, and one more of the controllers'."""
MACHINES = ("x86_64", "aarch64")
PARTS = (
    *("webmon", "roles", "playbooks", "docs", "files", "inventory/example", "inventory/example-managed"),
    *("inventory/example-sasl", "controller.py", "ansible.cfg", "pyproject.toml", "requirements.lock"),
    *(controller.LOCKS[0], controller.COLLECTIONS_LOCK, "README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"),
)
"""What an operator uses: no tests, and no inventory, list or secret of whoever builds it, as git knows none."""
EPOCH = 315_619_200
"""Seconds; the day after the first that a zip can tell: no file says when the archive was made."""


def main() -> None:
    """Build it."""
    project, build_dir = (Path(text).resolve() for text in sys.argv[1:])
    build_dir.mkdir(parents=True, exist_ok=True)
    name = f"webmon-{build_release.release_name(project)}"
    with tempfile.TemporaryDirectory(dir=build_dir) as temporary:
        wheelhouse = Path(temporary, "wheelhouse")
        wheelhouse.mkdir()
        for python in PYTHONS:
            for machine in MACHINES:
                sys.stderr.write(f"wheels for Python {python} on {machine}\n")
                fetch_wheels(project, wheelhouse, python, machine)
            sys.stderr.write(f"collections for Python {python}\n")
            fetch_collections(project, wheelhouse, python)
        files = {str(path): project / path for path in tracked(project)}
        files |= {f"wheelhouse/{path.name}": path for path in wheelhouse.iterdir()}
        whole = Path(temporary, "whole.tar")
        pack(files, name, whole)
        archive = build_dir / f"{name}.tar"
        whole.rename(archive)
    print(archive)


def tracked(project: Path) -> Iterator[Path]:
    """Name the files of the checkout that go into the archive."""
    command = ["git", "-C", str(project), "ls-files", "-z", "--", *PARTS]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for path in map(Path, filter(None, listed.split("\0"))):
        if "molecule" not in path.parts and (project / path).is_file():
            yield path


def lines_for(lock: str, python: str, machine: str) -> list[str]:
    """Give the requirements of a lock that one platform has, each with its hashes.

    pip itself would ask their conditions of the Python that it runs on.
    """
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    chosen = []
    for text in lock.replace("\\\n", " ").splitlines():
        stated, *hashes = text.split("--hash=")
        if not stated.strip() or stated.startswith("#"):
            continue
        needed = Requirement(stated)
        if needed.marker is None or needed.marker.evaluate(environment):
            needed.marker = None
            chosen.append(" ".join([str(needed), *(f"--hash={value.strip()}" for value in hashes)]))
    return chosen


def fetch_wheels(project: Path, wheelhouse: Path, python: str, machine: str) -> None:
    """Fetch what a controller has, and with it what hosts have, for one platform."""
    texts = [(project / lock).read_text() for lock in controller.LOCKS]
    lines = [line for text in texts for line in lines_for(text, python, machine)]
    download(lines, wheelhouse, *build_release.platform_options(python, machine))


def fetch_collections(project: Path, wheelhouse: Path, python: str) -> None:
    """Make the archive of the collections for one Python, out of the package ansible."""
    lines = lines_for((project / controller.COLLECTIONS_LOCK).read_text(), python, MACHINES[0])
    with tempfile.TemporaryDirectory() as temporary:
        download(lines, Path(temporary), "--python-version", python)
        pack_collections(next(Path(temporary).glob("*.whl")), wheelhouse / f"collections-py{python}.zip")


def download(lines: Iterable[str], directory: Path, *options: str) -> None:
    """Fetch the wheels of lines that lines_for gave."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.write("\n".join(lines))
        listed.flush()
        build_release.download(directory, [Path(listed.name)], *options)


def pack_collections(package: Path, archive: Path) -> None:
    """Write those that our roles use into an archive of their own."""
    with zipfile.ZipFile(package) as source, zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for name in controller.members(source):
            made.writestr(zipfile.ZipInfo(name), source.read(name), zipfile.ZIP_DEFLATED)


def pack(files: Mapping[str, Path], name: str, archive: Path) -> None:
    """Write files, by their names, and SHA256SUMS of them into an archive, below one directory."""
    sums = "".join(f"{hashlib.sha256(files[file].read_bytes()).hexdigest()}  {file}\n" for file in sorted(files))
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as tar:
        for file in sorted(files):
            member = dated(tar.gettarinfo(files[file], f"{name}/{file}"))
            with files[file].open("rb") as content:
                tar.addfile(member, content)
        member = dated(tarfile.TarInfo(f"{name}/SHA256SUMS"))
        member.size = len(sums.encode())
        tar.addfile(member, io.BytesIO(sums.encode()))


def dated(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Make a member root's and readable by all, as of no day; what can be run still can."""
    runs = member.mode & 0o100
    build_release.as_root(member)
    member.mtime = EPOCH
    member.mode |= 0o111 if runs else 0
    return member


if __name__ == "__main__":
    main()
