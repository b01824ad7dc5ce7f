"""GC, GPGI and GPGM, and messages to groups (contract.md sections 7 and 8)."""

import asyncio
import struct

import pytest

from fsharechat.bus import Deliver, Push
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import SENT_BYTES
from fsharechat.protocol.ids import time_of
from fsharechat.protocol.signals import (
    Code,
    ContentType,
    ConversationType,
    GroupType,
    MemberType,
    SubSignal,
    UserStatus,
)
from fsharechat.store.messages import Entry
from tests.unit.group.group_kit import Office, text, words
from tests.unit.group.groups_kit import (
    add,
    create,
    dismiss,
    info,
    infos,
    kick,
    members,
    new_group,
    notices,
    said,
    say,
    to_group,
)
from tools.testing.server import until

GC, GPGI, GPGM, MS = SubSignal.GC, SubSignal.GPGI, SubSignal.GPGM, SubSignal.MS


def pushed(office: Office) -> list[Push]:
    return [event for event in office.events if isinstance(event, Push)]


async def people(office: Office, count: int) -> list[str]:
    return [await office.user() for _ in range(count)]


async def test_the_creator_owns_a_group_of_those_named(office: Office) -> None:
    ann, bob, cid = await people(office, 3)
    id = await create(office, ann, bob, cid, name="飞享", kind=GroupType.RESTRICTED)
    found = await info(office, bob, id)
    assert (found.target_id, found.name, found.owner, found.type, found.member_count) == (
        id,
        "飞享",
        ann,
        GroupType.RESTRICTED,
        3,
    )
    assert found.update_dt == found.member_update_dt == office.now
    assert await members(office, bob, id) == {
        ann: MemberType.OWNER,
        bob: MemberType.NORMAL,
        cid: MemberType.NORMAL,
    }


async def test_a_group_keeps_the_id_that_the_client_gave_it(office: Office) -> None:
    ann, bob = await people(office, 2)
    assert await create(office, ann, id="我们 2-x") == "我们 2-x"
    assert await office.code(bob, GC, new_group(id="我们 2-x", name="mine")) == Code.GROUP_EXISTS
    assert (await info(office, bob, "我们 2-x")).owner == ann


async def test_generated_ids_differ_though_the_requests_do_not(office: Office) -> None:
    (ann,) = await people(office, 1)
    ids = {await create(office, ann) for _ in range(5)}
    assert len(ids) == 5
    assert all(id.isalnum() for id in ids)


@pytest.mark.parametrize("id", ["a|b", "x" * 65, "a\nb", "\0", " a", "a "], ids=repr)
async def test_ids_that_would_be_trouble_are_refused(office: Office, id: str) -> None:
    assert await office.code(await office.user(), GC, new_group(id=id)) == Code.INVALID_PARAMETER


@pytest.mark.parametrize(
    "request_",
    [
        new_group(kind=3),
        new_group(kind=-1),
        new_group(name="x" * 256),
        pb.CreateGroupRequest(group=pb.Group(group_info=pb.GroupInfo(name="", type=0, portrait="x" * 2049))),
        pb.CreateGroupRequest(group=pb.Group(group_info=pb.GroupInfo(name="", type=0, extra="x" * 16001))),
        pb.CreateGroupRequest(
            group=pb.Group(
                group_info=pb.GroupInfo(name="", type=0),
                members=[pb.GroupMember(member_id="x", type=0, alias="x" * 65)],
            )
        ),
    ],
    ids=["type", "negative type", "name", "portrait", "extra", "alias"],
)
async def test_what_no_group_can_be_is_refused(office: Office, request_: pb.CreateGroupRequest) -> None:
    assert await office.code(await office.user(), GC, request_) == Code.INVALID_PARAMETER


async def test_members_count_once_and_only_if_they_exist(office: Office) -> None:
    ann, bob = await people(office, 2)
    id = await create(office, ann, bob, ann, bob, "nobody", "")
    assert await members(office, ann, id) == {ann: MemberType.OWNER, bob: MemberType.NORMAL}
    assert (await info(office, ann, id)).member_count == 2


