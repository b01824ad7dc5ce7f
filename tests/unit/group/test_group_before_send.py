"""The question before a message is stored, to a real receiver: refuse, change, no answer, and none that counts."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiohttp import web

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ContentType, SubSignal
from fsharechat.rpc import Reply
from fsharechat.settings_hooks import BeforeSendSettings
from roles.group import GroupRole
from roles.group.open_push import SENDER
from tests.unit.group import groups_kit
from tests.unit.group.group_kit import HookSections, Office, text
from tools.testing.hook_receiver import SECRET, Event, HookReceiver, hang, taken
from tools.testing.server import until


@pytest.fixture
async def receiver() -> AsyncIterator[HookReceiver]:
    async with HookReceiver() as receiver:
        yield receiver


@pytest.fixture
def more() -> dict[str, Any]:
    """Return further keys of `[before_send]`; tests override this with a mark."""
    return {}


@pytest.fixture
async def hooks(receiver: HookReceiver, request: pytest.FixtureRequest) -> HookSections:
    mark = request.node.get_closest_marker("parametrize")
    more = request.getfixturevalue("more") if mark else {}
    keys = {"url": receiver.url, "secret": SECRET, "seconds": 2.5, **more}
    return HookSections(before_send=BeforeSendSettings.model_validate(keys))


def answering(action: str, **more: str) -> Any:
    async def answer(_: Event) -> web.StreamResponse:
        return web.json_response({"action": action, **more})

    return answer


def answering_bytes(body: bytes, status: int = 200) -> Any:
    async def answer(_: Event) -> web.StreamResponse:
        return web.Response(body=body, status=status)

    return answer


async def send(office: Office, sender: str, target: str, said: str, local_id: int = 0, **more: Any) -> Reply:
    return await office.ask(sender, SubSignal.MS, text(target, said, local_id=local_id), **more)


async def said_to(office: Office, uid: str) -> list[str]:
    return [one.content.searchable_content for one in (await office.inbox(uid)).message]


async def test_a_message_is_allowed_changed_or_refused_with_a_reason(
    office: Office, receiver: HookReceiver
) -> None:
    anna, ben = await office.users(2)
    for answer in (taken, answering("allow")):
        receiver.answer = answer
        assert (await send(office, anna, ben, "as it is")).code == Code.SUCCESS
    asked = receiver.asked[0]
    data = asked["data"]
    assert (asked["type"], asked["version"]) == ("message.before_send", 1)
    assert (data["from"], data["clientId"]) == (anna, "phone")
    assert data["conversation"] == {"type": "private", "target": ben, "line": 0}
    assert data["content"]["searchableContent"] == "as it is"
    receiver.answer = answering("change", text="别的")
    assert (await send(office, anna, ben, "bad")).code == Code.SUCCESS
    receiver.answer = answering("refuse", reason="too loud")
    reply = await send(office, anna, ben, "LOUD")
    assert (reply.code, reply.payload) == (Code.SENSITIVE_WORD, b"")
    assert await said_to(office, ben) == ["as it is", "as it is", "别的"]
    told = (await office.inbox(anna)).message[-1]
    assert (told.from_user, told.content.searchable_content) == (SENDER, "too loud")


async def test_a_repeated_message_has_one_decision(office: Office, receiver: HookReceiver) -> None:
    anna, ben = await office.users(2)
    receiver.answer = answering("change", text="changed")
    first = await send(office, anna, ben, "same", local_id=7)
    receiver.answer = answering("refuse")
    again = await send(office, anna, ben, "same", local_id=7)
    assert again.payload[:16] == first.payload[:16]
    assert len(receiver.asked) == 1
    assert await said_to(office, ben) == ["changed"]
    receiver.answer = answering("refuse", reason="no")
    for _ in range(2):
        assert (await send(office, anna, ben, "other", local_id=8)).code == Code.SENSITIVE_WORD
    assert receiver.asked[1]["id"] == receiver.asked[2]["id"] != receiver.asked[0]["id"]
    assert {one["data"]["clientMessageId"] for one in receiver.asked[1:]} == {"8"}
    assert (await said_to(office, anna)).count("no") == 1


async def test_messages_of_one_sender_keep_their_order_and_others_do_not_wait(
    office: Office, receiver: HookReceiver
) -> None:
    anna, ben, carl = await office.users(3)
    go = asyncio.Event()

    async def answer(event: Event) -> web.StreamResponse:
        if event["data"]["content"]["searchableContent"] == "slow":
            await go.wait()
        return web.Response()

    receiver.answer = answer
    slow = [asyncio.ensure_future(send(office, anna, ben, said)) for said in ("slow", "later")]
    await until(lambda: receiver.under_way)
    assert (await send(office, carl, ben, "quick")).code == Code.SUCCESS
    assert not any(one.done() for one in slow)
    go.set()
    assert [reply.code for reply in await asyncio.gather(*slow)] == [Code.SUCCESS] * 2
    assert await said_to(office, ben) == ["quick", "slow", "later"]


BAD = {
    "garbage": answering_bytes(b"\xff\x00 garbage"),
    "10 MB": answering_bytes(bytes(10_000_000)),
    "an error": answering_bytes(b"", 500),
    "a list": answering_bytes(b"[]"),
    "another action": answering("shout"),
    "no text": answering("change"),
    "a large text": answering("change", text="x" * 70_000),
    "a reason that is none": answering_bytes(orjson.dumps({"action": "refuse", "reason": 3})),
    "a redirect": answering_bytes(b"", 302),
}


@pytest.mark.parametrize("more", [{"unanswered": "allow"}, {"unanswered": "refuse"}], ids=str)
async def test_what_is_no_answer_is_treated_as_the_settings_say(
    office: Office, role: GroupRole, receiver: HookReceiver, more: dict[str, Any]
) -> None:
    anna, ben = await office.users(2)
    assert role._business is not None
    before = role._business.before_send
    code = Code.SUCCESS if more["unanswered"] == "allow" else Code.SERVER_ERROR
    for what, answer in BAD.items():
        receiver.answer = answer
        assert (await send(office, anna, ben, what)).code == code, what
    assert before.unanswered == len(BAD)
    assert (await before.look()).reason
    assert (await before.look()).serves
    receiver.answer = taken
    assert (await send(office, anna, ben, "well again")).code == Code.SUCCESS
    assert (await before.look()).reason == ""
    expected = [*(BAD if code == Code.SUCCESS else ()), "well again"]
    assert await said_to(office, ben) == expected


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"seconds": 0.05, "unanswered": "allow", "under_way": 1}, Code.SUCCESS),
        ({"seconds": 0.05, "unanswered": "refuse", "under_way": 1}, Code.SERVER_ERROR),
    ],
    ids=str,
)
async def test_a_receiver_that_hangs_is_given_up_also_by_those_who_wait_for_their_turn(
    office: Office, receiver: HookReceiver, more: dict[str, Any], code: Code
) -> None:
    anna, ben, carl = await office.users(3)
    receiver.answer = hang
    replies = await asyncio.gather(send(office, anna, ben, "one"), send(office, carl, ben, "two"))
    assert [reply.code for reply in replies] == [code] * 2
    assert receiver.most_under_way <= 1


@pytest.mark.parametrize("more", [{"conversations": "group"}], ids=str)
async def test_only_the_conversations_named_and_stored_messages_are_asked_about(
    office: Office, receiver: HookReceiver, more: dict[str, Any]
) -> None:
    anna, ben = await office.users(2)
    group = await groups_kit.create(office, anna, ben)
    receiver.answer = answering("refuse")
    assert (await send(office, anna, ben, "private")).code == Code.SUCCESS
    assert (await groups_kit.say(office, anna, group, "hello")).code == Code.SENSITIVE_WORD
    typing = groups_kit.to_group(group, "", content_type=ContentType.TYPING)
    assert (await office.ask(anna, SubSignal.MS, typing)).code == Code.SUCCESS
    assert len(receiver.asked) == 1


async def test_an_edit_is_asked_about_as_well(office: Office, receiver: HookReceiver) -> None:
    anna, ben = await office.users(2)
    reply = await send(office, anna, ben, "first")
    id = int.from_bytes(reply.payload[:8], "big")
    content = pb.MessageContent(type=ContentType.TEXT, searchable_content="second")
    request = pb.EditMessageRequest(id=id, content=content)
    receiver.answer = answering("refuse")
    assert await office.code(anna, SubSignal.ME, request) == Code.SENSITIVE_WORD
    receiver.answer = answering("change", text="third")
    assert await office.code(anna, SubSignal.ME, request) == Code.SUCCESS
    assert [one["type"] for one in receiver.asked] == ["message.before_send", *["message.before_edit"] * 2]
    assert await said_to(office, ben) == ["third"]
