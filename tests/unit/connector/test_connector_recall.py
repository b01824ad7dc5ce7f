"""A recall reaches every device, also one that has not fetched the message yet."""

import orjson
import pytest

from fsharechat.bus import Deliver, Recalled
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import SubSignal
from fsharechat.rpc import Method
from fsharechat.store.cursors import Log, Mark
from fsharechat.store.heads import Heads
from fsharechat.store.messages import Entry
from roles.connector import events
from roles.connector.cursor import OUTLIVED_SECONDS
from tests.unit.connector.connector_fakes import Connector, FakeDevice, message, pulled

GONE = b"what the recall made of it"


def deliver(connector: Connector, seq: int, *uids: str) -> bytes:
    """Bring a message whose id is `seq` for users."""
    body = message(seq)
    connector.events(Deliver(body, [Entry(uid, seq) for uid in uids], "ben", "", seq))
    return body


def recall(
    connector: Connector,
    message_id: int,
    *uids: str,
    operator: str = "ben",
    client: str = "phone",
    seq: int = 1,
) -> None:
    """Bring the event of a recall, which is the recall `seq` of each of the users."""
    connector.events(Recalled(message_id, GONE, [Entry(uid, seq) for uid in uids], operator, client))


async def answer(connector: Connector, *missed: tuple[int, int, str], client: str = "phone") -> list[int]:
    """Answer the connector's question for recalls, all from that device of the operators; return what it asked."""
    asked = [orjson.loads(call.body) for call in connector.rpc.waiting() if call.method == Method.ALTERED]
    await connector.rpc.reply(payload=orjson.dumps([(*recall, client, False) for recall in missed]))
    return asked


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


async def test_all_but_the_device_that_asked_are_told(connector: Connector) -> None:
    phone, tablet = await connector.device(), await connector.device(client_id="tablet")
    ben, bens_tablet = await connector.device("ben"), await connector.device("ben", client_id="tablet")
    cid = await connector.device("cid")
    recall(connector, 1, "anna", "ben", "dan", client="phone")
    assert rmns(phone) == rmns(tablet) == rmns(bens_tablet) == [(1, "ben")]
    assert rmns(ben) == rmns(cid) == []


@pytest.mark.parametrize(("client", "told"), [("tablet", [(50, "anna")]), ("phone", [])])
async def test_an_operators_other_device_that_was_away_is_told(
    connector: Connector, client: str, told: list[tuple[int, str]]
) -> None:
    phone = connector.accept()
    await connector.log_in(phone, recalled=5, recalls_told=4)
    await answer(connector, (5, 50, "anna"), client=client)
    assert rmns(phone) == told


async def test_the_tail_has_what_the_recall_made_of_the_message(connector: Connector) -> None:
    phone, dan = await connector.device(), await connector.device("dan")
    bodies = [deliver(connector, seq, "anna", "dan") for seq in range(1, 4)]
    recall(connector, 2, "anna", "dan")
    assert pull(phone, 0) == pull(dan, 0) == [bodies[0], GONE, bodies[2]]


async def test_the_tail_counts_the_bytes_of_the_new_body(connector: Connector) -> None:
    await connector.device()
    body = deliver(connector, 1, "anna")
    deliver(connector, 2, "anna")
    recall(connector, 1, "anna")
    tail = connector.hub.table.users["anna"]._tail
    assert tail is not None
    assert tail.size == len(GONE) + len(body)


async def test_an_event_that_comes_late_brings_no_recalled_message_back(connector: Connector) -> None:
    phone = await connector.device()
    recall(connector, 1, "anna")
    deliver(connector, 1, "anna")
    assert pull(phone, 0) == [GONE]


