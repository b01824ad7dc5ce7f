"""Messages come once, in order, over any number of connections (contract.md section 6)."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from fsharechat.client import Client, Connected, InboxGap, MessageRecalled, NoRight, Options, Position
from fsharechat.client.inbox import Stream
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, SubSignal
from tests.unit.client.fake_peer import CREDENTIALS, DROP, FRIEND, ME, TIMEOUT, Answer, FakePeer, stored

FAST = Options.fast()


async def take(client: Client, count: int) -> list[int]:
    """Return the ids of the next messages."""
    async with asyncio.timeout(TIMEOUT):
        return [(await anext(client.messages())).message_id for _ in range(count)]


async def test_a_connect_catches_up_from_the_cursor(peer: FakePeer, transport: str) -> None:
    peer.inbox = [stored(n) for n in (11, 12, 13)]
    async with Client(CREDENTIALS, **peer.address(transport), position=Position(1, 11)) as client:
        assert await take(client, 2) == [12, 13]
    assert peer.pulled_after() == [1]


async def test_nothing_is_pulled_when_the_cursor_is_at_the_head(peer: FakePeer, transport: str) -> None:
    peer.inbox = [stored(11)]
    async with Client(CREDENTIALS, **peer.address(transport), position=Position(1, 11)) as client:
        peer.deliver(stored(12))
        assert await take(client, 1) == [12]
    assert peer.pulled_after() == [1]  # the one of the MN


async def test_an_mn_pulls_exactly_what_follows_the_seq_before_it(peer: FakePeer, transport: str) -> None:
    async with Client(CREDENTIALS, **peer.address(transport), options=FAST) as client:
        await client.send(FRIEND, "one")
        await client.send(FRIEND, "two")
        peer.deliver(stored(2001))
        assert await take(client, 1) == [2001]
    assert peer.pulled_after() == [2]  # not 0: its own two sends are no news


async def test_what_this_client_sent_is_not_yielded_and_what_another_device_sent_is(peer: FakePeer) -> None:
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        await client.send(FRIEND, "mine")
        peer.deliver(stored(2001, sender=ME, local_id=5), notify=False)
        peer.notify(1)
        assert await take(client, 1) == [2001]


async def test_each_message_comes_once_over_repeated_notifications_and_connections(peer: FakePeer) -> None:
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        peer.deliver(stored(11), stored(12))
        peer.notify(1)
        peer.notify(2)
        assert await take(client, 2) == [11, 12]
        peer.session.drop()
        await peer.until(lambda: len(peer.sessions) == 2 and bool(peer.session.connects))
        peer.deliver(stored(13), notify=False)
        peer.notify(1)
        assert await take(client, 1) == [13]


async def test_a_connection_lost_during_a_pull_loses_nothing(peer: FakePeer, transport: str) -> None:
    drops = iter([DROP, DROP])
    peer.rule = lambda sub, body: next(drops, None) if sub is SubSignal.MP else None
    peer.inbox = [stored(n) for n in range(1, 51)]
    async with Client(CREDENTIALS, **peer.address(transport), options=FAST) as client:
        assert await take(client, 50) == list(range(1, 51))
    assert len(peer.sessions) == 3


async def test_messages_of_the_lost_connection_and_of_the_next_keep_their_order(peer: FakePeer) -> None:
    options = replace(FAST, message_queue=3)
    peer.inbox = [stored(n) for n in range(1, 11)]
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options) as client:
        assert await take(client, 1) == [1]  # the answer is stuck half-way in the queue
        peer.session.drop()
        peer.inbox += [stored(n) for n in range(11, 21)]
        await peer.until(lambda: len(peer.sessions) == 2)
        assert await take(client, 19) == list(range(2, 21))


async def test_a_slow_application_stops_the_pulling(peer: FakePeer) -> None:
    options = replace(FAST, message_queue=2)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options) as client:
        peer.deliver(*(stored(n) for n in range(1, 6)))
        await peer.until(lambda: len(peer.asked(SubSignal.MP)) == 1)
        for n in range(6, 30):
            peer.deliver(stored(n))
        # An answered request shows that the client has read all those notifications.
        await client.send(FRIEND, "still here")
        assert len(peer.asked(SubSignal.MP)) == 1
        assert await take(client, 29) == list(range(1, 30))
        assert peer.pulled_after() == [0, 5]


async def test_the_position_moves_with_each_message_that_was_handled(peer: FakePeer) -> None:
    peer.inbox = [stored(11), stored(12)]
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        assert await take(client, 2) == [11, 12]
        assert client.position == Position(1, 11)  # 12 may not have been worked on
        peer.deliver(stored(13))
        assert await take(client, 1) == [13]
        assert client.position == Position(2, 12)


async def test_a_callback_gets_each_message_and_moves_the_position(peer: FakePeer) -> None:
    got: list[int] = []

    async def on_message(message: pb.Message) -> None:
        got.append(message.message_id)
        peer.touch()

    peer.inbox = [stored(11), stored(12)]
    kept: list[Position] = []
    async with Client(CREDENTIALS, tcp=peer.tcp, on_message=on_message, on_position=kept.append) as client:
        await peer.until(lambda: got == [11, 12])
        peer.deliver(stored(13))
        await peer.until(lambda: got == [11, 12, 13])
        assert kept[:2] == [Position(1, 11), Position(2, 12)]
        assert client.position == kept[-1]
        with pytest.raises(RuntimeError):
            client.messages()


async def test_a_server_that_lost_its_data_is_read_from_the_start(peer: FakePeer) -> None:
    peer.inbox = [stored(11)]
    async with Client(CREDENTIALS, tcp=peer.tcp, position=Position(500, 99)) as client:
        assert await take(client, 1) == [11]
        peer.deliver(stored(12))
        assert await take(client, 1) == [12]
        assert client.position == Position(1, 11)


async def test_a_refused_pull_is_repeated(peer: FakePeer) -> None:
    refusals = iter([(4, None), (250, None)])
    peer.rule = lambda sub, body: next(refusals, None) if sub is SubSignal.MP else None
    peer.inbox = [stored(11)]
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        assert await take(client, 1) == [11]
    assert peer.pulled_after() == [0, 0, 0]


async def test_a_cut_answer_is_told(peer: FakePeer) -> None:
    cut = pb.PullMessageResult(message=[stored(15)], current=5, head=5)
    peer.rule = lambda sub, body: (0, cut) if sub is SubSignal.MP else None
    peer.head_offset = 5
    async with Client(CREDENTIALS, tcp=peer.tcp, position=Position(1, 11)) as client:
        assert await take(client, 1) == [15]
        events = client.events()
        await anext(events)  # Connected
        assert await anext(events) == InboxGap(after_seq=1, missing=3)


async def test_remembered_ids_are_bounded(peer: FakePeer) -> None:
    options = replace(FAST, remember_ids=2)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options) as client:
        peer.deliver(stored(11), stored(12), stored(13))
        assert await take(client, 3) == [11, 12, 13]
        peer.notify(1)
        await peer.until(lambda: peer.pulled_after() == [0, 0])
        peer.deliver(stored(14))
        assert await take(client, 1) == [14]  # 11 is forgotten, but it is below the position
        assert len(client._inbox._seen) == 2


def small_answers(
    peer: FakePeer, size: int, mark: Callable[[], int]
) -> Callable[[SubSignal, object], Answer | None]:
    """Answer as a server does: from the mark if it is lower, `size` entries, and an MN for the rest."""

    def rule(sub: SubSignal, body: object) -> Answer | None:
        if not isinstance(body, pb.PullMessageRequest):
            return None
        after = min(body.id, mark())
        entries = peer.inbox[after : after + size]
        upto = after + len(entries)
        if upto < len(peer.inbox):
            asyncio.get_running_loop().call_soon(peer.notify, upto + 1)
        return 0, pb.PullMessageResult(message=entries, current=upto, head=upto)

    return rule


@pytest.mark.parametrize("have", range(2, 20))
async def test_after_a_restart_what_the_server_gives_again_is_not_yielded_again(
    peer: FakePeer, have: int
) -> None:
    """The server's mark is behind the position, and its first answers may end below, at or above it."""
    kept: list[Position] = []
    asked: list[int] = []
    peer.inbox = [stored(n) for n in range(101, 121)]

    def mark() -> int:
        asked.append(1)
        return 1 if len(asked) == 1 else 1 << 40

    peer.rule = small_answers(peer, 6, mark)
    begin = Position(have, 100 + have)
    async with Client(
        CREDENTIALS, tcp=peer.tcp, options=FAST, position=begin, on_position=kept.append
    ) as client:
        assert await take(client, 20 - have) == list(range(101 + have, 121))
        peer.deliver(stored(121))
        assert await take(client, 1) == [121]
    # Each message moves the position, and by one.
    assert kept == [Position(seq, 100 + seq) for seq in range(have + 1, 21)]


