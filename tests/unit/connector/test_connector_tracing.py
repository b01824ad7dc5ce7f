"""One name for a request in the logs (fsharechat/tracing.py)."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from fsharechat.bus import Deliver
from fsharechat.protocol.signals import Code, SubSignal
from fsharechat.rpc import Call
from fsharechat.store.messages import Entry
from fsharechat.tracing import TRACING, trace_of
from tests.unit.connector.connector_fakes import Connector, body_of


@pytest.fixture
def tracing() -> Iterator[None]:
    TRACING.on = True
    yield
    TRACING.on = False


@pytest.mark.usefixtures("tracing")
async def test_a_message_has_one_trace_from_its_frame_to_its_receiver(connector: Connector) -> None:
    phone = await connector.device("anna", "phone")
    other = await connector.device("ben", "tablet")
    with capture_logs() as logs:
        phone.publish(SubSignal.MS)
        sent = connector.rpc.calls[-1]
        await connector.rpc.reply(Code.SUCCESS)
        connector.events(Deliver(body_of(1), [Entry("ben", 1)], "anna", "phone", sent.message_id))
        other.pull(0)
    assert [(line["event"], line["trace"]) for line in logs] == [
        ("request taken", str(sent.message_id)),
        ("request answered", str(sent.message_id)),
        ("message arrived", str(sent.message_id)),
        ("message given", str(sent.message_id)),
    ]
    assert connector.hub.flow.answers.deliveries.counts != [0] * 17


def test_a_trace_names_the_message_or_the_frame() -> None:
    number = (1 << 62) + 1
    assert trace_of(Call(SubSignal.MS, "anna", "phone", b"", number)) == str(number)
    assert trace_of(Call(SubSignal.UPUI, "anna", "phone", b"", frame_id=17)) == "phone#17"
    assert trace_of(Call(SubSignal.UPUI, "", "", b"")) == ""
