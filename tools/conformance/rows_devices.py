"""Sections 7 and 8: a user's own devices."""

from tools.conformance.checks import refused, same
from tools.conformance.rows import row
from tools.conformance.world import World


@row("7 UDL: the devices of a user")
async def devices(world: World) -> None:
    ann = await world.online()
    tablet = await world.another(ann)
    gone = await world.another(ann)
    await gone.disconnect(1)
    found = {one["clientId"]: one for one in await ann.devices()}
    mine, other = found[ann.session.client_id], found[tablet.session.client_id]
    same(len(found), 2)
    same((mine["current"], other["current"], mine["online"], other["online"]), (1, 0, 1, 1))
    for one in (mine, other):
        assert 0 < one["loginDt"] <= one["seenDt"], one


@row("7 UDK: another device is logged out, and its connection ends")
async def end_device(world: World) -> None:
    ann, ben = await world.people(2)
    tablet = await world.another(ann)
    with refused(251):
        await ann.end_device(ann.session.client_id)
    with refused(253):
        await ben.end_device(tablet.session.client_id)
    await ann.end_device(tablet.session.client_id)
    await tablet.link.until_closed()
    same([one["clientId"] for one in await ann.devices()], [ann.session.client_id])
    again = await world.device(tablet.session)
    same(await again.connect(), "CONNECTION_REFUSED_SESSION_NOT_EXIST", "the answer to CONNECT")
    await again.link.until_closed()
    with refused(253):
        await ann.end_device(tablet.session.client_id)
