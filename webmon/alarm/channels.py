"""Channels: the ways to people, as the rules file names them."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Mail:
    """By the mail server of the settings."""

    to: tuple[str, ...]
    sender: str | None = None
    """Address that it comes from; None: that of the settings."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A POST of JSON."""

    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)
    """What the message is signed with; None: not signed."""


@dataclass(frozen=True, slots=True)
class Alertmanager:
    """The Alertmanagers of one cluster: each is told all."""

    urls: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Apprise:
    """Services that Apprise knows, by its URLs."""

    urls: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Channel:
    """A way, and the one that is taken where it fails for good."""

    name: str
    way: Mail | Webhook | Alertmanager | Apprise
    fallback: str | None = None
