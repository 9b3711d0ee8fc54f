"""Prepare this machine: `python3 -m tests.lab.bootstrap python`, and `lab` or `browser` beside it.

controller: what runs the playbooks, in .venv (controller.py). python: that, and tests and linters, from their lock.
lab: base trees and the Kafka archive. browser: Debian's Chromium, which pages are looked at with.
What is done already is not done again, and only what is missing needs root. Standard library only: it makes the
environment that the rest runs in.
"""

import argparse
import os
import shutil
import subprocess
import sys

from tests.lab.steps import LAB_PROGRAM, TOP, Job, StepError, Steps

CONTROLLER = [sys.executable, str(TOP / "controller.py")]


def main() -> int:
    """Prepare the parts that were asked for; 2 where this machine cannot, 1 where a step failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="+", choices=["controller", "python", "lab", "browser"])
    parts = parser.parse_args().part
    packages = missing(wanted(parts))
    if (packages or "lab" in parts) and os.geteuid() != 0 and not shutil.which("sudo"):
        sys.stderr.write(
            f"Run this as root, or install sudo: {', '.join(packages) or 'hosts'} cannot be "
            f"{'installed' if packages else 'booted'} as this user.\n"
        )
        return 2
    only_controller = parts == ["controller"]
    steps = Steps("bootstrap", (not only_controller) + bool(packages))
    try:
        if packages:
            steps.run("System packages", Job("system packages", [LAB_PROGRAM, "deps", *packages]))
        if only_controller:
            return subprocess.run(CONTROLLER, check=False).returncode
        script = '"$@" && exec make --no-print-directory .venv/dev'
        jobs = [Job("python environment", ["sh", "-c", script, "sh", *CONTROLLER], {"MAKEFLAGS": ""})]
        if "lab" in parts:
            jobs += [Job("base trees", [LAB_PROGRAM, "base"]), Job("kafka archive", [LAB_PROGRAM, "kafka"])]
        steps.run(", ".join(job.name for job in jobs).capitalize(), *jobs)
    except StepError:
        return 1
    return 0


def wanted(parts: list[str]) -> list[str]:
    """Name the packages of Debian's that the parts need."""
    packages = []
    if subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode:
        packages.append("python3-venv")
    if "lab" in parts:
        packages += ["systemd-container", "mmdebstrap", "iproute2", "iptables", "debian-archive-keyring"]
        packages += ["openssh-client", "maven", "gpg"]
    if "browser" in parts:
        # Pages name no font: what they are drawn with, also right to left, is this one.
        packages += ["chromium", "fonts-noto-core"]
    return packages


def missing(packages: list[str]) -> list[str]:
    """Give those that are not installed; somebody's own Maven, not from a package, serves as well."""
    if not packages:
        return []
    asked = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\\n", *packages]
    there = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()
    return [
        name for name in packages if f"installed {name}" not in there and not (name == "maven" and shutil.which("mvn"))
    ]


if __name__ == "__main__":
    sys.exit(main())
