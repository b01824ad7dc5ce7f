"""The client library against a real server: groups, files, receipts, recalls and settings, over TCP and WebSocket."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Self, TypeVar

import pytest
from PIL import Image

from fsharechat.client import (
    CallSignal,
    Client,
    Event,
    MessageRecalled,
    MessagesDelivered,
    MessagesRead,
    NoRight,
    NotInGroup,
    Options,
    RequestError,
    SettingsChanged,
    TooLarge,
    Transparent,
    group,
    group_notice,
    is_mentioned,
    login,
    private,
    text,
)
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, MemberType, SettingScope
from tools.testing.server import BOUND, SUPER_CODE, Server

pytestmark = pytest.mark.slow

E = TypeVar("E")
OPTIONS = replace(Options.fast(), report_delivery=True, follow_reports=True)
NUMBERS = {"anna": "13800000001", "ben": "13800000002", "carl": "13800000003"}


class TwoPeople:
    """Users of one server, each device a client of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._clients = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._clients.aclose()

    async def come(self, name: str, transport: str, device: str = "first") -> Client:
        at = self._server.at
        credentials = await login(at.http, NUMBERS[name], SUPER_CODE, client_id=f"{name}-{device}")
        return await self._clients.enter_async_context(
            Client(credentials, **at.of(transport), options=OPTIONS)
        )


@pytest.fixture(params=[("tcp", "ws"), ("ws", "tcp")], ids=["tcp-ws", "ws-tcp"])
async def people(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[TwoPeople, str, str]]:
    """Yield the people, with the transport of anna and carl, and that of ben."""
    async with Server(tmp_path / "data") as server, TwoPeople(server) as people:
        yield people, *request.param


async def messages_of(client: Client, count: int) -> list[pb.Message]:
    async with asyncio.timeout(BOUND):
        return [await anext(client.messages()) for _ in range(count)]


async def texts_of(client: Client, count: int) -> list[str]:
    return [message.content.searchable_content for message in await messages_of(client, count)]


async def event_of(client: Client, kind: type[E]) -> E:
    async with asyncio.timeout(BOUND):
        event: Event
        async for event in client.events():
            if isinstance(event, kind):
                return event
    raise AssertionError(f"no {kind.__name__}")


async def notice_of(client: Client) -> tuple[ContentType, str, tuple[str, ...]]:
    (message,) = await messages_of(client, 1)
    notice = group_notice(message)
    assert notice is not None, message
    return notice.kind, notice.operator, notice.members


async def test_a_group_from_its_making_to_its_end(people: tuple[TwoPeople, str, str]) -> None:
    world, one, other = people
    anna, ben, carl = await asyncio.gather(
        world.come("anna", one), world.come("ben", other), world.come("carl", one)
    )
    group_id = await anna.groups.create("Hikers", [ben.user_id])
    there = group(group_id)
    for client in (anna, ben):
        kind, operator, _ = await notice_of(client)
        assert (kind, operator) == (ContentType.GROUP_CREATED, anna.user_id)

    await ben.groups.add(group_id, [carl.user_id])
    for client in (anna, ben, carl):
        assert await notice_of(client) == (ContentType.MEMBERS_ADDED, ben.user_id, (carl.user_id,))
    members = {member.member_id: member.type for member in await carl.groups.members(group_id)}
    assert members == {
        anna.user_id: MemberType.OWNER,
        ben.user_id: MemberType.NORMAL,
        carl.user_id: MemberType.NORMAL,
    }

    await ben.groups.rename(group_id, "Walkers")
    for client in (anna, ben, carl):
        assert (await notice_of(client))[0] == ContentType.GROUP_RENAMED
    info = await ben.groups.info(group_id)
    assert (info.name, info.owner, info.member_count) == ("Walkers", anna.user_id, 3)

    await ben.send(there, text("@anna for all", mention=[anna.user_id]))
    await ben.send(there, "for anna", to=[anna.user_id])
    await ben.send(there, "for all again")
    for_anna = await messages_of(anna, 3)
    assert [message.content.searchable_content for message in for_anna] == [
        "@anna for all",
        "for anna",
        "for all again",
    ]
    assert [is_mentioned(message, anna.user_id) for message in for_anna] == [True, False, False]
    assert await texts_of(carl, 2) == ["@anna for all", "for all again"]

    with pytest.raises(NoRight if other == "tcp" else RequestError):
        await ben.groups.kick(group_id, [carl.user_id])
    await anna.groups.kick(group_id, [carl.user_id])
    for client in (anna, ben, carl):
        assert await notice_of(client) == (ContentType.MEMBERS_KICKED, anna.user_id, (carl.user_id,))
    with pytest.raises(NotInGroup if one == "tcp" else RequestError):
        await carl.send(there, "let me in")
    assert await carl.groups.members(group_id) == []

    await ben.groups.quit(group_id)
    for client in (anna, ben):
        assert (await notice_of(client))[:2] == (ContentType.MEMBER_QUIT, ben.user_id)
    await anna.groups.dismiss(group_id)
    assert (await notice_of(anna))[0] == ContentType.GROUP_DISMISSED
    with pytest.raises(RequestError):
        await anna.send(there, "is anybody there")


