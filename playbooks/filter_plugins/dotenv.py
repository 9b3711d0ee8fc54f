"""The filter `dotenv`: write a value into a .env so that python-dotenv gives it back unchanged."""

from collections.abc import Callable


def dotenv(value: object) -> str:
    """Give the value of a .env line, quoted.

    python-dotenv expands ${NAME} in single quotes too and knows no escape for it; what it does know is an empty name
    with a default, so the text ${ becomes ${:-$}{. True and False stay as Python has them.

    Raises:
        ValueError: the text has a character that no .env can hold. The text is not told: it may be a secret.
    """
    text = str(value)
    if "\0" in text or "\r" in text:
        message = "a value for a .env holds a NUL or a carriage return, which no .env gives back unchanged"
        raise ValueError(message)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("${", "${:-$}{")
    return f"'{escaped}'"


class FilterModule:
    """What Ansible looks for in a filter plugin."""

    def filters(self) -> dict[str, Callable[[object], str]]:
        """Give the filters by name."""
        return {"dotenv": dotenv}
