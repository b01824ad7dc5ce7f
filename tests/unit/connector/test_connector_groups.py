"""What groups ask of a connector: ids for the messages that tell of changes, and first logins that read the store."""

import pytest

from fsharechat.protocol.ids import node_of
from fsharechat.protocol.signals import SubSignal
from fsharechat.rpc import Method
from tests.unit.connector.connector_fakes import Connector

CHANGES = [SubSignal.GC, SubSignal.GAM, SubSignal.GKM, SubSignal.GQ, SubSignal.GD, SubSignal.GMI]


@pytest.mark.parametrize("method", CHANGES, ids=lambda method: method.name)
async def test_a_change_of_a_group_gets_an_id_for_its_message(
    connector: Connector, method: SubSignal
) -> None:
    phone = await connector.device()
    for _ in range(2):
        phone.publish(method)
    ids = [call.message_id for call in connector.rpc.of(method)]
    assert len(set(ids)) == 2
    assert [node_of(id) for id in ids] == [connector.hub.identity.node] * 2


async def test_reading_groups_takes_no_id(connector: Connector) -> None:
    phone = await connector.device()
    phone.publish(SubSignal.GPGM)
    assert [call.message_id for call in connector.rpc.of(SubSignal.GPGM)] == [0]


async def test_a_first_login_is_answered_by_the_store_though_the_tail_holds_everything(
    connector: Connector,
) -> None:
    phone = await connector.device()
    connector.deliver(1)
    connector.deliver(2)
    tablet = await connector.device(client_id="tablet", head=2)
    tablet.pull(0)
    assert len(connector.rpc.of(Method.PULL)) == 1
    phone.pull(0)  # it has been here from the start, and has left nothing since
    assert len(phone.transport.take("pulled")) == 1
