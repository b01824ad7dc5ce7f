"""What the back office asks of a group process: who is kept out, where, and what is asked a second time."""

from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from fsharechat.bus import Deliver, Kick, Presence
from fsharechat.errors import StoreError
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ContentType, ConversationType, GroupType, MemberType, SubSignal
from fsharechat.rpc import Method
from fsharechat.store import admin, sessions
from fsharechat.store.personal import DELETED_NAME
from fsharechat.store.sessions import LoginSession
from roles.group.expulsion import Expulsion
from roles.group.open_push import SENDER
from tests.unit.group.group_kit import NODE, Office, text
from tools.testing.server import until


async def tell(office: Office, op: str, *, retried: bool = False, **request: Any) -> dict[str, Any]:
    reply = await office.ask("", Method.ADMIN, orjson.dumps({"op": op, **request}), retried=retried)
    assert reply.code == Code.SUCCESS
    answer: dict[str, Any] = orjson.loads(reply.payload)
    return answer


async def log_in(office: Office, uid: str, *clients: str) -> None:
    for client in clients:
        await office.node.store.write(sessions.renew, uid, client, LoginSession("secret", "db secret", 5))


def kicked(office: Office) -> set[tuple[str, str]]:
    return {(event.uid, event.client_id) for event in office.events if isinstance(event, Kick)}


async def block(office: Office, uid: str) -> None:
    assert (await tell(office, "users.status", user=uid, status="blocked"))["code"] == 200


async def test_an_unknown_operation_is_not_implemented(office: Office) -> None:
    reply = await office.ask("", Method.ADMIN, b'{"op": "nothing"}')
    assert reply == (Code.NOT_IMPLEMENTED, b"")


@pytest.mark.parametrize(("status", "code"), [("muted", Code.MUTED), ("blocked", Code.USER_FORBIDDEN)])
async def test_a_status_counts_for_the_next_message_and_can_be_taken_back(
    office: Office, status: str, code: Code
) -> None:
    ann, bob = await office.user(), await office.user()
    assert (await office.ask(ann, SubSignal.MS, text(bob))).code == Code.SUCCESS
    answer = await tell(office, "users.status", user=ann, status=status)
    assert (answer["result"]["uid"], answer["result"]["status"]) == (ann, status)
    assert (await office.ask(ann, SubSignal.MS, text(bob))).code == code
    await tell(office, "users.status", user=ann, status="normal")
    assert (await office.ask(ann, SubSignal.MS, text(bob))).code == Code.SUCCESS


