"""AUTHENTICATE, FORGET and HEADS: what connectors ask for themselves (contract.md section 4)."""

from dataclasses import dataclass, replace
from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from fsharechat.bus import Kick
from fsharechat.protocol import crypto
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ReportType, SubSignal, UserStatus
from fsharechat.rpc import Method, Reply
from fsharechat.rpc.payloads import Marks, Welcome
from fsharechat.store import heads, recalls, sessions
from fsharechat.store.cursors import Log
from fsharechat.store.heads import Heads
from fsharechat.store.sessions import LoginSession
from fsharechat.store.unit import Dialect, Query, Unit
from roles.group.tokens import TokenSigner
from tests.unit.group.group_kit import Office, text
from tools.testing.original import user_token
from tools.testing.server import until

ACCEPTED = SubSignal.CONNECTION_ACCEPTED
BAD_PASSWORD = SubSignal.CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD
NO_SESSION = SubSignal.CONNECTION_REFUSED_SESSION_NOT_EXIST
BLOCKED = SubSignal.CONNECTION_REFUSED_IDENTIFIER_REJECTED

NUMBER = "13912345678"


@dataclass(frozen=True)
class ConnectingDevice:
    """What a device keeps of its login, and the password that it makes of it."""

    uid: str
    client: str
    user_token: str
    secret: str
    db_secret: str

    def password(self, hours: int | None = None) -> str:
        return crypto.connect_password(self.user_token, self.secret, hours)


async def ask_json(office: Office, method: Method, body: dict[str, str]) -> Any:
    reply = await office.ask("", method, orjson.dumps(body), client="")
    assert reply.code == Code.SUCCESS
    return orjson.loads(reply.payload)["result"]


async def log_in(office: Office, client: str = "phone", number: str = NUMBER) -> ConnectingDevice:
    with capture_logs() as logs:
        await ask_json(office, Method.SEND_CODE, {"mobile": number})
    (code,) = [line["code"] for line in logs if "code" in line]
    result = await ask_json(office, Method.LOGIN, {"mobile": number, "code": code, "clientId": client})
    office.now += 60_000  # the next code may be sent
    return ConnectingDevice(result["userId"], client, *crypto.open_login_token(result["token"]))


async def connect(office: Office, device: ConnectingDevice, password: str | None = None) -> Reply:
    body = device.password() if password is None else password
    return await office.ask(device.uid, Method.AUTHENTICATE, body.encode(), client=device.client)


async def test_a_device_that_has_logged_in_is_accepted_and_told_its_heads(office: Office) -> None:
    device = await log_in(office)
    other = await office.user()
    await office.ask(other, SubSignal.MS, text(device.uid))
    for version, column in ((77, heads.FRIENDS), (66, heads.REQUESTS), (55, heads.SETTINGS)):
        await office.node.store.write(heads.next_version, column, [device.uid], version)
    reply = await connect(office, device)
    assert reply.code == ACCEPTED
    welcome = Welcome.decode(reply.payload)
    assert welcome[:2] == (Heads(1, 77, 66, 55), Marks())
    assert pb.ConnectAckPayload.FromString(welcome.ack) == pb.ConnectAckPayload(
        msg_head=1, friend_head=77, friend_rq_head=66, setting_head=55, server_time=office.now
    )


async def test_a_welcome_says_which_reports_there_are_and_which_the_device_has(office: Office) -> None:
    device = await log_in(office)
    await office.node.store.write(_reports, device, delivered=7, read=9)
    welcome = Welcome.decode((await connect(office, device)).payload)
    assert (welcome.heads.delivered, welcome.heads.read, welcome.marks.delivered, welcome.marks.read) == (
        7,
        9,
        6,
        5,
    )


def _reports(dialect: Dialect, device: "ConnectingDevice", delivered: int, read: int) -> Unit[None]:
    """Keep that so many reports are there, and that the device has fetched some."""
    yield from dialect.advance({device.uid: delivered}, "delivered_seq")
    yield from dialect.advance({device.uid: read}, "read_seq")
    sql = dialect.upsert("device_cursors", ("uid", "client_id", "kind"), ("seq",))
    for kind, seq in ((ReportType.DELIVERED, 6), (ReportType.READ, 5)):
        yield Query(sql, (device.uid, device.client, kind, seq))


async def test_two_devices_of_a_user_are_let_in_each_by_its_own_password(office: Office) -> None:
    phone, web = await log_in(office, "phone"), await log_in(office, "web")
    assert phone.uid == web.uid
    assert [(await connect(office, device)).code for device in (phone, web)] == [ACCEPTED] * 2
    assert (await connect(office, phone, web.password())).code == BAD_PASSWORD
    stolen = replace(web, user_token=phone.user_token)
    assert (await connect(office, stolen)).code == BAD_PASSWORD


