"""Sections 7 and 8: finding users, and one's own profile."""

from tools.conformance.checks import refused, same
from tools.conformance.rows import TCP, WS, row
from tools.conformance.world import World, new_client_id

INFO = {
    0: "displayName",
    1: "portrait",
    3: "mobile",
    4: "email",
    5: "address",
    6: "company",
    7: "social",
    8: "extra",
}


@row("7 US")
async def search(world: World) -> None:
    ann, ben = await world.people(2)
    found = await ann.search(ben.session.number)
    same([user["uid"] for user in found], [ben.uid])
    same(await ann.search("nobody-has-this-name"), [])


@row("7 US fuzzy, page by page")
async def search_fuzzy(world: World) -> None:
    ann, ben = await world.people(2)
    word = new_client_id()
    await ben.modify_me(0, f"the {word} of the town")
    found = await ann.search(word, fuzzy=1)
    same([user["uid"] for user in found], [ben.uid])
    same(await ann.search(word, fuzzy=1, page=1), [], "the second page")


@row("7 UPUI")
async def profiles(world: World) -> None:
    ann, ben = await world.people(2)
    found = await ann.users(ben.uid, ann.uid)
    same(sorted(user["uid"] for user in found), sorted([ann.uid, ben.uid]))
    (mine,) = await ann.users(ann.uid)
    same(mine["mobile"], ann.session.number)


@row("7 UPUI codes: 0 found, 1 not found, 2 not modified", TCP)
async def profile_codes(world: World) -> None:
    ann, ben = await world.people(2)
    (user,) = await ann.users(ben.uid)
    assert user["updateDt"] > 0, user
    request = {
        "request": [
            {"uid": ben.uid, "update_dt": user["updateDt"] - 1},
            {"uid": "nobody-at-all"},
            {"uid": ben.uid, "update_dt": user["updateDt"]},
        ]
    }
    found = await ann.ask("UPUI", "PullUserRequest", request, None)
    same(
        [(one["uid"], one["code"]) for one in found],
        [(ben.uid, 0), ("nobody-at-all", 1), (ben.uid, 2)],
    )


@row("7 UPUI of an unknown user has no null", WS)
async def unknown_profile(world: World) -> None:
    ann = await world.online()
    await ann.users("nobody-at-all", ann.uid)  # the schema says the rest


@row("7 MMI, each kind")
async def modify(world: World) -> None:
    ann, ben = await world.people(2)
    await world.befriend(ann, ben)  # a server may keep numbers from strangers
    for kind, key in INFO.items():
        await ann.modify_me(kind, f"new {key} 名")
        (seen,) = await ben.users(ann.uid)
        same(seen[key], f"new {key} 名")
    await ann.modify_me(2, "1")
    (seen,) = await ben.users(ann.uid)
    same(seen["gender"], 1, "gender")
    same(seen["displayName"], "new displayName 名", "what was not changed")


@row("7 MMI moves update_dt")
async def modify_moves(world: World) -> None:
    ann, ben = await world.people(2)
    (before,) = await ben.users(ann.uid)
    await ann.modify_me(0, "Ann")
    (after,) = await ben.users(ann.uid)
    assert after["updateDt"] > before["updateDt"], (before, after)


@row("7 MMI of an unknown kind is refused with 251")
async def modify_unknown(world: World) -> None:
    ann = await world.online()
    with refused(251):
        await ann.modify_me(99, "x")


@row("7 MMI with several entries", TCP)
async def modify_several(world: World) -> None:
    ann = await world.online()
    entries = [{"type": 0, "value": "Ann"}, {"type": 6, "value": "Company"}]
    await ann.ask("MMI", "ModifyMyInfoRequest", {"entry": entries}, None)
    (seen,) = await ann.users(ann.uid)
    same((seen["displayName"], seen["company"]), ("Ann", "Company"))


@row("7 GQNUT is answered with 254")
async def not_implemented(world: World) -> None:
    ann = await world.online()
    await ann.link.send("PUBLISH", "GQNUT", 5, b"", {})
    answer = await ann.link.until(lambda frame: frame.message_id == 5, "an answer")
    same((answer.signal, answer.sub, answer.failed), ("PUB_ACK", "GQNUT", True))
    assert answer.code in (None, 254), answer
