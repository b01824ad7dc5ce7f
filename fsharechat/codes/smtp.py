"""Codes to e-mail addresses: plain-text mails through a mail server (SMTP)."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from fsharechat.codes import CodeError, CodeSender, CodeUnconfirmed, fill
from fsharechat.settings_schema import SmtpSettings

QUIT_SECONDS = 1.0


class SmtpCodes(CodeSender):
    """`minutes` is for the text of the mail. `seconds` bounds each wait for the server."""

    def __init__(self, settings: SmtpSettings, minutes: int, seconds: float) -> None:
        self._settings = settings
        self._minutes = minutes
        self._seconds = seconds
        self._host_name = socket.gethostname()
        self._tls: ssl.SSLContext | None = None
        if settings.security != "none":
            try:
                self._tls = ssl.create_default_context(cafile=settings.authority or None)
            except OSError as error:
                raise CodeError(f"[codes.smtp] authority = {settings.authority!r}: {error}") from error

    async def send(self, number: str, code: str) -> None:
        message = self._message(number, code)
        async with self._connected() as client:
            await client.send_message(
                message, sender=parseaddr(self._settings.sender)[1], recipients=[number]
            )

    async def check(self) -> str:
        settings = self._settings
        async with self._connected() as client:
            await client.noop()
        login = " and takes the login" if settings.username else ""
        return f"{settings.host}:{settings.port} answers{login}"

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[SMTP]:
        """Connect and log in. Failures then, or inside, are raised as CodeError."""
        settings = self._settings
        client = SMTP(
            hostname=settings.host,
            port=settings.port,
            username=settings.username or None,
            password=settings.password or None,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            tls_context=self._tls,
            timeout=self._seconds,
            local_hostname=self._host_name,
        )
        try:
            await self._connect(client)
            yield client
            with suppress(SMTPException):
                await client.quit(timeout=QUIT_SECONDS)
        except SMTPRecipientsRefused as error:
            raise CodeError("; ".join(_said(refused) for refused in error.recipients)) from error
        except SMTPResponseException as error:
            raise CodeError(_said(error)) from error
        except SMTPNotSupported as error:
            raise CodeError(str(error)) from error
        except (SMTPException, OSError) as error:
            raise CodeUnconfirmed(str(error)) from error
        finally:
            client.close()

    @staticmethod
    async def _connect(client: SMTP) -> None:
        try:
            await client.connect()
        except SMTPResponseException as error:
            raise CodeError(_said(error)) from error
        except (SMTPException, OSError) as error:
            raise CodeError(str(error)) from error

    def _message(self, number: str, code: str) -> EmailMessage:
        settings = self._settings
        name, sender = parseaddr(settings.sender)
        message = EmailMessage()
        message["From"] = Address(name, addr_spec=sender)
        user, _, domain = number.rpartition("@")
        message["To"] = Address(username=user, domain=domain)
        message["Subject"] = fill(settings.subject, code, self._minutes)
        message["Date"] = formatdate()
        message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(fill(settings.body, code, self._minutes))
        return message


def _said(error: SMTPResponseException) -> str:
    return f"{error.code} {error.message}"
