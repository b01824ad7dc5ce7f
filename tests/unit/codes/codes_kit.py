"""Senders of codes as the settings make them."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from fsharechat.backends import make_codes
from fsharechat.codes.delivery import Delivery
from fsharechat.settings import Settings
from fsharechat.settings_schema import AliyunSettings, CodesSettings, RpcSettings, TencentSettings
from tests.unit.codes.fake_vendors import KEY_ID, KEY_SECRET

NUMBER = "13812345678"
ADDRESS = "ann.li@example.com"
CODE = "604213"


def aliyun_settings(url: str, secret: str = KEY_SECRET) -> AliyunSettings:
    return AliyunSettings(
        access_key_id=KEY_ID,
        access_key_secret=secret,
        sign_name="飞享IM",
        template="SMS_180355435",
        endpoint=url,
    )


def tencent_settings(url: str, secret: str = KEY_SECRET) -> TencentSettings:
    return TencentSettings(
        secret_id=KEY_ID,
        secret_key=secret,
        app_id="1400006666",
        sign_name="飞享IM",
        template="1234567",
        variables=("{code}", "{minutes}"),
        endpoint=url,
    )


def delivery(codes: CodesSettings) -> Delivery:
    return make_codes(Settings(codes=codes, rpc=RpcSettings(timeout_seconds=60)))


MAIL_USER, MAIL_PASSWORD = "noreply", "mail password"


class MailServer:
    """What a real mail server (aiosmtpd) was given, and how it behaves.

    `refuse` makes it answer a command ("RCPT", "DATA") with a line of its own; `hold` lets DATA wait.
    """

    def __init__(self) -> None:
        self.port = 0
        self.mails: list[Envelope] = []
        self.users: list[str] = []
        self.encrypted: list[bool] = []
        self.refuse: dict[str, str] = {}
        self.hold: asyncio.Event | None = None

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if "RCPT" in self.refuse:
            return self.refuse["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        if self.hold is not None:
            await self.hold.wait()
        if "DATA" in self.refuse:
            return self.refuse["DATA"]
        self.mails.append(envelope)
        assert server.transport is not None
        self.encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
        return "250 OK"

    def authenticate(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: LoginPassword
    ) -> AuthResult:
        if (data.login, data.password) != (MAIL_USER.encode(), MAIL_PASSWORD.encode()):
            return AuthResult(success=False, handled=False)
        self.users.append(data.login.decode())
        return AuthResult(success=True)


@asynccontextmanager
async def mail_server(
    starttls: ssl.SSLContext | None = None, tls: ssl.SSLContext | None = None, login: bool = False
) -> AsyncIterator[MailServer]:
    """Serve SMTP on a free port: in the clear, after STARTTLS alone, or in TLS from the first byte on."""
    handler = MailServer()
    loop = asyncio.get_running_loop()

    def connection() -> SMTP:
        return SMTP(
            handler,
            hostname="mail.test",
            tls_context=starttls,
            require_starttls=starttls is not None,
            auth_required=login,
            auth_require_tls=starttls is not None,
            authenticator=handler.authenticate,
            loop=loop,
        )

    server = await loop.create_server(connection, "127.0.0.1", 0, ssl=tls)
    handler.port = server.sockets[0].getsockname()[1]
    try:
        yield handler
    finally:
        server.close()


def server_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context
