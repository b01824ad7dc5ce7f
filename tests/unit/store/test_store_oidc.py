"""Logins by OpenID Connect in the store: a login is used once, an account leads to one user."""

import pytest

from fsharechat.oidc import OidcAccount, Phase, Polled
from fsharechat.protocol.signals import LoginCode
from fsharechat.store import oidc
from fsharechat.store.address_limits import AddressLimit
from fsharechat.store.oidc import OidcGuess, OidcResult
from fsharechat.store.sessions import LoginSession
from fsharechat.store.store import Store

NOW, ADDRESS, FREE = 1000, "192.0.2.1", AddressLimit(0, 0)
ANN = OidcAccount("https://accounts.example", "ann", "ann@example.com", "", "Ann")


def guess(digest: bytes, account: OidcAccount | None = None, *, link: bool = False) -> OidcGuess:
    return OidcGuess(digest, "device", account, link, lambda _: True)


async def log_in(store: Store, guessed: OidcGuess, now: int = NOW) -> OidcResult:
    return await store.write(oidc.log_in, guessed, LoginSession("secret", "db", now), now, FREE)


async def known(store: Store, digest: bytes, account: OidcAccount) -> OidcResult:
    await store.write(oidc.know, digest, account, NOW + 100)
    return await log_in(store, guess(digest))


async def test_a_browser_comes_back_once_and_finishes_once(store: Store) -> None:
    begun = await store.write(oidc.begin, b"1", Phase.BROWSER, NOW + 100, NOW, ADDRESS, FREE)
    assert begun == (True, 0)
    takers = [("a", NOW + 100), ("a", NOW), ("a", NOW), ("b", NOW)]
    taken = [await store.write(oidc.take, b"1", taker, now) for taker, now in takers]
    assert taken == [False, True, True, False]
    first = await known(store, b"2", ANN)
    assert (first.done.result, first.done.created) == (LoginCode.SUCCESS, True)
    again = await log_in(store, guess(b"2")._replace(client_id="other"))
    assert again.done.result is LoginCode.CODE_EXPIRED


async def test_an_account_leads_to_its_user_whatever_its_address_is_by_now(store: Store) -> None:
    first = await known(store, b"1", ANN)
    second = await known(store, b"2", ANN._replace(email="ann@other.example"))
    assert (second.done.uid, second.done.created) == (first.done.uid, False)
    other = await known(store, b"3", ANN._replace(issuer="https://elsewhere.example"))
    assert (other.done.result, other.taken) == (LoginCode.INVALID_NUMBER, True)
    await store.write(oidc.know, b"4", ANN._replace(issuer="https://elsewhere.example"), NOW + 100)
    assert (await log_in(store, guess(b"4", link=True))).done.uid == first.done.uid


async def test_a_terminal_is_asked_about_at_its_pace(store: Store) -> None:
    await store.write(oidc.begin, b"1", Phase.DEVICE, NOW + 100, NOW, ADDRESS, FREE)
    polls = [await store.write(oidc.poll, b"1", 10, NOW + after) for after in (0, 5, 10, 100)]
    assert polls == [Polled.NOW, Polled.LATER, Polled.NOW, Polled.NEVER]
    done = await log_in(store, guess(b"1", ANN))
    assert done.done.result is LoginCode.SUCCESS
    assert (await log_in(store, guess(b"1", ANN)._replace(retried=True))).done.uid == done.done.uid


@pytest.mark.parametrize("link", [False, True])
async def test_one_without_an_address_gets_a_user_without_one(store: Store, link: bool) -> None:
    await store.write(oidc.know, b"1", ANN._replace(email=""), NOW + 100)
    done = (await log_in(store, guess(b"1", link=link))).done
    assert (done.result, done.created) == (LoginCode.SUCCESS, True)
    await store.write(oidc.forget, done.uid)
    assert (await known(store, b"2", ANN._replace(email=""))).done.uid != done.uid