async def test_the_creator_names_managers_and_the_silenced_and_no_second_owner(office: Office) -> None:
    ann, bob, cid, dan, eve = await people(office, 5)
    types = {
        bob: MemberType.MANAGER,
        cid: MemberType.SILENCED,
        dan: MemberType.OWNER,
        eve: MemberType.REMOVED,
    }
    id = await create(office, ann, bob, cid, dan, eve, types=types)
    assert await members(office, ann, id) == {
        ann: MemberType.OWNER,
        bob: MemberType.MANAGER,
        cid: MemberType.SILENCED,
        dan: MemberType.NORMAL,
        eve: MemberType.NORMAL,
    }


async def test_all_members_are_told_of_a_new_group(office: Office) -> None:
    ann, bob = await people(office, 2)
    office.online(ann, bob)
    id = await create(office, ann, bob, name="us")
    for uid in (ann, bob):
        assert await notices(office, uid) == [
            (ContentType.GROUP_CREATED, ann, {"g": id, "o": ann, "n": "us"})
        ]
    (event,) = office.events
    assert isinstance(event, Deliver)
    assert sorted(event.entries) == sorted([Entry(ann, 1), Entry(bob, 1)])
    assert (event.sender, event.sender_client) == (ann, "")  # the operator's own devices are told too
    (told,) = (await office.inbox(bob)).message
    assert told.conversation == pb.Conversation(type=ConversationType.GROUP, target=id, line=0)
    assert told.server_timestamp == time_of(told.message_id)


async def test_a_creation_that_is_tried_again_makes_one_group(office: Office) -> None:
    ann, bob = await people(office, 2)
    for request in (new_group(bob), new_group(bob, id="given")):
        message_id = office.ids.next()
        first = await office.ask(ann, GC, request, message_id=message_id)
        again = await office.ask(ann, GC, request, message_id=message_id, retried=True)
        assert first == again
        assert first.code == Code.SUCCESS
    assert len(await notices(office, bob)) == 2


async def test_a_retried_creation_that_never_was_is_carried_out(office: Office) -> None:
    (ann,) = await people(office, 1)
    reply = await office.ask(ann, GC, new_group(), retried=True)
    assert reply.code == Code.SUCCESS
    assert (await info(office, ann, reply.payload.decode())).owner == ann


async def test_gpgi_answers_the_groups_that_exist_in_the_order_asked_for(office: Office) -> None:
    ann, bob = await people(office, 2)
    one, two = await create(office, ann), await create(office, ann)
    found = await infos(office, bob, two, "unknown", one, two)
    assert [group.target_id for group in found] == [two, one]
    assert await infos(office, bob) == []
    many = pb.PullUserRequest(request=[pb.UserRequest(uid=str(n)) for n in range(2001)])
    assert await office.code(bob, GPGI, many) == Code.INVALID_PARAMETER


async def test_gpgm_shows_members_only_what_has_changed(office: Office) -> None:
    ann, bob, eve = await people(office, 3)
    id = await create(office, ann, bob)
    version = (await info(office, ann, id)).member_update_dt
    assert await members(office, eve, id) == {}
    assert await members(office, ann, "unknown") == {}
    assert await members(office, ann, id, version) == {}
    assert len(await members(office, ann, id, version - 1)) == 2


# Messages


async def test_a_message_reaches_every_member_once(office: Office) -> None:
    ann, bob, cid, eve = await people(office, 4)
    id = await create(office, ann, bob, cid)
    office.online(ann, bob, cid, eve)
    message_id = office.ids.next()
    reply = await office.ask(bob, MS, to_group(id), message_id=message_id, client="tablet")
    assert (reply.code, struct.unpack(">qqq", reply.payload)) == (0, (message_id, time_of(message_id), 2))
    (event,) = office.events
    assert isinstance(event, Deliver)
    assert sorted(event.entries) == sorted(Entry(uid, 2) for uid in (ann, bob, cid))
    assert (event.sender, event.sender_client) == (bob, "tablet")
    for uid in (ann, bob, cid):
        assert words(await office.inbox(uid, 1)) == ["hello"]
    assert (await office.inbox(eve)).head == 0


async def test_who_is_no_member_sends_nothing(office: Office) -> None:
    ann, eve = await people(office, 2)
    id = await create(office, ann)
    await said(office, ann, id)
    for target in (id, "unknown", ""):
        assert (await say(office, eve, target)).code == Code.NOT_IN_GROUP
    assert (await say(office, eve, id, content_type=ContentType.TYPING)).code == Code.NOT_IN_GROUP
    assert (await office.inbox(ann)).head == 2


