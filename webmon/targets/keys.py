"""What models of files share: how a key is declared, and how long a span of time is."""

import re
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

_LENGTHS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class Model(BaseModel):
    """A mapping of a file, with these keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def right(text: str) -> Any:
    """Declare a key that may be left out, and say what a right value is: for a wrong one's message, and for editors."""
    return Field(default=None, description=text)


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Give a model's fields by the keys that the file has for them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def length(value: object, units: str = "ms|s|m|h") -> object:
    """Read a span of time, as 30, 500ms or 4h, in seconds; anything else stays as it is.

    Args:
        value: what stands in the file.
        units: what may follow a number.

    Raises:
        ValueError: it is true or false, which would count as 1 or 0.
    """
    if isinstance(value, bool):
        raise ValueError  # noqa: TRY004 (pydantic tells of no other)
    if isinstance(value, str) and (match := re.fullmatch(rf"([0-9]+(?:\.[0-9]+)?)({units})?", value)):
        return float(match[1]) * _LENGTHS[match[2] or "s"]
    return value
