"""Build what a host installs: the wheels of the package and of its lock, one archive for each platform.

    build_release.py PROJECT BUILD_DIR [--name-only] PLATFORM

A platform is a Python version and a machine: 3.13-x86_64. Prints JSON: the release's name, its archive, and whether
that was built now. The name is the version, a digest of the sources and the lock, and the Python.
"""

import argparse
import fcntl
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

GLIBCS = ("manylinux2014", "manylinux_2_28", "manylinux_2_34")
PLATFORM = re.compile(r"3\.[0-9]{1,3}-[a-z0-9_]{1,20}")
PIP_LOCK = Path(__file__).with_name("pip.lock")


def main() -> None:
    """Build what is missing."""
    parser = argparse.ArgumentParser()
    parser.add_argument("project", type=Path)
    parser.add_argument("build_dir", type=Path)
    parser.add_argument("platform", type=platform_of)
    parser.add_argument("--name-only", action="store_true", help="build nothing")
    arguments = parser.parse_args()
    project: Path = arguments.project.resolve()
    build_dir: Path = arguments.build_dir.resolve()

    python, _, machine = arguments.platform.partition("-")
    name = f"{release_name(project)}-py{python}"
    archive = build_dir / f"{name}-{machine}.tar"
    built = False
    if not arguments.name_only and not archive.exists():
        build_dir.mkdir(parents=True, exist_ok=True)
        with (build_dir / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the plays of several hosts build at once
            if not archive.exists():
                build(project, build_dir, name, arguments.platform, archive)
                built = True
    print(json.dumps({"name": name, "archive": str(archive), "built": built}))


def platform_of(text: str) -> str:
    """Take a platform as the host says it, who may be anybody: it becomes the name of a file here."""
    if not PLATFORM.fullmatch(text):
        raise argparse.ArgumentTypeError(f"the host says that it is {text[:80]!r}; right would be as 3.13-x86_64")
    return text


def sources(project: Path) -> list[Path]:
    """Give the files that make a release, relative to the project."""
    package = (path for path in (project / "webmon").rglob("*") if path.is_file() and path.suffix != ".pyc")
    return sorted(path.relative_to(project) for path in (*package, project / "pyproject.toml"))


def release_name(project: Path) -> str:
    """Give version-digest."""
    digest = hashlib.sha256()
    for path in (*sources(project), Path("requirements.lock"), PIP_LOCK):
        content = (project / path).read_bytes()
        # The last one's name alone: the same sources are the same release wherever the checkout stands.
        name = PIP_LOCK.name if path is PIP_LOCK else path
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    version = tomllib.loads((project / "pyproject.toml").read_text())["project"]["version"]
    return f"{version}-{digest.hexdigest()[:12]}"


def build(project: Path, build_dir: Path, name: str, platform: str, archive: Path) -> None:
    """Make the archive of one platform: a directory of the release's name with its wheels and the hash of each."""
    own = own_wheel(project, build_dir / f"wheel-{name.partition('-py')[0]}")
    requirements = (project / "requirements.lock").read_text()
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    requirements += f"webmon=={own.name.split('-')[1]} --hash=sha256:{digest}\n"
    with tempfile.TemporaryDirectory(dir=build_dir) as temporary:
        listed = Path(temporary, "requirements.txt")
        listed.write_text(requirements)
        whole = Path(temporary, archive.name)
        with tarfile.open(whole, "w") as tar:
            for file in (own, *sorted(locked_wheels(project, build_dir, platform).iterdir())):
                # pip runs from its wheel, found under one name whatever its version.
                member = "pip.whl" if file.name.startswith("pip-") else f"wheels/{file.name}"
                tar.add(file, f"{name}/{member}", filter=as_root)
            tar.add(listed, f"{name}/{listed.name}", filter=as_root)
        whole.rename(archive)


def as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Make a member root's, readable by all."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o644
    return member


def own_wheel(project: Path, directory: Path) -> Path:
    """Give the wheel of the package, built from a copy: a build in place would take in files that are gone by now."""
    if not directory.exists():
        with tempfile.TemporaryDirectory(dir=directory.parent) as temporary:
            copy = Path(temporary, "source")
            for path in sources(project):
                (copy / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(project / path, copy / path)
            out = Path(temporary, "out")
            pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(copy))
            out.rename(directory)
    return next(directory.glob("webmon-*.whl"))


def locked_wheels(project: Path, build_dir: Path, platform: str) -> Path:
    """Give the directory with the wheels of the lock for one platform, fetched and checked where it is not there."""
    lock = project / "requirements.lock"
    digest = hashlib.sha256(lock.read_bytes() + PIP_LOCK.read_bytes()).hexdigest()[:12]
    directory = build_dir / f"wheels-{digest}-{platform}"
    if not directory.exists():
        python, _, machine = platform.partition("-")
        wheelhouse = project / "wheelhouse"  # of an archive that build_dist.py made
        source = ("--no-index", f"--find-links={wheelhouse}") if wheelhouse.is_dir() else ()
        with tempfile.TemporaryDirectory(dir=build_dir) as temporary:
            out = Path(temporary, "out")
            download(out, (lock, PIP_LOCK), *source, *platform_options(python, machine))
            out.rename(directory)
    return directory


def download(directory: Path, locks: Iterable[Path], *options: str) -> None:
    """Have pip fetch the wheels of locks into a directory, and check their hashes."""
    wheels = ("--require-hashes", "--no-deps", "--only-binary=:all:", f"--dest={directory}")
    pip("download", *wheels, *options, *(f"--requirement={lock}" for lock in locks))


def platform_options(python: str, machine: str) -> tuple[str, ...]:
    """Give the options that have pip choose the wheels of another machine than this."""
    abis = ("cp" + python.replace(".", ""), "abi3", "none")
    return (
        *("--python-version", python, "--implementation", "cp"),
        *(word for name in abis for word in ("--abi", name)),
        *(word for glibc in GLIBCS for word in ("--platform", f"{glibc}_{machine}")),
    )


def pip(*arguments: str) -> None:
    """Run pip; what it says goes to stderr, for stdout is ours."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    subprocess.run(command, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
