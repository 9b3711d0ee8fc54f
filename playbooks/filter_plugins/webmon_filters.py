"""The filters that need libraries; what they do is in playbooks/filters, loaded where one is asked for.

Ansible loads every plugin anew for each task of each host: with their libraries that took half of its time.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_PACKAGE: Final = "webmon_filters"
_PLACE: Final = Path(__file__).parents[1] / "filters"


def load(name: str) -> ModuleType:
    """Give a module of the package, which no path that Python searches leads to."""
    if _PACKAGE not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            _PACKAGE, _PLACE / "__init__.py", submodule_search_locations=[str(_PLACE)]
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules[_PACKAGE] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return importlib.import_module(f"{_PACKAGE}.{name}")


class FilterModule:
    """What Ansible looks for in a filter plugin."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give the filters by name."""
        return {
            "brokers_awaited": lambda *given: load("assignment").awaited(*given),
            "brokers_led_as_planned": lambda *given: load("assignment").is_led_as_planned(*given),
            "brokers_leaving_faults": lambda *given: load("assignment").leaving_faults(*given),
            "brokers_naming_faults": lambda *given, **named: load("assignment").naming_faults(*given, **named),
            "brokers_partitions": lambda *given: load("assignment").partitions(*given),
            "brokers_plan": lambda *given: load("assignment").plan(*given),
            "brokers_voters": lambda *given: load("assignment").voters(*given),
            "certificate": lambda *given: load("certificate").certificate(*given),
            "certificate_faults": lambda *given: load("certificate").certificate_faults(*given),
            "changed_settings": lambda *given: load("hosts").changed_settings(*given),
            "hba_faults": lambda *given: load("hba").hba_faults(*given),
            "inventory_faults": lambda *given: load("inventory").inventory_faults(*given),
            "look_arguments": lambda *given: load("hosts").look_arguments(*given),
            "preflight": lambda *given: load("every").preflight(*given),
            "provided_faults": lambda *given: load("provided").provided_faults(*given),
            "signing_faults": lambda *given: load("certificate").signing_faults(*given),
        }
