"""The cursor of a session and the head of a user (docs/decisions/cursors.md)."""

import pytest

from fsharechat.protocol.signals import Code, SubSignal
from fsharechat.rpc import Method
from fsharechat.store.inboxes import NOTHING
from tests.unit.connector.connector_fakes import Connector, FakeDevice, Make, SentFrame, body_of, pulled


def covered(device: FakeDevice) -> int:
    """Return the last seq that was written to a device, or that it made itself."""
    assert device.session.logs is not None
    return device.session.logs.inbox.covered


async def test_an_mn_carries_the_lowest_seq_not_fetched(connector: Connector) -> None:
    phone = await connector.device(head=7)
    connector.deliver(8)
    assert phone.transport.mns() == [8]


async def test_one_mn_stands_for_many_entries(connector: Connector) -> None:
    phone = await connector.device()
    bodies = [connector.deliver(seq) for seq in range(1, 51)]
    assert phone.transport.mns() == [1]
    phone.pull(0, message_id=9)
    assert phone.transport.take() == [SentFrame("pulled", SubSignal.MP, 9, (bodies, 50, 50))]
    assert covered(phone) == 50
    assert connector.rpc.of(Method.PULL) == []


async def test_the_next_mn_goes_out_after_the_pull(connector: Connector) -> None:
    phone = await connector.device()
    connector.deliver(1)
    phone.pull(0)
    phone.transport.take()
    connector.deliver(2)
    assert phone.transport.mns() == [2]


async def test_no_mn_while_a_pull_is_under_way(connector: Connector) -> None:
    phone = await connector.device(head=3)
    phone.pull(0)  # a first login: the group role reads the store
    connector.deliver(4)
    connector.deliver(5)
    assert phone.transport.take() == []
    await connector.rpc.reply(payload=pulled(range(1, 5), 4))
    bodies = [body_of(seq) for seq in range(1, 5)]
    assert phone.transport.take("pulled") == [SentFrame("pulled", SubSignal.MP, 1, (bodies, 4, 4))]
    assert covered(phone) == 4


async def test_what_came_during_a_pull_is_told_behind_it(connector: Connector) -> None:
    phone = await connector.device(head=3)
    phone.pull(0)
    connector.deliver(4)
    await connector.rpc.reply(payload=pulled(range(1, 4), 3))
    assert phone.transport.mns() == [4]


async def test_what_a_device_sent_itself_during_a_pull_is_not_told_behind_it(connector: Connector) -> None:
    phone = await connector.device(head=3)
    tablet = await connector.device(client_id="tablet", head=3)
    phone.pull(0)
    connector.deliver(4)
    connector.deliver(5, sender="anna", sender_client="phone")
    connector.deliver(6, sender="anna", sender_client="phone")
    await connector.rpc.reply(payload=pulled(range(1, 5), 4))
    assert phone.transport.mns() == []
    assert covered(phone) == 6
    assert tablet.transport.mns() == [4]


async def test_the_head_of_an_answer_counts_where_its_event_was_lost(connector: Connector) -> None:
    phone = await connector.device(head=3)
    tablet = await connector.device(client_id="tablet", head=3)
    phone.pull(0)
    await connector.rpc.reply(payload=pulled(range(1, 4), 5))
    assert phone.transport.mns() == [4]
    assert tablet.transport.mns() == [4]


async def test_an_own_message_in_turn_moves_the_cursor_silently(connector: Connector) -> None:
    phone = await connector.device(head=3)
    tablet = await connector.device(client_id="tablet", head=3)
    connector.deliver(4, sender="anna", sender_client="phone")
    connector.deliver(5, sender="anna", sender_client="phone")
    assert phone.transport.take() == []
    assert covered(phone) == 5
    assert tablet.transport.mns() == [4]
    connector.deliver(6)
    assert phone.transport.mns() == [6]


async def test_an_own_message_behind_one_not_fetched_does_not_move_the_cursor(connector: Connector) -> None:
    phone = await connector.device(head=3)
    connector.deliver(4)
    connector.deliver(5, sender="anna", sender_client="phone")
    assert phone.transport.mns() == [4]
    assert covered(phone) == 3
    phone.pull(3)
    assert phone.transport.take() == [SentFrame("pulled", SubSignal.MP, 1, ([body_of(4)], 5, 5))]


async def test_a_message_of_the_same_client_id_of_another_user_is_no_own_one(connector: Connector) -> None:
    phone = await connector.device(head=3)
    connector.deliver(4, sender="ben", sender_client="phone")
    assert phone.transport.mns() == [4]


async def test_a_repeated_event_is_not_told_again(connector: Connector) -> None:
    phone = await connector.device()
    connector.deliver(1)
    phone.pull(0)
    phone.transport.take()
    connector.deliver(1)
    assert phone.transport.take() == []


async def test_events_out_of_order_are_one_mn_and_one_pull(connector: Connector) -> None:
    phone = await connector.device()
    connector.deliver(2)
    assert phone.transport.mns() == [1]
    connector.deliver(1)
    phone.pull(0)
    assert phone.transport.take() == [SentFrame("pulled", SubSignal.MP, 1, ([body_of(1), body_of(2)], 2, 2))]


