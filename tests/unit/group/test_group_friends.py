"""FAR and FHR: asking for friendship and answering (contract.md section 8)."""

import struct

import pytest

from fsharechat.bus import Deliver, Notify
from fsharechat.clock import now_ms
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import compose
from fsharechat.protocol.signals import Code, ContentType, RequestStatus, SubSignal
from tests.unit.group.group_kit import NODE, Office, text

FAR, FHR, FN, FRN = SubSignal.FAR, SubSignal.FHR, SubSignal.FN, SubSignal.FRN
ACCEPTED, REJECTED = RequestStatus.ACCEPTED, RequestStatus.REJECTED
DAY_MS = 86_400_000


async def ask(office: Office, uid: str, target: str, reason: str = "hello") -> int:
    return await office.code(uid, FAR, pb.AddFriendRequest(target_uid=target, reason=reason))


async def answer(office: Office, uid: str, requester: str, status: int = ACCEPTED) -> int:
    return await office.code(uid, FHR, pb.HandleFriendRequest(target_uid=requester, status=status))


async def friends_of(office: Office, uid: str) -> list[str]:
    payload = await office.payload(uid, SubSignal.FP, pb.Version(version=0))
    return [friend.uid for friend in pb.GetFriendsResult.FromString(payload).entry]


@pytest.fixture
async def pair(office: Office) -> tuple[str, str]:
    """Return the uids of two users with a device online each."""
    ann, bob = await office.user(), await office.user()
    office.online(ann, bob)
    return ann, bob


async def test_a_request_is_told_at_once_to_both(office: Office, pair: tuple[str, str]) -> None:
    """It is in both lists: what is not told now, the head check would tell seconds later."""
    ann, bob = pair
    assert await ask(office, ann, bob) == Code.SUCCESS
    version = struct.pack(">q", office.now)
    assert sorted(office.events) == sorted([Notify(FRN, version, ann), Notify(FRN, version, bob)])


@pytest.mark.parametrize(
    ("age", "code"), [(7 * DAY_MS - 1, Code.ALREADY_REQUESTED), (7 * DAY_MS, Code.SUCCESS)], ids=str
)
async def test_an_open_request_keeps_a_second_one_away_for_seven_days(
    office: Office, pair: tuple[str, str], age: int, code: Code
) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    office.events.clear()
    office.now += age
    assert await ask(office, ann, bob) == code
    assert bool(office.notified()) == (code == Code.SUCCESS)


@pytest.mark.parametrize(
    ("age", "code"), [(30 * DAY_MS - 1, Code.REQUEST_BLOCKED), (30 * DAY_MS, Code.SUCCESS)], ids=str
)
async def test_a_rejection_keeps_further_requests_away_for_thirty_days(
    office: Office, pair: tuple[str, str], age: int, code: Code
) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    office.now += 3 * DAY_MS
    assert await answer(office, bob, ann, REJECTED) == Code.SUCCESS
    office.now += age  # counted from the rejection, not from the request
    assert await ask(office, ann, bob) == code


async def test_a_clock_that_was_a_year_ahead_keeps_no_request_away(
    office: Office, pair: tuple[str, str]
) -> None:
    ann, bob = pair
    office.now += 365 * DAY_MS
    await ask(office, ann, bob)
    office.now -= 365 * DAY_MS
    assert await answer(office, bob, ann) == Code.REQUEST_OVERTIME
    assert await ask(office, ann, bob) == Code.SUCCESS
    office.now += 365 * DAY_MS
    assert await ask(office, ann, bob) == Code.SUCCESS
    assert await answer(office, bob, ann, REJECTED) == Code.SUCCESS
    office.now -= 365 * DAY_MS
    assert await ask(office, ann, bob) == Code.SUCCESS


async def test_a_clock_that_went_back_an_hour_changes_nothing_for_requests(
    office: Office, pair: tuple[str, str]
) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    office.now -= 3_600_000
    assert await ask(office, ann, bob) == Code.ALREADY_REQUESTED
    assert await answer(office, bob, ann, REJECTED) == Code.SUCCESS
    office.now -= 3_600_000
    assert await ask(office, ann, bob) == Code.REQUEST_BLOCKED


