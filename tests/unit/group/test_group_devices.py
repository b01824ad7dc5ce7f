"""UDL and UDK: a user's own devices (contract.md section 8)."""

import orjson
import pytest

from fsharechat.bus import Kick
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal
from fsharechat.rpc import Method
from fsharechat.store import sessions
from fsharechat.store.sessions import LoginSession
from roles.group.devices import kind_of, name_of
from tests.unit.group.group_kit import Office
from tools.testing.server import until

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"
EDGE = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Safari/537.36 Edg/126"
SAFARI = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605 Version/17.5 Safari/604.1"
DESKTOP = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Chrome/120.0 Electron/28.0 Safari/537.36"


@pytest.mark.parametrize(
    ("agent", "kind", "name"),
    [
        (FIREFOX, "web", "Firefox, Windows"),
        (EDGE, "web", "Edge, Linux"),
        (SAFARI, "web", "Safari, iPhone"),
        (DESKTOP, "desktop", "Chrome, macOS"),
        ("okhttp/4.9.0", "android", ""),
        ("飞享/1 CFNetwork/1410.0.3 Darwin/22.6.0", "ios", ""),
        ("Python/3.11 aiohttp/3.10", "program", ""),
        ("", "", ""),
    ],
)
def test_what_a_device_is(agent: str, kind: str, name: str) -> None:
    device = sessions.KnownDevice("c", agent, "", 1, 1)
    assert (kind_of(agent), name_of(device)) == (kind, name)
    assert name_of(device._replace(name="my phone")) == "my phone"


async def log_in(office: Office, uid: str, client: str, issued: int, agent: str = "", name: str = "") -> None:
    await office.node.store.write(
        sessions.renew, uid, client, LoginSession("s", "d", issued, False, agent, name)
    )


async def listed(office: Office, uid: str, client: str = "phone") -> list[pb.UserDevice]:
    reply = await office.ask(uid, SubSignal.UDL, pb.Version(version=0), client=client)
    return list(pb.UserDevicesResult.FromString(reply.payload).device)


async def end(office: Office, uid: str, client: str, *, retried: bool = False) -> int:
    request = pb.EndDeviceRequest(client_id=client)
    return (await office.ask(uid, SubSignal.UDK, request, client="phone", retried=retried)).code


async def test_the_devices_of_a_user(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    await log_in(office, ann, "phone", 1000, agent="okhttp/4.9.0", name="my phone")
    await log_in(office, ann, "web", 3000, agent=FIREFOX)
    await log_in(office, ann, "pad", 2000)
    await log_in(office, bob, "his", 2000)
    office.online(ann, client="web")
    seen = orjson.dumps([(ann, "pad", 5000), (ann, "pad", 4000), (bob, "his", 1)])
    assert (await office.ask("", Method.SEEN, seen, client="")).code == Code.SUCCESS
    seen = orjson.dumps([(ann, "pad", 4500)])  # it came late
    assert (await office.ask("", Method.SEEN, seen, client="")).code == Code.SUCCESS
    now = office.now
    assert await listed(office, ann) == [
        pb.UserDevice(
            client_id="web",
            kind="web",
            name="Firefox, Windows",
            login_dt=3000,
            seen_dt=now,
            online=1,
            current=0,
        ),
        pb.UserDevice(client_id="pad", kind="", name="", login_dt=2000, seen_dt=5000, online=0, current=0),
        pb.UserDevice(
            client_id="phone",
            kind="android",
            name="my phone",
            login_dt=1000,
            seen_dt=now,
            online=1,
            current=1,
        ),
    ]


async def test_a_device_is_logged_out_and_disconnected(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    for client in ("phone", "web"):
        await log_in(office, ann, client, 1000)
    await log_in(office, bob, "web", 1000)
    office.online(ann, bob, client="web")
    assert await end(office, ann, "web") == Code.SUCCESS
    assert [event[:2] for event in office.events if isinstance(event, Kick)] == [(ann, "web")]
    assert [one.client_id for one in await listed(office, ann)] == ["phone"]
    assert [one.client_id for one in await listed(office, bob)] == ["web"]
    assert await office.node.store.read(sessions.find, ann, "web") is None
    assert await end(office, ann, "web") == Code.NOT_EXIST
    assert await end(office, ann, "web", retried=True) == Code.SUCCESS


@pytest.mark.parametrize(("client", "code"), [("phone", 251), ("his", 253), ("phone ", 253), ("", 253)])
async def test_only_another_own_device_is_logged_out(office: Office, client: str, code: int) -> None:
    ann, bob = await office.user(), await office.user()
    await log_in(office, ann, "phone", 1000)
    await log_in(office, bob, "his", 1000)
    assert await end(office, ann, client) == code
    assert len(await listed(office, bob, "his")) == 1


async def test_a_device_that_connects_while_it_is_logged_out_is_disconnected(office: Office) -> None:
    ann = await office.user()
    await log_in(office, ann, "web", 1000)
    await end(office, ann, "web")
    office.online(ann, client="web")  # its CONNECT was allowed before
    await until(lambda: bool(office.events), "the end of the connection")
    assert [(event.uid, event.client_id) for event in office.events if isinstance(event, Kick)] == [
        (ann, "web")
    ]
