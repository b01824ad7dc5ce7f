"""Names that were changed by a process which does not know the index of names are found all the same, in a while."""

import pytest
from structlog.testing import capture_logs

from fsharechat.store import users
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Query, Unit
from roles.group import users as group_users
from roles.group.users import LOOK_BACK_MS, mend

NOW = 1_700_000_000_000


async def found(store: Store, keyword: str) -> list[str]:
    return [row[0] for row in await store.read(users.search, keyword, True, 0)]


def rename(_: Dialect, uid: str, name: str, when: int) -> Unit[None]:
    """Change a name as a version without the table does."""
    yield Query("UPDATE users SET display_name = ?, update_dt = ? WHERE uid = ?", (name, when, uid))


async def new_user(store: Store, number: str, name: str, when: int = NOW) -> str:
    uid, _, _ = await store.write(users.get_or_create, number, when)
    await store.write(users.modify, uid, {"display_name": name}, when)
    return uid


async def test_what_an_earlier_version_has_changed_is_found(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "STEP", 3)
    monkeypatch.setattr(group_users, "PAUSE_SECONDS", 0.0)
    people = [await new_user(store, f"1380000000{n}", f"Person {n}") for n in range(8)]
    await store.write(rename, people[1], "李小龙", NOW)
    await store.write(rename, people[6], "Bruce", NOW)
    await store.write(rename, people[7], "Linda", NOW - LOOK_BACK_MS - 1)  # long ago
    assert await found(store, "小龙") == []
    with capture_logs() as logs:
        await mend(store, NOW)
    assert await found(store, "小龙") == [people[1]]
    assert await found(store, "ruce") == [people[6]]
    assert await found(store, "inda") == []
    assert await found(store, "erson 1") == []  # what was there before is no part any more
    assert sorted(await found(store, "erson")) == sorted([*people[:1], *people[2:6], people[7]])
    assert [(line["event"], line["users"]) for line in logs] == [("names made searchable", 2)]
    with capture_logs() as logs:
        await mend(store, NOW)
    assert logs == []