async def test_files_and_pictures_come_as_they_were_sent(
    people: tuple[TwoPeople, str, str], tmp_path: Path
) -> None:
    world, one, other = people
    anna, ben = await asyncio.gather(world.come("anna", one), world.come("ben", other))
    path = tmp_path / "报告 '1' & 2.bin"
    path.write_bytes(random.Random(1).randbytes(3_000_000))
    done: list[int] = []
    await ben.media.send_file(anna.user_id, path, on_progress=lambda sent, total: done.append(sent))
    assert done[-1] == 3_000_000
    picture = BytesIO()
    Image.new("RGB", (1000, 500), "red").save(picture, "JPEG")
    await ben.media.send_image(anna.user_id, picture.getvalue(), name="a picture.jpg")

    file, image = (message.content for message in await messages_of(anna, 2))
    assert (file.type, file.searchable_content, file.content) == (ContentType.FILE, path.name, "3000000")
    assert await anna.media.download(file.remote_media_url, tmp_path / "back") == 3_000_000
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    assert image.type == ContentType.IMAGE
    with Image.open(BytesIO(image.data)) as small:
        assert small.size == (200, 100)
    assert b"".join([part async for part in anna.media.stream(image.remote_media_url)]) == picture.getvalue()


async def test_receipts_reach_the_sender(people: tuple[TwoPeople, str, str]) -> None:
    world, one, other = people
    anna, ben, carl = await asyncio.gather(
        world.come("anna", one), world.come("ben", other), world.come("carl", other)
    )
    sent = await anna.send(ben.user_id, "hello")
    await messages_of(ben, 1)
    assert await event_of(anna, MessagesDelivered) == MessagesDelivered(ben.user_id, sent.timestamp)
    await ben.reports.read(private(anna.user_id), sent.timestamp)
    assert await event_of(anna, MessagesRead) == MessagesRead(
        ben.user_id, private(ben.user_id), sent.timestamp
    )

    there = group(await anna.groups.create("Hikers", [ben.user_id, carl.user_id]))
    sent = await ben.send(there, "hello all")
    await messages_of(carl, 2)
    carl.reports.mark_read(there, sent.timestamp, [ben.user_id])
    assert await event_of(ben, MessagesRead) == MessagesRead(carl.user_id, there, sent.timestamp)

    # A device that comes later learns where everybody is.
    late = await world.come("anna", other, "second")
    assert (await event_of(late, MessagesRead)).uid == ben.user_id


async def test_recalled_is_recalled_everywhere(people: tuple[TwoPeople, str, str]) -> None:
    world, one, other = people
    anna, ben, carl = await asyncio.gather(
        world.come("anna", one), world.come("ben", other), world.come("carl", one)
    )
    there = group(await anna.groups.create("Hikers", [ben.user_id, carl.user_id]))
    await messages_of(ben, 1)
    await messages_of(carl, 1)
    slip = await ben.send(there, "a slip")
    assert await texts_of(carl, 1) == ["a slip"]
    with pytest.raises(NoRight if one == "tcp" else RequestError):
        await carl.recall(slip.message_id)
    await ben.recall(slip.message_id)
    assert await event_of(carl, MessageRecalled) == MessageRecalled(slip.message_id, ben.user_id)
    insult = await carl.send(there, "an insult")
    assert await texts_of(ben, 1) == ["an insult"]
    await anna.recall(insult.message_id)  # as the owner
    assert await event_of(ben, MessageRecalled) == MessageRecalled(insult.message_id, anna.user_id)

    shown = {message.message_id: message.content for message in await ben.history(there)}
    late = await world.come("anna", other, "second")
    pulled = {message.message_id: message.content for message in await messages_of(late, 3)}
    for contents in (shown, pulled):
        for message_id, operator in ((slip.message_id, ben.user_id), (insult.message_id, anna.user_id)):
            content = contents[message_id]
            assert (content.type, content.content) == (ContentType.RECALLED, operator)
            assert (content.data, content.searchable_content) == (str(message_id).encode(), "")