async def test_recalls_are_not_remembered_for_ever(
    connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_REMEMBERED", 3)
    for seq in range(1, 6):
        recall(connector, seq, "anna", seq=seq)
    assert len(connector.hub.recalls) == 3
    connector.clock.now += events.REMEMBERED_SECONDS + 1
    await connector.hub.sweep()
    assert len(connector.hub.recalls) == 0


async def test_recalls_that_are_remembered_have_a_size(
    connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of a message names whom it was for: of a thousand large ones that would be a gigabyte."""
    monkeypatch.setattr(events, "MAX_REMEMBERED_BYTES", 3 * len(GONE))
    for message_id in (1, 1, 2, 3, 4, 5):
        recall(connector, message_id, "anna", seq=message_id)
    assert len(connector.hub.recalls) == 3
    connector.clock.now += events.REMEMBERED_SECONDS + 1
    await connector.hub.sweep()
    for message_id in (6, 7, 8):
        recall(connector, message_id, "anna", seq=message_id)
    assert len(connector.hub.recalls) == 3


async def test_an_answer_under_way_is_followed_by_the_recall_once_more(connector: Connector) -> None:
    phone = await connector.device(head=3)
    phone.pull(0)  # reads the store, perhaps before the recall
    recall(connector, 2, "anna")
    assert rmns(phone) == [(2, "ben")]
    await connector.rpc.reply(payload=pulled(range(1, 4), 3, begin=0))
    assert [sent.what for sent in phone.transport.sent] == ["pulled", "notification"]
    assert rmns(phone) == [(2, "ben")]
    phone.pull(3)
    await connector.rpc.reply(payload=pulled((), 3))
    assert rmns(phone) == []


async def test_a_device_that_was_away_is_told_of_what_it_missed(connector: Connector) -> None:
    phone = connector.accept()
    await connector.log_in(phone, recalled=7, recalls_told=4)
    assert await answer(connector, (5, 50, "ben"), (6, 60, "anna"), (7, 70, "cid")) == [4]
    assert rmns(phone) == [(50, "ben"), (70, "cid")]
    recall(connector, 80, "anna", seq=8)
    assert rmns(phone) == [(80, "ben")]
    assert connector.rpc.waiting() == []


async def test_a_device_that_knows_all_recalls_is_told_nothing(connector: Connector) -> None:
    phone = await connector.device(recalled=7, recalls_told=7)
    assert phone.transport.sent == []
    assert connector.rpc.waiting() == []


async def test_recalls_that_an_event_skips_are_looked_up(connector: Connector) -> None:
    phone = await connector.device()
    deliver(connector, 1, "anna")
    recall(connector, 30, "anna", seq=3)
    assert rmns(phone) == []
    recall(connector, 20, "anna", seq=2)  # late, and while the question is under way
    assert await answer(connector, (1, 1, "ben"), (2, 20, "ben"), (3, 30, "ben")) == [0]
    assert rmns(phone) == [(1, "ben"), (20, "ben"), (30, "ben")]
    phone.pull(0)
    assert connector.rpc.waiting()[0].method == Method.PULL, "the tail may hold what was recalled"


async def test_a_recall_that_comes_behind_the_look_at_the_store_is_told_too(connector: Connector) -> None:
    phone = await connector.device()
    recall(connector, 20, "anna", seq=2)
    recall(connector, 30, "anna", seq=3)  # the store has been read, and its answer is on the way
    assert await answer(connector, (1, 10, "ben"), (2, 20, "ben")) == [0]
    assert await answer(connector, (3, 30, "ben")) == [2]
    assert rmns(phone) == [(10, "ben"), (20, "ben"), (30, "ben")]
    assert connector.rpc.waiting() == []


async def test_a_repeated_event_is_told_once(connector: Connector) -> None:
    phone = await connector.device()
    recall(connector, 1, "anna")
    recall(connector, 1, "anna")
    assert rmns(phone) == [(1, "ben")]


async def test_a_lost_event_is_made_up_for_by_the_head_check(connector: Connector) -> None:
    phone = await connector.device()
    user = connector.hub.table.users["anna"]
    assert user.behind(Heads(recalled=1))
    user.catch_up(Heads(recalled=1))
    await connector.rpc.reply(code=4)
    connector.clock.now += connector.hub.table.settings.notify_repeat_seconds + 1
    await connector.hub.sweep()  # the store was away, so it is asked again in a while
    await answer(connector, (1, 9, "ben"))
    assert rmns(phone) == [(9, "ben")]
    assert not user.behind(Heads(recalled=1))


def hear(connector: Connector, device: FakeDevice, seconds: float) -> None:
    """Let so much time go by, and then something come from a device."""
    connector.clock.now += seconds
    device.session.heard_at = connector.clock()


async def kept(connector: Connector) -> list[tuple[str, str, int]]:
    """Return (uid, client id, seq) of the marks in the recalls that are kept now."""
    await connector.hub.sweep()
    before = len(connector.rpc.of(Method.MARKS))
    await connector.hub.table.marks.keep(all=True)
    calls = connector.rpc.of(Method.MARKS)[before:]
    rows = [Mark(*row) for call in calls for row in orjson.loads(call.body)]
    return sorted((row.uid, row.client_id, row.seq) for row in rows if row.log == Log.RECALLS and row.seq)


async def test_what_devices_were_told_is_kept_when_they_are_heard_of_a_while_later(
    connector: Connector,
) -> None:
    anna, ben = await connector.device(), await connector.device("ben")
    recall(connector, 1, "anna", "ben")
    assert await kept(connector) == []
    hear(connector, anna, OUTLIVED_SECONDS)
    hear(connector, ben, 0.0)
    ben.session.close()
    recall(connector, 2, "anna", seq=2)
    assert await kept(connector) == [("anna", "phone", 1), ("ben", "phone", 1)]
    assert await kept(connector) == []
    hear(connector, anna, OUTLIVED_SECONDS)
    assert await kept(connector) == [("anna", "phone", 2)]


async def test_what_was_told_through_a_connection_that_broke_is_not_kept(connector: Connector) -> None:
    anna = await connector.device()
    recall(connector, 1, "anna")
    hear(connector, anna, 1.0)  # it may have been sent before the notice came
    connector.clock.now += 60
    assert await kept(connector) == []
    anna.session.close()
    assert await kept(connector) == []
