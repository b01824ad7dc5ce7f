"""Talks to a provider of OpenID Connect: finds its endpoints and keys, and asks whose account logs in."""

import asyncio
import base64
import re
import ssl
from collections.abc import Mapping
from time import monotonic
from types import MappingProxyType
from typing import Any, NamedTuple, TypeGuard
from urllib.parse import quote_plus, urlencode, urlsplit

import aiohttp
import orjson

from fsharechat.http import read_up_to
from fsharechat.oidc import DeviceLogin, OidcAccount, OidcError, Trouble
from fsharechat.oidc.tokens import account_of, checked, header_of, lacks
from fsharechat.settings_schema import OidcSettings, is_loopback

SECONDS = 8.0
"""How long one request to the provider may take, s."""

MAX_BYTES = 256 * 1024
"""The largest answer of a provider that is read."""

AT_ONCE = 32
"""The most requests at a time. A login that needs one more fails at once."""

KEPT_SECONDS = 3600.0
"""How long the addresses and keys of the provider are kept, s."""

FRESH_SECONDS = 30.0
"""The shortest time between two requests for the keys, s, even if a token names an unknown key."""

MAX_DEVICE_SECONDS = 1800.0
"""The longest time for a login on a terminal, s. Many providers give 600."""

MAX_INTERVAL = 60.0

MAX_TOKEN = 64 * 1024
"""The most characters of an access token."""

_DISCOVERY = "/.well-known/openid-configuration"
_DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


class Endpoints(NamedTuple):
    """The addresses of the provider, and how to ask there.

    `device` is "" if it offers no logins on terminals. `userinfo` is "" if it says all in its ID tokens.
    """

    authorization: str
    token: str
    keys: str
    device: str
    userinfo: str
    secret_in_body: bool
    """Whether the client's secret goes into the form, not into a header."""
    names_itself: bool
    """Whether it puts its issuer into the address by which a browser comes back (RFC 9207)."""


class _Answer(NamedTuple):
    status: int
    body: Mapping[str, Any]


