"""Sections 7 and 8: media, the open API, and what administration decides about users."""

import asyncio
import base64
import contextlib
import secrets
from urllib.parse import quote

from yarl import URL

from tools.conformance.checks import Refused, Skip, refused, same
from tools.conformance.device import ACCEPTED, SuiteDevice
from tools.conformance.rows import row
from tools.conformance.rows_connection import REJECTED
from tools.conformance.world import World, new_client_id, new_number
from tools.wire.bodies import Object
from tools.wire.clients import BOUND

BUCKETS = ("general", "image", "voice", "video", "file", "portrait", "favorite")
PUSH = "/imopenapi/pushNotificationByMobile"
NOTIFIER = "SystemNotification"
NORMAL, MUTED, BLOCKED = range(3)


# Media


async def _put(world: World, url: str, data: bytes) -> int:
    async with world.http.put(URL(url, encoded=True), data=data) as answer:
        return answer.status


async def _get(world: World, url: str) -> tuple[int, bytes]:
    async with world.http.get(URL(url, encoded=True)) as answer:
        return answer.status, await answer.read()


@row("7 GMURL: a url, and the media's address")
async def upload_url(world: World) -> None:
    ann = await world.online()
    found = await ann.upload_url(1, f"{secrets.token_hex(8)}.png")
    for key in ("url", "domain"):
        assert URL(found[key]).is_absolute(), found
    assert not found["domain"].endswith("/"), found


@row("8 each media type has its bucket")
async def buckets(world: World) -> None:
    ann = await world.online()
    for kind, bucket in enumerate(BUCKETS):
        found = await ann.upload_url(kind, "a.bin")
        path = URL(found["domain"]).path.split("/")
        in_path = [segment for segment in path if segment.startswith("minio-bucket-")]
        same(in_path, [f"minio-bucket-{bucket}-name"], f"media type {kind}")
    for kind in (-1, 7):
        with refused(251):
            await ann.upload_url(kind, "a.bin")


@row("8 what was put to the url is read at domain/key without credentials")
async def round_trip(world: World) -> None:
    ann = await world.online()
    data = secrets.token_bytes(100_000)
    for kind in range(len(BUCKETS)):
        key = f"{secrets.token_hex(8)}.png"
        found = await ann.upload_url(kind, key)
        same(await _put(world, found["url"], data), 200, "the status of the PUT")
        same(await _get(world, f"{found['domain']}/{key}"), (200, data))


@row("8 keys may have spaces and Chinese characters")
async def file_names(world: World) -> None:
    ann = await world.online()
    for name in ("我的 照片 (1).png", 'it\'s & "quoted" + 100%?.png'):
        key = f"{secrets.token_hex(8)}-{name}"
        found = await ann.upload_url(4, key)
        data = secrets.token_bytes(100)
        same(await _put(world, found["url"], data), 200, "the status of the PUT")
        same(await _get(world, f"{found['domain']}/{quote(key)}"), (200, data), key)


@row("8 who knows the key of another's file does not replace it")
async def another_uploader(world: World) -> None:
    ann, ben = await world.people(2)
    for kind in range(len(BUCKETS)):
        key = f"{secrets.token_hex(8)} 文件.png"
        mine = await ann.upload_url(kind, key)
        same(await _put(world, mine["url"], b"ann's"), 200, "the status of the PUT")
        with contextlib.suppress(Refused):
            await _put(world, (await ben.upload_url(kind, key))["url"], b"ben's")
        same(await _get(world, f"{mine['domain']}/{quote(key)}"), (200, b"ann's"), f"media type {kind}")


@row("8 who asks for a url again may put the file again")
async def again(world: World) -> None:
    ann = await world.online()
    key = f"{secrets.token_hex(8)}.png"
    for data in (b"first", b"second"):
        found = await ann.upload_url(5, key)
        same(await _put(world, found["url"], data), 200, "the status of the PUT")
        same(await _get(world, f"{found['domain']}/{key}"), (200, data))