async def test_settings_are_the_same_on_all_devices(people: tuple[TwoPeople, str, str]) -> None:
    world, one, other = people
    first, second = await asyncio.gather(world.come("anna", one), world.come("anna", other, "second"))
    version = await first.settings.set_muted(private("somebody"), True)
    assert await event_of(second, SettingsChanged) == SettingsChanged(version)
    (entry,) = await second.settings.pull()
    assert (entry.scope, entry.key, entry.value, entry.update_dt) == (
        SettingScope.CONVERSATION_MUTED,
        "0-0-somebody",
        "1",
        version,
    )
    newer = await second.settings.set_muted(private("somebody"), False)
    assert await event_of(first, SettingsChanged) == SettingsChanged(newer)
    assert [entry.value for entry in await first.settings.pull(version)] == ["0"]


async def test_typing_and_call_signals_pass_through(people: tuple[TwoPeople, str, str]) -> None:
    world, one, other = people
    anna, ben = await asyncio.gather(world.come("anna", one), world.come("ben", other))
    call = pb.MessageContent(type=ContentType.CALL_START, content="call-1", persist_flag=3)
    for caller, called in ((anna, ben), (ben, anna)):
        await caller.send_typing(called.user_id)
        assert (await event_of(called, Transparent)).message.content.type == ContentType.TYPING
        await caller.send(called.user_id, call)
        (ringing,) = await messages_of(called, 1)
        assert (ringing.content.type, ringing.content.content) == (ContentType.CALL_START, "call-1")
        signal = pb.MessageContent(type=ContentType.CALL_SIGNAL, content="call-1", data=b'{"sdp": 1}')
        await called.send(caller.user_id, signal)
        passed = (await event_of(caller, CallSignal)).message
        assert passed.from_user == called.user_id
        assert (passed.content.type, passed.content.data) == (ContentType.CALL_SIGNAL, b'{"sdp": 1}')
    assert len(await anna.history(ben.user_id)) == 2  # the calls: the rest is stored nowhere


@pytest.mark.parametrize("transport", ["tcp", "ws"])
async def test_the_longest_text_goes_and_one_byte_more_is_told_before_it_is_sent(
    tmp_path: Path, transport: str
) -> None:
    async with (
        Server(tmp_path / "data", {"CONNECTOR__MAX_BODY_BYTES": "2000"}) as server,
        TwoPeople(server) as people,
    ):
        ben = await people.come("ben", transport)
        credentials = await login(server.at.http, NUMBERS["anna"], SUPER_CODE, client_id="anna")
        options = replace(OPTIONS, max_request=2000)
        async with Client(credentials, **server.at.of(transport), options=options) as anna:
            sent = 1000
            too_large = False
            while not too_large:
                try:
                    await anna.send(ben.user_id, "x" * sent)
                    sent += 1
                except TooLarge:
                    too_large = True
            assert 1100 < sent < 2000
            await anna.send(ben.user_id, "short")
        assert [len(text) for text in await texts_of(ben, sent - 1000 + 1)] == [*range(1000, sent), 5]


@pytest.mark.parametrize(("transport", "requests"), [("tcp", 100), ("ws", 100), ("tcp", 30)])
async def test_more_texts_than_the_limit_allows_all_go_in_the_end(
    tmp_path: Path, transport: str, requests: int
) -> None:
    """Also when the server has a lower limit than the client knows of: over TCP it says so."""
    limits = {"LIMITS__REQUESTS": str(requests), "LIMITS__SECONDS": "5"}
    async with Server(tmp_path / "data", limits) as server, TwoPeople(server) as people:
        ben = await people.come("ben", "tcp")
        credentials = await login(server.at.http, NUMBERS["anna"], SUPER_CODE, client_id="anna")
        for run in ("first", "second"):  # the second one begins with what the first has left of the limit
            async with (
                Client(credentials, **server.at.of(transport), options=Options()) as anna,
                asyncio.TaskGroup() as tasks,
            ):
                for n in range(110 if requests == 100 else 40):
                    tasks.create_task(anna.send(ben.user_id, f"{run} {n}"))
        count = 220 if requests == 100 else 80
        wanted = [f"{run} {n}" for run in ("first", "second") for n in range(count // 2)]
        assert sorted(await texts_of(ben, count)) == sorted(wanted)
