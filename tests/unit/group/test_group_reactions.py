"""REA and REL: reactions to messages (contract.md section 8)."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsharechat.bus import Notify
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal
from roles.group import reactions
from roles.group.reactions import MAX_EMOJI, MAX_EMOJI_BYTES, is_emoji
from tests.unit.group.group_kit import Office, text
from tests.unit.group.groups_kit import create, to_group
from tests.unit.group.test_group_edits import send

FAMILY = "👨\u200d👩\u200d👧\u200d👦"
WALES = "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f"


async def react(office: Office, uid: str, id: int, *emoji: str) -> int:
    return (await office.ask(uid, SubSignal.REA, pb.ReactRequest(id=id, emoji=emoji))).code


async def reactions_to(office: Office, uid: str, *ids: int) -> list[tuple[int, str, list[str]]]:
    payload = await office.payload(uid, SubSignal.REL, pb.MessageIds(id=ids))
    return [(one.id, one.uid, list(one.emoji)) for one in pb.ReactionsResult.FromString(payload).entry]


def told(office: Office) -> list[tuple[str, str, list[str], str]]:
    """Return and forget who was told of whose emoji, and which device was left out."""
    heard = [event for event in office.events if isinstance(event, Notify)]
    office.events.clear()
    assert {event.sub_signal for event in heard} <= {SubSignal.REN}
    found = [(event, pb.Reactions.FromString(event.body)) for event in heard]
    return [(event.uid, one.uid, list(one.emoji), event.except_client) for event, one in found]


@pytest.mark.parametrize("emoji", ["👍", "❤️", FAMILY, WALES, "🇨🇳", "1️⃣", ":+1:", "赞"])
def test_emoji(emoji: str) -> None:
    assert is_emoji(emoji)


@pytest.mark.parametrize(
    "emoji", ["", " ", "a b", "\n", "\u200d", "\ufe0f", "\u202e!", "x" * 65, "\ue000", b"x"]
)
def test_no_emoji(emoji: str | bytes) -> None:
    assert not is_emoji(emoji)


async def test_both_are_told_and_can_ask(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    office.online(ann, bob)
    id = await send(office, ann, text(bob))
    assert await react(office, bob, id, "👍", "❤️", "👍") == Code.SUCCESS
    assert told(office) == [(ann, bob, ["👍", "❤️"], ""), (bob, bob, ["👍", "❤️"], "phone")]
    assert await react(office, ann, id, FAMILY) == Code.SUCCESS
    for uid in (ann, bob):
        assert sorted(await reactions_to(office, uid, id)) == sorted(
            [(id, ann, [FAMILY]), (id, bob, ["👍", "❤️"])]
        )
    assert await react(office, bob, id) == Code.SUCCESS
    assert await reactions_to(office, bob, id) == [(id, ann, [FAMILY])]


async def test_members_are_told_of_what_they_may_see(office: Office) -> None:
    ann, bob, cid, eve = [await office.user() for _ in range(4)]
    office.online(ann, bob, cid, eve)
    group = await create(office, ann, bob, cid)
    for_all = await send(office, ann, to_group(group))
    for_bob = await send(office, ann, to_group(group, to=[bob]))
    assert await react(office, bob, for_all, "👍") == Code.SUCCESS
    assert {uid for uid, *_ in told(office)} == {ann, bob, cid}
    assert await react(office, bob, for_bob, "👍") == Code.SUCCESS
    assert {uid for uid, *_ in told(office)} == {ann, bob}
    assert await react(office, cid, for_bob, "👍") == Code.NOT_EXIST
    assert await react(office, eve, for_all, "👍") == Code.NOT_EXIST
    assert await reactions_to(office, eve, for_all) == []
    assert await reactions_to(office, cid, for_all, for_bob) == [(for_all, bob, ["👍"])]


async def test_a_recalled_message_has_no_reactions(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    id = await send(office, ann, text(bob))
    await react(office, bob, id, "👍")
    await office.payload(ann, SubSignal.MR, pb.INT64Buf(id=id))
    assert await react(office, bob, id, "❤️") == Code.NOT_EXIST
    assert await reactions_to(office, bob, id) == []


async def test_who_was_blacklisted_does_not_react(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    id = await send(office, ann, text(bob))
    await office.blacklist(ann, bob)
    assert await react(office, bob, id, "👍") == Code.BLACKLISTED


async def test_only_so_many_users_react(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactions, "MAX_USERS", 2)
    people = [await office.user() for _ in range(3)]
    group = await create(office, *people)
    id = await send(office, people[0], to_group(group))
    codes = [await react(office, uid, id, "👍") for uid in (*people, people[0])]
    assert codes == [0, 0, Code.INVALID_PARAMETER, 0]
    await react(office, people[0], id)
    assert await react(office, people[2], id, "👍") == Code.SUCCESS


async def test_a_question_has_bounds(office: Office) -> None:
    ann = await office.user()
    for request in (SubSignal.REL, SubSignal.MGI):
        assert await office.code(ann, request, pb.MessageIds(id=range(101))) == Code.INVALID_PARAMETER


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=20) | st.sampled_from(["👍", "❤️", FAMILY]), max_size=7))
async def test_what_is_kept_is_a_small_set_of_small_emoji(office: Office, emoji: list[str]) -> None:
    ann = await office.user()
    id = await send(office, ann, text(ann))
    code = await react(office, ann, id, *emoji)
    kept = [one[2] for one in await reactions_to(office, ann, id)]
    if code == Code.SUCCESS:
        distinct = list(dict.fromkeys(emoji))
        assert kept == ([distinct] if distinct else [])
        assert len(distinct) <= MAX_EMOJI
        assert all(0 < len(one.encode()) <= MAX_EMOJI_BYTES for one in distinct)
    else:
        assert code == Code.INVALID_PARAMETER
        assert kept == []
