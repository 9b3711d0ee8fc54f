"""How messages of one channel are put together: the first at once, what comes soon after it as one."""

from typing import NamedTuple

from webmon.alarm.records import Notice, make_id


class Place(NamedTuple):
    """Where a notice goes."""

    due: int
    group: str
    window: int


class Windows:
    """The windows of each channel and kind of message, and of each length that targets ask for; pure."""

    def __init__(self) -> None:
        """Begin with none."""
        self._windows: dict[tuple[str, str, int], tuple[int, int]] = {}
        """When it began, and when what came within it is due; 0: nothing did yet."""

    def place(self, channel: str, kind: str, number: str, *, now: int, length: int) -> Place:
        """Give a notice its place.

        Args:
            channel: whom it is for.
            kind: messages of different kinds do not wait for each other.
            number: the notice's id.
            now: milliseconds.
            length: how long what follows it may wait.
        """
        begun, due = self._windows.get((channel, kind, length), (0, 0))
        if due and now >= due:  # a message of several is a beginning, too: so many are told of so often at most
            begun, due = due, 0
        if begun and now < (due or begun + length):
            due = due or begun + length
            self._windows[channel, kind, length] = (begun, due)
            return Place(due, make_id("group", channel, kind, length, begun), begun)
        self._windows[channel, kind, length] = (now, 0)
        return Place(now, number, now)

    def restore(self, notice: Notice, kind: str, length: int) -> None:
        """Take a notice from the log."""
        if not notice.window:
            return
        begun, due = self._windows.get((notice.channel, kind, length), (0, 0))
        grouped = notice.due if notice.due > notice.window else 0
        if notice.window > begun:
            begun, due = notice.window, grouped
        elif notice.window == begun:
            due = max(due, grouped)
        self._windows[notice.channel, kind, length] = (begun, due)
