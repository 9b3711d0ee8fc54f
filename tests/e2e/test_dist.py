"""The archive of a release, built once and used where there is no network: five minutes and 700 MB of disk."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.lab.steps import TOP


def offline(directory: Path, *command: str) -> str:
    """Run a program in a namespace whose network has not even a loopback; give what it says."""
    argv = ["unshare", "--net", *command]
    done = subprocess.run(argv, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_archive_makes_a_controller_and_a_release_without_network(tmp_path: Path) -> None:
    build = [sys.executable, "roles/release/files/build_dist.py", ".", str(tmp_path)]
    archive = Path(subprocess.run(build, cwd=TOP, capture_output=True, text=True, check=True).stdout.strip())
    offline(tmp_path, "tar", "xf", str(archive))
    unpacked = tmp_path / archive.stem
    offline(unpacked, "sha256sum", "--check", "--quiet", "SHA256SUMS")
    assert "[3/3]" in offline(unpacked, "/usr/bin/python3", "controller.py")
    assert offline(unpacked, "/usr/bin/python3", "controller.py") == ""
    assert offline(unpacked, ".venv/bin/webmon", "--version").startswith("webmon ")
    site = ["--inventory", "inventory/example", "--syntax-check", "playbooks/site.yml"]
    assert "playbooks/site.yml" in offline(unpacked, ".venv/bin/ansible-playbook", *site)
    for platform in ("3.11-x86_64", "3.13-aarch64"):
        release = ["roles/release/files/build_release.py", ".", "build/releases", platform]
        built = json.loads(offline(unpacked, ".venv/bin/python", *release))
        assert built["built"]
        with tarfile.open(built["archive"]) as tar:
            assert f"{built['name']}/pip.whl" in tar.getnames()
