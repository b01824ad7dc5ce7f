"""News of friends, friend requests and settings: told by events, and by the head check where those are lost."""

import struct

import pytest

from fsharechat.bus import Notify
from fsharechat.protocol.signals import SubSignal
from fsharechat.rpc import Method
from fsharechat.store.heads import Heads
from roles.connector import heads as heads_module
from tests.unit.connector.connector_fakes import Connector, FakeDevice, Make
from tools.testing.server import until

FN, FRN, UN = SubSignal.FN, SubSignal.FRN, SubSignal.UN


def told(device: FakeDevice) -> list[tuple[int, int]]:
    """Return (sub-signal, version) of what a device was told since."""
    return [
        (sent.sub_signal, struct.unpack(">q", sent.body)[0]) for sent in device.transport.take("notification")
    ]


def notify(connector: Connector, sub_signal: int, version: int, except_client: str = "") -> None:
    connector.events(Notify(sub_signal, struct.pack(">q", version), "anna", except_client))


@pytest.fixture
async def checking(make: Make, monkeypatch: pytest.MonkeyPatch) -> Connector:
    """A connector that checks heads all the time."""
    monkeypatch.setattr(heads_module, "FRESH_SECONDS", 0.02)
    monkeypatch.setattr(heads_module, "AHEAD_SECONDS", 0.01)
    connector = make(connector={"head_check_seconds": 0.01})
    connector.clock.runs = True
    connector.heads({})
    await connector.hub.start()
    return connector


async def checked(connector: Connector) -> None:
    """Wait for some whole checks."""
    upto = len(connector.rpc.of(Method.HEADS)) + 5
    await until(lambda: len(connector.rpc.of(Method.HEADS)) >= upto, "no checks")


@pytest.mark.parametrize(
    ("heads", "notice"),
    [(Heads(friends=8), (FN, 8)), (Heads(requests=8), (FRN, 8)), (Heads(settings=8), (UN, 8))],
)
async def test_a_lost_notice_is_made_up_for_once(
    checking: Connector, heads: Heads, notice: tuple[int, int]
) -> None:
    phone = await checking.device(friends=5, requests=5, settings=5)
    checking.heads({"anna": heads})
    await until(lambda: phone.transport.sent != [], "not told")
    assert told(phone) == [notice]
    await checked(checking)
    assert told(phone) == []


async def test_what_the_connect_ack_said_is_no_news(checking: Connector) -> None:
    phone = await checking.device(friends=5, requests=6, settings=7)
    checking.heads({"anna": Heads(friends=5, requests=6, settings=7)})
    await checked(checking)
    assert told(phone) == []


async def test_what_an_event_told_is_no_news(checking: Connector) -> None:
    phone = await checking.device()
    for sub_signal in (FN, FRN, UN):
        notify(checking, sub_signal, 9)
    assert told(phone) == [(FN, 9), (FRN, 9), (UN, 9)]
    checking.heads({"anna": Heads(friends=9, requests=9, settings=9)})
    await checked(checking)
    assert told(phone) == []


async def test_a_change_of_the_devices_own_is_no_news_to_it(checking: Connector) -> None:
    phone = await checking.device()
    notify(checking, UN, 9, except_client="phone")
    checking.heads({"anna": Heads(settings=9)})
    await checked(checking)
    assert told(phone) == []


async def test_a_second_device_that_connects_brings_the_first_one_the_news(connector: Connector) -> None:
    phone = await connector.device(friends=5)
    await connector.device(client_id="tablet", friends=6)
    assert told(phone) == [(FN, 6)]


async def test_lost_reports_are_told(checking: Connector) -> None:
    phone = await checking.device()
    checking.heads({"anna": Heads(delivered=2, read=3)})
    await until(lambda: len(phone.transport.sent) == 2, "not told")
    assert [sent.sub_signal for sent in phone.transport.take()] == [SubSignal.MRN] * 2
