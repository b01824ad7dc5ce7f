"""Logins by OpenID Connect, of the page and of terminals (docs/decisions/oidc.md).

A browser has one secret, in a cookie. State, nonce and the verifier of PKCE are made from it. So neither the store
nor an address has this secret. When the browser comes back, it gets another secret. The page finishes with that one.
"""

import base64
import hashlib
import hmac
import logging
import secrets
from enum import StrEnum
from typing import Any

import structlog
from aiohttp import web

from fsharechat.node import Node
from fsharechat.oidc import OidcAccount, OidcError, Phase, Polled, Trouble
from fsharechat.oidc.provider import Provider
from fsharechat.protocol.signals import LoginCode
from fsharechat.rpc import Method
from fsharechat.tracing import http_trace
from roles.api.addresses import Waits
from roles.api.gate import NOT_THE_PAGE, digest_of, from_page
from roles.api.login import (
    BadLogin,
    LoginDesk,
    LoginResponse,
    answer,
    answer_of,
    device,
    invitation,
    language_of,
    number_of,
    read_object,
    refused,
    said_so,
    texts,
)
from roles.api.texts import Language, Wrong, said

log = structlog.get_logger(__name__)

COOKIE = "fsharechat_oidc"
BEGIN, CALLBACK, FINISH = "/oidc/begin", "/oidc/callback", "/oidc/login"
DEVICE, DEVICE_LOGIN = "/oidc/device", "/oidc/device/login"

LOGIN_SECONDS = 600
"""How long a person may take at the provider, s."""

FINISH_SECONDS = 120
"""How long the page may take to finish a login, s."""

MAX_CODE = 4096
"""The most characters of the codes of a provider."""

MAX_HANDLE = MAX_CODE + 64
"""The most characters of a terminal's handle: a secret of ours, and the code of the provider."""

POLL_SECONDS = 5.0
"""The least time between two questions about the login of a terminal, s."""

_SENTENCES = {
    Trouble.AWAY: Wrong.PROVIDER_AWAY,
    Trouble.BUSY: Wrong.PROVIDER_AWAY,
    Trouble.EXPIRED: Wrong.LOGIN_OVER,
    Trouble.REFUSED: Wrong.PROVIDER_REFUSED,
    Trouble.NOT_LET_IN: Wrong.NOT_LET_IN,
    Trouble.WRONG: Wrong.PROVIDER_WRONG,
}
_CODES = {Trouble.EXPIRED: LoginCode.CODE_EXPIRED, Trouble.NOT_LET_IN: LoginCode.INVALID_NUMBER}


class _Derived(StrEnum):
    """What is made from the secret of a browser."""

    STATE = "state"
    NONCE = "nonce"
    VERIFIER = "verifier"


