"""Two people meet and talk, on whatever serves the given addresses: one process, or a cluster."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from fsharechat.client import Credentials, FriendRequestsChanged, FriendsChanged, Position, SentMessage
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, FriendState, RequestStatus
from tools.testing.devices import Handset, check_same, log_in, text_of
from tools.testing.server import ServerAddresses, until

CodeFor = Callable[[str], Awaitable[str]]
"""Asks for a login code for a number, and finds out what it is."""

REASON = "你好，我是安娜"
TIPS = ["以上是打招呼信息", "你们已经成为好友了，现在可以开始聊天了"]
PAGE = 150


async def converse(
    at: ServerAddresses,
    code_for: CodeFor,
    *,
    anna_by: str,
    ben_by: str,
    numbers: Sequence[str],
    texts: int,
    elsewhere: ServerAddresses | None = None,
    online: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Drive a friendship from the login to the history pages, and check that everybody sees all of it.

    Anna has a phone and, on the other transport, a tablet, both connected from the start, and a laptop that
    connects when all is over. `anna_by` and `ben_by` are "tcp" or "ws"; `numbers` are two that never logged in.
    Where there is an `elsewhere`, Ben and the tablet are there. `online` returns when every process knows where the
    three devices are: what is no message does not reach a device before.
    """
    elsewhere = elsewhere or at
    anna_number, ben_number = numbers
    anna = await log_in(at, anna_number, "anna-phone")
    ben = await log_in(elsewhere, ben_number, "ben-phone", await code_for(ben_number))
    tablet = await log_in(at, anna_number, "anna-tablet")
    assert (anna.registered, ben.registered, tablet.registered) == (True, True, False)
    assert tablet.user_id == anna.user_id != ben.user_id

    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        anna_phone = await enter(Handset(anna, at, anna_by))
        anna_tablet = await enter(Handset(tablet, elsewhere, "ws" if anna_by == "tcp" else "tcp"))
        ben_phone = await enter(Handset(ben, elsewhere, ben_by))

        if online is not None:
            await online()
        await _become_friends(anna_phone, anna_tablet, ben_phone, ben_number)
        sent = await _talk(anna_phone, ben_phone, texts)
        total = 3 + 2 * texts
        inboxes = {
            anna.user_id: await _whole_inbox(at, anna_number, ben_by, ben, total),
            ben.user_id: await _whole_inbox(at, ben_number, anna_by, anna, total),
        }
        await _see_everything(anna_phone, anna_tablet, ben_phone, sent, inboxes)
        for device, other in ((anna_phone, ben), (anna_tablet, ben), (ben_phone, anna)):
            await _read_back(device, other, inboxes[device.user_id])

        laptop = await log_in(at, anna_number, "anna-laptop")
        anna_laptop = await enter(Handset(laptop, at, ben_by))
        newest = anna_tablet.ids()[-1]
        await until(lambda: newest in anna_laptop.ids(), "the laptop gets nothing")
        got = anna_laptop.ids()
        check_same(got, anna_tablet.ids()[-len(got) :], "what the laptop got")
        assert anna_laptop.gaps() == []


async def _become_friends(anna: Handset, anna_tablet: Handset, ben: Handset, ben_number: str) -> None:
    found = await anna.search_users(ben_number)
    assert [user.uid for user in found] == [ben.user_id]
    await anna.add_friend(ben.user_id, REASON)
    await ben.until_seen(FriendRequestsChanged)
    (request,) = await ben.friend_requests()
    assert (request.from_uid, request.to_uid, request.reason) == (anna.user_id, ben.user_id, REASON)
    assert request.status == RequestStatus.SENT

    await ben.handle_friend_request(anna.user_id)
    for device, friend in ((anna, ben), (anna_tablet, ben), (ben, anna)):
        await device.until_seen(FriendsChanged)
        (entry,) = await device.friends()
        assert (entry.uid, entry.state) == (friend.user_id, FriendState.FRIEND)
        await device.until_received(3)
        assert [_greeting(message) for message in device.received] == [
            (anna.user_id, ben.user_id, ContentType.TEXT, REASON),
            *((anna.user_id, ben.user_id, ContentType.TIP, tip) for tip in TIPS),
        ]


def _greeting(message: pb.Message) -> tuple[str, str, int, str]:
    content = message.content
    said = content.searchable_content if content.type == ContentType.TEXT else content.content
    return message.from_user, message.conversation.target, content.type, said


async def _talk(anna: Handset, ben: Handset, texts: int) -> dict[str, list[SentMessage]]:
    async with asyncio.TaskGroup() as tasks:
        by_anna = tasks.create_task(anna.send_all(ben.user_id, _texts("anna", texts)))
        by_ben = tasks.create_task(ben.send_all(anna.user_id, _texts("ben", texts)))
    return {anna.user_id: by_anna.result(), ben.user_id: by_ben.result()}


def _texts(who: str, count: int) -> list[str]:
    return [f"{who} 第 {n} 句" for n in range(count)]


async def _whole_inbox(
    at: ServerAddresses, number: str, by: str, other: Credentials, total: int
) -> list[pb.Message]:
    """Return the inbox of a user, as a new device reads it that says it has the first entry; the history has that."""
    credentials = await log_in(at, number, f"reader-{by}")
    async with Handset(credentials, at, by, position=Position(1, 0)) as reader:
        # A seq for each: as many entries as the last seq says.
        await until(lambda: reader.position.seq >= total, lambda: f"{reader.position} of {total}")
        assert reader.position.seq == total
        history = await reader.whole_history(other.user_id, PAGE)
        whole = len(reader.received) == total  # where all is one answer
        return reader.received if whole else [history[-1], *reader.received]


async def _see_everything(
    anna: Handset,
    anna_tablet: Handset,
    ben: Handset,
    sent: dict[str, list[SentMessage]],
    inboxes: dict[str, list[pb.Message]],
) -> None:
    texts = len(sent[ben.user_id])
    await anna.until_received(3 + texts)
    await ben.until_received(3 + texts)
    await anna_tablet.until_received(3 + 2 * texts)
    check_same(anna.texts_of(ben.user_id), _texts("ben", texts), "what Anna got")
    check_same(ben.texts_of(anna.user_id)[3:], _texts("anna", texts), "what Ben got")
    check_same(anna_tablet.texts_of(anna.user_id)[3:], _texts("anna", texts), "Anna on her tablet")
    check_same(anna_tablet.texts_of(ben.user_id), _texts("ben", texts), "Ben on Anna's tablet")

    for device in (anna, anna_tablet, ben):
        assert device.gaps() == []
        entries = inboxes[device.user_id]
        order = [message.message_id for message in entries]
        assert len(order) == len(set(order)) == 3 + 2 * texts
        came = set(device.ids())
        check_same(device.ids(), [id for id in order if id in came], "the order of arrival")
        for sender, receipts in sent.items():
            mine = [m.message_id for m in entries if m.from_user == sender and m.local_message_id]
            check_same(mine, [receipt.message_id for receipt in receipts], "one sender's messages")


async def _read_back(device: Handset, other: Credentials, entries: list[pb.Message]) -> None:
    """Page through the history: all of it, each message once, the newest first."""
    pages = await device.whole_history(other.user_id, PAGE)
    ids = [message.message_id for message in pages]
    assert len(ids) == len(entries)
    check_same(ids, sorted(set(ids), reverse=True), "the order of the history")
    wanted = sorted(((m.message_id, text_of(m)) for m in entries), reverse=True)
    check_same([(m.message_id, text_of(m)) for m in pages], wanted, "the history")