async def test_a_first_answer_that_is_not_the_whole_inbox_moves_the_position_as_a_whole(
    peer: FakePeer,
) -> None:
    kept: list[Position] = []
    newest = pb.PullMessageResult(message=[stored(11), stored(12), stored(13)], current=50, head=50)
    peer.rule = lambda sub, body: (0, newest) if sub is SubSignal.MP and body.id == 0 else None
    peer.inbox = [stored(n) for n in range(1, 51)]
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST, on_position=kept.append) as client:
        assert await take(client, 3) == [11, 12, 13]
        assert kept == [Position(47)]  # nothing below is needed; who says 0 again would be a new device
        peer.deliver(stored(51))
        assert await take(client, 1) == [51]
        assert kept == [Position(47), Position(50, 13)]


async def test_a_connection_lost_amid_the_first_answer_begins_no_other_first_answer(peer: FakePeer) -> None:
    """One who says 0 again is given the newest messages again, and not what came between."""
    newest = pb.PullMessageResult(message=[stored(11), stored(12), stored(13)], current=50, head=50)
    peer.rule = lambda sub, body: (0, newest) if sub is SubSignal.MP and body.id == 0 else None
    peer.inbox = [*(stored(n) for n in range(100, 147)), *newest.message]
    options = replace(FAST, message_queue=1)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options) as client:
        assert await take(client, 1) == [11]
        peer.session.drop()
        peer.inbox.append(stored(51))
        await peer.until(lambda: len(peer.pulled_after()) == 2)
        assert await take(client, 3) == [12, 13, 51]
    assert peer.pulled_after() == [0, 47]


