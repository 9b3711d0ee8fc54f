"""A mail server for alarms: aiosmtpd with STARTTLS and authentication, that refuses whom it is told to."""

import asyncio
import email
import ssl
import threading
from collections.abc import Mapping
from email import policy
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Final, Self

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

AUTHORITY: Final = trustme.CA()
USER, PASSWORD = "webmon", "p4ssword"


class MailServer:
    """Listens on loopback; it tells what came, and answers as it is told."""

    def __init__(
        self,
        *,
        starttls: bool = True,
        tls: bool = False,
        login: bool = True,
        password: str = PASSWORD,
        name: str = "127.0.0.1",
        answers: Mapping[str, str] | None = None,
    ) -> None:
        """Take what it is like.

        Args:
            starttls: whether it offers STARTTLS.
            tls: whether it speaks TLS from the begin.
            login: whether it asks for USER and the password.
            password: USER's.
            name: the name in its certificate.
            answers: what it says to MAIL, to DATA, to whom mail is for, instead of taking it.
        """
        self.mails: list[tuple[list[str], EmailMessage]] = []
        """Recipients, and what they got."""
        self.logins: list[bytes] = []
        self.answers = dict(answers or {})
        self._password = password
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert(name).configure_cert(context)
        self._tls = context if tls else None
        self._options: dict[str, Any] = {
            "hostname": "mail.example.org",
            "tls_context": context if starttls else None,
            "require_starttls": starttls,
            "auth_required": login and (starttls or tls),
            "auth_require_tls": starttls,
            "authenticator": self._authenticate,
        }
        self._sessions: list[Any] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(self._session, "127.0.0.1", 0, ssl=self._tls)

    def _session(self) -> Any:
        self._sessions.append(SMTP(self, loop=self._loop, **self._options))
        return self._sessions[-1]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for session in self._sessions:
            # What was plain before STARTTLS is left open where the client wants none of our certificate.
            for transport in filter(None, (session.transport, session._original_transport)):
                if not transport.is_closing():  # one of TLS that is closed has nothing left to abort
                    transport.abort()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for _ in range(3):  # what is closed is closed in the loop's next turns
            await asyncio.sleep(0)

    def _authenticate(self, *call: Any) -> AuthResult:
        given = call[-1]
        assert isinstance(given, LoginPassword)
        self.logins.append(given.password)
        is_right = (given.login, given.password) == (USER.encode(), self._password.encode())
        return AuthResult(success=is_right, handled=False)

    async def handle_RCPT(  # noqa: N802 (it and what it is given are aiosmtpd's)
        self,
        server: Any,  # noqa: ARG002
        session: Any,  # noqa: ARG002
        envelope: Any,
        address: str,
        rcpt_options: list[str],  # noqa: ARG002
    ) -> str:
        if address in self.answers:
            return self.answers[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: ARG002, N802
        if "DATA" in self.answers:
            return self.answers["DATA"]
        mail = email.message_from_bytes(envelope.content, policy=policy.default)
        self.mails.append((list(envelope.rcpt_tos), mail))
        return "250 queued"