@pytest.mark.parametrize("content_type", [ContentType.TEXT, ContentType.TYPING])
async def test_the_silenced_say_nothing(office: Office, content_type: int) -> None:
    ann, bob = await people(office, 2)
    id = await create(office, ann, bob, types={bob: MemberType.SILENCED})
    assert (await say(office, bob, id, content_type=content_type)).code == Code.NO_RIGHT
    await said(office, ann, id)
    assert words(await office.inbox(bob, 1)) == ["hello"]


async def test_the_muted_say_nothing_to_groups_either(office: Office) -> None:
    ann, bob = await people(office, 2)
    id = await create(office, ann, bob)
    await office.set_status(bob, UserStatus.MUTED)
    assert (await say(office, bob, id)).code == Code.MUTED
    await office.set_status(bob, UserStatus.BLOCKED)
    assert (await say(office, bob, id)).code == Code.USER_FORBIDDEN


async def test_a_directed_message_reaches_those_members_it_names(office: Office) -> None:
    ann, bob, cid, eve = await people(office, 4)
    id = await create(office, ann, bob, cid)
    office.online(ann, bob, cid, eve)
    await said(office, ann, id, "psst", to=[bob, eve, ann, bob])
    message = to_group(id, "hey")
    message.to_user = cid
    assert (await office.ask(ann, MS, message)).code == Code.SUCCESS
    await said(office, ann, id, "all", to=[""])
    await said(office, ann, id, "nobody", to=[eve])
    assert words(await office.inbox(ann, 1)) == ["psst", "hey", "all", "nobody"]
    assert words(await office.inbox(bob, 1)) == ["psst", "all"]
    assert words(await office.inbox(cid, 1)) == ["hey", "all"]
    assert (await office.inbox(eve)).head == 0
    assert {uid for event in office.events if isinstance(event, Deliver) for uid, _ in event.entries} == {
        ann,
        bob,
        cid,
    }


async def test_transparent_messages_are_pushed_to_members_but_the_sender(office: Office) -> None:
    ann, bob, cid = await people(office, 3)
    id = await create(office, ann, bob, cid)
    office.online(ann, bob, cid)
    office.online(ann, client="tablet")
    await said(office, ann, id, content_type=ContentType.TYPING)
    await said(office, ann, id, content_type=ContentType.TYPING, to=[cid])
    assert (await office.inbox(bob)).head == 1
    await until(lambda: len(pushed(office)) == 2, "not both were pushed")
    assert [sorted(event.uids) for event in pushed(office)] == [sorted([bob, cid]), [cid]]


