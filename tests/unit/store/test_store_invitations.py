"""Invitations in the store."""

import asyncio

import pytest

from fsharechat.protocol.signals import LoginCode
from fsharechat.store import invitations, sessions
from fsharechat.store.address_limits import AddressLimit
from fsharechat.store.invitations import KEPT_MS, SWEPT, Invitation
from fsharechat.store.mysql import MysqlStore
from fsharechat.store.sessions import CodeRules, Guess, LoginSession
from fsharechat.store.store import Store
from fsharechat.urls import ServiceUrl

NUMBER, DIGEST, NOW = "ann@example.com", b"digest", 1000


def invitation(id: str, invitee: str = "", places: int = 1, expires_ms: int = 2000) -> Invitation:
    return Invitation(id, invitee, places, 0, NOW, expires_ms)


async def test_the_nearest_invitation_comes_first(store: Store) -> None:
    for id, invitee, digest in (("1", "@example.com", b""), ("2", NUMBER, b""), ("3", "", DIGEST)):
        await store.write(invitations.create, invitation(id, invitee), digest)
    for digest, expected in ((DIGEST, "3"), (DIGEST, "2"), (b"", "1"), (b"", None), (DIGEST, None)):
        found = await store.write(invitations.find, NUMBER, digest, NOW)
        assert found == expected
        if found is not None:
            await store.write(invitations.take, found)


async def test_no_code_finds_no_invitation_without_one(store: Store) -> None:
    await store.write(invitations.create, invitation("1", "@example.com"), b"")
    assert await store.write(invitations.find, "13800000001", b"", NOW) is None
    assert await store.write(invitations.find, "", b"", NOW) is None


async def test_a_repeat_replaces_the_code_and_keeps_the_count(store: Store) -> None:
    await store.write(invitations.create, invitation("1", places=5), b"first")
    await store.write(invitations.take, "1")
    await store.write(invitations.create, invitation("1", places=5), b"second")
    assert await store.write(invitations.find, NUMBER, b"first", NOW) is None
    assert await store.write(invitations.find, NUMBER, b"second", NOW) == "1"
    assert await store.read(invitations.page, "", 9) == [invitation("1", places=5)._replace(used=1)]


async def test_revoking_again_changes_nothing(store: Store) -> None:
    await store.write(invitations.create, invitation("1", NUMBER), b"")
    for now in (1500, 1600):
        ended = await store.write(invitations.revoke, "1", now)
        assert ended == invitation("1", NUMBER, expires_ms=1500)
    assert await store.write(invitations.revoke, "1 ", 1500) is None


async def test_old_invitations_go_some_with_each_new_one(store: Store) -> None:
    for n in range(SWEPT + 2):
        await store.write(invitations.create, invitation(f"{n:02}", NUMBER), b"")
    later = invitation("new", NUMBER)._replace(created_ms=2000 + KEPT_MS + 1)
    await store.write(invitations.create, later, b"")
    left = [one.id for one in await store.read(invitations.page, "", 99)]
    assert left == [f"{SWEPT:02}", f"{SWEPT + 1:02}", "new"]


async def log_in(store: Store, number: str) -> bool:
    """Log in with the super code and the invitation of DIGEST. Return whether it was let in."""
    never = AddressLimit(0, 1)
    rules = CodeRules(300_000, 60_000, 10, 5, never, never, never)
    guess = Guess(number, b"", True, "phone", may_register=False, invitation=DIGEST)
    done = await store.write(sessions.log_in, guess, LoginSession("s" * 16, "d", NOW), NOW, rules)
    return done.result is LoginCode.SUCCESS


async def test_those_who_come_together_get_as_many_places_as_there_are(store: Store) -> None:
    await store.write(invitations.create, invitation("1", places=3), DIGEST)
    let_in = await asyncio.gather(*(log_in(store, f"1380000{n:04}") for n in range(10)))
    assert sum(let_in) == 3


@pytest.mark.slow
async def test_several_processes_together_give_no_place_twice(empty_mysql: ServiceUrl) -> None:
    stores = [MysqlStore(empty_mysql, 10_000) for _ in range(3)]
    for store in stores:
        await store.open()
    await stores[0].write(invitations.create, invitation("1", places=20), DIGEST)
    let_in = await asyncio.gather(*(log_in(stores[n % 3], f"1380000{n:04}") for n in range(60)))
    (left,) = await stores[0].read(invitations.page, "", 9)
    assert (sum(let_in), left.used) == (20, 20)
    for store in stores:
        await store.close()
