"""The open API: messages from SystemNotification by number, and the key that it needs."""

import base64

import pytest

from fsharechat.errors import StoreBusy
from fsharechat.protocol.signals import ContentType, LoginCode, MemberType, PersistFlag, UserType
from fsharechat.rpc import Call
from fsharechat.store import groups, users
from fsharechat.store.groups import Info, NewMember
from roles.api import back_office
from tests.unit.api.api_kit import KEY, ApiAnswer, Site
from tests.unit.api.office_kit import GROUP_PUSH, PUSH, Desk

ANN, BEN = "13800000001", "13800000002"
SENDER = "SystemNotification"
TEXT = {"type": 1, "searchableContent": "你好"}


@pytest.fixture
def desk(site: Site) -> Desk:
    return Desk(site)


async def test_a_text_reaches_each_number_and_an_unknown_one_hides_nobody(desk: Desk) -> None:
    ann, ben = await desk.user(ANN), await desk.user("ben@example.com")
    answer = await desk.push([ANN, "13900000000", " Ben@Example.com", "nonsense"], TEXT)
    assert (answer.status, answer.code, answer.body["message"]) == (200, 200, "success")
    codes = [(one["mobile"], one["code"]) for one in answer.body["result"]]
    assert codes == [(ANN, 200), ("13900000000", 404), (" Ben@Example.com", 200), ("nonsense", 400)]
    for uid, one in ((ann, answer.body["result"][0]), (ben, answer.body["result"][2])):
        (message,) = await desk.inbox(uid)
        assert (message.from_user, message.conversation.target) == (SENDER, uid)
        assert (message.content.type, message.content.searchable_content) == (ContentType.TEXT, "你好")
        assert message.content.persist_flag == PersistFlag.STORED_AND_COUNTED
        assert str(message.message_id) == one["messageId"]
        assert message.server_timestamp > 0
    assert [one["messageId"] for one in answer.body["result"] if one["code"] != 200] == ["", ""]


async def test_every_field_of_the_content_arrives(desk: Desk) -> None:
    ann = await desk.user(ANN)
    thumbnail = bytes(range(256))
    content = {
        "type": 3,
        "searchableContent": "a digest",
        "pushContent": "a picture",
        "content": "more",
        "binaryContent": base64.b64encode(thumbnail).decode(),
        "mediaType": 1,
        "remoteMediaUrl": "http://media.example/minio-bucket-image-name/一 张.png",
    }
    assert (await desk.push([ANN], content)).code == 200
    (message,) = await desk.inbox(ann)
    found = message.content
    assert (found.type, found.searchable_content, found.push_content) == (3, "a digest", "a picture")
    assert (found.content, found.data, found.media_type) == ("more", thumbnail, 1)
    assert found.remote_media_url == content["remoteMediaUrl"]


async def test_what_the_contract_shows_is_enough_and_nulls_are_absent_fields(desk: Desk) -> None:
    ann = await desk.user(ANN)
    content = {
        "type": "1",
        "searchableContent": "x",
        "binaryContent": None,
        "mediaType": None,
        "remoteMediaUrl": None,
    }
    body = {
        "mobiles": [int(ANN)],
        "content": {"content": content, "messageId": 0, "timestamp": 1, "other": 1},
    }
    answer = await desk.ask("POST", PUSH, body)
    assert (answer.status, answer.body["result"][0]["mobile"]) == (200, ANN)
    assert [message.content.searchable_content for message in await desk.inbox(ann)] == ["x"]


async def test_the_same_message_id_sends_nothing_twice(desk: Desk) -> None:
    ann, ben = await desk.user(ANN), await desk.user(BEN)
    first = await desk.push([ANN], TEXT, messageId=7)
    again = await desk.push([ANN, BEN, ANN], TEXT, messageId="7")
    ids = [one["messageId"] for one in again.body["result"]]
    assert first.body["result"][0]["messageId"] == ids[0] == ids[2] != ids[1]
    assert [len(await desk.inbox(uid)) for uid in (ann, ben)] == [1, 1]
    await desk.push([ANN], TEXT, messageId="8")
    assert len(await desk.inbox(ann)) == 2


@pytest.mark.parametrize("more", [{}, {"messageId": 0}, {"messageId": ""}, {"messageId": None}], ids=str)
async def test_without_a_message_id_each_request_is_a_new_message(
    desk: Desk, more: dict[str, object]
) -> None:
    ann = await desk.user(ANN)
    for _ in range(2):
        await desk.push([ANN], TEXT, **more)
    assert len(await desk.inbox(ann)) == 2


async def test_a_call_that_is_made_again_sends_nothing_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await desk.user(ANN)
    rpc = desk.site.node.rpc
    once = rpc.call

    def twice(call: Call):  # type: ignore[no-untyped-def]
        once(call)
        return once(call._replace(retried=True))

    monkeypatch.setattr(rpc, "call", twice)
    assert (await desk.push([ANN], TEXT)).code == 200
    monkeypatch.undo()
    assert len(await desk.inbox(ann)) == 1