async def test_all_devices_of_a_blocked_user_are_disconnected_and_nobody_elses(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    for client in ("phone", "web"):
        office.online(ann, bob, client=client)
    await block(office, ann)
    assert kicked(office) == {(ann, "phone"), (ann, "web")}


async def test_a_muted_user_stays_connected(office: Office) -> None:
    ann = await office.user()
    office.online(ann)
    await tell(office, "users.status", user=ann, status="muted")
    assert kicked(office) == set()


async def test_a_kick_is_of_the_connection_that_there_was(office: Office) -> None:
    ann = await office.user()
    office.node.bus.announce(Presence(ann, "phone", NODE, 77))
    await block(office, ann)
    assert [event for event in office.events if isinstance(event, Kick)] == [Kick(ann, "phone", 77)]


async def test_a_connection_that_a_blocked_user_was_just_making_is_ended(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    await log_in(office, ann, "phone")
    await log_in(office, bob, "phone")
    await block(office, ann)
    office.online(ann, bob)
    await until(lambda: bool(kicked(office)), "it was not ended")
    assert kicked(office) == {(ann, "phone")}


async def test_who_logs_in_again_after_being_logged_out_is_left_alone(office: Office) -> None:
    ann = await office.user()
    await log_in(office, ann, "phone", "web")
    answer = await tell(office, "sessions.end", user=ann, logout=True)
    assert answer["result"] == {"uid": ann, "disconnected": [], "loggedOut": ["phone", "web"]}
    await log_in(office, ann, "phone")
    office.online(ann, client="phone")
    office.online(ann, client="web")  # it had been let in before
    await until(lambda: bool(kicked(office)), "the one without a login was not ended")
    assert kicked(office) == {(ann, "web")}


async def test_a_store_that_is_away_while_a_device_connects_is_asked_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await office.user()
    await block(office, ann)

    async def fail(*_: object) -> None:
        raise StoreError("away")

    monkeypatch.setattr(Expulsion, "retry_seconds", 0.0)
    with capture_logs() as logs, monkeypatch.context() as away:
        away.setattr(office.node.store, "read", fail)
        office.online(ann)
        await until(lambda: bool(logs), "nothing in the log")
    assert {(line["event"], line["method"]) for line in logs} == {("store failed a request", "expulsion")}
    await until(lambda: bool(kicked(office)), "it was not ended")
    assert kicked(office) == {(ann, "phone")}


async def test_a_kick_without_logging_out_keeps_the_login(office: Office) -> None:
    ann = await office.user()
    await log_in(office, ann, "phone", "web")
    office.online(ann, client="phone")
    office.online(ann, client="web")
    answer = await tell(office, "sessions.end", user=ann, clientId="web", logout=False)
    assert answer["result"] == {"uid": ann, "disconnected": ["web"], "loggedOut": []}
    assert kicked(office) == {(ann, "web")}
    office.events.clear()
    office.online(ann, client="web")
    assert kicked(office) == set()
    devices = await tell(office, "sessions.list", user=ann)
    assert [(one["clientId"], one["loggedInAt"], one["online"]) for one in devices["result"]["sessions"]] == [
        ("phone", 5, True),
        ("web", 5, True),
    ]


async def test_a_device_that_nobody_knows_cannot_be_kicked(office: Office) -> None:
    ann = await office.user()
    await log_in(office, ann, "phone")
    for logout in (True, False):
        assert (await tell(office, "sessions.end", user=ann, clientId="web", logout=logout))["code"] == 404
    quiet = await tell(office, "sessions.end", user=ann, clientId="phone", logout=False)
    assert quiet["result"] == {"uid": ann, "disconnected": [], "loggedOut": []}


async def test_what_is_asked_a_second_time_has_been_done_already(office: Office) -> None:
    ann = await office.user()
    await log_in(office, ann, "phone")
    request: dict[str, Any] = {"user": ann, "clientId": "phone", "logout": True}
    assert (await tell(office, "sessions.end", **request))["result"]["loggedOut"] == ["phone"]
    assert (await tell(office, "sessions.end", retried=True, **request))["code"] == 200
    new: dict[str, Any] = {"number": "13700000000", "displayName": "Eve"}
    first = await tell(office, "users.create", **new)
    assert (await tell(office, "users.create", retried=True, **new)) == first
    assert (await tell(office, "users.create", **new))["code"] == 409
    other = {**new, "displayName": "Eva"}
    assert (await tell(office, "users.create", retried=True, **other))["code"] == 409


async def test_devices_are_counted_by_node_as_they_come_move_and_go(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    announce = office.node.bus.announce

    async def counts() -> tuple[int, int, dict[int, int]]:
        found = (await tell(office, "sessions.count"))["result"]
        return found["devices"], found["users"], {one["node"]: one["devices"] for one in found["nodes"]}

    assert await counts() == (0, 0, {})
    for uid, client, node in ((ann, "phone", 1), (ann, "web", 2), (bob, "phone", 1)):
        announce(Presence(uid, client, node, 10))
    assert await counts() == (3, 2, {1: 2, 2: 1})
    announce(Presence(ann, "phone", 2, 11))  # moves
    announce(Presence(ann, "phone", 2, 12))  # connects again
    assert await counts() == (3, 2, {1: 1, 2: 2})
    announce(Presence(ann, "phone", 1, 10, online=False))  # what it has left tells late
    announce(Presence(bob, "phone", 1, 10, online=False))
    assert await counts() == (2, 1, {2: 2})
    announce(Presence("", "", 2, 99))  # begins anew
    assert await counts() == (0, 0, {})


@pytest.mark.parametrize("op", ["users.get", "users.status", "sessions.list", "sessions.end"])
async def test_nobody_is_not_found(office: Office, op: str) -> None:
    for user in ("nobody", "13999999999"):
        answer = await tell(office, op, user=user, status="muted", logout=True)
        assert (answer["code"], answer["result"]) == (404, None)


async def new_group(office: Office, owner: str, *members: str) -> str:
    """Return the id of a group."""
    request = pb.CreateGroupRequest(
        group=pb.Group(group_info=pb.GroupInfo(name="Chess", type=GroupType.FREE))
    )
    for uid in members:
        request.group.members.add(member_id=uid, type=MemberType.NORMAL)
    return (await office.payload(owner, SubSignal.GC, request)).decode()


async def test_a_dismissed_group_is_gone_and_its_members_are_told_as_by_its_owner(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    id = await new_group(office, ann, bob)
    assert (await office.ask(bob, SubSignal.MS, text(id, kind=ConversationType.GROUP))).code == Code.SUCCESS
    await block(office, ann)  # a blocked owner's group too
    office.online(bob)
    answer = await tell(office, "groups.dismiss", group=id)
    assert (answer["code"], answer["result"]["dismissed"], answer["result"]["memberCount"]) == (200, True, 0)
    for uid in (ann, bob):
        last = (await office.inbox(uid, after=2)).message[-1]
        assert (last.from_user, last.conversation.target) == (ann, id)
        assert last.content.type == ContentType.GROUP_DISMISSED
        assert orjson.loads(last.content.data) == {"g": id, "o": ann}
    await until(lambda: any(isinstance(event, Deliver) for event in office.events), "bob was not told")
    for kind in (ContentType.TYPING, ContentType.TEXT):
        refused = await office.ask(
            bob, SubSignal.MS, text(id, kind=ConversationType.GROUP, content_type=kind)
        )
        assert refused.code == Code.NOT_IN_GROUP
    shown = (await tell(office, "groups.get", group=id, after="", limit=9))["result"]
    assert (shown["dismissed"], shown["members"]) == (True, [])


async def test_a_group_is_dismissed_once(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    id = await new_group(office, ann, bob)
    await tell(office, "groups.dismiss", group=id)
    told = (await office.inbox(bob)).head
    assert (await tell(office, "groups.dismiss", group=id, retried=True))["code"] == 200
    assert (await tell(office, "groups.dismiss", group=id))["code"] == 409
    assert (await tell(office, "groups.dismiss", group="none"))["code"] == 404
    assert (await office.inbox(bob)).head == told


async def test_a_user_as_whom_the_server_writes_is_not_deleted(office: Office) -> None:
    await office.node.store.write(admin.keep_system_user, SENDER, "System", 5)
    done = await tell(office, "users.delete", user=SENDER, after="")
    assert (done["code"], done["message"]) == (409, "the server itself writes as this user")


async def test_a_deletion_that_is_cut_off_is_done_again_from_the_start(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    await office.ask(ann, SubSignal.MS, text(bob, "a secret"))
    await log_in(office, ann, "phone")
    first = await tell(office, "users.delete", user=ann, after="")
    assert first["result"] == {"uid": ann, "next": "groups:"}
    assert (await tell(office, "users.get", user=ann))["result"]["displayName"] == DELETED_NAME
    again = await tell(office, "users.delete", user=ann, after="")
    done = await tell(office, "users.delete", user=ann, after=again["result"]["next"])
    assert done["result"] == {"uid": ann, "next": ""}
    assert (await tell(office, "users.get", user=ann))["result"]["status"] == "blocked"
    wrong = await tell(office, "users.delete", user=ann, after="nonsense:")
    assert wrong["code"] == 400
    exported = await tell(office, "users.export", user=bob, after="inbox:")
    [row] = exported["result"]["rows"]
    assert row["content"]["type"] == ContentType.RECALLED
    assert "a secret" not in str(exported)
