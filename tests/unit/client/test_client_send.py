"""A message is sent until it is answered, always under the same local id (contract.md section 6)."""

import asyncio
from dataclasses import replace

import pytest

from fsharechat.client import (
    Blacklisted,
    CallSignal,
    Client,
    Closed,
    Muted,
    NoRight,
    NotInGroup,
    Options,
    RequestError,
    SendUnconfirmed,
    SensitiveWord,
    SentMessage,
    TooLarge,
    TooOften,
    Transparent,
    group,
    is_mentioned,
    text,
)
from fsharechat.protocol.signals import ContentType, PersistFlag, SubSignal
from tests.unit.client.fake_peer import CREDENTIALS, DROP, FRIEND, IGNORE, ME, Answer, FakePeer, stored

FAST = Options.fast()


async def test_a_send_returns_the_receipt(peer: FakePeer, transport: str) -> None:
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        sent = await client.send(FRIEND, "你好")
    assert sent == SentMessage(message_id=1000, timestamp=1_700_000_000_000)
    message = peer.asked(SubSignal.MS)[0]
    assert (message.conversation.type, message.conversation.target) == (0, FRIEND)
    assert (message.from_user, message.content.searchable_content) == (ME, "你好")
    assert 0 < message.local_message_id < 1 << 63


async def test_a_group_message_may_go_to_some_members(peer: FakePeer) -> None:
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        await client.send(group("g1"), text("psst"), to=["a", "b"], local_id=77)
    message = peer.asked(SubSignal.MS)[0]
    assert (message.conversation.type, message.conversation.target) == (1, "g1")
    assert (list(message.to), message.local_message_id) == (["a", "b"], 77)
    assert message.content.persist_flag == PersistFlag.STORED_AND_COUNTED


async def test_local_ids_differ_between_clients_of_one_user(peer: FakePeer) -> None:
    for _ in range(2):
        async with Client(CREDENTIALS, tcp=peer.tcp) as client:
            await asyncio.gather(*(client.send(FRIEND, str(n)) for n in range(50)))
    assert len({message.local_message_id for message in peer.asked(SubSignal.MS)}) == 100


async def test_a_send_whose_answer_is_lost_is_resent_and_stored_once(peer: FakePeer, transport: str) -> None:
    lost = iter([True])

    def rule(sub: SubSignal, body: object) -> Answer | None:
        if sub is SubSignal.MS and next(lost, False):
            peer._store(body)  # type: ignore[arg-type]
            return DROP
        # Without the inbox the client has to ask.
        return IGNORE if sub is SubSignal.MP else None

    peer.rule = rule
    async with Client(CREDENTIALS, **peer.address(transport), options=FAST) as client:
        sent = await client.send(FRIEND, "once")
    first, second = peer.asked(SubSignal.MS)
    assert first.local_message_id == second.local_message_id
    assert sent.message_id == 1000
    assert len(peer.inbox) == 1


async def test_resends_keep_the_order(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: IGNORE
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client, asyncio.TaskGroup() as tasks:
        for n in range(20):
            tasks.create_task(client.send(FRIEND, str(n)))
        await peer.until(lambda: len(peer.asked(SubSignal.MS)) == 20)
        peer.rule = lambda sub, body: None
        peer.session.drop()
    texts = [message.content.searchable_content for message in peer.asked(SubSignal.MS)]
    assert texts == [str(n) for n in range(20)] * 2


async def test_what_lost_its_connection_goes_before_what_is_sent_in_that_moment(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: IGNORE
    client = Client(CREDENTIALS, tcp=peer.tcp, options=FAST)
    down, late = client._link._down, iter(["late"])
    sends: list[asyncio.Task[object]] = []

    def lost() -> None:
        down()
        # It waits for a connection before the resends know that they need one.
        sends.extend(asyncio.ensure_future(client.send(FRIEND, text)) for text in late)

    client._link._down = lost  # type: ignore[method-assign]
    async with client:
        sends.extend(asyncio.ensure_future(client.send(FRIEND, str(n))) for n in range(5))
        await peer.until(lambda: len(peer.asked(SubSignal.MS)) == 5)
        peer.rule = lambda sub, body: None
        peer.session.drop()
        await peer.until(lambda: len(sends) == 6)
        await asyncio.gather(*sends)
    texts = [message.content.searchable_content for message in peer.asked(SubSignal.MS)]
    assert texts == ["0", "1", "2", "3", "4"] * 2 + ["late"]


async def test_a_send_found_in_the_inbox_needs_no_other_answer(peer: FakePeer) -> None:
    def rule(sub: SubSignal, body: object) -> Answer | None:
        if sub is SubSignal.MS:
            peer._store(body)  # type: ignore[arg-type]
            return IGNORE
        return None

    peer.rule = rule
    options = replace(FAST, request_timeout=0.05)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options) as client:
        sending = asyncio.ensure_future(client.send(FRIEND, "once"))
        await peer.until(lambda: bool(peer.asked(SubSignal.MS)))
        peer.deliver(stored(2001))
        peer.notify(1)
        assert (await sending).message_id == 1000
        assert (await anext(client.messages())).message_id == 2001  # and not 1000


async def test_a_send_is_resent_after_a_time_out(peer: FakePeer) -> None:
    silences = iter([IGNORE, IGNORE])
    peer.rule = lambda sub, body: next(silences, None)
    options = replace(FAST, request_timeout=0.2)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options) as client:
        await client.send(FRIEND, "patience")
    assert len({message.local_message_id for message in peer.asked(SubSignal.MS)}) == 1
    assert len(peer.asked(SubSignal.MS)) >= 3  # more if a busy machine was late with the answer, too
    assert len(peer.sessions) == 1


