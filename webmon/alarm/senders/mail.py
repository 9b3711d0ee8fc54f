"""Mail: plain text and HTML, a thread per episode, each recipient judged by itself.

Without STARTTLS (or TLS from the begin, as the settings have it), or with a certificate that can't be verified, nothing
is sent, and nobody logs in.
"""

import base64
import contextlib
import hashlib
import re
import smtplib
import socket
import ssl
from collections.abc import Mapping
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime, localtime
from typing import Final

from webmon.alarm.channels import Mail
from webmon.alarm.notice import Notice
from webmon.alarm.senders import message
from webmon.alarm.senders.answer import DEADLINE, Answer, again, failed, line, taken, within
from webmon.check import secrets
from webmon.check.trust import tls_context
from webmon.settings import Alarm

_POLICY: Final = policy.SMTP.clone(cte_type="7bit")
"""Any server takes it: not all have 8BITMIME."""
_ID: Final = 70
"""Characters of a Message-ID: Python folds a longer one in References as an encoded word, which no reader knows."""
_NOWHERE: Final = "webmon.invalid"
"""In place of a domain that is too long for that (RFC 2606)."""
_PERMANENT: Final = 500
_LOGGED_IN: Final = 235
_AWAY: Final = (421, b"not sent")


class MailSender:
    """Sends by the mail server of the settings, on a connection of its own each time."""

    def __init__(self, way: Mail, settings: Alarm, deadline: float = DEADLINE) -> None:
        """Take whom it goes to, and how the server is reached."""
        self._to = way.to
        self._from = way.sender or settings.sender
        self._settings = settings
        self._deadline = deadline
        password = settings.smtp_password
        self._password = password.get_secret_value() if password else None

    def send(self, notice: Notice, only: tuple[str, ...] = ()) -> Answer:
        """Send a notice to all recipients, or to those that it is still due to."""
        to = tuple(address for address in self._to if address in only) if only else self._to
        data = mail_of(notice, sender=self._from, to=self._to).as_bytes()
        session = _Session(self._settings, self._password, self._deadline)
        return within(self._deadline, lambda: session.send(self._from, to or only, data), session.cut)

    def close(self) -> None:
        """Nothing is open between two messages."""


