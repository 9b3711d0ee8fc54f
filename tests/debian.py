"""Packages of Debian to compare with: fetched and unpacked under build/, never installed."""

import subprocess
import sys
from pathlib import Path
from typing import Final

PLACE: Final = Path("build/debian")


def unpacked(package: str) -> Path:
    """Give where a package lies unpacked; it is fetched where it does not yet."""
    place = PLACE / package
    if not (place / "usr").exists():
        sys.stderr.write(f"fetching {package} from Debian into {place}\n")
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "-qq", "download", package], cwd=place, check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["dpkg", "-x", _archive(package), place], check=True)
    return place.absolute()


def version(package: str) -> str:
    """Give the version of a package that is there, as Debian counts it."""
    return _archive(package).name.split("_")[1]


def _archive(package: str) -> Path:
    return max((PLACE / package).glob("*.deb"))
