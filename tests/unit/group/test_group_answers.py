"""Every answer has a bound of bytes, as the client gets it: text that JSON escapes twice is seven times as long."""

from collections.abc import Sequence

import orjson
import pytest
from google.protobuf.message import Message

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol import sizes
from fsharechat.protocol.json import encode_reply
from fsharechat.protocol.signals import Code, FriendState, SubSignal
from fsharechat.protocol.sizes import MAX_ANSWER_BYTES
from fsharechat.rpc import Call, Method
from fsharechat.store.friends import MAX_REQUESTS
from fsharechat.store.unit import Dialect, Row, Unit, insert_many
from roles.group import admin_users, friends
from tests.unit.group.group_kit import Office
from tests.unit.group.groups_kit import create

FAT = "\x01"
"""A character of one byte that is seven in JSON inside a JSON string."""


async def sent(office: Office, uid: str, method: SubSignal, request: object) -> tuple[bytes, int]:
    """Return the answer to a request, and how many bytes a web client gets."""
    body = request.SerializeToString()  # type: ignore[attr-defined]
    payload = await office.payload(uid, method, body)
    web = encode_reply(method, 1, Code.SUCCESS, payload, viewer=uid, request=body)
    return payload, max(len(web.encode()), len(payload))


async def put(office: Office, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
    def insert(_: Dialect) -> Unit[None]:
        yield from insert_many(table, columns, rows)

    await office.node.store.write(insert)


async def asked_by_many(office: Office, uid: str, count: int, reason: str) -> list[str]:
    """Let users ask to be friends, one after the other."""
    uids = [f"asker{n}" for n in range(count)]
    columns = ("from_uid", "to_uid", "reason", "status", "sent_ms", "handled_ms", "update_dt")
    rows = [(one, uid, reason, 0, n, 0, n, True, False) for n, one in enumerate(uids, 1)]
    await put(office, "friend_requests", (*columns, "from_read", "to_read"), rows)
    return uids


@pytest.mark.parametrize(("count", "reason"), [(400, FAT * 1000), (20_000, "hello")], ids=["long", "many"])
async def test_of_many_friend_requests_the_newest_are_answered(
    office: Office, count: int, reason: str
) -> None:
    ann = await office.user()
    askers = await asked_by_many(office, ann, count, reason)
    payload, size = await sent(office, ann, SubSignal.FRP, pb.Version(version=0))
    found = [one.from_uid for one in pb.GetFriendRequestResult.FromString(payload).entry]
    assert size <= MAX_ANSWER_BYTES
    assert len(found) == MAX_REQUESTS or size > MAX_ANSWER_BYTES // 2
    assert found == askers[-len(found) :]
    payload, _ = await sent(office, ann, SubSignal.FRP, pb.Version(version=count - 2))
    found = [one.from_uid for one in pb.GetFriendRequestResult.FromString(payload).entry]
    assert found == askers[-2:]


@pytest.mark.parametrize(("count", "alias"), [(4000, FAT * 64), (30_000, "")], ids=["long", "many"])
async def test_who_asks_for_friends_again_gets_the_rest(office: Office, count: int, alias: str) -> None:
    ann = await office.user()
    rows = [(ann, f"friend{n}", FriendState.FRIEND, alias, n) for n in range(1, count + 1)]
    await put(office, "friends", ("uid", "friend_uid", "state", "alias", "update_dt"), rows)
    found: list[str] = []
    version = 0
    while True:
        payload, size = await sent(office, ann, SubSignal.FP, pb.Version(version=version))
        entries = pb.GetFriendsResult.FromString(payload).entry
        if not entries:
            break
        assert size <= MAX_ANSWER_BYTES
        found += [entry.uid for entry in entries]
        version = entries[-1].update_dt
    assert found == [row[1] for row in rows]


async def test_a_user_has_so_many_friends(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them are in one answer, then: public clients ask once."""
    monkeypatch.setattr(friends, "MAX_FRIENDS", 1)
    ann, bob, cid = [await office.user() for _ in range(3)]
    full = Code.INVALID_PARAMETER
    for one, other, code in ((ann, bob, Code.SUCCESS), (cid, ann, full)):
        request = pb.AddFriendRequest(target_uid=other, reason="")
        assert await office.code(one, SubSignal.FAR, request) == Code.SUCCESS
        answer = pb.HandleFriendRequest(target_uid=one, status=1)
        assert await office.code(other, SubSignal.FHR, answer) == code
    request = pb.AddFriendRequest(target_uid=cid, reason="")
    assert await office.code(ann, SubSignal.FAR, request) == full


async def fat_users(office: Office, count: int) -> list[str]:
    uids = await office.users(count)
    info = {8: FAT * 16_000, 5: FAT * 512, 0: "fat"}
    for uid in uids:
        entries = [pb.InfoEntry(type=kind, value=value) for kind, value in info.items()]
        assert await office.code(uid, SubSignal.MMI, pb.ModifyMyInfoRequest(entry=entries)) == Code.SUCCESS
    return uids


async def test_a_page_of_a_search_leaves_out_long_texts_and_nobody(office: Office) -> None:
    uids = await fat_users(office, 20)
    request = pb.SearchUserRequest(keyword="fat", fuzzy=0, page=0)
    payload, size = await sent(office, uids[0], SubSignal.US, request)
    found = pb.SearchUserResult.FromString(payload).entry
    assert MAX_ANSWER_BYTES // 2 < size <= MAX_ANSWER_BYTES
    assert [user.uid for user in found] == sorted(uids)
    assert (len(found[0].extra), found[-1].extra, found[-1].display_name) == (16_000, "", "fat")


async def test_who_does_not_fit_in_upui_is_left_out(office: Office) -> None:
    uids = await fat_users(office, 20)
    request = pb.PullUserRequest(request=[pb.UserRequest(uid=uid) for uid in uids])
    payload, size = await sent(office, uids[0], SubSignal.UPUI, request)
    found = [result.user.uid for result in pb.PullUserResult.FromString(payload).result]
    assert MAX_ANSWER_BYTES // 2 < size <= MAX_ANSWER_BYTES
    assert found == uids[: len(found)]


async def test_many_unknown_users_fit_as_well(office: Office) -> None:
    ann = await office.user()
    request = pb.PullUserRequest(request=[pb.UserRequest(uid=FAT * 60 + str(n)) for n in range(2000)])
    _, size = await sent(office, ann, SubSignal.UPUI, request)
    assert MAX_ANSWER_BYTES // 2 < size <= MAX_ANSWER_BYTES


async def test_groups_that_do_not_fit_in_gpgi_are_left_out(office: Office) -> None:
    ann = await office.user()
    columns = ("id", "name", "portrait", "owner", "type", "extra", "member_count", "dismissed")
    ids = [f"group{n}" for n in range(50)]
    rows = [(id, "", "", ann, 0, FAT * 16_000, 1, False, 1, 1) for id in ids]
    await put(office, "chat_groups", (*columns, "update_dt", "member_update_dt"), rows)
    request = pb.PullUserRequest(request=[pb.UserRequest(uid=id) for id in ids])
    payload, size = await sent(office, ann, SubSignal.GPGI, request)
    found = [info.target_id for info in pb.PullGroupInfoResult.FromString(payload).info]
    assert MAX_ANSWER_BYTES // 2 < size <= MAX_ANSWER_BYTES
    assert found == ids[: len(found)]


async def test_all_members_are_answered_and_aliases_as_far_as_there_is_room(office: Office) -> None:
    ann = await office.user()
    group = await create(office, ann)
    rows = [(group, f"member{n}", FAT * 64, 0, 1, 1) for n in range(4999)]
    columns = ("group_id", "uid", "alias", "type", "joined_ms", "update_dt")
    await put(office, "group_members", columns, rows)
    request = pb.PullGroupMemberRequest(target=group, head=0)
    payload, size = await sent(office, ann, SubSignal.GPGM, request)
    found = pb.PullGroupMemberResult.FromString(payload).member
    assert len(found) == 5000
    assert MAX_ANSWER_BYTES // 2 < size <= MAX_ANSWER_BYTES
    assert (len(found[0].alias), found[-2].alias) == (64, "")


async def test_who_asks_for_settings_again_gets_the_rest(office: Office) -> None:
    ann = await office.user()
    rows = [(ann, 1000, f"key{n}", FAT * 4096, n) for n in range(1, 101)]
    await put(office, "user_settings", ("uid", "scope", "name", "value", "update_dt"), rows)
    found: list[int] = []
    while True:
        request = pb.Version(version=found[-1] if found else 0)
        payload, size = await sent(office, ann, SubSignal.UG, request)
        entries = pb.GetUserSettingResult.FromString(payload).entry
        if not entries:
            break
        assert size <= MAX_ANSWER_BYTES
        found += [entry.update_dt for entry in entries]
    assert found == list(range(1, 101))


async def test_the_devices_of_a_user_are_listed_up_to_a_number(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that are online first, then those that logged in last."""
    monkeypatch.setattr(admin_users, "MAX_DEVICES", 3)
    ann = await office.user()
    columns = ("uid", "client_id", "secret", "db_secret", "issued_ms")
    await put(office, "sessions", columns, [(ann, f"device{n}", "", "", 10 - n) for n in range(5)])
    office.online(ann, client="device4")
    call = Call(Method.ADMIN, "", "", orjson.dumps({"op": "sessions.list", "user": ann}))
    answer = orjson.loads((await office.node.rpc.call(call)).payload)["result"]
    assert [one["clientId"] for one in answer["sessions"]] == ["device0", "device1", "device4"]
    assert answer["more"] == 2


def test_what_an_entry_weighs_beside_its_texts_is_enough() -> None:
    """Entries of nothing but large numbers are not larger than they are counted for."""
    n, most = 1 << 62, (1 << 31) - 1
    cases: list[tuple[SubSignal, Message, Message, int]] = [
        (
            SubSignal.FRP,
            pb.Version(version=0),
            pb.GetFriendRequestResult(
                entry=[pb.FriendRequest(to_uid="", reason="", status=2, update_dt=n)] * 2
            ),
            sizes.FRIEND_REQUEST,
        ),
        (
            SubSignal.FP,
            pb.Version(version=0),
            pb.GetFriendsResult(entry=[pb.Friend(uid="", state=2, update_dt=n)] * 2),
            sizes.FRIEND,
        ),
        (
            SubSignal.US,
            pb.SearchUserRequest(keyword=""),
            pb.SearchUserResult(entry=[pb.User(uid="", gender=most, type=most, update_dt=n)] * 2),
            sizes.USER,
        ),
        (
            SubSignal.GPGI,
            pb.PullUserRequest(),
            pb.PullGroupInfoResult(info=[pb.GroupInfo(name="", type=2, member_count=most, update_dt=n)] * 2),
            sizes.GROUP,
        ),
        (
            SubSignal.GPGM,
            pb.PullGroupMemberRequest(target="", head=0),
            pb.PullGroupMemberResult(member=[pb.GroupMember(member_id="", type=4, update_dt=n)] * 2),
            sizes.MEMBER,
        ),
        (
            SubSignal.UG,
            pb.Version(version=0),
            pb.GetUserSettingResult(
                entry=[pb.UserSettingEntry(scope=(1 << 31) - 1, key="", value="", update_dt=n)] * 2
            ),
            sizes.SETTING,
        ),
    ]
    for method, request, answer, counted in cases:
        whole, half = [
            len(
                encode_reply(
                    method, 1, 0, one.SerializeToString(), viewer="", request=request.SerializeToString()
                )
            )
            for one in (answer, _first_half(answer))
        ]
        assert whole - half <= counted, method.name


def _first_half(answer: Message) -> Message:
    """Return an answer of two entries with one."""
    half = type(answer)()
    half.CopyFrom(answer)
    ((_, entries),) = half.ListFields()
    del entries[1:]
    return half
