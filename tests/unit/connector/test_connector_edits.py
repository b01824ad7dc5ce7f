"""An edit reaches every device, and nothing that was recalled comes back by it."""

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsharechat.bus import Deliver, Edited, Event, Recalled
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ContentType, SubSignal
from fsharechat.rpc import Method
from fsharechat.store.messages import Entry
from roles.connector.events import replaces
from tests.unit.connector.connector_fakes import Connector, FakeDevice, Make

ID = 7


def body(words: str = "", edited_dt: int = 0, kind: int = ContentType.TEXT) -> bytes:
    return pb.Message(
        conversation=pb.Conversation(type=0, target="anna", line=0),
        from_user="ben",
        content=pb.MessageContent(type=kind, searchable_content=words),
        message_id=ID,
        edited_dt=edited_dt or None,
    ).SerializeToString()


FIRST, SECOND, THIRD = body("first"), body("second", 10), body("third", 20)
GONE = body(kind=ContentType.RECALLED)
HERE = [Entry("anna", 1)]


def notices(device: FakeDevice) -> list[tuple[int, int, str]]:
    """Return sub-signal, message id and user of the RMNs and MENs sent since."""
    sent = [
        frame
        for frame in device.transport.take("notification")
        if frame.sub_signal in (SubSignal.RMN, SubSignal.MEN)
    ]
    notes = [(frame.sub_signal, pb.NotifyEditedMessage.FromString(frame.body)) for frame in sent]
    return [(sub, note.id, note.from_user) for sub, note in notes]


async def test_all_but_the_device_that_edited_are_told(connector: Connector) -> None:
    phone, tablet = await connector.device(), await connector.device(client_id="tablet")
    connector.events(Edited(ID, SECOND, HERE, "anna", phone.session.client_id))
    assert notices(phone) == []
    assert notices(tablet) == [(SubSignal.MEN, ID, "anna")]


async def test_edits_and_recalls_that_were_missed_are_told_in_their_order(connector: Connector) -> None:
    phone = await connector.device(recalled=7, recalls_told=4)
    (call,) = [call for call in connector.rpc.waiting() if call.method == Method.ALTERED]
    assert orjson.loads(call.body) == 4
    rows = [(5, 50, "ben", "", True), (6, 60, "ben", "", False), (7, 50, "ben", "", True)]
    await connector.rpc.reply(payload=orjson.dumps(rows))
    assert notices(phone) == [
        (SubSignal.MEN, 50, "ben"),
        (SubSignal.RMN, 60, "ben"),
        (SubSignal.MEN, 50, "ben"),
    ]


async def test_a_group_process_of_an_earlier_version_knows_recalls_alone(connector: Connector) -> None:
    phone = await connector.device(recalled=5, recalls_told=4)
    await connector.rpc.reply(Code.NOT_IMPLEMENTED)
    (call,) = [call for call in connector.rpc.waiting() if call.method == Method.RECALLS]
    assert orjson.loads(call.body) == 4
    await connector.rpc.reply(payload=orjson.dumps([(5, 50, "ben", "")]))
    assert notices(phone) == [(SubSignal.RMN, 50, "ben")]


EVENTS: list[Event] = [
    Deliver(FIRST, HERE, "ben", "", ID),
    Edited(ID, SECOND, HERE, "ben", ""),
    Edited(ID, THIRD, HERE, "ben", ""),
    Recalled(ID, GONE, HERE, "ben", ""),
]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(4)), repeated=st.lists(st.integers(0, 3), max_size=3))
async def test_whatever_the_order_of_the_events_the_newest_form_stays(
    make: Make, order: Sequence[int], repeated: list[int]
) -> None:
    connector = make()
    await connector.device()
    user = connector.hub.table.users["anna"]
    heard: set[int] = set()
    for number in (*order, *repeated):
        connector.events(EVENTS[number])
        heard.add(number)
        if 0 in heard:
            forms = [FIRST, SECOND, THIRD, GONE]
            entry = user.entry(1)
            assert entry is not None
            assert entry.body == forms[max(heard)]


@pytest.mark.parametrize(
    ("new", "known", "better"),
    [(SECOND, FIRST, True), (THIRD, SECOND, True), (SECOND, THIRD, False), (THIRD, GONE, False)],
)
def test_which_form_is_newer(new: bytes, known: bytes, better: bool) -> None:
    assert replaces(new, known) == better
