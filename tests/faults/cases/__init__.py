"""The cases, by what they happen to; each module puts its own in the table."""