@row("8 a url is good for its own key only")
async def other_key(world: World) -> None:
    ann = await world.online()
    key = f"{secrets.token_hex(8)}.png"
    url = (await ann.upload_url(1, key))["url"]
    assert key in url, url
    status = await _put(world, url.replace(key, "x" + key), b"altered")
    assert status in (400, 401, 403), status


# The open API


async def _push(world: World, mobiles: list[str], content: Object, key: str = "") -> int:
    if not world.target.api_key:
        raise Skip("no API key (--api-key)")
    body = {
        "mobiles": mobiles,
        "content": {"content": content, "messageId": new_client_id(), "timestamp": 0},
    }
    status, _ = await world.post(PUSH, body, **{"X-API-Key": key or world.target.api_key})
    return status


@row("8 pushNotificationByMobile: a message from SystemNotification to each number's user")
async def push(world: World) -> None:
    people = await world.people(2)
    content = {
        "type": 3,
        "searchableContent": "摘要",
        "binaryContent": base64.b64encode(b"\0\1\2").decode(),
        "mediaType": 1,
        "remoteMediaUrl": "http://media.example.com/a.png",
    }
    same(await _push(world, [device.session.number for device in people], content), 200)
    for device in people:
        same(await device.mn(), 1)
        (message,) = await device.inbox(1)
        same((message["from"], message["target"], message["conversationType"]), (NOTIFIER, device.uid, 0))
        wanted = {**content, "binaryContent": b"\0\1\2"}
        same({key: message["content"][key] for key in wanted}, wanted)


@row("8 pushNotificationByMobile: an unknown number does not hide the others")
async def push_unknown(world: World) -> None:
    ann = await world.online()
    content = {"type": 1, "searchableContent": "for ann"}
    await _push(world, [new_number(), ann.session.number], content)
    (message,) = await ann.inbox(1)
    same(message["content"]["searchableContent"], "for ann")


@row("8 pushNotificationByMobile needs its key")
async def push_key(world: World) -> None:
    ann = await world.online()
    content = {"type": 1, "searchableContent": "not for ann"}
    status = await _push(world, [ann.session.number], content, key="another-key-than-the-servers")
    assert status in (401, 403), status
    await ann.upto(0)


# What administration decides


async def _set_status(world: World, device: SuiteDevice, status: int) -> None:
    path = f"/admin/users/{device.uid}/status"
    same(await world.office("PUT", path, {"status": ("normal", "muted", "blocked")[status]}), 200, path)


@row("8 who is muted is refused with 247")
async def muted(world: World) -> None:
    ann, ben = await world.people(2)
    await _set_status(world, ann, MUTED)
    async with asyncio.timeout(BOUND):
        with refused(247):
            while True:  # every process hears of it soon
                await ann.send(ben.uid, "hush")
    await _set_status(world, ann, NORMAL)
    async with asyncio.timeout(BOUND):
        while not await _may_send(ann, ben):
            pass


async def _may_send(sender: SuiteDevice, receiver: SuiteDevice) -> bool:
    try:
        await sender.send(receiver.uid, "may I?")
    except Refused as refusal:
        if refusal.code not in (None, 247):
            raise
        return False
    return True


@row("5 a message with a sensitive word is refused with 242")
async def sensitive(world: World) -> None:
    ann, ben = await world.people(2)
    word = new_client_id()
    same(await world.office("POST", "/admin/words", {"words": [word]}), 200)
    try:
        async with asyncio.timeout(BOUND):
            with refused(242):
                while True:  # every process hears of it soon
                    await ann.send(ben.uid, f"the word is {word}!")
    finally:
        await world.office("POST", "/admin/words/remove", {"words": [word]})
    await ann.send(ben.uid, "something else")


@row("4 a blocked user is refused with 3")
async def blocked(world: World) -> None:
    ann = await world.online()
    await _set_status(world, ann, BLOCKED)
    again = await world.device(ann.session)
    same(await again.connect(), REJECTED)
    await again.link.until_closed()
    await _set_status(world, ann, NORMAL)
    session = await world.login(ann.session.number)
    device = await world.device(session)
    same(await device.connect(), ACCEPTED)