async def test_a_rejection_is_told_to_both_and_makes_no_friends(
    office: Office, pair: tuple[str, str]
) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    office.notified()
    await answer(office, bob, ann, REJECTED)
    assert sorted(office.notified()) == sorted([(FRN, ann), (FRN, bob)])
    assert await friends_of(office, ann) == await friends_of(office, bob) == []
    assert (await office.inbox(bob)).head == 0


async def test_a_rejection_does_not_keep_the_other_from_asking(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    await answer(office, bob, ann, REJECTED)
    assert await ask(office, bob, ann) == Code.SUCCESS


async def test_accepting_makes_both_friends_and_tells_both(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    office.events.clear()
    assert await answer(office, bob, ann) == Code.SUCCESS
    told = [event for event in office.events if isinstance(event, Notify)]
    version, answered = (
        struct.pack(">q", office.now),
        struct.pack(">q", office.now + 1),
    )  # the request was first
    assert sorted(told) == sorted(
        Notify(*note, uid) for note in ((FN, version), (FRN, answered)) for uid in (ann, bob)
    )
    assert (await friends_of(office, ann), await friends_of(office, bob)) == ([bob], [ann])


async def test_accepting_stores_three_messages_from_the_requester(
    office: Office, pair: tuple[str, str]
) -> None:
    ann, bob = pair
    await ask(office, ann, bob, "我是安")
    await answer(office, bob, ann)
    inbox = await office.inbox(bob)
    contents = [message.content for message in inbox.message]
    assert [(content.type, content.searchable_content, content.content) for content in contents] == [
        (ContentType.TEXT, "我是安", ""),
        (ContentType.TIP, "", "以上是打招呼信息"),
        (ContentType.TIP, "", "你们已经成为好友了，现在可以开始聊天了"),
    ]
    for message in inbox.message:
        assert (message.from_user, message.conversation.target, message.conversation.type) == (ann, bob, 0)
        assert message.server_timestamp > 0
    ids = [message.message_id for message in inbox.message]
    assert ids == sorted(set(ids))
    assert (await office.inbox(ann)).message == inbox.message


async def test_the_three_messages_stand_behind_what_was_said_before_by_whatever_clock(
    office: Office, pair: tuple[str, str]
) -> None:
    ann, bob = pair
    before = compose(now_ms() + 30_000, NODE, 0)
    await office.payload(ann, SubSignal.MS, text(bob), message_id=before)
    await ask(office, ann, bob)
    await answer(office, bob, ann)
    inbox = await office.inbox(bob)
    assert [message.message_id > before for message in inbox.message] == [False, True, True, True]
    assert [message.server_timestamp for message in inbox.message] == [office.now] * 4


async def test_the_three_messages_are_delivered_to_all_devices_of_both(
    office: Office, pair: tuple[str, str]
) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    office.events.clear()
    await answer(office, bob, ann)
    delivered = [event for event in office.events if isinstance(event, Deliver)]
    assert [(event.sender, event.sender_client) for event in delivered] == [(ann, "")] * 3
    assert [sorted(event.entries) for event in delivered] == [
        sorted([(ann, seq), (bob, seq)]) for seq in (1, 2, 3)
    ]


async def test_greetings_stand_in_the_history_of_the_two(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    await answer(office, bob, ann)
    await office.ask(bob, SubSignal.MS, text(ann, "hi"))
    where = pb.Conversation(type=0, target=ann, line=0)
    request = pb.LoadRemoteMessages(conversation=where, before_uid=0, count=10)
    found = pb.PullMessageResult.FromString(await office.payload(bob, SubSignal.LRM, request))
    assert len(found.message) == 4


@pytest.mark.parametrize("status", [ACCEPTED, REJECTED])
async def test_a_request_that_was_never_made_cannot_be_answered(
    office: Office, pair: tuple[str, str], status: int
) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    assert await answer(office, ann, bob, status) == Code.NOT_EXIST  # not by who made it
    assert await answer(office, ann, ann, status) == Code.NOT_EXIST
    assert await answer(office, bob, "nobody", status) == Code.NOT_EXIST


@pytest.mark.parametrize("first", [ACCEPTED, REJECTED])
async def test_a_request_is_answered_once(office: Office, pair: tuple[str, str], first: int) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    assert await answer(office, bob, ann, first) == Code.SUCCESS
    for status in (ACCEPTED, REJECTED):
        assert await answer(office, bob, ann, status) == Code.NOT_EXIST
    assert (await office.inbox(bob)).head == (3 if first == ACCEPTED else 0)


@pytest.mark.parametrize(
    ("age", "code"), [(7 * DAY_MS - 1, Code.SUCCESS), (7 * DAY_MS, Code.REQUEST_OVERTIME)], ids=str
)
async def test_a_request_can_be_answered_for_seven_days(
    office: Office, pair: tuple[str, str], age: int, code: Code
) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    office.now += age
    assert await answer(office, bob, ann) == code
    assert (await office.inbox(bob)).head == (3 if code == Code.SUCCESS else 0)
    assert bool(await friends_of(office, ann)) == (code == Code.SUCCESS)


async def test_some_clients_say_yes_with_status_0(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    assert await answer(office, bob, ann, RequestStatus.SENT) == Code.SUCCESS
    assert (await friends_of(office, ann), await friends_of(office, bob)) == ([bob], [ann])
    assert (await office.inbox(bob)).head == 3
    assert await answer(office, bob, ann, RequestStatus.SENT) == Code.NOT_EXIST


@pytest.mark.parametrize("status", [3, -1])
async def test_an_answer_is_yes_or_no(office: Office, pair: tuple[str, str], status: int) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    assert await answer(office, bob, ann, status) == Code.INVALID_PARAMETER


async def test_friends_need_not_ask_each_other(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    await answer(office, bob, ann)
    office.now += 60 * DAY_MS
    for uid, other in ((ann, bob), (bob, ann)):
        assert await ask(office, uid, other) == Code.ALREADY_REQUESTED


async def test_who_cannot_be_asked(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    assert await ask(office, ann, ann) == Code.INVALID_PARAMETER
    assert await ask(office, ann, "nobody") == Code.NOT_EXIST
    assert await ask(office, ann, bob, "x" * 1001) == Code.INVALID_PARAMETER
    await office.blacklist(bob, ann)
    assert await ask(office, ann, bob) == Code.BLACKLISTED
    assert office.events == []
    assert await ask(office, bob, ann, "x" * 1000) == Code.SUCCESS


async def test_a_retried_answer_is_given_once(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    request = pb.HandleFriendRequest(target_uid=ann, status=ACCEPTED)
    await ask(office, ann, bob)
    assert (await office.ask(bob, FHR, request, retried=True)).code == Code.SUCCESS
    assert (await office.ask(bob, FHR, request, retried=True)).code == Code.SUCCESS
    assert (await office.inbox(bob)).head == 3
    assert (await office.ask(bob, FHR, request)).code == Code.NOT_EXIST


async def test_a_retried_request_is_made_once(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    await ask(office, ann, bob, "hello")
    again = pb.AddFriendRequest(target_uid=bob, reason="hello")
    assert (await office.ask(ann, FAR, again, retried=True)).code == Code.SUCCESS
    assert (await office.ask(ann, FAR, again)).code == Code.ALREADY_REQUESTED


async def test_of_two_crossing_requests_one_answer_is_enough(office: Office, pair: tuple[str, str]) -> None:
    ann, bob = pair
    await ask(office, ann, bob)
    await ask(office, bob, ann)
    assert await answer(office, bob, ann) == Code.SUCCESS
    assert await answer(office, ann, bob) == Code.NOT_EXIST
    assert (await office.inbox(bob)).head == 3
