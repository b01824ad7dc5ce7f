"""Bots that log in by a token, and sessions that end after some days."""

from typing import Any

import orjson
import pytest

from fsharechat.bus import Kick
from fsharechat.client import Credentials
from fsharechat.login_numbers import normal_number
from fsharechat.protocol import crypto
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal
from fsharechat.rpc import Method
from tests.unit.group.group_kit import Office
from tests.unit.group.test_group_admin import tell
from tests.unit.group.test_group_connect import ACCEPTED, NO_SESSION, ConnectingDevice, log_in

DAY_MS = 86_400_000


@pytest.fixture
def session_days() -> int:
    return 7


async def connect(office: Office, device: ConnectingDevice | Credentials) -> int:
    if isinstance(device, Credentials):
        uid, client = device.user_id, device.client_id
    else:
        uid, client = device.uid, device.client
    password = crypto.connect_password(device.user_token, device.secret)
    return (await office.ask(uid, Method.AUTHENTICATE, password.encode(), client=client)).code


async def gone(office: Office, *devices: tuple[str, str]) -> list[list[str]]:
    found: list[list[str]] = orjson.loads(await office.payload("", Method.GONE, orjson.dumps(devices)))
    return found


async def make(office: Office, name: str, **how: Any) -> Credentials:
    answer = await tell(office, "bots.create", name=name, **how)
    return Credentials.from_bot_token(answer["result"]["token"])


async def bots(office: Office) -> dict[str, bool]:
    answer = await tell(office, "bots.list", after="", limit=100)
    return {one["name"]: one["active"] for one in answer["result"]["bots"]}


# Sessions that end


async def test_a_login_ends_after_the_days_of_the_setting(office: Office) -> None:
    phone = await log_in(office)
    issued = office.now - 60_000
    device = (phone.uid, phone.client)
    office.now = issued + 7 * DAY_MS
    assert await connect(office, phone) == ACCEPTED
    assert await gone(office, device) == []
    office.now += 1
    assert await connect(office, phone) == NO_SESSION
    assert await gone(office, device) == [[*device]]
    reply = await office.ask(phone.uid, SubSignal.UDL, pb.Version(version=0), client="web")
    assert not pb.UserDevicesResult.FromString(reply.payload).device
    again = await log_in(office)
    assert again.db_secret == phone.db_secret  # the device reads its own data
    assert await connect(office, again) == ACCEPTED
    assert await gone(office, device) == []


# Bots


async def test_a_token_logs_in_one_user_until_it_is_taken_back(office: Office) -> None:
    bot = await make(office, "ci")
    assert await connect(office, bot) == ACCEPTED
    office.now += 100 * DAY_MS  # it does not expire
    assert await connect(office, bot) == ACCEPTED
    assert await gone(office, (bot.user_id, bot.client_id)) == []
    assert await bots(office) == {"ci": True}
    office.online(bot.user_id, client=bot.client_id)
    assert (await tell(office, "bots.revoke", bot="ci"))["result"]["active"] is False
    assert [event.uid for event in office.events if isinstance(event, Kick)] == [bot.user_id]
    assert await connect(office, bot) == NO_SESSION
    assert await gone(office, (bot.user_id, bot.client_id)) == [[bot.user_id, bot.client_id]]
    assert await bots(office) == {"ci": False}


async def test_a_bot_with_a_token_gets_no_second_one(office: Office) -> None:
    first = await make(office, "ci")
    assert (await tell(office, "bots.create", name="ci"))["code"] == 409
    assert await connect(office, first) == ACCEPTED
    await tell(office, "bots.revoke", bot="ci")
    second = await make(office, "ci")
    assert second.user_id == first.user_id
    assert await connect(office, second) == ACCEPTED
    assert await connect(office, first) != ACCEPTED
    third = await make(office, "ci", retried=True)  # the answer with the second token was lost
    assert await connect(office, third) == ACCEPTED


async def test_nobody_logs_in_as_a_bot_by_a_code(office: Office) -> None:
    bot = await make(office, "ci")
    assert normal_number("bot:ci") is None
    (profile,) = pb.PullUserResult.FromString(
        await office.payload(
            bot.user_id, SubSignal.UPUI, pb.PullUserRequest(request=[pb.UserRequest(uid=bot.user_id)])
        )
    ).result
    assert (profile.user.display_name, profile.user.mobile) == ("ci", "")


async def test_unknown_bots(office: Office) -> None:
    assert (await tell(office, "bots.revoke", bot="nobody"))["code"] == 404
    assert await bots(office) == {}
