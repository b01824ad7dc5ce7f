"""A provider of OpenID Connect with keys of its own, for tests.

It is a fake because a real one signs no wrong tokens, does not change its keys when a test wants it to, and does not
answer too much. What a real one does is shown by Keycloak (tests/e2e/test_oidc.py).
"""

import base64
import hashlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import jwt
import orjson
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec

ACCESS = "access-token"
CLIENT, SECRET = "chat", "secret:of/the client"
ANN = {"sub": "subject-of-ann", "email": "ann@corp.example", "email_verified": True, "name": "Ann Example"}


class SigningKey:
    """A key of a provider, ES256: it is made in no time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.private = ec.generate_private_key(ec.SECP256R1())

    @property
    def public(self) -> dict[str, Any]:
        shown: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**shown, "kid": self.name, "use": "sig", "alg": "ES256"}

    def sign(self, claims: Mapping[str, Any]) -> str:
        return jwt.encode(dict(claims), self.private, "ES256", {"kid": self.name})


class FakeProvider:
    """Hands a code out to whoever asks, for the account `claims`."""

    def __init__(self) -> None:
        self.issuer = ""
        self.claims: dict[str, Any] = dict(ANN)
        self.changes: dict[str, Any] = {}
        """What is different in the next tokens; None leaves a claim out."""
        self.keys = [SigningKey("one")]
        self.userinfo: dict[str, Any] | None = None
        """What the userinfo endpoint says besides the subject; None if there is no such endpoint."""
        self.token: str | None = None
        """An ID token in place of the right one."""
        self.answers: dict[str, web.Response] = {}
        """Other answers, by path."""
        self.asked: list[tuple[str, dict[str, str], str]] = []
        """The path, the form and the header Authorization of each request."""
        self.allowed = False
        """Whether somebody has allowed the login of a terminal."""
        self._device_challenge = ""
        self._codes: dict[str, dict[str, str]] = {}

    @classmethod
    @asynccontextmanager
    async def run(cls) -> AsyncIterator[Self]:
        provider = cls()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", provider._serve)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        provider.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}/realms/corp"
        try:
            yield provider
        finally:
            await runner.cleanup()

    def log_in(self, address: str) -> str:
        """Log somebody in who came to `address`, and return the address to go back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

    def id_token(self, nonce: str | None) -> str:
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, **self.claims}
        claims |= ({"nonce": nonce} if nonce else {}) | self.changes
        return self.keys[-1].sign({name: value for name, value in claims.items() if value is not None})

    async def _serve(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/realms/corp")
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.asked.append((path, form, request.headers.get("Authorization", "")))
        if path in self.answers:
            return _again(self.answers[path])
        if path == "/.well-known/openid-configuration":
            return web.json_response(
                {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/auth",
                    "token_endpoint": f"{self.issuer}/token",
                    "jwks_uri": f"{self.issuer}/keys",
                    "device_authorization_endpoint": f"{self.issuer}/device",
                    **({} if self.userinfo is None else {"userinfo_endpoint": f"{self.issuer}/me"}),
                }
            )
        if path == "/me" and self.userinfo is not None:
            if request.headers.get("Authorization") != f"Bearer {ACCESS}":
                return web.Response(status=401)
            return web.json_response({"sub": self.claims["sub"], **self.userinfo})
        if path == "/keys":
            return web.json_response({"keys": [key.public for key in self.keys]})
        if path == "/device":
            self._device_challenge = form["code_challenge"]
            told = {"device_code": "device-1", "user_code": "AB-CD", "verification_uri": f"{self.issuer}/go"}
            return web.json_response({**told, "expires_in": 600, "interval": 5})
        if path == "/token" and "device_code" in form:
            return self._allow(form)
        if path == "/token":
            return self._redeem(form)
        return web.Response(status=404)

    def _redeem(self, form: Mapping[str, str]) -> web.Response:
        asked = self._codes.pop(form["code"], None)
        if asked is None or asked["redirect_uri"] != form["redirect_uri"]:
            return _refusal("invalid_grant")
        if _challenge(form["code_verifier"]) != asked["code_challenge"]:
            return _refusal("invalid_grant")
        return self._tokens(asked["nonce"])

    def _allow(self, form: Mapping[str, str]) -> web.Response:
        if _challenge(form["code_verifier"]) != self._device_challenge:
            return _refusal("invalid_grant")
        return self._tokens(None) if self.allowed else _refusal("authorization_pending")

    def _tokens(self, nonce: str | None) -> web.Response:
        token = self.token or self.id_token(nonce)
        return web.json_response({"access_token": ACCESS, "token_type": "Bearer", "id_token": token})


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _refusal(code: str) -> web.Response:
    return web.json_response({"error": code, "error_description": "Ann Example did it"}, status=400)


def _again(answer: web.Response) -> web.Response:
    return web.Response(body=orjson.dumps({}) if answer.body is None else answer.body, status=answer.status)
