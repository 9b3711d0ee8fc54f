"""What Ansible loads for each task of each host costs each of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.filters import DIRECTORY

PLUGINS = sorted(DIRECTORY.glob("*.py"))
LIBRARIES = "'cryptography', 'pydantic', 'webmon'"


@pytest.mark.parametrize("plugin", PLUGINS, ids=[path.stem for path in PLUGINS])
def test_a_plugin_loads_no_library_before_one_of_its_filters_is_asked_for(plugin: Path) -> None:
    program = f"import runpy, sys; runpy.run_path({str(plugin)!r}); print({{{LIBRARIES}}} & sys.modules.keys())"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert loaded == "set()\n"