class _Session:
    """One connection."""

    def __init__(self, settings: Alarm, password: str | None, timeout: float) -> None:
        self._settings = settings
        self._password = password
        self._timeout = timeout
        self._smtp: smtplib.SMTP | None = None
        self._answer: Answer | None = None

    def cut(self) -> Answer | None:
        """Break it off, whoever waits for it; give what the server said of the mail, if it did."""
        if self._smtp is not None and (sock := getattr(self._smtp, "sock", None)) is not None:
            with contextlib.suppress(OSError):
                # Of a TLS socket too: its own shutdown() takes TLS away from whoever reads from it.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        return self._answer

    def send(self, sender: str, to: tuple[str, ...], data: bytes) -> Answer:
        """Send to these; never raises for what a server or the network does."""
        try:
            smtp = self._connected()
            self._answer = self._judged(to, smtp.sendmail(sender, to, data))
            with contextlib.suppress(smtplib.SMTPException, OSError):
                smtp.quit()
        except smtplib.SMTPRecipientsRefused as error:
            # Also where the server went away after some of them: nobody has it.
            return self._judged(to, dict.fromkeys(to, _AWAY) | error.recipients)
        except smtplib.SMTPNotSupportedError as error:
            return again(f"{self._told(str(error))} Nothing was sent", left=to)
        except smtplib.SMTPResponseException as error:
            said = self._told(_said(error.smtp_code, error.smtp_error))
            return failed(said) if error.smtp_code >= _PERMANENT else again(said, left=to)
        except ssl.SSLCertVerificationError as error:
            return again(f"certificate refused: {error.verify_message}. Nothing was sent", left=to)
        except (smtplib.SMTPException, OSError, UnicodeError) as error:
            return again(self._told(getattr(error, "strerror", None) or str(error)), left=to)
        finally:
            if self._smtp is not None:
                self._smtp.close()
        return self._answer

    def _connected(self) -> smtplib.SMTP:
        tls, host, port = self._settings.smtp_tls, self._settings.smtp_host, self._settings.port
        authority = self._settings.ca_certificates
        context = tls_context(authorities=(authority,) if authority else ())
        # Made before it connects, so that it can be cut off then, too.
        if tls == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(timeout=self._timeout, context=context)
        else:
            smtp = smtplib.SMTP(timeout=self._timeout)
        self._smtp = smtp
        smtp._host = host  # type: ignore[attr-defined]  # noqa: SLF001 (what TLS asks for; connect() does not set it)
        code, said = smtp.connect(host, port)
        if code != 220:
            smtp.close()
            raise smtplib.SMTPConnectError(code, said)
        smtp.ehlo_or_helo_if_needed()
        if tls == "starttls":
            code, said = smtp.starttls(context=context)
            if code != 220:
                raise smtplib.SMTPResponseException(code, said)
        if self._settings.smtp_user is not None and self._password is not None:
            _log_in(smtp, self._settings.smtp_user, self._password)
        return smtp

    def _judged(self, to: tuple[str, ...], refused: Mapping[str, tuple[int, bytes]]) -> Answer:
        later = tuple(address for address, (code, _) in refused.items() if code < _PERMANENT)
        never = {address: self._told(_said(*said)) for address, said in refused.items() if said[0] >= _PERMANENT}
        told = tuple(line(f"{address}: {said}") for address, said in never.items())
        took = [address for address in to if address not in refused]
        if later:
            said = "; ".join(f"{address}: {self._told(_said(*refused[address]))}" for address in later)
            return again(said, left=later, refused=told)
        if not took:
            return failed("; ".join(told), told)
        return taken(f"taken for {', '.join(took)} by {self._settings.smtp_host}", told)

    def _told(self, said: str) -> str:
        return secrets.without(said, (self._password,)) if self._password else said


def _log_in(smtp: smtplib.SMTP, user: str, password: str) -> None:
    """Log in; Python's own way takes nothing but ASCII."""
    if (user + password).isascii():
        smtp.login(user, password)
        return
    smtp.ehlo_or_helo_if_needed()  # what it offered before TLS does not count
    if "PLAIN" not in smtp.esmtp_features.get("auth", "").split():
        raise smtplib.SMTPNotSupportedError("The server offers no AUTH PLAIN, which a password beyond ASCII needs.")
    word = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    code, said = smtp.docmd("AUTH", f"PLAIN {word}")  # RFC 4616: in UTF-8
    if code != _LOGGED_IN:
        raise smtplib.SMTPAuthenticationError(code, said)


def mail_of(notice: Notice, *, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """Make the mail of a notice: the same each time that it is made, but for its date."""
    domain = sender.rpartition("@")[2]
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Subject"] = message.subject(notice)
    mail["Date"] = format_datetime(localtime())
    mail["Message-ID"] = message_id(notice.key, domain)
    if notice.thread is not None:
        first = message_id(notice.thread, domain)
        mail["In-Reply-To"] = first
        mail["References"] = first
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer of a machine comes back
    mail.set_content(message.text(notice))
    mail.add_alternative(message.html_of(notice), subtype="html")
    return mail


def message_id(key: str, domain: str) -> str:
    """Give the Message-ID of a notice by its key: 70 characters at most."""
    left = key if re.fullmatch(r"[A-Za-z0-9-]{1,40}", key) else hashlib.sha256(key.encode()).hexdigest()[:32]
    made = f"<{left}@{domain}>"
    return made if len(made) <= _ID else f"<{left}@{_NOWHERE}>"


def _said(code: int, said: bytes | str) -> str:
    return f"{code} {said.decode(errors='replace') if isinstance(said, bytes) else said}"