class Provider:
    """One provider. The first login asks for its endpoints. If that fails, the next login asks again."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._http: aiohttp.ClientSession | None = None
        self._busy = 0
        self._endpoints: Endpoints | None = None
        self._keys: list[Mapping[str, Any]] = []
        self._endpoints_until = self._keys_until = self._keys_fresh_until = 0.0

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def endpoints(self) -> Endpoints:
        """Return the addresses of the provider. Raises OidcError."""
        if self._endpoints is None or monotonic() >= self._endpoints_until:
            found = await self._get(self._settings.issuer.rstrip("/") + _DISCOVERY)
            self._endpoints = self._read_endpoints(found)
            self._endpoints_until = monotonic() + KEPT_SECONDS
        return self._endpoints

    def _read_endpoints(self, found: Mapping[str, Any]) -> Endpoints:
        if found.get("issuer") != self._settings.issuer:
            raise OidcError(Trouble.AWAY, "the provider calls itself by another issuer than [oidc] issuer")
        authorization, token, keys = (
            found.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
        )
        if not (_is_private(authorization) and _is_private(token) and _is_private(keys)):
            raise OidcError(Trouble.AWAY, "the provider lacks an endpoint, or one is not https")
        device, userinfo = found.get("device_authorization_endpoint"), found.get("userinfo_endpoint")
        ways = found.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        return Endpoints(
            authorization,
            token,
            keys,
            device if _is_private(device) else "",
            userinfo if _is_private(userinfo) else "",
            isinstance(ways, list) and "client_secret_basic" not in ways,
            found.get("authorization_response_iss_parameter_supported") is True,
        )

    async def login_address(self, state: str, nonce: str, challenge: str) -> str:
        """Return where a browser logs in. `challenge`: that of PKCE (RFC 7636, S256). Raises OidcError."""
        where = (await self.endpoints()).authorization
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._settings.redirect_uri,
            "scope": " ".join(self._settings.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{where}{'&' if '?' in where else '?'}{urlencode(asked)}"

    async def redeem(self, code: str, verifier: str, nonce: str) -> OidcAccount:
        """Return the account for the code with which a browser came back. Raises OidcError."""
        answer = await self._ask_token(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._settings.redirect_uri,
                "code_verifier": verifier,
            }
        )
        if answer.status != 200:
            raise self._refusal(answer)
        return await self._account(answer, nonce)

    async def begin_device(self, challenge: str) -> DeviceLogin:
        """Begin a login that a person allows in a browser elsewhere. `challenge` is for providers that ask for PKCE.

        Raises OidcError.
        """
        where = (await self.endpoints()).device
        if not where:
            raise OidcError(Trouble.REFUSED, "the provider offers no device authorization")
        proof = {"code_challenge": challenge, "code_challenge_method": "S256"}
        answer = await self._post(where, {"scope": " ".join(self._settings.scopes), **proof})
        if answer.status != 200:
            raise self._refusal(answer)
        texts = [answer.body.get(name) for name in ("device_code", "user_code", "verification_uri")]
        if not all(isinstance(text, str) and text.isprintable() and len(text) <= 4096 for text in texts):
            raise OidcError(Trouble.AWAY, "the answer to a device authorization is incomplete")
        device_code, user_code, address = map(str, texts)
        whole = answer.body.get("verification_uri_complete", "")
        if not _is_private(address) or (whole and not _is_private(whole)):
            raise OidcError(Trouble.AWAY, "the address for a device authorization is not https")
        seconds = min(_number(answer.body.get("expires_in"), 600.0), MAX_DEVICE_SECONDS)
        interval = min(_number(answer.body.get("interval"), 5.0), MAX_INTERVAL)
        return DeviceLogin(device_code, user_code, address, whole, seconds, interval)

    async def poll_device(self, device_code: str, verifier: str) -> OidcAccount | None:
        """Return the account, None if nobody has allowed the login yet. Raises OidcError."""
        asked = {"grant_type": _DEVICE_GRANT, "device_code": device_code, "code_verifier": verifier}
        answer = await self._ask_token(asked)
        if answer.status == 200:
            return await self._account(answer, None)
        if answer.body.get("error") in ("authorization_pending", "slow_down"):
            return None
        raise self._refusal(answer)

    async def check(self) -> str:
        """Ask the provider for its endpoints and keys, and return the result. Raises OidcError."""
        endpoints = await self.endpoints()
        await self._fetch_keys(endpoints)
        terminals = "" if endpoints.device else ", without logins on terminals"
        return f"{self._settings.issuer} answers{terminals}"

    async def _account(self, answer: _Answer, nonce: str | None) -> OidcAccount:
        token = answer.body.get("id_token")
        if not isinstance(token, str):
            raise OidcError(Trouble.WRONG, "the provider gave no ID token")
        algorithm, key_id = header_of(token)
        key = await self._key(algorithm, key_id)
        claims = checked(token, key, algorithm, self._settings, nonce)
        sources = [claims]
        if lacks(claims, self._settings) and (where := (await self.endpoints()).userinfo):
            sources.append(await self._userinfo(where, answer.body.get("access_token"), claims["sub"]))
        return account_of(sources, self._settings)

    async def _userinfo(self, where: str, token: object, subject: str) -> Mapping[str, Any]:
        """Return what the provider says of an account besides its ID token (OpenID Connect Core 1.0, section 5.3).

        If the provider does not answer, the login fails. Else a user could be made without the account's address.
        """
        if not isinstance(token, str) or len(token) > MAX_TOKEN or not re.fullmatch(r"[!-~]+", token):
            raise OidcError(Trouble.WRONG, "the provider gave no access token")
        found = await self._get(where, {"Authorization": f"Bearer {token}"})
        if found.get("sub") != subject:
            raise OidcError(Trouble.WRONG, "the userinfo endpoint tells of another account than the ID token")
        return found

    async def _key(self, algorithm: str, key_id: str) -> Mapping[str, Any]:
        """Return the key that signed a token. If no known key fits, the keys are fetched again: it may be new."""
        endpoints = await self.endpoints()
        now = monotonic()
        fits = _fitting(self._keys, algorithm, key_id)
        if now >= self._keys_until or (len(fits) != 1 and now >= self._keys_fresh_until):
            await self._fetch_keys(endpoints)
            fits = _fitting(self._keys, algorithm, key_id)
        if len(fits) != 1:
            raise OidcError(Trouble.WRONG, "the ID token is signed by a key that the provider does not have")
        return fits[0]

    async def _fetch_keys(self, endpoints: Endpoints) -> None:
        found = (await self._get(endpoints.keys)).get("keys")
        if not isinstance(found, list):
            raise OidcError(Trouble.AWAY, "the provider shows no keys")
        self._keys = [key for key in found if isinstance(key, dict)]
        now = monotonic()
        self._keys_until, self._keys_fresh_until = now + KEPT_SECONDS, now + FRESH_SECONDS

    async def _ask_token(self, asked: Mapping[str, str]) -> _Answer:
        return await self._post((await self.endpoints()).token, asked)

    async def _post(self, url: str, asked: Mapping[str, str]) -> _Answer:
        """Post a form, with the id and the secret of the client."""
        settings, headers, form = self._settings, dict(_FORM), dict(asked)
        try:
            secret = settings.secret()
        except (OSError, UnicodeDecodeError):
            raise OidcError(Trouble.AWAY, "[oidc] client_secret_file cannot be read") from None
        if secret and not (await self.endpoints()).secret_in_body:
            proof = f"{quote_plus(settings.client_id)}:{quote_plus(secret)}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(proof).decode()}"
        else:
            form |= {"client_id": settings.client_id} | ({"client_secret": secret} if secret else {})
        return await self._request("POST", url, data=urlencode(form), headers=headers)

    async def _get(self, url: str, headers: Mapping[str, str] = MappingProxyType({})) -> Mapping[str, Any]:
        answer = await self._request("GET", url, headers={"Accept": "application/json", **headers})
        if answer.status != 200:
            raise OidcError(Trouble.AWAY, f"the provider answered {answer.status} at {urlsplit(url).path}")
        return answer.body

    async def _request(self, method: str, url: str, **options: Any) -> _Answer:
        if self._busy >= AT_ONCE:
            raise OidcError(Trouble.BUSY, f"{AT_ONCE} requests to the provider are under way")
        self._busy += 1
        try:
            async with asyncio.timeout(SECONDS):
                # A redirect would carry the secret elsewhere. A compressed answer may be far larger than its bound.
                asked = self._session().request(method, url, allow_redirects=False, **options)
                async with asked as response:
                    body = await _bounded(response)
                    return _Answer(response.status, body)
        except TimeoutError:
            raise OidcError(Trouble.AWAY, f"the provider gave no answer within {SECONDS:g} s") from None
        except (aiohttp.ClientError, ValueError, OSError) as error:
            raise OidcError(Trouble.AWAY, f"the provider cannot be asked: {type(error).__name__}") from None
        finally:
            self._busy -= 1

    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            tls = ssl.create_default_context(cafile=self._settings.authority or None)
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=tls, limit=AT_ONCE),
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._http

    @staticmethod
    def _refusal(answer: _Answer) -> OidcError:
        """Return why the provider refused. Only its error code is told: its sentence may name a person."""
        code = answer.body.get("error")
        named = code if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code) else "an unknown error"
        match named:
            case "invalid_grant" | "expired_token":
                trouble = Trouble.EXPIRED
            case "access_denied":
                trouble = Trouble.REFUSED
            case _:
                trouble = Trouble.AWAY
        return OidcError(trouble, f"the provider answered {answer.status}: {named}")


async def _bounded(response: aiohttp.ClientResponse) -> Mapping[str, Any]:
    """Return the JSON object of an answer, {} if it is none. Raises ValueError beyond the bound."""
    data = await read_up_to(response, MAX_BYTES)
    if data is None:
        raise ValueError("too large")
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {}


def _fitting(keys: list[Mapping[str, Any]], algorithm: str, key_id: str) -> list[Mapping[str, Any]]:
    """Return the keys that may have signed a token: those with its key id. Without one: all keys of its kind."""
    kind = {"R": "RSA", "P": "RSA", "E": "EC"}[algorithm[0]] if algorithm != "EdDSA" else "OKP"
    return [
        key
        for key in keys
        if key.get("kty") == kind
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
        and (not key_id or key.get("kid") == key_id)
    ]


def _is_private(url: object) -> TypeGuard[str]:
    """Return whether a value is an address with https, or of this machine."""
    if not isinstance(url, str) or not url.isprintable():
        return False
    try:
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
    except ValueError:
        return False
    return bool(host) and (scheme == "https" or (scheme == "http" and is_loopback(host or "")))


def _number(value: object, otherwise: float) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
    return float(value) if good else otherwise  # type: ignore[arg-type]  # it is a number then
