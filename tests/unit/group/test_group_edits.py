"""ME and MGI: a new content for an own message, and messages by their ids (contract.md section 8)."""

from typing import Any, cast

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsharechat.bus import Edited
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, MemberType, SubSignal, UserStatus
from fsharechat.rpc import Method
from fsharechat.store.messages import Entry
from roles.group.edits import MAX_CONTENT_BYTES
from tests.unit.group.group_kit import Office, text
from tests.unit.group.groups_kit import create, leave, to_group
from tests.unit.group.test_group_roles import set_type

DAY_MS = 86_400_000


def content(words: str, **more: int) -> pb.MessageContent:
    return pb.MessageContent(type=1, searchable_content=words, **cast("dict[str, Any]", more))


async def edit(
    office: Office, uid: str, id: int, new: pb.MessageContent | str, *, retried: bool = False
) -> int:
    made = content(new) if isinstance(new, str) else new
    request = pb.EditMessageRequest(id=id, content=made)
    return (await office.ask(uid, SubSignal.ME, request, retried=retried)).code


async def send(office: Office, uid: str, message: pb.Message) -> int:
    id = int.from_bytes((await office.payload(uid, SubSignal.MS, message))[:8])
    office.events.clear()
    return id


async def by_ids(office: Office, uid: str, *ids: int) -> list[pb.Message]:
    payload = await office.payload(uid, SubSignal.MGI, pb.MessageIds(id=ids))
    return list(pb.PullMessageResult.FromString(payload).message)


async def altered(office: Office, uid: str, after: int = 0) -> list[list[object]]:
    reply = await office.ask(uid, Method.ALTERED, orjson.dumps(after))
    found: list[list[object]] = orjson.loads(reply.payload)
    return found


@pytest.fixture
async def pair(office: Office) -> tuple[str, str]:
    ann, bob = await office.user(), await office.user()
    office.online(ann, bob)
    return ann, bob


