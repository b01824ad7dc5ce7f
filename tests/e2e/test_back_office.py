"""The back office of a server that people are chatting on: what it does shows at their devices at once."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from fsharechat.admin.office import AdminApi
from fsharechat.client import LoginError
from fsharechat.protocol.signals import Code, LoginCode, SubSignal
from tests.e2e.deployment import ACCEPTED, Boot, Deployment
from tools.testing.server import BOUND
from tools.wire.bodies import text_message, web_text
from tools.wire.clients import TcpWire, WebWire

pytestmark = pytest.mark.slow

KEY = "a-key-of-the-back-office"
KICKED = "an administrator"
TRANSPORTS = pytest.mark.parametrize("transport", ["tcp", "ws"])


@pytest.fixture
async def server(boot: Boot) -> Deployment:
    return await boot(api={"key": KEY}, limits={"requests": 0})


@pytest.fixture
async def office(server: Deployment) -> AsyncIterator[AdminApi]:
    async with AdminApi(server.at.http, KEY) as office:
        yield office


async def send(wire: TcpWire | WebWire, target: str, text: str) -> int | None:
    """Send a text; return the code of the answer, over WebSocket None where it failed."""
    if isinstance(wire, TcpWire):
        return (await wire.request(SubSignal.MS, text_message(target, text)))[0]
    return Code.SUCCESS if await wire.request("MS", web_text(target, text)) else None


def refusal(wire: TcpWire | WebWire, code: Code) -> int | None:
    return code if isinstance(wire, TcpWire) else None


@TRANSPORTS
async def test_a_message_of_the_open_api_arrives(
    server: Deployment, office: AdminApi, transport: str
) -> None:
    anna = await server.online(transport, "anna")
    content = {"type": 1, "searchableContent": "系统维护 at 5"}
    body = {"mobiles": [server.numbers["anna"], "13000000000"], "content": {"content": content}}
    sent, unknown = await office.ask("POST", "imopenapi", "pushNotificationByMobile", body=body)
    assert (sent["code"], unknown["code"]) == (200, 404)
    head = await anna.next_mn()
    assert await anna.pull(head - 1) == (["系统维护 at 5"], head)
    if isinstance(anna, WebWire):
        request = {"messageId": "1", "type": 0, "pullType": 1, "sendMessageCount": 0}
        (message,) = orjson.loads(await anna.request("MP", request))["messageResponseList"]
        assert (message["from"], message["messageId"]) == ("SystemNotification", sent["messageId"])
        (profile,) = orjson.loads(await anna.request("UPUI", ["SystemNotification"]))
        assert profile["displayName"] == "系统通知"


@TRANSPORTS
async def test_a_muted_user_may_not_send_until_it_is_over(
    server: Deployment, office: AdminApi, transport: str
) -> None:
    anna, ben = await server.online(transport, "anna"), (await server.login("ben")).user_id
    assert await send(anna, ben, "one") == Code.SUCCESS
    await office.ask("PUT", "admin", "users", server.numbers["anna"], "status", body={"status": "muted"})
    assert await send(anna, ben, "two") == refusal(anna, Code.MUTED)
    await office.ask("PUT", "admin", "users", server.numbers["anna"], "status", body={"status": "normal"})
    assert await send(anna, ben, "three") == Code.SUCCESS


async def test_a_blocked_user_is_out_on_every_device_and_in_again_when_it_is_over(
    server: Deployment, office: AdminApi
) -> None:
    web, ben = await server.online_web("anna", "web"), await server.online_tcp("ben")
    credentials = await server.login("anna", "phone")
    phone = await server.tcp()
    assert await phone.connect(credentials) == ACCEPTED
    uid = credentials.user_id
    await office.ask("PUT", "admin", "users", uid, "status", body={"status": "blocked"})
    for wire in (phone, web):
        await wire.until_closed()
        await server.until_logged(wire, KICKED)
    for transport in ("tcp", "ws"):
        again = await server.open(transport)
        assert await again.connect(credentials) == SubSignal.CONNECTION_REFUSED_IDENTIFIER_REJECTED
        await again.until_closed()
    with pytest.raises(LoginError) as refused:
        await server.login("anna", "phone")
    assert refused.value.code == LoginCode.NO_SESSION
    assert await ben.ping()
    await office.ask("PUT", "admin", "users", uid, "status", body={"status": "normal"})
    old = await server.tcp()
    assert await old.connect(credentials) == SubSignal.CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD
    assert await server.online_tcp("anna", "phone")


@TRANSPORTS
async def test_a_kicked_device_has_to_log_in_again_and_no_other(
    server: Deployment, office: AdminApi, transport: str
) -> None:
    credentials = await server.login("anna", "phone")
    phone = await server.open(transport)
    assert await phone.connect(credentials) == ACCEPTED
    pad = await server.online_tcp("anna", "pad")
    listed = await office.ask("GET", "admin", "users", credentials.user_id, "sessions")
    assert {one["clientId"]: one["online"] for one in listed["sessions"]} == {"phone": True, "pad": True}
    counted = await office.ask("GET", "admin", "sessions")
    assert (counted["devices"], counted["users"]) == (2, 1)

    ended = await office.ask("DELETE", "admin", "users", credentials.user_id, "sessions", "phone")
    assert (ended["disconnected"], ended["loggedOut"]) == (["phone"], ["phone"])
    await phone.until_closed()
    await server.until_logged(phone, KICKED)
    again = await server.open(transport)
    assert await again.connect(credentials) == SubSignal.CONNECTION_REFUSED_SESSION_NOT_EXIST
    assert await pad.ping()
    assert await server.online(transport, "anna", "phone")


async def test_a_device_that_was_only_disconnected_may_come_back(
    server: Deployment, office: AdminApi
) -> None:
    credentials = await server.login("anna", "phone")
    phone = await server.tcp()
    assert await phone.connect(credentials) == ACCEPTED
    query = {"logout": "false"}
    await office.ask("DELETE", "admin", "users", credentials.user_id, "sessions", query=query)
    await phone.until_closed()
    again = await server.tcp()
    assert await again.connect(credentials) == ACCEPTED


@TRANSPORTS
async def test_sensitive_words_are_refused_as_soon_as_they_are_known(
    server: Deployment, office: AdminApi, transport: str
) -> None:
    anna, ben = await server.online(transport, "anna"), (await server.login("ben")).user_id
    assert await send(anna, ben, "赌博") == Code.SUCCESS
    for action, wanted in (([], refusal(anna, Code.SENSITIVE_WORD)), (["remove"], Code.SUCCESS)):
        await office.ask("POST", "admin", "words", *action, body={"words": ["赌博"]})
        async with asyncio.timeout(BOUND):
            while await send(anna, ben, "来赌博吧") != wanted:
                await asyncio.sleep(0.01)
    assert await send(anna, ben, "hello") == Code.SUCCESS


async def test_a_dismissed_group_tells_its_members(server: Deployment, office: AdminApi) -> None:
    anna, ben = await server.online_web("anna"), await server.online_tcp("ben")
    uid = (await server.login("ben", "other")).user_id
    group = {"groupInfo": {"target": "chess", "name": "Chess", "type": 0}}
    members = {"groupMembers": [{"memberId": uid, "type": 0}]}
    assert orjson.loads(await anna.request("GC", {**group, **members}))["code"] == 200
    (listed,) = (await office.ask("GET", "admin", "groups"))["groups"]
    assert (listed["name"], listed["memberCount"]) == ("Chess", 2)
    fetched = 0
    while fetched < 1:
        fetched = (await ben.pull(await ben.next_mn() - 1))[1]
    await office.ask("DELETE", "admin", "groups", listed["id"])
    assert await ben.next_mn() == fetched + 1
    code, _ = await ben.request(
        SubSignal.MS, text_message(listed["id"], "x").replace(b"\x08\x00", b"\x08\x01", 1)
    )
    assert code == Code.NOT_IN_GROUP