async def test_a_send_gives_up(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: IGNORE
    options = replace(FAST, request_timeout=0.02)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options) as client:
        with pytest.raises(SendUnconfirmed) as caught:
            await client.send(FRIEND, "nobody answers", within=0.1)
        local_id = caught.value.local_message_id
        peer.rule = lambda sub, body: None
        await client.send(FRIEND, "nobody answers", local_id=local_id)
    assert {message.local_message_id for message in peer.asked(SubSignal.MS)} == {local_id}


async def test_a_final_refusal_is_raised_at_once(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: (246, None)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        with pytest.raises(RequestError) as caught:
            await client.send(FRIEND, "unwanted")
    assert caught.value.code == 246
    assert len(peer.asked(SubSignal.MS)) == 1


async def test_a_refusal_that_says_nothing_final_is_followed_by_a_resend(peer: FakePeer) -> None:
    refusals = iter([(4, None), (249, None)])
    peer.rule = lambda sub, body: next(refusals, None)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        await client.send(FRIEND, "later")
    assert len(peer.asked(SubSignal.MS)) == 3


async def test_a_refusal_without_a_code_is_followed_by_a_few_resends(peer: FakePeer) -> None:
    refusals = iter([(4, None)] * 3)
    peer.rule = lambda sub, body: next(refusals, None)
    async with Client(CREDENTIALS, ws=peer.ws, options=FAST) as client:
        await client.send(FRIEND, "later")
        assert len({message.local_message_id for message in peer.asked(SubSignal.MS)}) == 1
        assert len(peer.asked(SubSignal.MS)) == 4
        peer.rule = lambda sub, body: (246, None)
        with pytest.raises(RequestError) as caught:
            await client.send(FRIEND, "unwanted")
    assert caught.value.code is None
    assert len(peer.asked(SubSignal.MS)) == 4 + 1 + FAST.unexplained_retries


async def test_resends_after_refusals_without_a_code_end_with_the_time(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: (4, None)
    options = replace(FAST, unexplained_retries=1_000_000)
    async with Client(CREDENTIALS, ws=peer.ws, options=options) as client:
        with pytest.raises((RequestError, SendUnconfirmed)):  # the last answer may come too late
            await client.send(FRIEND, "never", within=0.1)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(9, NotInGroup), (242, SensitiveWord), (246, Blacklisted), (247, Muted), (248, NoRight)],
)
async def test_refusals_have_classes_of_their_own(
    peer: FakePeer, code: int, kind: type[RequestError]
) -> None:
    peer.rule = lambda sub, body: (code, None)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        with pytest.raises(kind):
            await client.send(FRIEND, "no")


async def test_mentions_go_along(peer: FakePeer, transport: str) -> None:
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        await client.send(group("g1"), text("@Bob look", mention=["b"]))
        await client.send(group("g1"), text("@all look", mention_all=True))
    some, everybody = peer.asked(SubSignal.MS)
    assert is_mentioned(some, "b")
    assert not is_mentioned(some, "c")
    assert is_mentioned(everybody, "c")


async def test_typing_is_transparent_and_sent_once(peer: FakePeer, transport: str) -> None:
    peer.rule = lambda sub, body: (4, None)
    async with Client(CREDENTIALS, **peer.address(transport), options=FAST) as client:
        with pytest.raises(RequestError):
            await client.send_typing(FRIEND)
    (message,) = peer.asked(SubSignal.MS)
    assert (message.content.type, message.content.persist_flag) == (91, PersistFlag.TRANSPARENT)


