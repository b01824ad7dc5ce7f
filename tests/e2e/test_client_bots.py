"""Bots on the client library miss nothing: slow ones, those that were away, and those that are killed."""

import asyncio
import random
import re
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fsharechat.client import (
    Client,
    Credentials,
    InboxGap,
    Position,
)
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import FriendState
from tools.testing.devices import FAST, Handset, check_same, log_in, text_of
from tools.testing.server import BOUND, Server, until

pytestmark = pytest.mark.slow

ANNA, BOT = "13800000001", "13800000009"
WAITING = 3000
KILLING_SECONDS = 60.0
GUIDE = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
EXAMPLE = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)[0]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path / "data") as server:
        yield server


def numbered(count: int, size: int = 1000) -> list[str]:
    return [f"{n:06}".ljust(size, "x") for n in range(count)]


async def slow_bot(
    credentials: Credentials, server: Server, transport: str, position: Position | None
) -> tuple[Client, list[pb.Message], list[object]]:
    received: list[pb.Message] = []
    events: list[object] = []

    async def handle(message: pb.Message) -> None:
        await asyncio.sleep(0.003)
        received.append(message)

    bot = Client(
        credentials,
        **server.at.of(transport),
        position=position,
        on_message=handle,
        on_event=events.append,
        options=FAST,
    )
    await bot.connect()
    return bot, received, events


@pytest.mark.parametrize("away", [False, True], ids=["online", "away"])
async def test_a_slow_bot_gets_all_in_order_and_once(server: Server, transport: str, away: bool) -> None:
    anna, me = await log_in(server.at, ANNA, "phone"), await log_in(server.at, BOT, "bot")
    texts = numbered(WAITING)
    async with Handset(anna, server.at, "tcp") as sender:
        bot, received, events = await slow_bot(me, server, transport, None)
        await sender.send(me.user_id, "hello")
        await until(lambda: len(received) == 1, "the bot got nothing")
        if away:
            await bot.close()
        await sender.send_all(me.user_id, texts)
        if away:
            had = Position(1, received[0].message_id)
            bot, received, events = await slow_bot(me, server, transport, had)
        await until(
            lambda: len(received) >= WAITING + (not away), lambda: f"{len(received)} came of {WAITING}"
        )
        # What would come twice has come before what is sent now.
        await sender.send(me.user_id, "the end")
        await until(lambda: text_of(received[-1]) == "the end", "the last one did not come")
        await bot.close()
    wanted = [*([] if away else ["hello"]), *texts, "the end"]
    check_same([text_of(message)[:6] for message in received], [text[:6] for text in wanted], "the bot")
    assert not [event for event in events if isinstance(event, InboxGap)]


async def test_a_bot_that_is_killed_at_random_moments_misses_nothing(
    server: Server, tmp_path: Path, transport: str
) -> None:
    chance = random.Random(9)
    handled = tmp_path / "handled"
    handled.touch()
    anna, me = await log_in(server.at, ANNA, "phone"), await log_in(server.at, BOT, "phone")
    address = {"tcp": server.at.tcp, "ws": server.at.ws}[transport]

    async def start() -> Process:
        arguments = [tmp_path / "state", handled, BOT, server.at.http, transport, address]
        script = Path(__file__).with_name("counting_bot.py")
        process = await asyncio.create_subprocess_exec(
            sys.executable, script, *map(str, arguments), stdout=PIPE
        )
        assert process.stdout is not None
        async with asyncio.timeout(BOUND):
            assert await process.stdout.readline() == b"connected\n"
        return process

    sent: list[str] = []

    async def keep_sending(sender: Handset) -> None:
        while True:
            some = [f"{n:06}".ljust(1000, "x") for n in range(len(sent), len(sent) + 200)]
            await sender.send_all(me.user_id, some)
            sent.extend(some)
            # Not so many more than a bot can take that keeps being killed.
            await until(lambda: len(sent) - len(handled.read_text().split()) < 3000, "the bot does nothing")

    kills = 0
    loop = asyncio.get_running_loop()
    bot = await start()
    try:
        async with Handset(anna, server.at, "tcp") as sender:
            sending = asyncio.create_task(keep_sending(sender))
            ends = loop.time() + KILLING_SECONDS
            while loop.time() < ends and not sending.done():
                await asyncio.sleep(chance.uniform(0, 0.6))  # the moment of the kill
                bot.kill()
                await bot.wait()
                kills += 1
                bot = await start()
            sending.cancel()
            await asyncio.wait([sending])
            assert sending.cancelled(), sending.exception()
            await sender.send(me.user_id, "the end")
        await until(lambda: handled.read_text().endswith("the en\n"), "the last one did not come", 2 * BOUND)
    finally:
        if bot.returncode is None:
            bot.kill()
        await bot.wait()

    lines = handled.read_text().split("\n")[:-2]
    once = list(dict.fromkeys(lines))
    # The round that was cut short at the end may have come in part.
    check_same(once[: len(sent)], [text[:6] for text in sent], "the bot")
    print(f"{transport}: {kills} kills, {len(once)} messages, {len(lines) - len(once)} of them twice")
    assert kills >= 10
    assert len(lines) - len(once) <= kills, "more than what was in hand came again"
    assert lines == sorted(lines), "what came again is not what was in hand"


async def test_the_example_bot_answers_each_text_once_over_restarts(server: Server, tmp_path: Path) -> None:
    anna = await log_in(server.at, ANNA, "phone")
    source = EXAMPLE.replace("http://127.0.0.1:8081", server.at.http).replace("127.0.0.1:6789", server.at.tcp)
    assert source != EXAMPLE
    script = tmp_path / "bot.py"
    script.write_text(source)
    bots: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        bots.append(subprocess.Popen([sys.executable, script], cwd=tmp_path))

    try:
        async with Handset(anna, server.at, "tcp") as phone:
            start()
            await until(lambda: bots[-1].poll() is None and (tmp_path / "echo-bot").exists(), "no bot")
            found: list[pb.User] = []
            async with asyncio.timeout(BOUND):
                while not found:
                    found = await phone.search_users(BOT)
            bot = found[0].uid
            await phone.add_friend(bot, "let me in")
            await phone.until_received(3)  # the greeting and two tips, which are the phone's own too
            assert [friend.state for friend in await phone.friends()] == [FriendState.FRIEND]
            await until(lambda: phone.texts_of(bot) == ["let me in"], lambda: f"{phone.texts_of(bot)}")
            wanted = ["let me in"]
            for round in range(4):
                for n in range(20):
                    await phone.send(bot, f"{round}-{n}")
                    wanted.append(f"{round}-{n}")
                await until(
                    lambda: len(phone.texts_of(bot)) >= len(wanted), lambda: f"{phone.texts_of(bot)[-3:]}"
                )
                bots[-1].kill()
                bots[-1].wait()
                start()
            await phone.send(bot, "the end")
            await until(lambda: phone.texts_of(bot)[-1] == "the end", "no answer")
            answers = phone.texts_of(bot)
    finally:
        for process in bots:
            process.kill()
            process.wait()
    wanted.append("the end")
    assert list(dict.fromkeys(answers)) == wanted
    # The one in hand at a kill may be answered again.
    assert len(answers) - len(wanted) <= 4, answers
