"""Against a peer that breaks connections, loses answers and refuses now and then, nothing is lost or doubled."""

import asyncio
import gc
import random
from dataclasses import replace
from typing import Any

import pytest

from fsharechat.client import Client, Options
from fsharechat.protocol.signals import SubSignal
from tests.unit.client.fake_peer import CREDENTIALS, DROP, FRIEND, IGNORE, TIMEOUT, Answer, FakePeer, stored

SENT = 40
RECEIVED = 150


@pytest.mark.parametrize("seed", range(4))
async def test_each_message_arrives_once_in_order_and_each_send_is_stored_once(
    peer: FakePeer, transport: str, seed: int
) -> None:
    chance = random.Random(seed)

    def rule(sub: SubSignal, body: Any) -> Answer | None:
        what = chance.random()
        if what < 0.05:
            if sub is SubSignal.MS:
                peer._store(body)  # only the answer is lost
            return DROP
        if what < 0.08:
            return IGNORE
        return (4, None) if what < 0.12 else None

    peer.rule = rule
    options = replace(
        Options.fast(),
        request_timeout=0.1,
        backoff_first=0.001,
        backoff_max=0.01,
        unexplained_retries=10,
        message_queue=chance.choice([1, 3, 100]),
    )
    incoming = [stored(100_000 + n) for n in range(RECEIVED)]
    got: list[int] = []

    async def receive() -> None:
        async for message in client.messages():
            got.append(message.message_id)
            peer.touch()
            if len(got) == RECEIVED:
                return

    async def deliver() -> None:
        first = 0
        while first < RECEIVED:
            last = first + chance.randint(1, 4)
            head = len(peer.inbox) + 1
            peer.inbox += incoming[first:last]
            first = last
            if not peer.session.closed:
                peer.notify(head)
            if chance.random() < 0.1:
                peer.session.drop()
            for _ in range(chance.randint(0, 20)):
                await asyncio.sleep(0)

    async def remind() -> None:
        """Repeat the notification, as a server does until everything is fetched."""
        while True:
            await asyncio.sleep(0.1)
            if not peer.session.closed:
                peer.notify(1)

    client = Client(CREDENTIALS, **peer.address(transport), options=options)
    await client.connect(patience=TIMEOUT)
    async with asyncio.timeout(3 * TIMEOUT):
        reading = asyncio.ensure_future(receive())
        reminding = asyncio.ensure_future(remind())
        receipts, _ = await asyncio.gather(
            asyncio.gather(*(client.send(FRIEND, str(n)) for n in range(SENT))), deliver()
        )
        await reading
        reminding.cancel()
    await client.close()
    assert got == [message.message_id for message in incoming]
    assert len({receipt.message_id for receipt in receipts}) == SENT
    texts = [m.content.searchable_content for m in peer.inbox if m.from_user != FRIEND]
    assert sorted(texts, key=int) == [str(n) for n in range(SENT)]


async def test_close_at_any_moment_is_clean(
    peer: FakePeer, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(7)
    peer.inbox = [stored(n) for n in range(1, 20)]

    async def some_turns(most: int) -> None:
        for _ in range(chance.randint(0, most)):
            await asyncio.sleep(0)

    options = replace(Options.fast(), backoff_first=0.001, backoff_max=0.003, message_queue=3)
    for _ in range(40):
        client = Client(CREDENTIALS, **peer.address(transport), options=options)
        work: list[asyncio.Future[Any]] = [asyncio.ensure_future(client.connect(patience=TIMEOUT))]
        await some_turns(40)
        if chance.random() < 0.5:
            await asyncio.wait(work)
            work += [asyncio.ensure_future(client.send(FRIEND, "x")) for _ in range(3)]
        await some_turns(30)
        if chance.random() < 0.5 and peer.sessions:
            peer.session.drop()
        await some_turns(15)
        if chance.random() < 0.5:
            chance.choice(work).cancel()
        async with asyncio.timeout(TIMEOUT):
            await client.close()
            await asyncio.gather(*work, return_exceptions=True)
    gc.collect()  # lost exceptions are logged when their task goes
    assert not [record for record in caplog.records if record.name == "asyncio"]