async def test_the_tail_keeps_what_the_slower_device_has_not_fetched(connector: Connector) -> None:
    phone = await connector.device()
    tablet = await connector.device(client_id="tablet")
    body = connector.deliver(1)
    phone.pull(0)
    tablet.pull(0)
    answer = SentFrame("pulled", SubSignal.MP, 1, ([body], 1, 1))
    assert answer in phone.transport.take()
    assert answer in tablet.transport.take()
    assert connector.hub.table.users["anna"].tail_after(0) is not None, "neither is known to have it"
    connector.deliver(2)
    phone.pull(1)
    assert connector.hub.table.users["anna"].tail_after(0) is not None
    tablet.pull(1)
    assert connector.hub.table.users["anna"].tail_after(0) is None


@pytest.mark.parametrize("after", [0, 3, 4, 5, -1], ids=str)
async def test_what_the_tail_cannot_answer_is_asked_of_the_group_role(
    connector: Connector, after: int
) -> None:
    phone = await connector.device(head=5)
    connector.deliver(6)
    connector.deliver(8)
    phone.transport.take()
    phone.pull(after)
    assert [call.body for call in connector.rpc.of(Method.PULL)] == [
        b"[%d,5,%d]" % (after if after > 0 else NOTHING, max(after, 0))
    ]
    assert phone.transport.take() == []


async def test_an_evicted_tail_is_asked_of_the_group_role(make: Make) -> None:
    connector = make(connector={"tail_entries": 2})
    phone = await connector.device()
    for seq in (1, 2, 3):
        connector.deliver(seq)
    phone.pull(0)
    await connector.rpc.reply(payload=pulled((1, 2, 3), 3))
    assert covered(phone) == 3
    connector.deliver(4)
    phone.transport.take()
    phone.pull(3)
    assert phone.transport.take("pulled") != []


async def test_an_unanswered_mn_is_repeated_after_a_while(connector: Connector) -> None:
    phone = await connector.device()
    seconds = connector.hub.table.settings.notify_repeat_seconds
    connector.deliver(1)
    connector.deliver(2)
    assert phone.transport.mns() == [1]
    connector.clock.now += seconds - 0.1
    await connector.hub.sweep()
    assert phone.transport.mns() == []
    connector.clock.now += 0.2
    await connector.hub.sweep()
    assert phone.transport.mns() == [1]
    await connector.hub.sweep()
    assert phone.transport.mns() == []
    phone.pull(0)
    phone.transport.take()
    connector.clock.now += 2 * seconds
    await connector.hub.sweep()
    assert phone.transport.mns() == []


async def test_a_failed_pull_is_tried_again_in_a_while_and_not_at_once(connector: Connector) -> None:
    phone = await connector.device()
    connector.deliver(2)
    phone.transport.take()
    for _ in range(3):
        phone.pull(0)
        await connector.rpc.reply(Code.SERVER_ERROR)
        assert phone.transport.codes() == [(1, Code.SERVER_ERROR)]
        connector.deliver(3)
        await connector.hub.sweep()
        assert phone.transport.mns() == []
        connector.clock.now += connector.hub.table.settings.notify_repeat_seconds + 0.1
        await connector.hub.sweep()
        assert phone.transport.mns() == [1]


async def test_a_pull_that_cannot_be_read_is_no_answer_to_an_mn(connector: Connector) -> None:
    phone = await connector.device()
    connector.deliver(1)
    phone.transport.take()
    phone.publish(SubSignal.MP, b"\xff")
    assert phone.transport.codes() == [(1, Code.INVALID_DATA)]
    connector.clock.now += connector.hub.table.settings.notify_repeat_seconds + 0.1
    await connector.hub.sweep()
    assert phone.transport.mns() == [1]


async def test_pulls_have_a_bound_of_their_own(make: Make) -> None:
    connector = make(limits={"requests": 2, "follow_ups": 22, "seconds": 5})
    phone = await connector.device()
    for seq in range(1, 21):
        connector.deliver(seq)
        phone.pull(seq - 1)
    assert len(phone.transport.take("pulled")) == 20
    for _ in range(3):
        phone.pull(20)
    assert [sent.what for sent in phone.transport.take()] == ["pulled", "pulled", "reply"]
    connector.clock.now += 0.3
    connector.deliver(21)
    phone.pull(20)
    assert len(phone.transport.take("pulled")) == 1


async def test_a_device_that_is_behind_is_told_at_once(connector: Connector) -> None:
    tablet = await connector.device(client_id="tablet", head=5)
    connector.deliver(6)
    tablet.transport.take()
    phone = connector.accept()
    await connector.log_in(phone, head=5)
    assert phone.transport.mns() == [6]


async def test_a_connect_that_knows_more_tells_the_other_devices(connector: Connector) -> None:
    tablet = await connector.device(client_id="tablet", head=5)
    await connector.device(head=8)
    assert tablet.transport.mns() == [6]