class OidcLogin:
    """Serves the paths of /oidc/."""

    def __init__(self, node: Node, desk: LoginDesk, provider: Provider) -> None:
        self._settings = node.settings.oidc
        self._desk = desk
        self._provider = provider
        self._secure = self._settings.public_url.startswith("https:")
        self._cookie = f"__Host-{COOKIE}" if self._secure else COOKIE
        self._begun, self._finished = Waits(), Waits()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get(BEGIN, self.begin)
        app.router.add_get(CALLBACK, self.come_back)
        app.router.add_post(FINISH, self.finish)
        app.router.add_post(DEVICE, self.begin_device)
        app.router.add_post(DEVICE_LOGIN, self.finish_device)
        app.on_cleanup.append(self._close)

    async def _close(self, _: web.Application) -> None:
        await self._provider.close()

    async def begin(self, request: web.Request) -> web.Response:
        """Send a browser to the provider."""
        secret = secrets.token_urlsafe(32)
        try:
            where = await self._provider.login_address(
                _derived(secret, _Derived.STATE), _derived(secret, _Derived.NONCE), _challenge(secret)
            )
            await self._begin(request, digest_of(secret), Phase.BROWSER, LOGIN_SECONDS)
        except OidcError as error:
            return self._back_with(request, error)
        return self._redirect(where, secret, LOGIN_SECONDS)

    async def come_back(self, request: web.Request) -> web.Response:
        """Take a browser back from the provider, learn its account, and send it to the page."""
        try:
            account = await self._account(request)
        except OidcError as error:
            return self._back_with(request, error)
        secret = secrets.token_urlsafe(32)
        told = await self._ask(
            request, "know", digest_of(secret), {"account": list(account), "seconds": FINISH_SECONDS}
        )
        if told["code"]:
            return self._back_with(request, OidcError(Trouble.BUSY, "the login could not be kept"))
        return self._redirect("/#oidc=done", secret, FINISH_SECONDS)

    async def _account(self, request: web.Request) -> OidcAccount:
        """Return the account of a browser that came back. Raises OidcError."""
        secret, query = request.cookies.get(self._cookie, ""), request.query
        if not secret or not _same(query.get("state", ""), _derived(secret, _Derived.STATE)):
            raise OidcError(Trouble.EXPIRED, "the state is not that of a login of this browser")
        told = await self._ask(request, "take", digest_of(secret), {"taker": secrets.token_hex(16)})
        if told["code"]:
            trouble = Trouble.EXPIRED if told["code"] == LoginCode.CODE_EXPIRED else Trouble.BUSY
            raise OidcError(trouble, "there is no such login under way")
        issuer = query.get("iss")
        endpoints = await self._provider.endpoints()
        if issuer != self._settings.issuer and (issuer is not None or endpoints.names_itself):
            raise OidcError(Trouble.WRONG, "another provider answered")
        if "error" in query:
            raise OidcError(Trouble.REFUSED, "the provider sent the browser back without a login")
        code = query.get("code", "")
        if not 0 < len(code) <= MAX_CODE or not (
            code.isascii() and code.isprintable()
        ):  # RFC 6749, appendix A.11
            raise OidcError(Trouble.WRONG, "the provider sent no code")
        return await self._provider.redeem(
            code, _derived(secret, _Derived.VERIFIER), _derived(secret, _Derived.NONCE)
        )

    async def finish(self, request: web.Request) -> web.Response:
        """Log in the page of a browser that came back."""
        speaks = language_of(request)
        secret = request.cookies.get(self._cookie, "")
        if not from_page(request):
            return refused(NOT_THE_PAGE)
        return self._desk.counted("oidc", await self._finish(request, digest_of(secret), None, speaks))

    async def begin_device(self, request: web.Request) -> web.Response:
        """Begin the login of a terminal. The answer has the address and the code for a browser elsewhere."""
        speaks = language_of(request)
        if self._desk.must_wait(request, self._begun):
            return answer(LoginCode.TOO_OFTEN, speaks)
        secret = secrets.token_urlsafe(32)
        try:
            begun = await self._provider.begin_device(_challenge(secret))
            handle = f"{secret}.{begun.device_code}"
            await self._begin(request, digest_of(handle), Phase.DEVICE, begun.seconds)
        except OidcError as error:
            return self._refused(request, error, speaks)
        result = {
            "deviceCode": handle,
            "userCode": begun.user_code,
            "verificationUri": begun.address,
            "verificationUriComplete": begun.whole_address,
            "expiresIn": begun.seconds,
            "interval": max(begun.interval, POLL_SECONDS),
        }
        return answer(LoginCode.SUCCESS, speaks, result)

    async def finish_device(self, request: web.Request) -> web.Response:
        """Log a terminal in if somebody has allowed it. Else the result is {"pending": true}."""
        speaks = language_of(request)
        try:
            body = await read_object(request, speaks)
            handle = texts(body, ("deviceCode",), speaks, MAX_HANDLE)["deviceCode"]
        except BadLogin as bad:
            return bad.response
        digest, (secret, _, device_code) = digest_of(handle), handle.partition(".")
        told = await self._ask(request, "poll", digest, {"seconds": POLL_SECONDS})
        if told["code"]:
            return answer_of(told, speaks)
        pending = answer(LoginCode.SUCCESS, speaks, {"pending": True})
        if told["result"] == Polled.LATER:
            return pending
        try:
            if told["result"] == Polled.NEVER:
                raise OidcError(Trouble.EXPIRED, "there is no such login under way")
            account = await self._provider.poll_device(device_code, _derived(secret, _Derived.VERIFIER))
        except OidcError as error:
            return self._refused(request, error, speaks)
        if account is None:
            return pending
        return self._desk.counted("oidc", await self._finish(request, digest, account, speaks))

    async def _begin(self, request: web.Request, digest: str, phase: Phase, seconds: float) -> None:
        """Keep a login that begins. Raises OidcError."""
        if self._desk.must_wait(request, self._begun):
            raise OidcError(Trouble.BUSY, "the address has begun too many logins")
        told = await self._ask(request, "begin", digest, {"phase": phase, "seconds": seconds})
        if told["code"]:
            raise OidcError(Trouble.BUSY, "there is no room for a login")

    async def _finish(
        self,
        request: web.Request,
        digest: str,
        account: OidcAccount | None,
        speaks: Language,
    ) -> LoginResponse:
        if self._desk.must_wait(request, self._finished):
            return answer(LoginCode.TOO_OFTEN, speaks)
        try:
            body = await read_object(request, speaks)
            wanted = texts(body, ("clientId",), speaks) | {"invitation": ""} | invitation(body)
        except BadLogin as bad:
            return bad.response
        known = list(account) if account else None
        asked = {**wanted, **device(request, body), "account": known, "digest": digest, "op": "login"}
        told = await self._desk.ask(request, self._finished, Method.OIDC, asked)
        if told["code"] == LoginCode.CODE_EXPIRED:
            return said_so(LoginCode.CODE_EXPIRED, said(Wrong.LOGIN_OVER, speaks))
        if told["result"] == {"taken": True}:
            return said_so(LoginCode.INVALID_NUMBER, said(Wrong.TAKEN, speaks))
        return answer_of(told, speaks)

    async def _ask(
        self, request: web.Request, op: str, digest: str, asked: dict[str, object]
    ) -> dict[str, Any]:
        return await self._desk.ask(request, self._begun, Method.OIDC, {**asked, "op": op, "digest": digest})

    def _redirect(self, where: str, secret: str, seconds: int) -> web.Response:
        response = web.Response(status=302, headers={"Location": where, "Cache-Control": "no-store"})
        response.headers["Referrer-Policy"] = "no-referrer"
        response.set_cookie(
            self._cookie,
            secret,
            max_age=seconds,
            path="/",
            httponly=True,
            secure=self._secure,
            samesite="Lax",
        )
        return response

    def _back_with(self, request: web.Request, error: OidcError) -> web.Response:
        """Send a browser to the page, which says what went wrong."""
        self._tell(request, error)
        return self._redirect(f"/#oidc={error.trouble}", "", 0)

    def _refused(self, request: web.Request, error: OidcError, speaks: Language) -> web.Response:
        self._tell(request, error)
        code = _CODES.get(error.trouble, LoginCode.SERVER_ERROR)
        return said_so(code, said(_SENTENCES[error.trouble], speaks))

    def _tell(self, request: web.Request, error: OidcError) -> None:
        ordinary = error.trouble in (Trouble.EXPIRED, Trouble.REFUSED, Trouble.NOT_LET_IN)
        log.log(
            logging.INFO if ordinary else logging.WARNING,
            "company login failed",
            why=str(error.trouble),
            reason=str(error),
            address=request.remote,
            trace=http_trace(number_of(request)),
        )


def _challenge(secret: str) -> str:
    """Return the challenge of PKCE (RFC 7636, S256)."""
    return _base64(hashlib.sha256(_derived(secret, _Derived.VERIFIER).encode()).digest())


def _derived(secret: str, part: _Derived) -> str:
    return _base64(hmac.digest(secret.encode("utf-8", "surrogateescape"), part.encode(), "sha256"))


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "surrogateescape"), other.encode())