async def test_an_edited_message_has_its_old_place(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    id = await send(office, ann, text(bob, "old", local_id=7))
    (before,) = (await office.inbox(bob)).message
    office.now += 1000
    assert await edit(office, ann, id, content("new", mentioned_type=2, persist_flag=4)) == Code.SUCCESS
    request = pb.LoadRemoteMessages(
        conversation=pb.Conversation(type=0, target=bob, line=0), before_uid=0, count=9
    )
    history = pb.PullMessageResult.FromString(await office.payload(ann, SubSignal.LRM, request))
    for found in ((await office.inbox(bob)).message[0], history.message[0], *(await by_ids(office, bob, id))):
        assert found.content == content("new", mentioned_type=2, persist_flag=before.content.persist_flag)
        assert found.edited_dt == office.now
        rest = pb.Message()
        rest.CopyFrom(found)
        rest.ClearField("edited_dt")
        rest.content.CopyFrom(before.content)
        assert rest == before


async def test_all_devices_of_both_are_told(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    id = await send(office, ann, text(bob, "old"))
    await edit(office, ann, id, "new")
    body = (await office.inbox(bob)).message[0].SerializeToString()
    assert office.events == [Edited(id, body, [Entry(ann, 1), Entry(bob, 1)], ann, "phone")]
    for uid in pair:
        assert await altered(office, uid) == [[1, id, ann, "phone", True]]


async def test_only_the_last_edit_of_a_message_is_kept(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    one, two = [await send(office, ann, text(bob, words)) for words in "ab"]
    for words in ("1", "2", "3"):
        await edit(office, ann, one, words)
    await edit(office, ann, two, "1")
    await office.payload(ann, SubSignal.MR, pb.INT64Buf(id=two))
    assert await altered(office, bob) == [
        [3, one, ann, "phone", True],
        [4, two, ann, "phone", True],
        [5, two, ann, "phone", False],
    ]
    assert await altered(office, bob, 4) == [[5, two, ann, "phone", False]]
    recalls = await office.ask(bob, Method.RECALLS, b"0")  # as an earlier version asks
    assert orjson.loads(recalls.payload) == [[5, two, ann, "phone"]]


async def test_the_same_content_changes_nothing(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    id = await send(office, ann, text(bob, "old"))
    await edit(office, ann, id, "new")
    for retried in (False, True):
        assert await edit(office, ann, id, "new", retried=retried) == Code.SUCCESS
    assert len(await altered(office, bob)) == 1


async def test_a_recalled_message_stays_recalled(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    id = await send(office, ann, text(bob, "old"))
    await office.payload(ann, SubSignal.MR, pb.INT64Buf(id=id))
    assert await edit(office, ann, id, "new") == Code.NOT_EXIST
    assert (await office.inbox(bob)).message[0].content.type == 80


async def test_an_old_message_is_not_edited(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    id = await send(office, ann, text(bob, "old"))
    office.now += DAY_MS
    assert await edit(office, ann, id, "a day later") == Code.SUCCESS
    office.now += 1
    assert await edit(office, ann, id, "later") == Code.REQUEST_OVERTIME


@pytest.mark.parametrize(
    "new",
    [
        pb.MessageContent(type=3),
        pb.MessageContent(type=80),
        pb.MessageContent(type=104),
        pb.MessageContent(type=1, data=b"x" * MAX_CONTENT_BYTES),
    ],
    ids=["picture", "recalled", "notice", "large"],
)
async def test_what_is_no_new_text_is_refused(
    office: Office, pair: tuple[str, str], new: pb.MessageContent
) -> None:
    ann, bob = pair
    assert await edit(office, ann, await send(office, ann, text(bob)), new) == Code.INVALID_PARAMETER


async def test_only_texts_are_edited(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    id = await send(office, ann, text(bob, content_type=3))
    assert await edit(office, ann, id, "new") == Code.INVALID_PARAMETER


async def test_only_the_sender_edits(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    id = await send(office, ann, text(bob, "old"))
    assert await edit(office, bob, id, "new") == Code.NO_RIGHT
    assert await edit(office, await office.user(), id, "new") == Code.NOT_EXIST
    assert await edit(office, ann, 1 << 50, "new") == Code.NOT_EXIST


async def test_who_may_not_speak_may_not_edit(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    id = await send(office, ann, text(bob, "old"))
    await office.set_status(ann, UserStatus.MUTED)
    assert await edit(office, ann, id, "new") == Code.MUTED
    await office.set_status(ann, UserStatus.NORMAL)
    await office.blacklist(bob, ann)
    assert await edit(office, ann, id, "new") == Code.BLACKLISTED


async def test_in_a_group_those_who_have_the_message_are_told(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    cid, dan = await office.user(), await office.user()
    group = await create(office, ann, bob, cid)
    for_all = await send(office, bob, to_group(group, "old"))
    for_cid = await send(office, bob, to_group(group, "psst", to=[cid]))
    await office.payload(
        ann,
        SubSignal.GAM,
        pb.AddGroupMemberRequest(group_id=group, added_member=[pb.GroupMember(member_id=dan, type=0)]),
    )
    assert await edit(office, bob, for_all, "new") == Code.SUCCESS
    assert await edit(office, bob, for_cid, "psst!") == Code.SUCCESS
    told = {uid: [one[1] for one in await altered(office, uid)] for uid in (ann, bob, cid)}
    assert told == {ann: [for_all], bob: [for_all, for_cid], cid: [for_all, for_cid]}
    assert [one.message_id for one in await by_ids(office, dan, for_all, for_cid)] == [for_all]
    await set_type(office, ann, group, MemberType.SILENCED, bob)
    assert await edit(office, bob, for_all, "newer") == Code.NO_RIGHT
    await leave(office, bob, group)
    assert await edit(office, bob, for_all, "newer") == Code.NOT_IN_GROUP
    assert await by_ids(office, bob, for_all) == []


async def test_a_client_cannot_say_that_a_message_was_edited(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    message = text(bob)
    message.edited_dt = 5
    await send(office, ann, message)
    assert not (await office.inbox(bob)).message[0].HasField("edited_dt")


# Whatever is done to a message, its last form is the last one that was allowed


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["edit", "edit", "recall", "wait", "by other"]), max_size=8))
async def test_the_last_allowed_form_stays(office: Office, pair: tuple[str, str], steps: list[str]) -> None:
    ann, bob = await office.user(), await office.user()
    id = await send(office, ann, text(bob, "0"))
    words, recalled, sent = "0", False, office.now
    for number, step in enumerate(steps, 1):
        if step == "edit":
            code = await edit(office, ann, id, str(number))
            if recalled:
                assert code == Code.NOT_EXIST
            elif office.now - sent > DAY_MS:
                assert code == Code.REQUEST_OVERTIME
            else:
                assert code == Code.SUCCESS
                words = str(number)
        elif step == "recall":
            await office.payload(ann, SubSignal.MR, pb.INT64Buf(id=id))
            recalled = True
        elif step == "wait":
            office.now += DAY_MS // 2 + 1
        else:
            assert await edit(office, bob, id, "his") == Code.NO_RIGHT
    (found,) = await by_ids(office, bob, id)
    assert (found.content.type == 80) == recalled
    assert found.content.searchable_content == ("" if recalled else words)
