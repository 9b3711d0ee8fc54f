"""webmon: agents check websites and publish to Kafka, a sink keeps the results in TimescaleDB."""

__version__ = "0.1.0"
"""That of pyproject.toml; a literal, as asking the installed package for it takes longer than `webmon --help`."""
