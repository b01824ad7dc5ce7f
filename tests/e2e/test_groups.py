"""Groups from the first message to the last on both transports, and one of thousands of members (issue: groups)."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fsharechat.client import group, group_notice
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, PersistFlag, SubSignal
from fsharechat.store import users
from fsharechat.store.sqlite import SqliteStore
from fsharechat.store.unit import Dialect, Unit, insert_many
from tools.testing.devices import Handset, log_in, text_of
from tools.testing.server import Server
from tools.wire.clients import TcpWire

pytestmark = pytest.mark.slow

MEMBERS = 5000
ONLINE = 500


@pytest.mark.parametrize(("ann_by", "others_by"), [("tcp", "ws"), ("ws", "tcp")])
async def test_the_life_of_a_group(tmp_path: Path, ann_by: str, others_by: str) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(tmp_path / "data"))
        devices = []
        for number, by in enumerate((ann_by, others_by, others_by, ann_by)):
            credentials = await log_in(server.at, f"1380000000{number}", f"device-{number}")
            devices.append(await stack.enter_async_context(Handset(credentials, server.at, by)))
        ann, ben, cid, dan = devices

        club = await ann.groups.create("俱乐部", [ben.user_id, cid.user_id])
        await ben.send(group(club), "大家好")
        await ann.groups.add(club, [dan.user_id])
        await cid.groups.rename(club, "飞享")
        await dan.send(group(club), "whispered", to=[cid.user_id])
        await ann.groups.kick(club, [ben.user_id])
        await dan.groups.quit(club)
        await ann.send(group(club), "the rest")
        await ann.groups.dismiss(club)

        told: dict[ContentType, dict[str, object]] = {
            ContentType.GROUP_CREATED: {},
            ContentType.MEMBERS_ADDED: {"members": (dan.user_id,)},
            ContentType.GROUP_RENAMED: {"name": "飞享"},
            ContentType.MEMBERS_KICKED: {"members": (ben.user_id,)},
            ContentType.MEMBER_QUIT: {},
            ContentType.GROUP_DISMISSED: {},
        }
        heard: dict[Handset, list[int | str]] = {
            ann: [104, "大家好", 105, 110, 106, 107, 108],
            ben: [104, 105, 110, 106],
            cid: [104, "大家好", 105, 110, "whispered", 106, 107, "the rest", 108],
            dan: [105, 110, 106, 107],
        }
        for device, wanted in heard.items():
            await device.until_received(len(wanted))
            assert [_kind(message) for message in device.received] == wanted
            for message in device.received:
                if (notice := group_notice(message)) is not None:
                    assert notice.group_id == club
                    for name, value in told[notice.kind].items():
                        assert getattr(notice, name) == value
            assert device.gaps() == []
        assert await ann.groups.infos([club]) == []
        assert await cid.groups.members(club) == []


def _kind(message: pb.Message) -> int | str:
    return message.content.type if message.content.type > 90 else text_of(message)


async def test_a_message_to_thousands_reaches_all_who_are_online(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crowd = [f"member{n}" for n in range(MEMBERS - ONLINE)]
    await _put_users(tmp_path / "data" / "fsharechat.db", crowd)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(Server(tmp_path / "data"))
        wires = []
        uids = []
        for n in range(ONLINE):
            credentials = await log_in(server.at, f"138{n:08}", "phone")
            wire = await TcpWire.open(server.at.tcp)
            stack.push_async_callback(wire.close)
            assert await wire.connect(credentials) == SubSignal.CONNECTION_ACCEPTED
            wires.append(wire)
            uids.append(credentials.user_id)
        sender, receivers = wires[0], wires[1:]

        club = await _create(sender, [*uids[1:], *crowd])
        await asyncio.gather(*[_hear(wire, "") for wire in wires])  # the notice
        seconds = []
        for n in range(5):
            text = f"message {n}"
            began = time.perf_counter()
            arrived = [asyncio.create_task(_hear(wire, text)) for wire in receivers]
            code, _ = await sender.request(SubSignal.MS, _text(club, text))
            acknowledged = time.perf_counter() - began
            assert code == 0
            await asyncio.gather(*arrived)
            seconds.append((acknowledged, time.perf_counter() - began))
    with capsys.disabled():
        shown = ", ".join(f"{ack * 1000:.0f}/{all_ * 1000:.0f}" for ack, all_ in seconds)
        print(f"\n{MEMBERS} members, {ONLINE} online: acknowledged/with all after {shown} ms")


async def _put_users(path: Path, uids: Sequence[str]) -> None:
    path.parent.mkdir()
    store = SqliteStore(path, 100)
    await store.open()

    def insert(_: Dialect) -> Unit[None]:
        columns = ("uid", "number", *users.PROFILE[1:], "status")
        yield from insert_many("users", columns, [(uid, uid, *[""] * 9, 0, 0, 1, 0) for uid in uids])

    await store.write(insert)
    await store.close()


async def _create(wire: TcpWire, members: Sequence[str]) -> str:
    request = pb.CreateGroupRequest(
        group=pb.Group(
            group_info=pb.GroupInfo(name="thousands", type=0),
            members=[pb.GroupMember(member_id=uid, type=0) for uid in members],
        )
    )
    code, payload = await wire.request(SubSignal.GC, request.SerializeToString())
    assert code == 0
    return payload.decode()


def _text(club: str, text: str) -> bytes:
    return pb.Message(
        conversation=pb.Conversation(type=1, target=club, line=0),
        from_user="",
        content=pb.MessageContent(
            type=1, searchable_content=text, persist_flag=PersistFlag.STORED_AND_COUNTED
        ),
    ).SerializeToString()


async def _hear(wire: TcpWire, text: str) -> None:
    """Pull as clients do, until the text has come; it comes once."""
    head = await wire.next_mn()
    texts, current = await wire.pull(head - 1)
    assert (texts, current) == ([text], head)
