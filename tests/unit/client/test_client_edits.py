"""Edits and reactions are asked for, and told of, as the contract says (contract.md sections 7 and 8)."""

import asyncio

from fsharechat.client import Client, MessageEdited, ReactionsChanged
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal
from tests.unit.client.fake_peer import CREDENTIALS, FRIEND, FakePeer, stored

ID = 1 << 60
THUMB = pb.Reactions(id=ID, uid=FRIEND, emoji=["👍"], update_dt=9)


async def test_edits_and_reactions(peer: FakePeer, transport: str) -> None:
    message = stored(7)
    message.edited_dt = 9
    answers = {
        SubSignal.ME: None,
        SubSignal.REA: None,
        SubSignal.MGI: pb.PullMessageResult(message=[message], current=0, head=0),
        SubSignal.REL: pb.ReactionsResult(entry=[THUMB]),
    }
    peer.rule = lambda sub, body: (0, answers[sub]) if sub in answers else None
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        await client.edit(ID, "new")
        await client.react(ID, ["👍", "❤️"])
        (found,) = await client.messages_by_id([ID, 7])
        assert (found.message_id, found.edited_dt) == (message.message_id, 9)
        assert await client.reactions([ID]) == [THUMB]
    (edit,) = peer.asked(SubSignal.ME)
    assert (edit.id, edit.content.type, edit.content.searchable_content) == (ID, 1, "new")
    assert list(peer.asked(SubSignal.REA)[0].emoji) == ["👍", "❤️"]
    assert list(peer.asked(SubSignal.MGI)[0].id) == [ID, 7]


async def test_the_server_tells_of_both(peer: FakePeer, transport: str) -> None:
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        peer.tell(SubSignal.MEN, pb.NotifyEditedMessage(id=ID, from_user=FRIEND))
        peer.tell(SubSignal.REN, THUMB)
        found = []
        async with asyncio.timeout(20):
            async for event in client.events():
                found.append(event)
                if isinstance(event, ReactionsChanged):
                    break
    assert found[-2:] == [MessageEdited(ID, FRIEND), ReactionsChanged(ID, FRIEND, ("👍",), 9)]
