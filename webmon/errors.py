"""What the user did wrong, told without a traceback."""


class UserError(Exception):
    """A mistake that the user can mend; each line names the place, the value and what would be right."""

    def __init__(self, *lines: str) -> None:
        """Take one line a fault."""
        super().__init__("\n".join(lines))
        self.lines = lines
