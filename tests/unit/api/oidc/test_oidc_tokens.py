"""Tokens of the provider that are wrong, its keys, and clocks that differ."""

import base64
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from aiohttp import web
from yarl import URL

from fsharechat.oidc import provider as provider_module
from fsharechat.protocol.signals import LoginCode
from fsharechat.store import users
from tests.unit.api.api_kit import Site
from tests.unit.api.oidc.oidc_kit import EMAIL, PUBLIC, Browser, failed
from tools.testing.fake_provider import ANN, CLIENT, FakeProvider, SigningKey


def changed(claims: dict[str, Any]) -> Callable[[FakeProvider], None]:
    return lambda provider: provider.changes.update(claims)


def unsigned(provider: FakeProvider) -> None:
    now = int(time.time())
    claims = {"iss": provider.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, **ANN}
    provider.token = jwt.encode(claims, "", "none")


def signed_with_the_secret(provider: FakeProvider) -> None:
    now = int(time.time())
    claims = {"iss": provider.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, **ANN}
    provider.token = jwt.encode(claims, "k" * 32, "HS256", {"kid": "one"})


def signed_by_somebody_else(provider: FakeProvider) -> None:
    own, provider.keys = provider.keys, [SigningKey("one")]
    provider.token = provider.id_token("x")
    provider.keys = own


def no_token(provider: FakeProvider) -> None:
    provider.answers["/token"] = web.Response(body=b"{}")


def signed(payload: bytes) -> Callable[[FakeProvider], None]:
    """Let the right key sign a payload that is no claims."""

    def spoil(provider: FakeProvider) -> None:
        (key,) = provider.keys
        provider.token = jwt.api_jws.encode(payload, key.private, "ES256", {"kid": key.name})

    return spoil


def nested_header(provider: FakeProvider) -> None:
    header = base64.urlsafe_b64encode(b'{"alg":' + b"[" * 50_000).decode().rstrip("=")
    provider.token = f"{header}.e30.AAAA"


@pytest.mark.parametrize(
    "spoil",
    [
        changed({"aud": "another client"}),
        changed({"aud": [CLIENT, "another"]}),
        changed({"aud": [CLIENT, "another"], "azp": "another"}),
        changed({"azp": "another"}),
        changed({"iss": "https://evil.example"}),
        changed({"nonce": "another"}),
        changed({"nonce": None}),
        changed({"exp": int(time.time()) - 120}),
        changed({"exp": None}),
        changed({"iat": None}),
        changed({"iat": int(time.time()) + 3600}),
        changed({"nbf": int(time.time()) + 3600}),
        changed({"sub": None}),
        changed({"sub": ""}),
        changed({"sub": "s" * 256}),
        changed({"sub": 7}),
        changed({"sub": "\udc00"}),
        changed({"nonce": "\ud800"}),
        changed({"name": "A\ud83d"}),
        changed({"other": {"\udfff": ["\ud800"]}}),
        changed({"exp": float("inf")}),
        changed({"exp": float("nan")}),
        changed({"iat": float("inf")}),
        signed(b"[" * 50_000),
        signed(b"\xff"),
        signed(b"[]"),
        nested_header,
        unsigned,
        signed_with_the_secret,
        signed_by_somebody_else,
        no_token,
    ],
)
async def test_a_wrong_token_lets_nobody_in(
    site: Site, browser: Browser, provider: FakeProvider, spoil: Callable[[FakeProvider], None]
) -> None:
    spoil(provider)
    assert await browser.go() == "/#oidc=wrong"
    assert (await browser.finish()).code == LoginCode.CODE_EXPIRED
    assert not await site.node.store.read(users.has_number, EMAIL)
    (problem,) = failed(site)
    assert problem[0] == "wrong"
    assert EMAIL not in problem[1]


@pytest.mark.parametrize("code", ["%E4%BD%A0", "a%00b", "", "c" * 5000])
async def test_a_code_that_is_no_code_goes_no_further(
    browser: Browser, provider: FakeProvider, code: str
) -> None:
    where, _, rest = provider.log_in(await browser.begin()).partition("code=")
    back = f"{where}code={code}&{rest.partition('&')[2]}"
    assert await browser.get(URL(back.removeprefix(PUBLIC), encoded=True)) == (302, "/#oidc=wrong")
    assert "/token" not in [one[0] for one in provider.asked]


async def test_a_small_difference_of_clocks_does_no_harm(browser: Browser, provider: FakeProvider) -> None:
    provider.changes = {"exp": int(time.time()) - 10, "iat": int(time.time()) + 10}
    assert await browser.go() == "/#oidc=done"


async def test_new_keys_of_the_provider_are_taken_up_but_not_asked_for_again_and_again(
    browser: Browser, provider: FakeProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(provider_module, "monotonic", lambda: now)
    await browser.log_in()
    provider.keys = [SigningKey("two")]
    assert await browser.go() == "/#oidc=wrong"
    assert [one[0] for one in provider.asked].count("/keys") == 1
    now += provider_module.FRESH_SECONDS
    assert await browser.go() == "/#oidc=done"
    assert [one[0] for one in provider.asked].count("/keys") == 2
