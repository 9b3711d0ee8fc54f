"""Failures that a test owns: what is raised before or after a call of a part, real or not."""

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any, Literal

Fault = Exception | Callable[[], Exception | None]
"""What is raised; or what looks at something, and gives what is raised then."""


class DiedError(Exception):
    """Nobody foresees it, so it ends a sink where it stands, as SIGKILL does."""


class Plan:
    """What goes wrong with the next calls, by the name of the method."""

    def __init__(self) -> None:
        """Plan nothing."""
        self._planned: dict[tuple[str, str], deque[Fault]] = defaultdict(deque)

    def before(self, call: str, *faults: Fault) -> None:
        """Have the next calls fail before anything is done, each with one of these."""
        self._planned["before", call].extend(faults)

    def after(self, call: str, *faults: Fault) -> None:
        """Have the next calls fail when all is done, each with one of these."""
        self._planned["after", call].extend(faults)

    def heal(self) -> None:
        """Have nothing fail any more."""
        self._planned.clear()

    def meet(self, moment: Literal["before", "after"], call: str) -> None:
        """Raise what is planned."""
        if planned := self._planned[moment, call]:
            fault = planned.popleft()
            error = fault if isinstance(fault, Exception) else fault()
            if error is not None:
                raise error


class Faulty:
    """A part whose calls fail as planned, and else do what they do."""

    def __init__(self, part: Any, plan: Plan) -> None:
        """Take the part."""
        self._part = part
        self._plan = plan

    def __getattr__(self, name: str) -> Any:
        """Give what the part has; a method with its faults around it."""
        found = getattr(self._part, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **more: Any) -> Any:
            self._plan.meet("before", name)
            done = found(*arguments, **more)
            self._plan.meet("after", name)
            return done

        return call
