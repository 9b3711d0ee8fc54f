"""The filters of the playbooks as modules: Ansible loads them by their path, so no import finds them."""

import importlib.util
from pathlib import Path
from types import ModuleType

DIRECTORY = Path(__file__).parents[2] / "playbooks/filter_plugins"


def load(name: str) -> ModuleType:
    """Load the plugin of that name, or the module of playbooks/filters that a plugin loads late."""
    if not (DIRECTORY / f"{name}.py").exists():
        late: ModuleType = load("webmon_filters").load(name)
        return late
    spec = importlib.util.spec_from_file_location(f"{name}_filter", DIRECTORY / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
