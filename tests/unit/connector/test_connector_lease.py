"""A connector whose node id is lost: what it does without one, and how it goes on with another."""

from collections.abc import AsyncIterator

import pytest

from fsharechat.bus import Notify, Presence
from fsharechat.bus.memory import MemoryBus
from fsharechat.protocol.ids import LeaseError, node_of
from fsharechat.protocol.signals import Signal, SubSignal
from fsharechat.settings import Settings
from roles.connector.hub import Hub
from tests.unit.connector.connector_fakes import Connector, RecordingTransport, ScriptedRpc, connect, turn
from tools.testing.leases import FickleLease
from tools.testing.server import until

BEFORE, AFTER = 3, 7


class LeasedConnector(Connector):
    """A running hub whose lease the test has in hand."""

    @property
    def lease(self) -> FickleLease:
        lease = self.hub.identity._lease
        assert isinstance(lease, FickleLease)
        return lease

    async def until_it_takes_connections(self) -> None:
        await until(lambda: not self.hub.identity.suspended, "it takes no connections")


@pytest.fixture
async def connector() -> AsyncIterator[LeasedConnector]:
    rpc, bus = ScriptedRpc(), MemoryBus()
    hub = Hub(Settings(), FickleLease("connector", BEFORE), rpc, bus, 10_000)
    presences: list[Presence] = []
    await bus.watch_presence(presences.append)
    await hub.start()
    yield LeasedConnector(hub, rpc, bus, hub.flow.time, presences)  # type: ignore[arg-type]
    hub.flow.inflight = 0
    await hub.stop()


async def test_without_its_id_it_gives_out_no_message_id_from_that_moment(connector: LeasedConnector) -> None:
    connector.hub.identity.next_id()
    connector.lease.lose()
    with pytest.raises(LeaseError):
        connector.hub.identity.next_id()


async def test_without_its_id_it_closes_all_and_takes_nobody(connector: LeasedConnector) -> None:
    phone, stranger = await connector.device(), connector.accept()
    connector.lease.lose()
    await turn()
    assert phone.transport.closed
    assert stranger.transport.closed
    assert connector.hub.table.accept(RecordingTransport()) is None


async def test_without_its_id_it_says_nothing_of_where_devices_are(connector: LeasedConnector) -> None:
    phone, late = await connector.device(), connector.accept()
    connector.presences.clear()
    connector.lease.lose()
    late.send(Signal.CONNECT, connect("ben"))
    await connector.rpc.reply(SubSignal.CONNECTION_ACCEPTED, b"")
    phone.session.close()
    await turn()
    assert connector.presences == []


async def test_with_the_same_id_it_begins_anew(connector: LeasedConnector) -> None:
    phone = await connector.device()
    epoch = phone.session.epoch
    connector.presences.clear()
    connector.lease.lose()
    await turn()
    connector.lease.regain(BEFORE)
    await connector.until_it_takes_connections()
    await turn()
    assert phone.transport.closed
    (begun,) = connector.presences
    assert begun == Presence("", "", BEFORE, begun.epoch)
    assert begun.epoch > epoch
    await connector.device()
    assert connector.presences[-1].epoch > begun.epoch


async def test_with_another_id_all_goes_on_under_that_one(connector: LeasedConnector) -> None:
    await connector.device()
    old_id = connector.hub.identity.next_id
    connector.presences.clear()
    connector.lease.lose()
    await turn()
    connector.lease.regain(AFTER)
    with pytest.raises(LeaseError):
        old_id()
    await connector.until_it_takes_connections()
    assert node_of(connector.hub.identity.next_id()) == AFTER
    with pytest.raises(LeaseError):
        old_id()
    phone = await connector.device()
    assert [(news.uid, news.node) for news in connector.presences] == [("", AFTER), ("anna", AFTER)]
    connector.bus.deliver(BEFORE, [Notify(SubSignal.FN, b"another connector's", "anna")])
    connector.bus.deliver(AFTER, [Notify(SubSignal.FN, b"ours", "anna")])
    assert [sent.body for sent in phone.transport.take("notification")] == [b"ours"]


async def test_an_id_that_is_lost_again_at_once_is_not_used(connector: LeasedConnector) -> None:
    connector.lease.lose()
    connector.lease.regain(AFTER)
    connector.lease.lose()
    await turn(10)
    assert connector.hub.identity.suspended
    connector.lease.regain(BEFORE)
    await connector.until_it_takes_connections()
    assert node_of(connector.hub.identity.next_id()) == BEFORE


async def test_who_starts_without_its_id_waits_for_one() -> None:
    lease, bus = FickleLease("connector", BEFORE), MemoryBus()
    lease.lose()
    hub = Hub(Settings(), lease, ScriptedRpc(), bus, 10_000)
    presences: list[Presence] = []
    await bus.watch_presence(presences.append)
    await hub.start()
    try:
        await turn(10)
        assert hub.table.accept(RecordingTransport()) is None
        assert presences == []
        lease.regain(AFTER)
        await until(lambda: not hub.identity.suspended, "it takes no connections")
        assert [news.node for news in presences] == [AFTER]
    finally:
        await hub.stop()
