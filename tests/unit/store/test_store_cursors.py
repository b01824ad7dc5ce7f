"""How far devices are in the logs of their users (contract.md section 6)."""

from fsharechat.store import cursors, sessions
from fsharechat.store.cursors import Log, Mark
from fsharechat.store.sessions import LoginSession
from fsharechat.store.store import Store
from fsharechat.store.unit import MAX_ROWS
from tests.unit.store.store_kit import Exchange, recorded, select


async def marks(store: Store, uid: str, client_id: str) -> dict[int, tuple[int, int]]:
    """Return (seq, handed) of a device by log."""
    found = await store.read(cursors.marks, uid, client_id)
    return {log: (mark.seq, mark.handed) for log, mark in found.items()}


async def test_a_mark_is_of_a_device_and_a_log_and_never_goes_back(store: Store) -> None:
    first = [
        Mark("ann", "phone", Log.READ, 5),
        Mark("ann", "phone", Log.READ, 3),
        Mark("ann", "phone", Log.INBOX, 7, 9),
        Mark("ann", "web", Log.READ, 2),
        Mark("bob", "phone", Log.READ, 1),
    ]
    await store.write(cursors.keep, first)
    second = [
        Mark("ann", "phone", Log.READ, 4),
        Mark("ann", "web", Log.READ, 9),
        Mark("ann", "phone", Log.INBOX, 8, 8),
    ]
    await store.write(cursors.keep, second)
    assert await marks(store, "ann", "phone") == {Log.READ: (5, 0), Log.INBOX: (8, 9)}
    assert await marks(store, "ann", "web") == {Log.READ: (9, 0)}
    assert await marks(store, "bob", "phone") == {Log.READ: (1, 0)}
    assert await marks(store, "bob", "web") == {}


async def test_marks_of_many_devices_are_one_statement(store: Store) -> None:
    seen: list[Exchange] = []
    crowd = [Mark(f"user{n}", "phone", Log.INBOX, n, n) for n in range(MAX_ROWS)]
    await store.write(recorded, seen, cursors.keep, crowd)
    assert len(seen) == 1
    assert await marks(store, "user7", "phone") == {Log.INBOX: (7, 7)}


async def test_a_device_that_logs_in_has_nothing_unless_it_had_before(store: Store) -> None:
    await store.write(sessions.renew, "ann", "phone", LoginSession("s", "d", 1))
    assert await marks(store, "ann", "phone") == {Log.INBOX: (0, 0), Log.RECALLS: (0, 0)}
    await store.write(cursors.keep, [Mark("ann", "phone", Log.INBOX, 5, 6)])
    await store.write(sessions.renew, "ann", "phone", LoginSession("s", "d", 2))
    assert await marks(store, "ann", "phone") == {Log.INBOX: (5, 6), Log.RECALLS: (0, 0)}


async def test_a_device_that_asks_for_all_begins_anew(store: Store) -> None:
    await store.write(cursors.keep, [Mark("ann", "phone", Log.INBOX, 50, 60)])
    await store.write(cursors.begin_inbox_at, "ann", "phone", 7, 9)
    assert await marks(store, "ann", "phone") == {Log.INBOX: (7, 9)}


async def test_a_device_that_logs_out_has_no_marks_left(store: Store) -> None:
    devices = [("ann", "phone"), ("ann", "web"), ("bob", "phone")]
    await store.write(cursors.keep, [Mark(*device, Log.READ, 5) for device in devices])
    await store.write(sessions.forget, "ann", "phone")
    left = await store.read(select, "SELECT uid, client_id FROM device_cursors ORDER BY uid, client_id")
    assert left == devices[1:]
