"""A group process whose node id is lost: no calls without one, and ids of the next one after that."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from fsharechat.clock import now_ms
from fsharechat.node import Node
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import compose, node_of
from fsharechat.protocol.signals import Code, RequestStatus, SubSignal
from fsharechat.rpc import Call, Method
from fsharechat.settings import Settings
from tests.unit.group.group_kit import Office, text
from tools.testing.leases import FickleLease, FickleRegistry
from tools.testing.server import BOUND

BEFORE, AFTER = 3, 7


@pytest.fixture
async def lease() -> FickleLease:
    return FickleLease("group", BEFORE)


@pytest.fixture
async def office(
    tmp_path: Path, sqlite_file: Callable[[str], Path], lease: FickleLease
) -> AsyncIterator[Office]:
    sqlite_file("data/fsharechat.db")
    node = Node(Settings.model_validate({"node": {"roles": ["group"], "data": tmp_path / "data"}}))
    node.registry = FickleRegistry(lease)
    async with node:
        yield Office(node)


async def answers(office: Office) -> bool:
    reply = await office.node.rpc.call(Call(Method.PULL, "ann", "phone", b"[0,-1,0]"))
    assert reply.code in (Code.SUCCESS, Code.SERVER_ERROR)
    return reply.code == Code.SUCCESS


async def until_it_answers(office: Office, wanted: bool) -> None:
    async with asyncio.timeout(BOUND):
        while await answers(office) is not wanted:
            await asyncio.sleep(0)


async def nodes_of_greetings(office: Office) -> set[int]:
    """Make two people friends, and return the node ids in the ids of the messages that this makes."""
    ann, ben = await office.user("ann"), await office.user("ben")
    assert await office.code(ann, SubSignal.FAR, pb.AddFriendRequest(target_uid=ben, reason="hello")) == 0
    accept = pb.HandleFriendRequest(target_uid=ann, status=RequestStatus.ACCEPTED)
    assert await office.code(ben, SubSignal.FHR, accept) == 0
    return {node_of(message.message_id) for message in (await office.inbox(ann)).message}


async def test_it_takes_calls_only_while_it_has_an_id(office: Office, lease: FickleLease) -> None:
    assert await answers(office)
    lease.lose()
    await until_it_answers(office, False)
    lease.regain(BEFORE)
    await until_it_answers(office, True)
    assert await nodes_of_greetings(office) == {BEFORE}


@pytest.mark.parametrize("noticed", [True, False])
async def test_its_ids_are_of_the_node_id_that_it_has(
    office: Office, lease: FickleLease, noticed: bool
) -> None:
    assert await nodes_of_greetings(office) == {BEFORE}
    lease.lose()
    if noticed:
        await until_it_answers(office, False)
    lease.regain(AFTER)
    await until_it_answers(office, True)
    assert await nodes_of_greetings(office) == {AFTER}


async def test_ids_go_on_behind_what_others_gave_out_meanwhile(office: Office, lease: FickleLease) -> None:
    ann, ben = await office.user("ann"), await office.user("ben")
    ahead = compose(now_ms() + 3_600_000, AFTER, 9)
    await office.payload(ann, SubSignal.MS, text(ben), message_id=ahead)
    lease.lose()
    await until_it_answers(office, False)
    lease.regain(AFTER)
    await until_it_answers(office, True)
    (cid,) = await office.users(1)
    await office.payload(cid, SubSignal.FAR, pb.AddFriendRequest(target_uid=ben, reason="hello"))
    accept = pb.HandleFriendRequest(target_uid=cid, status=RequestStatus.ACCEPTED)
    await office.payload(ben, SubSignal.FHR, accept)
    messages = (await office.inbox(ben)).message
    assert [message.message_id >= ahead for message in messages] == [True] * 4


async def test_it_takes_calls_only_while_its_store_is_reached(office: Office, lease: FickleLease) -> None:
    assert await answers(office)
    for _ in range(2):
        office.node.store._set_away("no answer")
        await until_it_answers(office, False)
        lease.lose()
        office.node.store._set_away("")
        await asyncio.sleep(0)
        assert not await answers(office)
        lease.regain(BEFORE)
        await until_it_answers(office, True)
