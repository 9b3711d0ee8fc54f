"""Prepare this machine: `python3 -m tests.lab.bootstrap python`, and `lab` or `browser` beside it.

python: the virtual environment .venv, from the lock with its hashes. lab: base trees and the Kafka archive. browser:
Debian's Chromium, which pages are looked at with.
What is done already is not done again. Standard library only: it makes the environment that the rest runs in.
"""

import argparse
import os
import shutil
import subprocess
import sys

from tests.lab.steps import LAB_PROGRAM, Job, StepError, Steps


def main() -> int:
    """Prepare the parts that were asked for; 2 where this machine cannot, 1 where a step failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="+", choices=["python", "lab", "browser"])
    parts = parser.parse_args().part
    if os.geteuid() != 0 and not shutil.which("sudo"):
        sys.stderr.write("Run this as root, or install sudo: packages are installed and hosts are booted.\n")
        return 2
    packages = []
    if subprocess.run([sys.executable, "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode:
        packages.append("python3-venv")
    if "lab" in parts:
        packages += ["systemd-container", "mmdebstrap", "iproute2", "iptables", "debian-archive-keyring"]
        packages += ["openssh-client", "maven"]
    if "browser" in parts:
        # Pages name no font: what they are drawn with, also right to left, is this one.
        packages += ["chromium", "fonts-noto-core"]
    jobs = [Job("python environment", ["make", "--no-print-directory", ".venv/made"], {"MAKEFLAGS": ""})]
    if "lab" in parts:
        jobs += [Job("base trees", [LAB_PROGRAM, "base"]), Job("kafka archive", [LAB_PROGRAM, "kafka"])]
    steps = Steps("bootstrap", 2)
    try:
        steps.run("System packages", Job("system packages", [LAB_PROGRAM, "deps", *packages]))
        steps.run(", ".join(job.name for job in jobs).capitalize(), *jobs)
    except StepError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
