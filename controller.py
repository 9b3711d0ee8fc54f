#!/usr/bin/env python3
"""Make this machine a controller: `python3 controller.py` makes .venv with what runs the playbooks.

That is Ansible, the collections that our roles use, and webmon with what it needs, each checked by its hash. A release
that was unpacked from its archive has all of it in wheelhouse/, and asks no index. What is done is not done again.
Nothing is written but .venv, and nothing needs root. Standard library only: it makes what the rest runs in.
"""

import contextlib
import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parent
VENV = TOP / ".venv"
MADE = VENV / "made"
WHEELHOUSE = TOP / "wheelhouse"
LOCKS = ("requirements-controller.lock", "roles/release/files/pip.lock")
COLLECTIONS_LOCK = "requirements-collections.lock"
COLLECTIONS = ("community/crypto", "community/postgresql", "community/sops")
"""Those that our roles use, and what reads an inventory that SOPS encrypted, of the package ansible (256 MB)."""
MADE_FROM = (*LOCKS, COLLECTIONS_LOCK, "pyproject.toml", Path(__file__).name)
"""One that is newer than .venv has it made anew."""
OLDEST = (3, 11)


class CannotError(Exception):
    """This machine cannot be prepared; what it says is for whoever typed the command."""


def main() -> int:
    """Make what is missing; 2 where this machine lacks something, 1 where a step failed."""
    if MADE.exists() and all((TOP / name).stat().st_mtime <= MADE.stat().st_mtime for name in MADE_FROM):
        return 0
    began = time.monotonic()
    try:
        say("[1/3] An environment of Python's in .venv")
        python = make_environment()
        say(f"[2/3] Packages, from {'wheelhouse/' if WHEELHOUSE.is_dir() else 'the package index'}")
        install_packages(python)
        say(f"[3/3] Collections of Ansible: {', '.join(COLLECTIONS)}")
        install_collections(python)
    except CannotError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"failed: {' '.join(map(str, error.cmd))}\n")
        return 1
    MADE.touch()
    say(f"      {time.monotonic() - began:.0f} s: .venv/bin/ansible-playbook and .venv/bin/webmon are there")
    return 0


def make_environment() -> Path:
    """Give the Python of .venv, with a pip of whatever version or, from a wheelhouse, with none yet."""
    python = VENV / "bin" / "python"
    if python.exists():
        return python
    if sys.version_info < OLDEST:
        raise CannotError(f"{sys.executable} is Python {version()}; right would be 3.11 or later (Debian 12 has it)")
    if WHEELHOUSE.is_dir():
        if not (WHEELHOUSE / f"collections-py{version()}.zip").exists():
            there = sorted(path.stem.partition("-py")[2] for path in WHEELHOUSE.glob("collections-py*.zip"))
            raise CannotError(
                f"{sys.executable} is Python {version()}, which wheelhouse/ has no packages for; right would be one of "
                f"{', '.join(there)}, as in: python{there[-1]} {Path(__file__).name}"
            )
        run([sys.executable, "-m", "venv", "--without-pip", VENV])  # the package python3-venv may not be there
    else:
        if subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False).returncode:
            raise CannotError(
                f"{sys.executable} can make no environments; right would be: apt-get install python3-venv"
            )
        run([sys.executable, "-m", "venv", VENV])
    return python


def install_packages(python: Path) -> None:
    """Install the locks and webmon itself, which stays where it is: a changed file needs no installation."""
    locks = [f"--requirement={TOP / lock}" for lock in LOCKS]
    text = "".join((TOP / lock).read_text() for lock in LOCKS)
    total = len(set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE)))
    with pip(python, "install", "--no-compile", "--require-hashes", "--only-binary=:all:", *locks) as lines:
        collected = 0
        for line in lines:
            # "Requirement already satisfied: NAME" is of what is there, "Processing FILE" from a wheelhouse.
            if found := re.match(r"(?:Collecting|Requirement already satisfied:|Processing) ([^ ;]+)", line):
                collected += 1
                say(f"      {collected}/{total} {found[1].rpartition('/')[2]}")
    with pip(python, "install", "--quiet", "--no-deps", "--no-build-isolation", "--editable", str(TOP)):
        pass
    run([python, "-m", "compileall", "-q", "-j", "0", "-x", "ansible_collections", VENV / "lib"], check=False)


def install_collections(python: Path) -> None:
    """Take the collections that we use out of the package ansible, to where Ansible looks for them."""
    command: list[str | Path] = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
    if WHEELHOUSE.is_dir():
        archive = WHEELHOUSE / f"collections-py{version()}.zip"
        check_digest(archive)
        unpack_collections(archive, packages)
        return
    with tempfile.TemporaryDirectory() as temporary:
        requirement = f"--requirement={TOP / COLLECTIONS_LOCK}"
        options = ("--no-deps", "--require-hashes", "--only-binary=:all:", f"--dest={temporary}")
        with pip(python, "download", *options, requirement) as lines:
            for line in lines:
                if "MB" in line:
                    say(f"      {line.strip()}")
        unpack_collections(next(Path(temporary).glob("*.whl")), packages)


def members(archive: zipfile.ZipFile) -> list[str]:
    """Name the files of our collections in the package ansible, without their tests."""
    ours = tuple(f"ansible_collections/{collection}/" for collection in COLLECTIONS)
    return sorted(
        name
        for name in archive.namelist()
        if name.startswith(ours) and not name.endswith("/") and "/tests/" not in name
    )


def unpack_collections(archive: Path, directory: Path) -> None:
    """Unpack our collections, of an archive whose digest was checked, into a directory."""
    with zipfile.ZipFile(archive) as unpacked:
        unpacked.extractall(directory, members(unpacked))


def check_digest(path: Path) -> None:
    """Compare a file with SHA256SUMS beside us.

    Raises:
        CannotError: it is another.
    """
    name = str(path.relative_to(TOP))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if f"{digest}  {name}" not in (TOP / "SHA256SUMS").read_text().splitlines():
        raise CannotError(f"{name} is not what SHA256SUMS says; right would be to unpack the release's archive anew")


@contextlib.contextmanager
def pip(python: Path, command: str, *arguments: str) -> Iterator[Iterator[str]]:
    """Run pip; give its lines as they come.

    Raises:
        subprocess.CalledProcessError: it failed, after the block.
    """
    argv: list[str | Path] = [python]
    source: list[str] = []
    program = ["-m", "pip"]
    settings = {"PYTHONUTF8": "1", "PYTHONWARNINGS": "ignore"}
    if WHEELHOUSE.is_dir():
        program = [f"{next(WHEELHOUSE.glob('pip-*.whl'))}/pip"]
        source = ["--no-index", f"--find-links={WHEELHOUSE}"]
        # No setting of this machine's adds another place to look in.
        settings |= {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    argv += [*program, "--disable-pip-version-check", command, "--progress-bar=off", *source, *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env={**os.environ, **settings}) as process:
        assert process.stdout
        yield iter(process.stdout)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, argv)


def run(command: list[str | Path], *, check: bool = True) -> None:
    """Run a program that says nothing where it works."""
    subprocess.run(command, check=check)


def version() -> str:
    """Give the version of this Python as wheels name it."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def say(text: str) -> None:
    """Tell how far we are."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
