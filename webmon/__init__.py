"""webmon: agents check websites and publish to Kafka, a sink keeps the results in TimescaleDB."""

from importlib.metadata import version

__version__ = version("webmon")
