"""Administrators and their sessions, and the audit log, on each engine."""

import pytest

from fsharechat.store import accounts, audit
from fsharechat.store.accounts import MAX_SESSIONS, Administrator, AdminSession, SessionRules, SignInLimits
from fsharechat.store.address_limits import AddressLimit
from fsharechat.store.audit import AuditEntry, AuditFilter, Way
from fsharechat.store.store import Store

ANN = Administrator("ann", "hash", 3, 1)
ALL = AuditFilter()
RULES = SessionRules(1000, 5000)


def session(number: int = 0, now: int = 1, name: str = "ann") -> AdminSession:
    return AdminSession(bytes([number]) * 32, name, now, now, "192.0.2.1")


async def is_alive(store: Store, number: int, now: int) -> bool:
    return await store.read(accounts.session, bytes([number]) * 32, now, RULES) is not None


async def test_a_name_has_one_administrator(store: Store) -> None:
    assert await store.write(accounts.add, ANN) == ANN
    assert await store.write(accounts.add, ANN._replace(password="other")) == ANN
    assert await store.read(accounts.administrators, "", 5) == [ANN]
    assert await store.read(accounts.administrators, "ann", 5) == []


async def test_a_session_ends_when_idle_and_when_old(store: Store) -> None:
    await store.write(accounts.add, ANN)
    assert await store.write(accounts.begin, session(), "hash", RULES)
    assert (await is_alive(store, 0, 1000), await is_alive(store, 0, 1001)) == (True, False)
    for now in (900, 1800, 2700, 3600, 4500):
        await store.write(accounts.used, bytes(32), now)
    assert (await is_alive(store, 0, 5000), await is_alive(store, 0, 5001)) == (True, False)


async def test_no_session_begins_with_a_password_that_was_changed_meanwhile(store: Store) -> None:
    await store.write(accounts.add, ANN)
    await store.write(accounts.set_password, "ann", "new")
    assert not await store.write(accounts.begin, session(), "hash", RULES)
    assert not await is_alive(store, 0, 1)


@pytest.mark.parametrize("change", ["password", "removal"])
async def test_sessions_end_with_the_password_and_with_the_account(store: Store, change: str) -> None:
    await store.write(accounts.add, ANN)
    for number in range(3):
        await store.write(accounts.begin, session(number), "hash", RULES)
    if change == "password":
        await store.write(accounts.set_password, "ann", "new", session(1).digest)
    else:
        await store.write(accounts.remove, "ann")
    kept = [number for number in range(3) if await is_alive(store, number, 2)]
    assert kept == ([1] if change == "password" else [])


async def test_an_administrator_has_a_bounded_number_of_sessions(store: Store) -> None:
    await store.write(accounts.add, ANN)
    for number in range(MAX_SESSIONS + 2):
        await store.write(accounts.begin, session(number, now=1 + number), "hash", RULES)
    alive = [number for number in range(MAX_SESSIONS + 2) if await is_alive(store, number, 30)]
    assert alive == list(range(2, MAX_SESSIONS + 2))


async def test_tries_are_counted_by_address_and_by_name(store: Store) -> None:
    await store.write(accounts.add, ANN)
    limits = SignInLimits(AddressLimit(3, 6000), AddressLimit(2, 6000))

    async def tries(name: str, address: str) -> tuple[bool, bool]:
        wait, found = await store.write(accounts.try_sign_in, name, address, 1, limits)
        return wait > 0, found is not None

    assert [await tries("ann", "a") for _ in range(3)] == [(False, True), (False, True), (True, False)]
    assert await tries("ann", "b") == (True, False)
    assert await tries("bob", "a") == (True, False)
    assert await tries("bob", "b") == (False, False)


def entry(id: int, at: int = 1, **more: str) -> AuditEntry:
    made = AuditEntry(id, f"r{id}", at, Way.KEY, "key", "users.status", "ann", "{}", "", 200)
    return made._replace(**more)  # type: ignore[arg-type]


async def test_the_audit_log_is_read_in_both_directions_and_filtered(store: Store) -> None:
    for id in range(1, 6):
        await store.write(audit.add, entry(id, at=id * 10, target="ann" if id % 2 else "bob"), 0)

    async def ids(chosen: AuditFilter = ALL, before: int = 0, newest: bool = True) -> list[int]:
        return [one.id for one in await store.read(audit.page, chosen, before, 10, newest)]

    assert await ids() == [5, 4, 3, 2, 1]
    assert await ids(before=3) == [2, 1]
    assert await ids(before=3, newest=False) == [4, 5]
    assert await ids(AuditFilter(target="ann")) == [5, 3, 1]
    assert await ids(AuditFilter(since=20, until=40)) == [3, 2]
    assert await ids(AuditFilter(actor="eve")) == []


async def test_a_repeated_request_is_one_entry_and_old_entries_go(store: Store) -> None:
    await store.write(audit.add, entry(1), 0)
    await store.write(audit.add, entry(2, request="r1"), 0)
    assert [one.id for one in await store.read(audit.page, ALL, 0, 9)] == [1]
    await store.write(audit.add, entry(3, at=2000), 1000)
    assert [one.id for one in await store.read(audit.page, ALL, 0, 9)] == [3]