async def test_transparent_messages_go_to_members_also_where_the_news_of_a_change_is_lost(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob, cid, dan = [await office.user() for _ in range(4)]
    office.online(bob, cid, dan)
    id = await create(office, ann, bob, cid)
    await said(office, ann, id, content_type=ContentType.TYPING)
    monkeypatch.setattr(office.node.bus, "invalidate", lambda keys: None)
    assert await kick(office, ann, id, bob) == Code.SUCCESS
    assert await add(office, ann, id, dan) == Code.SUCCESS
    office.events.clear()
    await said(office, ann, id, content_type=ContentType.TYPING)
    await until(lambda: bool(pushed(office)), "nothing was pushed")
    assert [sorted(event.uids) for event in pushed(office)] == [sorted((cid, dan))]
    assert (await say(office, bob, id, content_type=ContentType.TYPING)).code == Code.NOT_IN_GROUP
    assert await dismiss(office, ann, id) == Code.SUCCESS
    assert (await say(office, ann, id, content_type=ContentType.TYPING)).code == Code.NOT_IN_GROUP


async def test_transparent_messages_of_one_sender_keep_their_order(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    office.online(bob)
    id = await create(office, ann, bob)
    kinds = [ContentType.TYPING, ContentType.TEXT, ContentType.TYPING, ContentType.TIP]
    await asyncio.gather(
        *[said(office, ann, id, str(n), content_type=kind, flag=4) for n, kind in enumerate(kinds)]
    )
    await until(lambda: len(pushed(office)) == len(kinds), "not all were pushed")
    assert [pb.Message.FromString(event.body).content.type for event in pushed(office)] == kinds


async def test_addressees_that_are_not_utf8_are_invalid_data(office: Office) -> None:
    ann, bob = await people(office, 2)
    id = await create(office, ann, bob)
    raw = to_group(id, to=["bobby"]).SerializeToString().replace(b"bobby", b"\xc3\x28\xff\xfeo")
    assert await office.code(ann, MS, raw) == Code.INVALID_DATA


async def test_a_resend_to_a_group_is_found(office: Office) -> None:
    ann, bob = await people(office, 2)
    id = await create(office, ann, bob)
    one = await say(office, ann, id, local_id=5)
    again = await say(office, ann, id, local_id=5)
    assert (again.code, again.payload[:SENT_BYTES]) == (one.code, one.payload[:SENT_BYTES])
    assert (await office.inbox(bob)).head == 2


async def test_members_are_read_once_for_many_messages(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await people(office, 2)
    id = await create(office, ann, bob)
    await said(office, ann, id)
    await said(office, bob, id)

    async def read(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(office.node.store, "read", read)
    monkeypatch.setattr(office.node.store, "read_for", read)
    await asyncio.gather(*[said(office, uid, id) for uid in (ann, bob) * 10])


async def test_a_process_that_has_not_heard_of_a_change_obeys_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The members that are cached are not those that the store has: the news of the change is lost."""
    ann, bob, cid, dan = await people(office, 4)
    id = await create(office, ann, bob, cid)
    await said(office, ann, id, "one")
    await said(office, bob, id, "one")
    with monkeypatch.context() as deaf:
        deaf.setattr(office.node.bus, "invalidate", lambda _: None)
        assert await kick(office, ann, id, bob) == Code.SUCCESS
        request = pb.AddGroupMemberRequest(group_id=id, added_member=[pb.GroupMember(member_id=dan, type=0)])
        assert await office.code(ann, SubSignal.GAM, request) == Code.SUCCESS
    office.online(ann, bob, cid, dan)
    assert (await say(office, bob, id, "lost")).code == Code.NOT_IN_GROUP
    await said(office, ann, id, "two")
    await said(office, dan, id, "three")
    assert words(await office.inbox(dan, 1)) == ["two", "three"]
    assert words(await office.inbox(cid, 5)) == ["two", "three"]
    assert bob not in {
        uid for event in office.events if isinstance(event, Deliver) for uid, _ in event.entries
    }


async def test_who_has_just_come_is_not_refused_by_a_process_that_has_not_heard_of_it(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = await people(office, 2)
    id = await create(office, ann)
    await said(office, ann, id)
    with monkeypatch.context() as deaf:
        deaf.setattr(office.node.bus, "invalidate", lambda _: None)
        assert await add(office, ann, id, bob) == Code.SUCCESS
    assert (
        await office.ask(bob, MS, text(ann))
    ).code == Code.SUCCESS  # what there is to know of bob is cached
    await said(office, bob, id)
    await said(office, bob, id, content_type=ContentType.TYPING)


async def test_messages_to_groups_and_users_keep_the_order_of_their_sender(office: Office) -> None:
    ann, bob = await people(office, 2)
    id = await create(office, ann, bob)
    sent = [to_group(id, "one"), text(bob, "two"), to_group(id, "three"), text(bob, "four")]
    replies = await asyncio.gather(*[office.ask(ann, MS, message) for message in sent])
    assert {reply.code for reply in replies} == {Code.SUCCESS}
    assert words(await office.inbox(bob, 1)) == ["one", "two", "three", "four"]


async def test_a_group_of_thousands_is_made_and_hears(office: Office) -> None:
    ann, bob = await people(office, 2)
    crowd = await office.users(4999)
    id = await create(office, ann, *crowd)
    assert (await info(office, ann, id)).member_count == 5000
    office.online(*crowd[::10])
    await said(office, ann, id)
    (event,) = office.events
    assert isinstance(event, Deliver)
    assert sorted(event.entries) == sorted(Entry(uid, 2) for uid in crowd[::10])
    request = pb.AddGroupMemberRequest(group_id=id, added_member=[pb.GroupMember(member_id=bob, type=0)])
    assert await office.code(ann, SubSignal.GAM, request) == Code.INVALID_PARAMETER
    assert await office.code(ann, GC, new_group(bob, *crowd)) == Code.INVALID_PARAMETER
