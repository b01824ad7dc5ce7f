"""Sections 7 and 8: settings of users."""

from tools.conformance.checks import same
from tools.conformance.rows import row
from tools.conformance.world import World

MUTED, ALL_MUTED, ON_TOP, SAVED, OWN = 1, 2, 3, 6, 1000


@row("7 UP and UN: the user's other devices are told")
async def put(world: World) -> None:
    ann, ben = await world.people(2)
    tablet = await world.another(ann)
    version = await ann.set(MUTED, f"0-0-{ben.uid}", "1")
    same(await tablet.notified("UN"), {"version": version})
    await ben.send(ann.uid, {"type": 91, "content": "later"})
    await ann.pushed()
    same(ann.came("UN"), [], "what the device is told that has set it")
    await tablet.set(ALL_MUTED, "", "1")
    await ann.notified("UN")


@row("7 UG: entries newer than the version")
async def get(world: World) -> None:
    ann, ben = await world.people(2)
    key = f"0-0-{ben.uid}"
    first = await ann.set(ON_TOP, key, "1")
    second = await ann.set(SAVED, "a-group", "1")
    assert second > first, (first, second)
    tablet = await world.another(ann)
    wanted = [
        {"scope": ON_TOP, "key": key, "value": "1", "updateDt": first},
        {"scope": SAVED, "key": "a-group", "value": "1", "updateDt": second},
    ]
    found = await tablet.settings()
    same(sorted(found, key=lambda one: one["updateDt"]), wanted)
    same(await tablet.settings(first), wanted[1:], "newer than the first")
    same(await tablet.settings(second), [], "newer than the last")
    same(await ben.settings(), [], "what somebody else has set")


@row("8 the version is the newest update_dt")
async def version(world: World) -> None:
    ann = await world.online()
    for value in ("1", "0", "1"):
        set_at = await ann.set(ALL_MUTED, "", value)
        same(max(one["updateDt"] for one in await ann.settings()), set_at)


@row("8 turning off stores 0, and nothing is ever deleted")
async def tombstone(world: World) -> None:
    ann, ben = await world.people(2)
    key = f"0-0-{ben.uid}"
    on = await ann.set(MUTED, key, "1")
    off = await ann.set(MUTED, key, "0")
    same(await ann.settings(on), [{"scope": MUTED, "key": key, "value": "0", "updateDt": off}])
    same(len(await ann.settings()), 1, "one entry for a scope and key")


@row("8 each scope and key has a value of its own")
async def apart(world: World) -> None:
    ann = await world.online()
    wanted = {
        (scope, key): f"{scope} {key} 值" for scope in (MUTED, ON_TOP, SAVED, OWN) for key in ("1-0-组", "x")
    }
    for (scope, key), value in wanted.items():
        await ann.set(scope, key, value)
    same({(one["scope"], one["key"]): one["value"] for one in await ann.settings()}, wanted)