async def test_a_new_login_ends_the_old_one_and_keeps_the_db_secret(office: Office) -> None:
    old = await log_in(office)
    new = await log_in(office)
    assert (await connect(office, old)).code == BAD_PASSWORD
    assert (await connect(office, replace(new, user_token=old.user_token))).code == BAD_PASSWORD
    assert (await connect(office, new)).code == ACCEPTED
    assert new.db_secret == old.db_secret
    assert new.secret != old.secret


async def test_a_token_of_ones_own_making_is_refused(office: Office) -> None:
    device = await log_in(office)
    forged = TokenSigner(b"k" * 32).issue(device.uid, device.client, office.now - 60_000)
    assert (await connect(office, replace(device, user_token=forged))).code == BAD_PASSWORD


async def imported(office: Office, issued_ms: int = 5) -> ConnectingDevice:
    """Return a device whose session an import has brought."""
    uid = await office.user()
    secret = "a6570352-151f-44c4-b19f-55edfae71634"
    session = LoginSession(secret, "db secret", issued_ms, imported=True)
    await office.node.store.write(sessions.renew, uid, "phone", session)
    return ConnectingDevice(uid, "phone", user_token(uid, 1_600_000_000_000), secret, "db secret")


async def test_a_device_of_an_imported_session_is_accepted_with_the_token_of_the_original(
    office: Office,
) -> None:
    device = await imported(office)
    assert (await connect(office, device)).code == ACCEPTED
    other = await imported(office)
    assert (await connect(office, replace(device, user_token=other.user_token))).code == BAD_PASSWORD
    assert (await connect(office, replace(device, secret="0" * 16))).code == BAD_PASSWORD


async def test_a_token_of_the_original_is_good_for_imported_sessions_alone(office: Office) -> None:
    device = await log_in(office)
    old = replace(device, user_token=user_token(device.uid, office.now))
    assert (await connect(office, old)).code == BAD_PASSWORD


async def test_a_token_of_the_original_is_good_until_the_next_login(office: Office) -> None:
    device = await imported(office)
    number = await office.node.store.read(_number, device.uid)
    new = await log_in(office, number=number)
    assert (new.uid, new.db_secret) == (device.uid, "db secret")
    assert (await connect(office, device)).code == BAD_PASSWORD
    assert (await connect(office, replace(new, user_token=device.user_token))).code == BAD_PASSWORD
    assert (await connect(office, new)).code == ACCEPTED


async def test_a_token_of_the_original_can_be_revoked(office: Office) -> None:
    device = await imported(office)
    await office.node.store.write(sessions.revoke, device.uid)
    assert (await connect(office, device)).code == BAD_PASSWORD


def _number(_: Dialect, uid: str) -> Unit[str]:
    number: str = (yield Query("SELECT number FROM users WHERE uid = ?", (uid,))).rows[0][0]
    return number


@pytest.mark.parametrize("password", ["", "x", "!!!", "AAAA", "A" * 64, "飞享", "=" * 16])
async def test_what_is_no_password_is_a_bad_password(office: Office, password: str) -> None:
    assert await connect(office, await log_in(office), password) == (BAD_PASSWORD, b"")


@pytest.mark.parametrize("age", [0, 24, 25, 24 * 365, -100_000], ids=str)
async def test_the_clock_of_a_device_decides_nothing(office: Office, age: int) -> None:
    old = await log_in(office)
    device = await log_in(office)
    stamped = crypto.hours_now() - age
    assert (await connect(office, device, device.password(stamped))).code == ACCEPTED
    aged = replace(device, user_token=old.user_token)  # what the server issued before, stamped anyhow
    assert (await connect(office, aged, aged.password(stamped))).code == BAD_PASSWORD


async def test_a_device_that_never_logged_in_has_no_session(office: Office) -> None:
    device = await log_in(office)
    for stranger in (replace(device, client="tablet"), replace(device, uid="nobody")):
        assert await connect(office, stranger) == (NO_SESSION, b"")


async def test_a_blocked_user_is_told_so_only_with_the_right_password(office: Office) -> None:
    device = await log_in(office)
    await office.set_status(device.uid, UserStatus.BLOCKED)
    assert (await connect(office, device)).code == BLOCKED
    assert (await connect(office, device, "x")).code == BAD_PASSWORD


async def test_a_muted_user_may_connect(office: Office) -> None:
    device = await log_in(office)
    await office.set_status(device.uid, UserStatus.MUTED)
    assert (await connect(office, device)).code == ACCEPTED


async def test_a_device_that_is_forgotten_has_no_session_and_others_keep_theirs(office: Office) -> None:
    phone, web = await log_in(office, "phone"), await log_in(office, "web")
    await log_out(office, phone, await login_time(office, phone))
    assert (await connect(office, phone)).code == NO_SESSION
    assert (await connect(office, web)).code == ACCEPTED