async def test_a_connection_lost_amid_an_answer_asks_for_the_rest_of_it(peer: FakePeer) -> None:
    options = replace(FAST, message_queue=1)
    peer.inbox = [stored(n) for n in range(1, 11)]
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options) as client:
        assert await take(client, 4) == [1, 2, 3, 4]
        peer.session.drop()
        await peer.until(lambda: len(peer.pulled_after()) == 2)
        assert await take(client, 6) == [5, 6, 7, 8, 9, 10]
    first, second = peer.pulled_after()
    assert (first, second >= 4) == (0, True)


async def test_an_answer_that_ends_too_low_for_its_question_began_below_it(peer: FakePeer) -> None:
    """The server did not trust the question. Positions above what came would skip the rest after a crash."""
    kept: list[Position] = []
    peer.inbox = [stored(n) for n in range(101, 121)]

    def rule(sub: SubSignal, body: object) -> Answer | None:
        if isinstance(body, pb.PullMessageRequest) and body.id == 4:
            peer.notify(16)  # the server has a mark of 15, and tells of news before it hears the question
            return 0, pb.PullMessageResult(message=peer.inbox[4:7], current=7, head=7)
        if isinstance(body, pb.PullMessageRequest) and body.id == 15:
            asyncio.get_running_loop().call_soon(peer.notify, 11)
            return 0, pb.PullMessageResult(message=peer.inbox[7:10], current=10, head=10)
        return None

    peer.rule = rule
    async with Client(
        CREDENTIALS, tcp=peer.tcp, options=FAST, position=Position(4, 104), on_position=kept.append
    ) as client:
        assert await take(client, 16) == list(range(105, 121))
    assert peer.pulled_after() == [4, 15, 10]
    known = [*range(5, 8), *range(10, 20)]  # what the answer in the middle covers is certain only at its end
    assert kept == [Position(seq, 100 + seq) for seq in known]


