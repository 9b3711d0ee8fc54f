"""tests/lab/lab tells what it can do, and what is wrong with how it was called."""

import os
import re
import subprocess

from tests.lab.steps import LAB_PROGRAM


def lab(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run the program; none of these calls gets as far as touching the machine."""
    return subprocess.run(
        [LAB_PROGRAM, *arguments], env=os.environ | environment, capture_output=True, text=True, check=False
    )


def test_without_a_verb_every_verb_is_listed() -> None:
    done = lab()
    assert done.returncode == 2
    verbs = re.findall(r"^cmd_([a-z-]+)\(\)", LAB_PROGRAM.read_text(), re.MULTILINE)
    assert len(verbs) > 10
    assert [verb for verb in verbs if f" {verb}" not in done.stdout and f"|{verb}" not in done.stdout] == []


def test_a_lab_of_an_unknown_name_must_say_its_network() -> None:
    done = lab("status", LAB_NAME="mine")
    assert done.returncode == 1
    said = "is not demo, test, molecule or faults: give LAB_NET too, e.g. LAB_NET=10.80.0"
    assert done.stderr == f"lab: LAB_NAME=mine {said}\n"


def test_a_lab_whose_bridge_would_not_fit_a_device_name_is_refused() -> None:
    done = lab("status", LAB_NAME="a-name-of-thirteen", LAB_NET="10.80.0")
    assert (done.returncode, done.stderr) == (1, "lab: LAB_NAME=a-name-of-thirteen: at most 12 characters\n")
