"""One who asks without end: what is refused counts too, and others have their turn in between."""

import pytest
from structlog.testing import capture_logs

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.frames import Frame
from fsharechat.protocol.signals import Code, Signal, SubSignal
from fsharechat.rpc import Reply
from roles.connector.session import FRAMES_A_TURN
from tests.unit.connector.connector_fakes import Connector, FakeDevice, Make, SentFrame, turn

LIMITS = {"limits": {"requests": 3, "follow_ups": 5, "seconds": 5}}


def pings(count: int) -> list[Frame]:
    return [Frame(Signal.PING, 0, n, b'{"interval": 30000}') for n in range(count)]


def flood(device: FakeDevice, frame: Frame, count: int) -> str:
    """Send a frame until the connection is closed, at most so often, and return why it was."""
    with capture_logs() as logs:
        for _ in range(count):
            device.session.on_frames((frame,))
    return next((line["reason"] for line in logs if line["event"] == "connection closed"), "")


async def test_pings_are_counted_and_a_flood_of_them_ends_the_connection(make: Make) -> None:
    connector = make(**LIMITS)
    phone = await connector.device()
    ping = pings(1)[0]
    assert flood(phone, ping, 30) == ""
    assert len(phone.transport.take("ping")) == 3
    phone.publish(SubSignal.US)
    assert len(connector.rpc.of(SubSignal.US)) == 1
    assert flood(phone, ping, 1) == "a flood of PING"
    assert phone.transport.closed
    await connector.rpc.reply()
    again = await connector.device()
    assert flood(again, ping, 1) == "a flood of PING"  # a reconnect is no fresh start


async def test_pings_of_strangers_are_counted_for_their_connection_alone(make: Make) -> None:
    connector = make(**LIMITS)
    stranger = connector.accept()
    assert flood(stranger, pings(1)[0], 31) == "a flood of PING"
    other = connector.accept()
    other.session.on_frames(pings(4))
    assert len(other.transport.take("ping")) == 3
    await connector.log_in(other)
    other.session.on_frames(pings(4))  # from here the device counts
    assert len(other.transport.take("ping")) == 3


async def test_heartbeats_and_pings_are_counted_together(make: Make) -> None:
    phone = await make(**LIMITS).device()
    assert [phone.session.heartbeat() for _ in range(5)] == [True] * 3 + [False] * 2
    phone.session.on_frames(pings(1))
    assert phone.transport.take("ping") == []


@pytest.mark.parametrize(("sub_signal", "unreadable"), [(SubSignal.US, False), (127, False), (9, True)])
async def test_what_is_refused_counts_and_a_flood_of_it_ends_the_connection(
    make: Make, sub_signal: int, unreadable: bool
) -> None:
    connector = make(**LIMITS)
    phone = await connector.device()

    def ask() -> None:
        if unreadable:
            phone.session.invalid(sub_signal, 1, "why")
        else:
            phone.publish(sub_signal)

    connector.rpc.answers[SubSignal.US] = lambda _: Reply(Code.NO_RIGHT)
    for _ in range(30):
        ask()
    await turn()
    codes = sorted(code for _, code in phone.transport.codes())
    assert codes.count(Code.TOO_OFTEN) == 27
    assert len(codes) == 30
    with capture_logs() as logs:
        ask()
    assert [line["reason"] for line in logs if "peer" in line] == [f"a flood of sub-signal {sub_signal}"]
    assert phone.transport.closed


@pytest.mark.parametrize("sub_signal", [SubSignal.MP, SubSignal.MRP, SubSignal.MDR, SubSignal.MRR])
async def test_what_the_server_asks_for_has_a_bound_of_its_own(make: Make, sub_signal: int) -> None:
    connector = make(**LIMITS)
    phone = await connector.device()
    body = pb.PullMessageReportRequest(id=1, type=1).SerializeToString()
    if sub_signal == SubSignal.MP:
        body = b"\xff"  # what cannot be read counts too
    for sent in range(7):
        phone.publish(sub_signal, body, sent)
    while connector.rpc.waiting():
        await connector.rpc.reply(Code.SERVER_ERROR)
    answers = dict(phone.transport.codes())
    assert [answers[n] == Code.TOO_OFTEN for n in range(7)] == [False] * 5 + [True] * 2
    assert flood(phone, Frame(Signal.PUBLISH, sub_signal, 9, body), 43) == ""
    assert (
        flood(phone, Frame(Signal.PUBLISH, sub_signal, 9, body), 1) == f"a flood of sub-signal {sub_signal}"
    )


async def test_without_a_limit_nothing_is_a_flood(make: Make) -> None:
    phone = await make(limits={"requests": 0, "follow_ups": 0}).device()
    assert flood(phone, pings(1)[0], 5000) == ""
    assert len(phone.transport.take("ping")) == 5000


async def test_others_have_their_turn_in_the_middle_of_a_long_chunk(make: Make) -> None:
    connector = make(limits={"requests": 0})
    phone, other = await connector.device(), await connector.device("ben")
    count = 25_000
    phone.session.on_frames(pings(count))
    assert len(phone.transport.sent) == FRAMES_A_TURN
    assert phone.transport.paused
    other.session.on_frames(pings(1))
    assert len(other.transport.take("ping")) == 1
    turns = 0
    while phone.transport.paused:
        before = len(phone.transport.sent)
        await turn(1)
        turns += 1
        assert len(phone.transport.sent) - before <= FRAMES_A_TURN
    assert [sent.message_id for sent in phone.transport.take("ping")] == list(range(count))
    assert turns >= count // FRAMES_A_TURN - 1


async def test_requests_of_a_long_chunk_wait_for_those_under_way(make: Make) -> None:
    connector = make(limits={"requests": 0}, connector={"max_inflight": 2})
    phone = await connector.device()
    frames = [Frame(Signal.PUBLISH, SubSignal.US, n, b"") for n in range(FRAMES_A_TURN + 50)]
    phone.session.on_frames(frames)
    for n in range(len(frames)):
        assert len(connector.rpc.waiting()) <= 2
        assert phone.transport.paused == (n < len(frames) - 2)
        await connector.rpc.reply()
    assert [message_id for message_id, _ in phone.transport.codes()] == list(range(len(frames)))


async def test_a_connection_that_ends_in_the_middle_keeps_nothing(make: Make) -> None:
    connector = make(limits={"requests": 0})
    phone = await connector.device()
    phone.session.on_frames([*pings(300), Frame(99, 0, 0, b""), *pings(300)])
    await turn()
    assert phone.transport.closed
    assert len(phone.transport.take("ping")) == 300
    early = await connector.device()
    early.session.on_frames([Frame(99, 0, 0, b""), *pings(300)])
    await turn()
    assert early.transport.take() == []


async def test_a_drain_in_the_middle_leaves_the_rest(connector: Connector) -> None:
    phone = await connector.device()
    phone.session.on_frames(pings(300))
    await connector.hub.stop()
    assert phone.transport.closed
    assert SentFrame("ping", 0, 299, 30000) not in phone.transport.take()


async def test_a_device_that_asks_for_nothing_keeps_no_buckets(make: Make) -> None:
    connector = make(**LIMITS)
    phone = await connector.device()
    phone.session.on_frames(pings(2))
    connector.clock.now += 3.3
    await connector.hub.sweep()
    assert phone.session._buckets is not None
    connector.clock.now += 0.1
    await connector.hub.sweep()
    assert phone.session._buckets is None
    phone.session.on_frames(pings(4))
    assert len(phone.transport.take("ping")) == 5