async def test_a_number_that_the_store_could_not_serve_is_told_apart(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.user(ANN)
    await desk.push([ANN], TEXT)

    def fail(*_: object) -> None:
        raise StoreBusy("full")

    monkeypatch.setattr(desk.site.node.store, "append", fail)
    answer = await desk.push([ANN, "13900000000"], TEXT)
    assert (answer.status, [one["code"] for one in answer.body["result"]]) == (200, [503, 404])


async def test_the_sender_is_a_user_who_can_be_shown_and_cannot_log_in(desk: Desk) -> None:
    await desk.user(ANN)
    await desk.push([ANN], TEXT)
    store = desk.site.node.store
    profile = dict(zip(users.PROFILE, (await store.read(users.profiles, [SENDER]))[SENDER], strict=True))
    assert (profile["display_name"], profile["mobile"], profile["email"]) == ("系统通知", "", "")
    for answer in (await desk.site.send_code(SENDER), await desk.site.login("123456", SENDER)):
        assert answer.code == LoginCode.INVALID_NUMBER
    assert (await desk.push([SENDER], TEXT)).body["result"][0]["code"] == 400


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "the body must be JSON"),
        (b"[]", "the body must be a JSON object"),
        ({"content": {"content": TEXT}}, "mobiles: "),
        ({"mobiles": [], "content": {"content": TEXT}}, "mobiles: "),
        ({"mobiles": ANN, "content": {"content": TEXT}}, "mobiles: "),
        ({"mobiles": [ANN, {}], "content": {"content": TEXT}}, "mobiles.1: "),
        ({"mobiles": [ANN] * 1001, "content": {"content": TEXT}}, "mobiles: "),
        ({"mobiles": [ANN]}, "content: "),
        ({"mobiles": [ANN], "content": {}}, "content.content: "),
        ({"mobiles": [ANN], "content": {"content": {}}}, "content.content.type: "),
        ({"mobiles": [ANN], "content": {"content": {"type": -1}}}, "content.content.type: "),
        ({"mobiles": [ANN], "content": {"content": {"type": 1 << 31}}}, "content.content.type: "),
        (
            {"mobiles": [ANN], "content": {"content": {**TEXT, "binaryContent": "hush!"}}},
            "content.content.binaryContent: must be base64",
        ),
        (
            {"mobiles": [ANN], "content": {"content": {**TEXT, "searchableContent": ["hush"]}}},
            "content.content.searchableContent: ",
        ),
        ({"mobiles": [ANN], "content": {"content": TEXT, "messageId": "1" * 65}}, "content.messageId: "),
        ({"mobiles": [ANN], "content": {"content": TEXT, "timestamp": "hush"}}, "content.timestamp: "),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_bad_body_is_answered_with_the_field_that_is_wrong(
    desk: Desk, body: object, problem: str
) -> None:
    answer = await desk.ask("POST", PUSH, body)
    assert (answer.status, answer.code, answer.body["result"]) == (400, 400, None)
    assert answer.body["message"].startswith(problem)
    assert "hush" not in answer.body["message"]


async def test_large_contents_are_taken_up_to_a_bound(desk: Desk) -> None:
    ann = await desk.user(ANN)
    data = base64.b64encode(b"x" * 600_000).decode()
    assert (await desk.push([ANN], {"type": 3, "binaryContent": data})).code == 200
    (message,) = await desk.inbox(ann)
    assert len(message.content.data) == 600_000
    assert (await desk.push([ANN], {"type": 3, "binaryContent": data + data})).status == 413
    many = await desk.push([ANN] * 60, {"type": 3, "binaryContent": data})
    assert (many.status, many.body["message"].partition(":")[0]) == (400, "mobiles")


async def test_the_key_is_taken_from_either_header(desk: Desk) -> None:
    await desk.user(ANN)
    assert (await desk.push([ANN], TEXT)).status == 200
    desk.key = None
    headers = {"X-API-Key": KEY}
    body = {"mobiles": [ANN], "content": {"content": TEXT}}
    assert (await desk.ask("POST", PUSH, body, **headers)).status == 200
    for scheme in ("bearer", "BEARER"):
        assert (await desk.ask("POST", PUSH, body, Authorization=f"{scheme} {KEY}")).status == 200


async def test_without_the_key_nothing_is_done_or_read(desk: Desk) -> None:
    ann = await desk.user(ANN)
    for key in (None, "", "wrong", KEY + "x", KEY[:-1], KEY.upper(), "密钥"):
        desk.key = key
        answer = await desk.push([ANN], TEXT)
        assert (answer.status, answer.code) == (401, 401)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert (await desk.ask("POST", PUSH, b"no JSON")).status == 401
    assert await desk.inbox(ann) == []
    assert KEY not in str(desk.site.logs)
    assert "密钥" not in str(desk.site.logs)
    assert {line["log_level"] for line in desk.logged("wrong key for the back office")} == {"warning"}


