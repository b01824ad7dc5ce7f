"""Invitations in the store."""

from fsharechat.store import invitations
from fsharechat.store.invitations import KEPT_MS, SWEPT, Invitation
from fsharechat.store.store import Store

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
