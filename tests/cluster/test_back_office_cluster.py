"""The back office of a cluster: what one process is asked shows on all of them."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fsharechat.admin.office import AdminApi
from fsharechat.client import Credentials
from fsharechat.protocol.signals import Code, SubSignal
from tools.testing.cluster import API_KEY, LiveCluster, MakeCluster, new_numbers
from tools.testing.devices import log_in
from tools.testing.server import BOUND
from tools.wire.bodies import text_message
from tools.wire.clients import TcpWire

pytestmark = pytest.mark.slow


@pytest.fixture
def it(cluster: MakeCluster) -> LiveCluster:
    return cluster(2, 2)


@pytest.fixture
async def offices(it: LiveCluster) -> AsyncIterator[tuple[AdminApi, AdminApi]]:
    """The back office, by each api process."""
    async with AdminApi(it.at(0).http, API_KEY) as one, AdminApi(it.at(1).http, API_KEY) as other:
        yield one, other


async def online(it: LiveCluster, connector: int, credentials: Credentials) -> TcpWire:
    wire = await TcpWire.open(it.at(connector).tcp)
    assert await wire.connect(credentials) == SubSignal.CONNECTION_ACCEPTED
    return wire


async def send(wire: TcpWire, target: str, text: str) -> int:
    return (await wire.request(SubSignal.MS, text_message(target, text)))[0]


async def test_words_are_refused_on_every_node_and_allowed_again(
    it: LiveCluster, offices: tuple[AdminApi, AdminApi]
) -> None:
    it.faults()
    word = f"word-{new_numbers(1)[0]}"
    users = [await log_in(it.at(n), number, "phone") for n, number in enumerate(new_numbers(2))]
    wires = [await online(it, n, user) for n, user in enumerate(users)]
    for path, code in (((), Code.SENSITIVE_WORD), (("remove",), Code.SUCCESS)):
        await offices[0].ask("POST", "admin", "words", *path, body={"words": [word]})
        for wire, other in zip(wires, reversed(users), strict=True):
            alike = 0  # each group process takes some of the calls
            async with asyncio.timeout(BOUND):
                while alike < 20:
                    alike = alike + 1 if await send(wire, other.user_id, f"a {word.upper()}") == code else 0
    for wire in wires:
        await wire.close()
    assert it.faults() == []


async def test_a_blocked_user_is_out_at_once_on_every_node(
    it: LiveCluster, offices: tuple[AdminApi, AdminApi]
) -> None:
    it.faults()
    (number,) = new_numbers(1)
    logins = [await log_in(it.at(n), number, device) for n, device in enumerate(("phone", "pad"))]
    wires = [await online(it, n, credentials) for n, credentials in enumerate(logins)]
    await it.until_known()
    listed = await offices[1].ask("GET", "admin", "users", number, "sessions")
    assert {one["clientId"]: one["online"] for one in listed["sessions"]} == {"phone": True, "pad": True}
    assert len({one["node"] for one in listed["sessions"]}) == 2
    await offices[1].ask("PUT", "admin", "users", number, "status", body={"status": "blocked"})
    for wire in wires:
        await wire.until_closed()
        await wire.close()
    for connector in (0, 1):
        again = await TcpWire.open(it.at(connector).tcp)
        refused = await again.connect(logins[connector])
        assert refused == SubSignal.CONNECTION_REFUSED_IDENTIFIER_REJECTED
        await again.close()
    await offices[0].ask("PUT", "admin", "users", number, "status", body={"status": "normal"})
    await (await online(it, 0, await log_in(it.at(0), number, "phone"))).close()
    assert it.faults() == []


async def test_a_push_reaches_devices_on_both_connectors(
    it: LiveCluster, offices: tuple[AdminApi, AdminApi]
) -> None:
    numbers = new_numbers(2)
    users = [await log_in(it.at(n), number, "phone") for n, number in enumerate(numbers)]
    wires = [await online(it, n, user) for n, user in enumerate(users)]
    await it.until_known()
    content = {"content": {"type": 1, "searchableContent": "to all"}, "messageId": numbers[0]}
    for office in offices:  # the second time it is the same message
        await office.ask(
            "POST",
            "imopenapi",
            "pushNotificationByMobile",
            body={"mobiles": numbers, "content": content},
        )
    for wire in wires:
        head = await wire.next_mn()
        assert await wire.pull(head - 1) == (["to all"], 1)
        await wire.close()
