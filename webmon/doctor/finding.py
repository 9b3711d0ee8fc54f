"""A finding: one thing that the doctor looked at."""

import dataclasses
from enum import StrEnum


class Level(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARNING = "warning"
    """It works, and is not as it should be."""
    FAILED = "FAILED"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing, how it is, and what to do where it is not well."""

    level: Level
    subject: str
    """What was looked at, in a word or two: the same from run to run."""
    text: str
    """What was found; where it is not well, also what would be right."""

    def __str__(self) -> str:
        """Give the line for people; its first word is the level."""
        return f"{self.level:<7}  {self.subject}: {self.text}"


def ok(subject: str, text: str) -> Finding:
    """Give a finding of something that is as it should be."""
    return Finding(Level.OK, subject, text)


def warning(subject: str, text: str) -> Finding:
    """Give a finding of something that works but is not as it should be."""
    return Finding(Level.WARNING, subject, text)


def failed(subject: str, text: str) -> Finding:
    """Give a finding of something that does not work."""
    return Finding(Level.FAILED, subject, text)