async def test_a_log_out_that_comes_late_leaves_a_new_login_alone(office: Office) -> None:
    old = await log_in(office)
    then = await login_time(office, old)
    new = await log_in(office)
    office.online(new.uid)
    assert new.uid == old.uid
    await log_out(office, old, then)
    assert (await connect(office, new)).code == ACCEPTED
    await log_out(office, new, await login_time(office, new))
    await until(lambda: any(isinstance(event, Kick) for event in office.events), "it stays connected")
    assert len(office.events) == 1


@pytest.mark.parametrize("early", [True, False])
async def test_who_connects_while_logging_out_is_disconnected(office: Office, early: bool) -> None:
    phone = await log_in(office)
    if early:
        office.online(phone.uid)
    await log_out(office, phone, await login_time(office, phone))
    if not early:
        office.online(phone.uid)
    await until(lambda: bool(office.events), "it stays connected")
    (kick,) = office.events
    assert isinstance(kick, Kick)
    assert kick[:2] == (phone.uid, "phone")


async def login_time(office: Office, device: ConnectingDevice) -> int:
    return Welcome.decode((await connect(office, device)).payload).issued_ms


async def log_out(office: Office, device: ConnectingDevice, issued_ms: int) -> None:
    reply = await office.ask(device.uid, Method.FORGET, b"%d" % issued_ms, client=device.client)
    assert reply.code == Code.SUCCESS


async def test_a_store_that_is_away_refuses_as_unavailable(office: Office) -> None:
    device = await log_in(office)
    await office.node.store.close()
    with capture_logs():
        assert (await connect(office, device)).code == SubSignal.CONNECTION_REFUSED_SERVER_UNAVAILABLE


async def test_heads_are_of_those_whose_inbox_has_entries(office: Office) -> None:
    ann, bob, cid = [await office.user() for _ in range(3)]
    for _ in range(2):
        await office.ask(ann, SubSignal.MS, text(bob))
    reply = await office.ask("", Method.HEADS, orjson.dumps([ann, bob, cid, "nobody"]), client="")
    assert orjson.loads(reply.payload) == {ann: [2, 0, 0, 0, 0, 0, 0], bob: [2, 0, 0, 0, 0, 0, 0]}


async def test_a_device_knows_the_recalls_from_before_its_first_login(office: Office) -> None:
    phone = await log_in(office, "phone")
    await office.node.store.write(recalls.keep, 1, "ben", "pc", [phone.uid])
    web = await log_in(office, "web")
    await office.node.store.write(recalls.keep, 2, "cid", "pc", [phone.uid])
    known = [Welcome.decode((await connect(office, device)).payload) for device in (phone, web)]
    assert [(one.heads.recalled, one.marks.recalled) for one in known] == [(2, 0), (2, 1)]
    reply = await office.ask(phone.uid, Method.RECALLS, b"1")
    assert orjson.loads(reply.payload) == [[2, 2, "cid", "pc"]]
    told = orjson.dumps([(phone.uid, "phone", Log.RECALLS, 2), (phone.uid, "web", Log.RECALLS, 1)])
    assert (await office.ask("", Method.MARKS, told, client="")).code == Code.SUCCESS
    await log_in(office, "phone")
    assert Welcome.decode((await connect(office, await log_in(office, "phone"))).payload).marks.recalled == 2


async def test_connectors_are_told_which_devices_may_not_be_connected(office: Office) -> None:
    """Logged out, their logins revoked, or of a blocked user: whoever missed the kick finds them so."""
    phone, pad = await log_in(office, "phone"), await log_in(office, "pad")
    other = await log_in(office, number="13912345679")

    async def gone(*devices: ConnectingDevice) -> list[list[str]]:
        body = orjson.dumps([(device.uid, device.client) for device in devices])
        reply = await office.ask("", Method.GONE, body, client="")
        assert reply.code == Code.SUCCESS
        found: list[list[str]] = orjson.loads(reply.payload)
        return found

    assert await gone(phone, pad, other) == []
    assert await gone(replace(phone, client="web"), phone) == [[phone.uid, "web"]]
    await log_out(office, pad, await login_time(office, pad))
    assert await gone(phone, pad) == [[pad.uid, "pad"]]
    await office.set_status(other.uid, UserStatus.BLOCKED)
    assert await gone(phone, other) == [[other.uid, "phone"]]
    await office.set_status(other.uid, UserStatus.NORMAL)
    assert await gone(phone, other) == []
    await office.node.store.write(_revoke, other.uid)
    assert await gone(phone, other) == [[other.uid, "phone"]]


def _revoke(_: Dialect, uid: str) -> Unit[None]:
    yield Query("UPDATE sessions SET issued_ms = ? WHERE uid = ?", (sessions.REVOKED, uid))
