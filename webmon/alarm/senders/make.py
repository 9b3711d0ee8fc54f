"""Makes the sender of a channel."""

from webmon.alarm.channels import Alertmanager, Channel, Mail, Webhook
from webmon.alarm.senders.alertmanager import AlertmanagerSender
from webmon.alarm.senders.answer import DEADLINE, Sender
from webmon.alarm.senders.apprise import AppriseSender
from webmon.alarm.senders.mail import MailSender
from webmon.alarm.senders.webhook import WebhookSender
from webmon.settings import Alarm


def make(channel: Channel, settings: Alarm, deadline: float = DEADLINE) -> Sender:
    """Make what sends by a channel.

    Args:
        channel: the way.
        settings: the mail server, and whom we trust.
        deadline: seconds for a whole send.

    Raises:
        UserError: it needs Apprise, which is not installed, or does not know a URL.
        OSError: the file of authorities cannot be used.
    """
    authority = settings.ca_certificates
    match channel.way:
        case Mail() as way:
            return MailSender(way, settings, deadline)
        case Webhook() as way:
            return WebhookSender(way, authority, deadline)
        case Alertmanager() as way:
            return AlertmanagerSender(way, authority, deadline)
        case way:
            return AppriseSender(way, channel.name, deadline)