async def test_a_call_is_no_sign_of_where_an_answer_begins(peer: FakePeer) -> None:
    """A call that was given is not given again, so what comes after it may have come before."""
    kept: list[Position] = []
    call = stored(12)
    call.content.type = ContentType.CALL_START
    peer.inbox = [stored(11), call, stored(13), stored(14)]
    again = pb.PullMessageResult(message=[stored(11), stored(13), stored(14)], current=4, head=4)
    peer.rule = lambda sub, body: (0, again) if sub is SubSignal.MP and body.id == 2 else None
    begin = Position(2)
    async with Client(
        CREDENTIALS, tcp=peer.tcp, options=FAST, position=begin, on_position=kept.append
    ) as client:
        assert await take(client, 3) == [11, 13, 14]
        assert kept == []  # it is not certain which ones these are
        peer.deliver(stored(15))
        assert await take(client, 1) == [15]
        assert kept == [Position(4, 14)]


async def test_a_message_recalled_before_it_is_taken_comes_as_recalled(
    peer: FakePeer, transport: str
) -> None:
    async with Client(CREDENTIALS, **peer.address(transport), options=FAST) as client:
        peer.deliver(stored(11, "first"), stored(12, "secret"))
        assert await take(client, 1) == [11]  # so that 12 waits here
        peer.tell(SubSignal.RMN, pb.NotifyRecallMessage(id=12, from_user=FRIEND))
        assert isinstance(await anext(client.events()), Connected)
        assert await anext(client.events()) == MessageRecalled(12, FRIEND)
        content = (await anext(client.messages())).content
    assert (content.type, content.content, content.data) == (ContentType.RECALLED, FRIEND, b"12")
    assert content.searchable_content == ""


async def test_a_pull_that_is_older_than_the_recall_does_not_bring_the_text(peer: FakePeer) -> None:
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        peer.tell(SubSignal.RMN, pb.NotifyRecallMessage(id=11, from_user=FRIEND))
        peer.deliver(stored(11, "secret"))
        assert (await anext(client.messages())).content.type == ContentType.RECALLED


async def test_what_this_client_recalls_is_recalled_here_too(peer: FakePeer, transport: str) -> None:
    peer.rule = lambda sub, body: (0, None) if sub is SubSignal.MR else None
    async with Client(CREDENTIALS, **peer.address(transport), options=FAST) as client:
        peer.deliver(stored(11), stored(12, "secret"))
        assert await take(client, 1) == [11]
        await client.recall(12)
        content = (await anext(client.messages())).content
    assert [body.id for body in peer.asked(SubSignal.MR)] == [12]
    assert (content.type, content.content) == (ContentType.RECALLED, ME)


async def test_a_recall_that_is_refused_changes_nothing(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: (248, None) if sub is SubSignal.MR else None
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        peer.deliver(stored(11), stored(12, "kept"))
        assert await take(client, 1) == [11]
        with pytest.raises(NoRight):
            await client.recall(12)
        assert (await anext(client.messages())).content.searchable_content == "kept"


async def test_a_stream_ends_after_what_it_holds() -> None:
    stream: Stream[int] = Stream(10)
    await stream.put(1)
    stream.end()
    assert [item async for item in stream] == [1]


async def test_a_stream_raises_what_ended_it() -> None:
    stream: Stream[int] = Stream(10)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    stream.end(ValueError("the end"))
    with pytest.raises(ValueError, match="the end"):
        await waiting


async def test_a_full_stream_makes_put_wait_and_offer_drop_the_oldest() -> None:
    stream: Stream[int] = Stream(2)
    for item in (1, 2, 3):
        stream.offer(item)
    assert stream.dropped == 1
    putting = asyncio.ensure_future(stream.put(4))
    await asyncio.sleep(0)
    assert not putting.done()
    assert await anext(stream) == 2
    await putting
    assert [await anext(stream), await anext(stream)] == [3, 4]
