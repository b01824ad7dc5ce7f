"""A recall reaches every device, also one that has not fetched the message yet."""

import pytest
from connector_fakes import Connector, FakeDevice, message, pulled

from fsharechat.bus import Deliver, Recalled
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import pull_result
from fsharechat.protocol.signals import SubSignal
from fsharechat.store.messages import Entry
from roles.connector import hub as hub_module

GONE = b"what the recall made of it"


def deliver(connector: Connector, seq: int, *uids: str) -> bytes:
    """Bring a message whose id is `seq` for users."""
    body = message(seq)
    connector.events(Deliver(body, [Entry(uid, seq) for uid in uids], "ben", ""))
    return body


def recall(connector: Connector, seq: int, *uids: str, operator: str = "ben") -> None:
    connector.events(Recalled(seq, GONE, uids, operator))


def rmns(device: FakeDevice) -> list[tuple[int, str]]:
    """Return (message id, operator) of the RMNs sent since."""
    notes = [sent for sent in device.transport.take("notification") if sent.sub_signal == SubSignal.RMN]
    return [
        (note.id, note.from_user) for sent in notes if (note := pb.NotifyRecallMessage.FromString(sent.body))
    ]


def pull(device: FakeDevice, after: int) -> list[bytes]:
    device.transport.take()
    device.pull(after)
    (sent,) = device.transport.take("pulled")
    return list(sent.body[0])


async def test_all_but_the_operator_are_told(connector: Connector):
    phone, tablet = await connector.device(), await connector.device(client_id="tablet")
    ben, cid = await connector.device("ben"), await connector.device("cid")
    recall(connector, 1, "anna", "ben", "dan")
    assert rmns(phone) == rmns(tablet) == [(1, "ben")]
    assert rmns(ben) == rmns(cid) == []


async def test_the_tail_has_what_the_recall_made_of_the_message(connector: Connector):
    phone, dan = await connector.device(), await connector.device("dan")
    bodies = [deliver(connector, seq, "anna", "dan") for seq in range(1, 4)]
    recall(connector, 2, "anna", "dan")
    assert pull(phone, 0) == pull(dan, 0) == [bodies[0], GONE, bodies[2]]


async def test_the_tail_counts_the_bytes_of_the_new_body(connector: Connector):
    await connector.device()
    body = deliver(connector, 1, "anna")
    deliver(connector, 2, "anna")
    recall(connector, 1, "anna")
    tail = connector.hub.users["anna"]._tail
    assert tail is not None
    assert tail.size == len(GONE) + len(body)


async def test_an_event_that_comes_late_brings_no_recalled_message_back(connector: Connector):
    phone = await connector.device()
    recall(connector, 1, "anna")
    deliver(connector, 1, "anna")
    assert pull(phone, 0) == [GONE]


async def test_recalls_are_not_remembered_for_ever(
    connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "MAX_RECALLS", 3)
    for seq in range(1, 6):
        recall(connector, seq, "anna")
    assert list(connector.hub._recalls) == [3, 4, 5]
    connector.clock.now += hub_module.RECALL_SECONDS + 1
    await connector.hub.sweep()
    assert connector.hub._recalls == {}


async def test_an_answer_under_way_is_followed_by_the_recall_once_more(connector: Connector):
    phone = await connector.device(head=3)
    phone.pull(0)  # reads the store, perhaps before the recall
    recall(connector, 2, "anna")
    assert rmns(phone) == [(2, "ben")]
    await connector.rpc.reply(payload=pulled(range(1, 4), 3, 3))
    assert [sent.what for sent in phone.transport.sent] == ["reply", "notification"]
    assert rmns(phone) == [(2, "ben")]
    phone.pull(3)
    await connector.rpc.reply(payload=pull_result([], 3, 3))
    assert rmns(phone) == []