async def test_many_guesses_fill_no_log(desk: Desk) -> None:
    await desk.user(ANN)
    desk.key = "wrong"
    answers = [await desk.push([ANN], TEXT) for _ in range(12)]
    assert [answer.status for answer in answers] == [401] * 10 + [429] * 2
    desk.key = KEY
    assert (await desk.push([ANN], TEXT)).status == 200
    assert len(desk.logged("wrong key for the back office")) == 10


async def test_what_was_done_is_logged_with_who_asked_and_without_what_was_said(desk: Desk) -> None:
    await desk.user(ANN)
    await desk.push([ANN, BEN], {"type": 1, "searchableContent": "hush"})
    (line,) = desk.logged("back office")
    assert (line["op"], line["address"], line["code"], line["mobiles"]) == ("push", "127.0.0.1", 200, 2)
    assert "hush" not in str(desk.site.logs)


async def test_a_store_that_is_away_is_told(desk: Desk) -> None:
    await desk.site.node.store.close()
    answer = await desk.push([ANN], TEXT)
    assert (answer.status, answer.code, answer.body["result"]) == (503, 503, None)


async def test_a_group_role_that_knows_no_such_operation_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(back_office.PUSH), "op", "nothing")
    assert (await desk.push([ANN], TEXT)).status == 501


async def test_a_transparent_message_is_in_no_inbox(desk: Desk) -> None:
    ann = await desk.user(ANN)
    answer = await desk.push([ANN], {"type": ContentType.TYPING})
    assert answer.body["result"][0]["code"] == 200
    assert await desk.inbox(ann) == []


class TestWithoutAKey:
    @pytest.fixture
    def key(self) -> str:
        return ""

    async def test_the_back_office_is_closed_and_says_how_to_open_it(self, desk: Desk) -> None:
        for shown in (None, "", KEY):
            desk.key = shown
            answer = await desk.push([ANN], TEXT)
            assert answer.status == 403
            assert "[api] key" in answer.body["message"]


async def push_to_groups(desk: Desk, groups: list[str], **more: object) -> ApiAnswer:
    return await desk.ask("POST", GROUP_PUSH, {"groups": groups, "content": {"content": TEXT}, **more})


async def new_group(desk: Desk, id: str, *uids: str) -> None:
    write = desk.site.node.store.write
    await write(groups.create, Info(id, "Chess", "", uids[0], 0, "", len(uids), False, 7, 7))
    await write(groups.put_members, id, [NewMember(uid, 0) for uid in uids], 5)


async def test_a_push_reaches_the_members_of_groups(desk: Desk) -> None:
    ann, ben = await desk.user(ANN), await desk.user(BEN)
    await new_group(desk, "g1", ann, ben)
    content = {"content": TEXT, "messageId": "order-1"}
    answer = await push_to_groups(desk, ["g1", "nowhere"], content=content)
    assert answer.status == 200
    outcomes = answer.body["result"]
    assert [(one["group"], one["code"]) for one in outcomes] == [("g1", 200), ("nowhere", 404)]
    again = await push_to_groups(desk, ["g1"], content=content)
    assert again.body["result"][0]["messageId"] == outcomes[0]["messageId"]
    for uid in (ann, ben):
        (message,) = await desk.inbox(uid)
        assert (message.conversation.type, message.conversation.target) == (1, "g1")
        assert message.from_user == "SystemNotification"
        assert str(message.message_id) == outcomes[0]["messageId"]


async def test_a_robot_says_it_where_it_is_a_member_and_may_speak(desk: Desk) -> None:
    ann, robot = await desk.user(ANN), await desk.user(BEN)
    write = desk.site.node.store.write
    await new_group(desk, "g1", ann, robot)
    await new_group(desk, "g2", ann)
    refused = await push_to_groups(desk, ["g1"], sender=robot)
    assert [one["code"] for one in refused.body["result"]] == [403]  # a person speaks for itself
    await write(users.modify, robot, {"type": UserType.ROBOT}, 9)
    answer = await push_to_groups(desk, ["g1", "g2"], sender=robot)
    assert [one["code"] for one in answer.body["result"]] == [200, 403]
    (message,) = await desk.inbox(ann)
    assert message.from_user == robot
    await write(groups.set_types, "g1", [robot], MemberType.SILENCED, 0, 9)
    silenced = await push_to_groups(desk, ["g1"], sender=robot)
    assert [one["code"] for one in silenced.body["result"]] == [403]


async def test_a_push_to_groups_that_is_wrong_names_the_field(desk: Desk) -> None:
    wrong: list[tuple[dict[str, object], str]] = [
        ({"groups": []}, "groups"),
        ({"groups": ["g"] * 101}, "groups"),
        ({"content": {"content": {"type": 91}}}, "type"),
        ({"content": {}}, "content"),
    ]
    for more, field in wrong:
        answer = await desk.ask("POST", GROUP_PUSH, {"groups": ["g1"], "content": {"content": TEXT}, **more})
        assert (answer.status, field in answer.body["message"]) == (400, True)
