"""Sessions of devices: secrets, and the heads that a CONNECT answers."""

from fsharechat.protocol.signals import UserStatus
from fsharechat.store import sessions, users
from fsharechat.store.sessions import LoginSession
from fsharechat.store.store import Store

OLD = LoginSession("old secret", "old db secret", 1000)
NEW = LoginSession("new secret", "new db secret", 2000)


async def user(store: Store, number: str = "13800000000") -> str:
    uid, _, _ = await store.write(users.get_or_create, number, 1)
    return uid


async def test_a_session_is_found_with_the_status_of_its_user(store: Store) -> None:
    uid = await user(store)
    assert await store.read(sessions.find, uid, "phone") is None
    assert await store.write(sessions.renew, uid, "phone", OLD) == OLD
    assert await store.read(sessions.find, uid, "phone") == (OLD, UserStatus.NORMAL)


async def test_a_renewed_session_keeps_the_db_secret(store: Store) -> None:
    uid = await user(store)
    await store.write(sessions.renew, uid, "phone", OLD)
    kept = LoginSession(NEW.secret, OLD.db_secret, NEW.issued_ms)
    assert await store.write(sessions.renew, uid, "phone", NEW) == kept
    assert await store.read(sessions.find, uid, "phone") == (kept, UserStatus.NORMAL)


async def test_sessions_are_of_one_device_of_one_user(store: Store) -> None:
    ann, bob = await user(store), await user(store, "13900000000")
    await store.write(sessions.renew, ann, "phone", OLD)
    await store.write(sessions.renew, ann, "tablet", NEW)
    await store.write(sessions.renew, bob, "phone", NEW)
    assert await store.read(sessions.find, ann, "phone") == (OLD, 0)
    for issued_ms in (OLD.issued_ms - 1, NEW.issued_ms):  # of another login
        await store.write(sessions.forget, ann, "phone", issued_ms)
        assert await store.read(sessions.find, ann, "phone") is not None
    await store.write(sessions.forget, ann, "phone", OLD.issued_ms)
    assert await store.read(sessions.find, ann, "phone") is None
    assert await store.read(sessions.find, ann, "tablet") == (NEW, 0)
    assert await store.read(sessions.find, bob, "phone") == (NEW, 0)


async def test_a_session_of_nobody_is_not_found(store: Store) -> None:
    await store.write(sessions.renew, "nobody", "phone", OLD)
    assert await store.read(sessions.find, "nobody", "phone") is None