async def test_calls_and_typing_come_as_events(peer: FakePeer, transport: str) -> None:
    signal = stored(5)
    signal.content.type = ContentType.CALL_SIGNAL
    signal.content.data = b'{"sdp": "..."}'
    async with Client(CREDENTIALS, **peer.address(transport), options=FAST) as client:
        await anext(client.events())  # Connected
        peer.pass_on(signal)
        event = await anext(client.events())
        signal.content.type = ContentType.TYPING
        peer.pass_on(signal)
        typing = await anext(client.events())
    assert isinstance(event, CallSignal)
    assert (event.kind, event.said) == (ContentType.CALL_SIGNAL, {"sdp": "..."})
    assert isinstance(typing, Transparent)
    assert typing.message.content.data == signal.content.data


async def test_a_refusal_to_the_end_is_raised(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: (4, None)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        with pytest.raises((RequestError, SendUnconfirmed)):  # the last answer may come too late
            await client.send(FRIEND, "never", within=0.1)


async def test_close_ends_the_sends(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: IGNORE
    client = Client(CREDENTIALS, tcp=peer.tcp, options=FAST)
    await client.connect()
    sending = asyncio.ensure_future(client.send(FRIEND, "cut short"))
    await peer.until(lambda: bool(peer.asked(SubSignal.MS)))
    await client.close()
    with pytest.raises(Closed):
        await sending


async def test_a_text_that_is_too_long_is_told_at_once_and_not_sent(peer: FakePeer, transport: str) -> None:
    client = Client(CREDENTIALS, **peer.address(transport), options=FAST)
    with pytest.raises(TooLarge, match="MS: 104"):  # also while there is no connection
        await client.send(FRIEND, "x" * (1 << 20))
    async with client:
        with pytest.raises(TooLarge, match="MS: 104"):
            await client.send(FRIEND, "x" * (1 << 20))
        with pytest.raises(TooLarge, match="UPUI"):
            await client.user_infos(["x" * 1000] * 1100)
        await client.send(FRIEND, "x" * 900_000)
        assert len(peer.asked(SubSignal.MS)) == 1
        assert peer.asked(SubSignal.UPUI) == []
        assert len(peer.sessions) == 1


async def test_what_is_too_long_as_json_is_told_too(peer: FakePeer) -> None:
    async with Client(CREDENTIALS, ws=peer.ws, options=FAST) as client:
        with pytest.raises(TooLarge):
            await client.send(FRIEND, "\x01" * 200_000)
        await client.send(FRIEND, "x" * 200_000)
    assert len(peer.asked(SubSignal.MS)) == 1


async def test_a_send_keeps_below_the_limit(peer: FakePeer, transport: str) -> None:
    loop = asyncio.get_running_loop()
    options = replace(FAST, send_limit=20, send_limit_seconds=0.5)
    async with Client(CREDENTIALS, **peer.address(transport), options=options) as client:
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for n in range(38):
                tasks.create_task(client.send(FRIEND, str(n)))
        assert loop.time() - began >= 0.5  # 18 at once, 20 in the half second after
    assert [message.content.searchable_content for message in peer.asked(SubSignal.MS)] == [
        str(n) for n in range(38)
    ]


async def test_a_send_whose_turn_does_not_come_in_its_time_is_told_at_once(peer: FakePeer) -> None:
    options = replace(FAST, send_limit=10, send_limit_seconds=1000.0)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options) as client:
        for n in range(9):
            await client.send(FRIEND, str(n))
        with pytest.raises(TooOften):
            await client.send(FRIEND, "one too many", within=50)
        with pytest.raises(TooOften):
            await client.send_typing(FRIEND)
    assert len(peer.asked(SubSignal.MS)) == 9


async def test_a_send_that_is_refused_as_too_often_is_sent_again(peer: FakePeer) -> None:
    refusals = iter([(250, None)] * 3)
    peer.rule = lambda sub, body: next(refusals, None)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=FAST) as client:
        await client.send(FRIEND, "patience")
        assert len(peer.asked(SubSignal.MS)) == 4
        assert len({message.local_message_id for message in peer.asked(SubSignal.MS)}) == 1
        peer.rule = lambda sub, body: (250, None)
        with pytest.raises((TooOften, SendUnconfirmed)):  # the last answer may come too late
            await client.send(FRIEND, "never", within=0.1)
