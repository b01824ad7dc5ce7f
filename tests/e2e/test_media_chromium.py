"""The embedded media server with real browsers: frames are decoded, sound arrives, and who may not sees nothing.

Frames are counted, never seconds or bit rates: the machine of the test may be busy.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMessage, web

from fsharechat.mediaserver import Candidate, MediaEvents, MediaServerError
from roles.media.sfu import Limits, Sfu
from roles.media.transport import IceTransport
from roles.media.udp import UdpPort
from tools.testing.chromium import Chromium, Page
from tools.testing.server import until

PAGE = (Path(__file__).parent / "call_page.html").read_text()
HOST = "127.0.0.1"
ROOM = "room"
LOSS = 0.03
SLOW = 300_000
PACKETS = 500
"""If so many leave and none was dropped, the line gets slower."""
FRAMES = 20
"""New ones that show that a picture moves."""

pytestmark = pytest.mark.slow


class Signalling(MediaEvents):
    """The simplest way for pages to reach a media server: a WebSocket each."""

    def __init__(self) -> None:
        self.gone: list[tuple[str, str]] = []
        self.refused: list[str] = []
        self.url = ""
        self._members: dict[str, web.WebSocketResponse] = {}

    def on_candidate(self, room: str, participant: str, peer: str, candidate: Candidate) -> None:
        raise AssertionError("its candidates are in the answers")

    def on_gone(self, room: str, participant: str, peer: str) -> None:
        self.gone.append((participant, peer))

    def on_closed(self, room: str, reason: str) -> None:
        raise AssertionError(reason)

    async def serve(self, sfu: Sfu) -> web.AppRunner:
        self._sfu = sfu
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/ws", self._socket)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        self.url = f"http://{HOST}:{runner.addresses[0][1]}/"
        return runner

    async def _page(self, _: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        name = ""
        async for message in socket:
            name = await self._on_message(socket, name, message)
        if self._members.get(name) is socket:
            del self._members[name]
            await self._sfu.leave(ROOM, name)
            await self._tell({"id": "left", "name": name})
        return socket

    async def _on_message(self, socket: web.WebSocketResponse, name: str, message: WSMessage) -> str:
        said: dict[str, Any] = json.loads(message.data)
        if said["id"] == "join":
            name = said["name"]
            await self._sfu.join(ROOM, name)
            await self._tell({"id": "arrived", "name": name})
            await socket.send_json({"id": "existing", "names": list(self._members)})
            self._members[name] = socket
        elif said["id"] == "offer":
            peer, offer = said["peer"], said["offer"]
            try:
                if peer == name:
                    answer = await self._sfu.publish(ROOM, name, offer)
                else:
                    answer = await self._sfu.receive(ROOM, name, peer, offer)
            except MediaServerError as error:
                self.refused.append(str(error))
            else:
                await socket.send_json({"id": "answer", "peer": peer, "answer": answer})
        return name

    async def _tell(self, message: dict[str, str]) -> None:
        for socket in self._members.values():
            if not socket.closed:
                await socket.send_json(message)


class Stage:
    def __init__(self, browser: Chromium, sfu: Sfu, signalling: Signalling) -> None:
        self.sfu = sfu
        self.signalling = signalling
        self._browser = browser

    async def page(self, name: str, **options: str) -> Page:
        query = "&".join(f"{key}={value}" for key, value in {"name": name, **options}.items())
        return await self._browser.page(f"{self.signalling.url}?{query}")


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    signalling = Signalling()
    async with Sfu(UdpPort(HOST, 0), HOST, Limits(), signalling) as sfu:
        runner = await signalling.serve(sfu)
        try:
            async with Chromium() as browser:
                yield Stage(browser, sfu, signalling)
        finally:
            await runner.cleanup()


async def frames(page: Page, peer: str) -> int:
    return int(await page.evaluate(f"statistics({peer!r}).then(it => it.frames)"))


async def sees(page: Page, *peers: str) -> None:
    """Wait until new frames of each are decoded, and new packets of sound arrive."""
    for peer in peers:
        before = await frames(page, peer)
        await page.until(f"statistics({peer!r}).then(it => it.frames >= {before + FRAMES})")
        sound = await page.evaluate(f"statistics({peer!r}).then(it => it.audio)")
        await page.until(f"statistics({peer!r}).then(it => it.audio > {sound})")


async def test_three_pages_see_and_hear_each_other(stage: Stage) -> None:
    names = ("anna", "ben", "carl")
    pages = {name: await stage.page(name) for name in names}
    for name, page in pages.items():
        await sees(page, *(other for other in names if other != name))
    assert stage.sfu.connections == 9

    await pages["carl"].close()
    for name in ("anna", "ben"):
        await pages[name].until("!('carl' in connections)")
    await sees(pages["anna"], "ben")
    assert stage.sfu.connections == 4

    pages["carl"] = await stage.page("carl")
    for name, page in pages.items():
        await sees(page, *(other for other in names if other != name))
    assert all(not page.said for page in pages.values())


@pytest.mark.parametrize(
    "options",
    [
        {"codec": "h264"},
        {"bundle": "max-compat"},
        {"bundle": "max-bundle", "data": "1"},
    ],
    ids=["h264", "max-compat", "max-bundle and data"],
)
async def test_two_pages_whose_offers_are_of_other_kinds(stage: Stage, options: dict[str, str]) -> None:
    anna = await stage.page("anna", **options)
    ben = await stage.page("ben", **options)
    await sees(anna, "ben")
    await sees(ben, "anna")
    if "codec" in options:
        assert "video/H264" in await ben.evaluate("statistics('anna').then(it => it.codecs)")


async def test_a_receiver_may_come_first_and_the_sender_may_begin_anew(stage: Stage) -> None:
    viewer = await stage.page("viewer", silent="1")
    anna = await stage.page("anna")
    await sees(viewer, "anna")
    await anna.evaluate("hangUp('anna'), connect('anna')")
    await sees(viewer, "anna")
    assert await viewer.evaluate("connections.anna.connectionState") == "connected"


async def test_a_wrong_fingerprint_sees_and_shows_nothing(stage: Stage) -> None:
    anna, ben = await stage.page("anna"), await stage.page("ben")
    await sees(anna, "ben")
    forger = await stage.page("forger", forge="1")
    await forger.until("log.length >= 3")
    await anna.until("'forger' in connections")
    for _ in range(3):
        await sees(anna, "ben")
    assert set(stage.signalling.gone) >= {("forger", "forger"), ("forger", "anna"), ("forger", "ben")}
    assert await frames(forger, "anna") == await frames(forger, "ben") == 0
    assert await frames(anna, "forger") == await frames(ben, "forger") == 0


async def test_the_picture_goes_on_when_packets_are_lost_on_both_ways(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(3)
    lost = {"in": 0, "out": 0}
    send, receive = IceTransport.send_rtp, IceTransport.on_media

    def send_some(transport: IceTransport, packet: bytes | bytearray) -> None:
        if chance.random() < LOSS:
            lost["out"] += 1
        else:
            send(transport, packet)

    def receive_some(transport: IceTransport, datagram: bytes) -> None:
        if chance.random() < LOSS:
            lost["in"] += 1
        else:
            receive(transport, datagram)

    monkeypatch.setattr(IceTransport, "send_rtp", send_some)
    monkeypatch.setattr(IceTransport, "on_media", receive_some)
    anna, ben = await stage.page("anna"), await stage.page("ben")
    await sees(ben, "anna")
    sent = int(await anna.evaluate("statistics('anna').then(it => it.sent)"))
    decoded = await frames(ben, "anna")
    for _ in range(5):
        await sees(anna, "ben")
        await sees(ben, "anna")
    assert min(lost.values()) > 0
    # What was lost came again: else the picture would stand still until the next key frame, most of the time.
    decoded = await frames(ben, "anna") - decoded
    sent = int(await anna.evaluate("statistics('anna').then(it => it.sent)")) - sent
    assert decoded > sent / 2


async def test_who_has_a_slow_line_sees_all_the_same(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their line has a queue of 300 ms and at most SLOW bits a second: the sender must send less.

    A busy machine may send less by itself. Then the line gets slower, down to a third.
    """
    send = IceTransport.send_rtp
    free: dict[IceTransport, float] = {}
    dropped = packets = 0
    rate = SLOW

    def send_slowly(transport: IceTransport, packet: bytes | bytearray) -> None:
        nonlocal dropped, packets, rate
        packets += 1
        if not dropped and packets % PACKETS == 0:
            rate = max(rate * 4 // 5, SLOW // 3)
        loop = asyncio.get_running_loop()
        now = loop.time()
        leaves = max(now, free.get(transport, now)) + len(packet) * 8 / rate
        if leaves - now > 0.3:
            dropped += 1
            return
        free[transport] = leaves
        loop.call_at(leaves, send, transport, bytes(packet))

    anna, ben = await stage.page("anna", width="640"), await stage.page("ben", silent="1")
    await sees(ben, "anna")
    monkeypatch.setattr(IceTransport, "send_rtp", send_slowly)
    await until(lambda: dropped, "the line was never too slow")
    for _ in range(5):
        await sees(ben, "anna")
    assert await anna.evaluate("connections.anna.connectionState") == "connected"
