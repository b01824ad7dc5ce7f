"""Message ids of a connector: behind what is stored, and behind what its devices have been brought."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from structlog.testing import capture_logs

from fsharechat.bus import Deliver
from fsharechat.bus.memory import MemoryBus
from fsharechat.clock import now_ms
from fsharechat.protocol.ids import MAX_AHEAD_MS, compose, node_of
from fsharechat.protocol.signals import Code, SubSignal
from fsharechat.rpc import Call, Method, Reply
from fsharechat.settings import Settings
from fsharechat.store.messages import Entry
from roles.connector.hub import Hub
from tests.unit.connector.connector_fakes import Connector, ScriptedRpc, body_of, turn
from tools.testing.leases import FickleLease
from tools.testing.server import until

NODE, OTHER = 3, 7


def seconds_ahead(seconds: int, node: int = OTHER) -> int:
    """Return an id of somebody whose clock is ahead."""
    return compose(now_ms() + seconds * 1000, node, 5)


class NewestStore:
    """What the group role says of the newest message."""

    def __init__(self) -> None:
        self.newest = 0
        self.away = False
        self.asked = 0

    def answer(self, _: Call) -> Reply:
        self.asked += 1
        return Reply(Code.SERVER_ERROR) if self.away else Reply(Code.SUCCESS, orjson.dumps(self.newest))


@pytest.fixture
def store() -> NewestStore:
    return NewestStore()


@pytest.fixture
async def lease() -> FickleLease:
    return FickleLease("connector", NODE)


@pytest.fixture
async def hub(store: NewestStore, lease: FickleLease) -> AsyncIterator[Hub]:
    rpc = ScriptedRpc()
    rpc.answers[Method.NEWEST_ID] = store.answer
    hub = Hub(Settings(), lease, rpc, MemoryBus(), 10_000)
    hub.identity.retry_seconds = 0.001
    yield hub
    await hub.stop()


async def test_an_answer_has_an_id_above_its_question(connector: Connector) -> None:
    phone = await connector.device()
    question = seconds_ahead(30)
    connector.events(Deliver(body_of(1), [Entry("anna", 1)], "ben", "", question))
    phone.publish(SubSignal.MS)
    (call,) = connector.rpc.of(SubSignal.MS)
    assert call.message_id > question


async def test_a_peer_more_than_a_minute_ahead_is_reported_and_not_followed(connector: Connector) -> None:
    phone = await connector.device()
    question = seconds_ahead(MAX_AHEAD_MS // 1000 + 60)
    with capture_logs() as logs:
        for seq in (1, 2):
            connector.events(Deliver(body_of(seq), [Entry("anna", seq)], "ben", "", question))
    assert [(line["log_level"], line["node"]) for line in logs] == [("error", OTHER)]
    phone.publish(SubSignal.MS)
    (call,) = connector.rpc.of(SubSignal.MS)
    assert call.message_id < question
    assert phone.transport.mns() == [1]


async def test_it_begins_behind_what_is_stored(hub: Hub, store: NewestStore) -> None:
    store.newest = seconds_ahead(3600, NODE)
    await hub.start()
    assert hub.identity.next_id() > store.newest


async def test_it_takes_nobody_before_it_knows_what_is_stored(hub: Hub, store: NewestStore) -> None:
    store.away, store.newest = True, seconds_ahead(3600, NODE)
    starting = asyncio.create_task(hub.start())
    await until(lambda: store.asked > 1, "it does not ask again")
    assert hub.identity.suspended
    store.away = False
    await starting
    assert not hub.identity.suspended
    assert hub.identity.next_id() > store.newest


async def test_a_node_id_that_comes_back_goes_on_behind_what_others_gave_out_under_it(
    hub: Hub, store: NewestStore, lease: FickleLease
) -> None:
    await hub.start()
    own = hub.identity.next_id()
    lease.lose()
    await turn()
    store.newest = seconds_ahead(30, OTHER)
    lease.regain(OTHER)
    await until(lambda: not hub.identity.suspended, "it takes no connections")
    assert own < store.newest < (id := hub.identity.next_id())
    assert node_of(id) == OTHER


async def test_a_node_id_that_comes_back_is_not_used_before_the_store_answers(
    hub: Hub, store: NewestStore, lease: FickleLease
) -> None:
    await hub.start()
    newest = hub.identity.next_id()
    asked = store.asked
    store.away = True
    lease.lose()
    await turn()
    lease.regain(NODE)
    await until(lambda: store.asked > asked + 1, "it does not ask again")
    assert hub.identity.suspended
    store.away = False
    await until(lambda: not hub.identity.suspended, "it takes no connections")
    assert hub.identity.next_id() > newest
