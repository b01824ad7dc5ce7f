"""Section 10: what robots stream and say. Their agent is in this process, so the server must be able to reach it."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tools.conformance.checks import Skip, refused, same
from tools.conformance.device import SuiteDevice
from tools.conformance.rows import row
from tools.conformance.world import PROBES, World
from tools.wire.bodies import GROUP, Object, text

FAILS = "fail"
"""What this agent is asked when it is to fail."""


def _agent() -> web.Application:
    """Return an agent that says a question again, in two pieces."""

    async def stream(request: web.Request) -> web.StreamResponse:
        question = (await request.json())["question"]
        if question == FAILS:
            raise web.HTTPInternalServerError
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (question[:1], question[1:]):
            await response.write(piece.encode())
        return response

    async def ask(request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response({**body, "answer": f"all of {body['question']}", "route": "x"})

    app = web.Application()
    app.router.add_post("/stream", stream)
    app.router.add_post("/ask", ask)
    return app


@asynccontextmanager
async def robot(world: World, kind: str = "stream") -> AsyncIterator[str]:
    """Make a robot, and yield its uid once every process answers for it."""
    if not world.target.own:
        raise Skip("the server may not reach an agent on this machine")
    runner = web.AppRunner(_agent(), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    uid = f"robot-{secrets.token_hex(8)}"
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    made = {"uid": uid, "name": "Robot", "agent": address, "kind": kind}
    try:
        same(await world.office("POST", "/admin/robots", made), 200, "the status of POST /admin/robots")
        prober = await world.online()
        for _ in range(PROBES if world.target.distributed else 1):
            await prober.send(uid, "are you there?")
            while not (await prober.notified("SAI"))["f"]:
                pass
        yield uid
        await world.office("DELETE", f"/admin/robots/{uid}", {})
    finally:
        await runner.cleanup()


async def streamed(device: SuiteDevice, uid: str) -> str:
    """Wait for a whole stream, and return its text."""
    first = await device.notified("SAI")
    same((first["d"], first["f"], first["t"]), ("", False, uid), "the first piece")
    said = ""
    while not (part := await device.notified("SAI"))["f"]:
        same((part["i"], part["t"]), (first["i"], uid), "whose piece it is")
        said += part["d"]
    same(part, {**first, "f": True}, "the last piece")
    return said


async def last(device: SuiteDevice, head: int) -> Object:
    message: Object = (await device.inbox(head))[-1]
    return message


@row(
    "10 a text to a robot is stored, and SAI streams the answer to all devices of who asks; then it is a message"
)
async def streams(world: World) -> None:
    async with robot(world) as uid:
        ann = await world.online()
        tablet = await world.another(ann)
        await ann.send(uid, "飞享 one\ntwo")
        for device in (ann, tablet):
            same(await streamed(device, uid), "飞享 one\ntwo", "what is streamed")
            same(await device.texts(2), ["飞享 one\ntwo"] * 2)
            same((await last(device, 2))["from"], uid, "who answers")
        same(ann.came("SAI"), [], "further pieces")


@row("10 a whole answer is streamed in one piece")
async def whole(world: World) -> None:
    async with robot(world, "ask") as uid:
        ann = await world.online()
        await ann.send(uid, "it")
        same(await streamed(ann, uid), "all of it", "what is streamed")
        same(await ann.texts(2), ["it", "all of it"])


@row("10 a stream ends when the agent fails, and a message says so; the next question is answered")
async def fails(world: World) -> None:
    async with robot(world) as uid:
        ann = await world.online()
        await ann.send(uid, FAILS)
        same(await streamed(ann, uid), "", "what is streamed")
        if not (await last(ann, 2))["content"]["searchableContent"]:
            raise AssertionError("nothing says so")
        await ann.send(uid, "again")
        same(await streamed(ann, uid), "again", "what is streamed")


@row("10 only texts are questions, and nobody else hears a stream")
async def others(world: World) -> None:
    async with robot(world) as uid:
        ann, ben = await world.people(2)
        await ann.send(uid, {"type": 3, "searchableContent": "a picture"})
        await ann.send(ben.uid, "to a person")
        await ann.send(uid, "ask")
        same(await streamed(ann, uid), "ask", "what is streamed")
        same(await ann.texts(4), ["a picture", "to a person", "ask", "ask"])
        same(ben.came("SAI"), [], "the stream of somebody else")


@row("10 a robot in a group answers who mentions it, in the group and without a stream")
async def in_groups(world: World) -> None:
    async with robot(world) as uid:
        ann, ben = await world.people(2)
        group = await ann.create_group([ben.uid, uid])
        await ann.send(group, "hello", kind=GROUP)
        await ann.send(group, text("all", mentionedType=2), kind=GROUP)
        await ann.send(group, text("@Robot you", mentionedType=1, mentionedTargets=[uid]), kind=GROUP)
        for device in (ann, ben):
            message = await last(device, 5)
            same((message["from"], message["target"], message["conversationType"]), (uid, group, GROUP))
            content = message["content"]
            same((content["searchableContent"], content["mentionedType"]), ("you", 1), "the answer")
            same(content["mentionedTargets"], [ann.uid], "whom it mentions")
            same(device.came("SAI"), [], "a stream in a group")


@row("10 SRA streams to a user for a robot that is a client, and for nobody else")
async def by_clients(world: World) -> None:
    ann, bot = await world.people(2)
    part = {"target_uid": ann.uid, "stream_id": "one", "delta": "飞", "done": 0}
    web_part = {"targetUserId": ann.uid, "streamId": "one", "delta": "飞", "done": 0}
    with refused(248):
        await bot.ask("SRA", "StreamAnswerRequest", part, web_part)
    same(await world.office("PUT", f"/admin/users/{bot.uid}/robot", {"robot": True}), 200)
    await bot.ask("SRA", "StreamAnswerRequest", part, web_part)
    same(await ann.notified("SAI"), {"i": "one", "d": "飞", "f": False, "t": bot.uid})
    await bot.ask("SRA", "StreamAnswerRequest", {**part, "done": 1}, {**web_part, "done": 1})
    same((await ann.notified("SAI"))["f"], True, "the last piece")
    await ann.blacklist(bot.uid)
    with refused(246):
        await bot.ask("SRA", "StreamAnswerRequest", part, web_part)
