"""The filter `target_files`: the files that a list of targets names for TLS, which go to the hosts beside it."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import yaml

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_OWN: Final = "certificate", "key"
"""What an agent shows of itself; the other is whom it trusts."""


def target_files(text: str) -> dict[str, list[str]]:
    """Say which files are named by a path that is no absolute one: that would be the host's own.

    Args:
        text: a list of targets in YAML. One with a fault may name none: what is wrong is told by who checks it.

    Returns:
        `every` one of them, and those that are agents' `own`, certificates and keys; each once.
    """
    try:
        # As bytes: a text of Ansible is of a kind of its own, which the loader does not take.
        said = yaml.load(text.encode(errors="replace"), Loader=_LOADER)  # noqa: S506  # a safe one
    except yaml.YAMLError:
        said = None
    found = {key: list(dict.fromkeys(_named(said, key))) for key in ("ca", *_OWN)}
    own = list(dict.fromkeys(path for key in _OWN for path in found[key]))
    return {"every": list(dict.fromkeys([*found["ca"], *own])), "own": own}


def _named(said: Any, key: str) -> Iterator[str]:
    given = said if isinstance(said, dict) else {}
    targets = given.get("targets")
    for one in (given.get("defaults"), *(targets if isinstance(targets, list) else ())):
        tls = one.get("tls") if isinstance(one, dict) else None
        path = tls.get(key) if isinstance(tls, dict) else None
        if isinstance(path, str) and path and not path.startswith("/"):
            yield path


class FilterModule:
    """What Ansible looks for in a filter plugin."""

    def filters(self) -> dict[str, Callable[..., dict[str, list[str]]]]:
        """Give the filters by name."""
        return {"target_files": target_files}
