"""The programs of examples/ do what they say, each in a process of its own, on a real server."""

import asyncio
import base64
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from standardwebhooks import Webhook

from fsharechat.admin.office import AdminApi
from fsharechat.client import StreamPart
from fsharechat.protocol.signals import ContentType, FriendState
from tools.testing.devices import Handset, log_in
from tools.testing.hook_receiver import SECRET
from tools.testing.server import SUPER_CODE, Server, until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
API_KEY = "a-key-of-the-tests-of-examples"
OTHER_SECRET = "whsec_" + base64.b64encode(b"another secret, of 32 bytes also").decode()
SECONDS = 60.0
ANNA, BEN, BOT = "13800000001", "13800000002", "13800000009"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path / "data") as server:
        yield server


@pytest.fixture
async def anna(server: Server) -> AsyncIterator[Handset]:
    async with Handset(await log_in(server.at, ANNA, "phone"), server.at, "tcp") as device:
        yield device


class Program:
    """An example that runs as BOT."""

    def __init__(self, folder: Path, server: Server, name: str, *more: str) -> None:
        flags = ["--number", BOT, "--code", SUPER_CODE, "--http", server.at.http, "--tcp", server.at.tcp]
        self._said = folder / f"{name}.out"
        with self._said.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(EXAMPLES / name), *flags, *more],
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    async def until_said(self, pattern: str) -> str:
        """Wait until it has printed something, and return its first group."""
        await until(
            lambda: re.search(pattern, self.said) is not None or self.process.poll() is not None,
            lambda: f"no {pattern!r}: {self.said}",
        )
        found = re.search(pattern, self.said)
        assert found is not None, self.said
        return found[1]

    async def until_ended(self) -> str:
        """Wait until it has ended by itself, and return what it printed."""
        await until(lambda: self.process.poll() is not None, lambda: f"it does not end: {self.said}")
        assert self.process.returncode == 0, self.said
        return self.said


@asynccontextmanager
async def running(folder: Path, server: Server, name: str, *more: str) -> AsyncIterator[tuple[Program, str]]:
    """Run an example, yield it and its uid, and end it by Ctrl-C."""
    program = Program(folder, server, name, *more)
    try:
        yield program, await program.until_said(r"connected as (\S+)\n")
        program.process.send_signal(signal.SIGINT)
        await program.until_ended()
    finally:
        program.process.kill()
        program.process.wait()


async def test_the_echo_bot_makes_friends_and_answers(tmp_path: Path, server: Server, anna: Handset) -> None:
    async with running(tmp_path, server, "echo_bot.py") as (program, bot):
        await anna.add_friend(bot, "let me in")
        await until(lambda: "let me in" in anna.texts_of(bot), "no answer to the greeting")
        assert [friend.state for friend in await anna.friends()] == [FriendState.FRIEND]
        await anna.send(bot, "hello")
        await until(lambda: anna.texts_of(bot)[-1] == "hello", "no answer")
        # Before the server has acknowledged the answer, Ctrl-C would make the bot answer again.
        await program.until_said(r"(?s)(answered.*answered)")
    # What is said while it is away is answered when it comes back, and nothing else again.
    await anna.send(bot, "are you there?")
    async with running(tmp_path, server, "echo_bot.py"):
        await until(lambda: anna.texts_of(bot)[-1] == "are you there?", "no answer after a restart")
    assert anna.texts_of(bot) == ["let me in", "hello", "are you there?"]


async def test_the_robot_is_seen_while_it_writes(tmp_path: Path) -> None:
    async with Server(tmp_path / "data", {"API__KEY": API_KEY}) as server:
        bot = (await log_in(server.at, BOT, "first")).user_id
        async with AdminApi(server.at.http, API_KEY) as office:
            await office.ask("PUT", "admin", "users", BOT, "robot", body={"robot": True})
        async with (
            Handset(await log_in(server.at, ANNA, "phone"), server.at, "tcp") as anna,
            running(tmp_path, server, "robot.py") as (program, _),
        ):
            await anna.send(bot, "one two three")
            await program.until_said(r"(answered)")
            await until(lambda: anna.texts_of(bot) == ["one two three "], "no answer")
            parts = [event for event in anna.seen if isinstance(event, StreamPart)]
    assert "".join(part.delta for part in parts) == "one two three "
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert ({part.robot for part in parts}, len({part.stream_id for part in parts})) == ({bot}, 1)
    assert len(parts) >= 4


async def test_the_file_bot_answers_with_a_file(tmp_path: Path, server: Server, anna: Handset) -> None:
    async with running(tmp_path, server, "file_bot.py") as (_, bot):
        await anna.send(bot, "飞享 note")
        await anna.until_received(1)
    content = anna.received[0].content
    assert (content.type, content.searchable_content) == (ContentType.FILE, "note.txt")
    async with aiohttp.ClientSession() as http, http.get(content.remote_media_url) as answer:
        assert await answer.read() == "飞享 note".encode()


async def test_the_bridge_carries_both_ways(
    tmp_path: Path, server: Server, anna: Handset, other: "Other"
) -> None:
    webhook = await other.listen()
    flags = ("--webhook", webhook, "--port", "0")
    async with (
        running(tmp_path, server, "bridge.py", *flags) as (program, bot),
        aiohttp.ClientSession() as http,
    ):
        address = await program.until_said(r"takes messages at (\S+)\n")
        async with http.post(address, json={"number": ANNA, "text": "from elsewhere"}) as answer:
            sent = await answer.json()
            assert answer.status == 200, sent
        await anna.until_received(1)
        assert (anna.texts_of(bot), str(anna.received[0].message_id)) == (["from elsewhere"], sent["id"])
        async with http.post(address, json={"number": BEN, "text": "nobody"}) as answer:
            assert answer.status == 404
        other.refuses = 1
        receipt = await anna.send(bot, "to elsewhere")
        await until(lambda: other.refuses == 0 and bool(other.taken), "it was not posted")
        assert other.taken == [{"id": str(receipt.message_id), "from": anna.user_id, "text": "to elsewhere"}]


async def test_the_history_is_printed_oldest_first(tmp_path: Path, server: Server, anna: Handset) -> None:
    bot = (await log_in(server.at, BOT, "phone")).user_id
    texts = [f"text {number}" for number in range(120)]  # more than a page
    for part in texts:
        await anna.send(bot, part)
    program = Program(tmp_path, server, "history.py", "--target", anna.user_id)
    lines = [json.loads(line) for line in (await program.until_ended()).splitlines()[1:]]
    assert [line["text"] for line in lines] == texts
    assert {line["from"] for line in lines} == {anna.user_id}


async def test_the_receiver_of_webhooks_takes_what_is_signed_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    output = tmp_path / "said"
    program = _listening(output, SECRET, str(port))
    try:
        event = {"id": "evt_1", "type": "group.created", "data": {"group": "g1"}}
        statuses: list[int] = []
        for said in (event, event, {**event, "id": "evt_2"}, event):
            secret = SECRET if len(statuses) < 3 else OTHER_SECRET
            statuses.append(await _posted(f"http://127.0.0.1:{port}/", said, secret))
    finally:
        program.kill()
        program.wait()
    assert statuses == [204, 204, 204, 401]
    assert output.read_text().splitlines() == ["group.created {'group': 'g1'}"] * 2


def _listening(output: Path, *flags: str) -> subprocess.Popen[bytes]:
    with output.open("wb") as stream:
        return subprocess.Popen(
            [sys.executable, str(EXAMPLES / "webhook_receiver.py"), *flags],
            stdout=stream,
            stderr=subprocess.STDOUT,
        )


async def _posted(url: str, event: dict[str, Any], secret: str) -> int:
    """Post a signed event, as soon as somebody listens, and return the status of the answer."""
    body, now = json.dumps(event), datetime.now(UTC)
    headers = {
        "webhook-id": event["id"],
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(event["id"], now, body),
    }
    async with asyncio.timeout(SECONDS), aiohttp.ClientSession() as http:
        while True:
            with suppress(aiohttp.ClientConnectorError):
                async with http.post(url, data=body, headers=headers) as answer:
                    return answer.status
            await asyncio.sleep(0.05)


def test_every_example_is_run_here() -> None:
    programs = {path.name for path in EXAMPLES.glob("*.py")} - {"account.py"}
    tests = Path(__file__).read_text()
    assert [name for name in programs if f'"{name}"' not in tests] == []
    page = (EXAMPLES / "README.md").read_text()
    assert [name for name in programs if f"({name})" not in page] == []


class Other:
    """Another system, which a bridge posts to. It refuses as often as `refuses` says."""

    def __init__(self) -> None:
        self.refuses = 0
        self.taken: list[object] = []
        app = web.Application()
        app.router.add_post("/", self._take)
        self._runner = web.AppRunner(app)

    async def listen(self) -> str:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        if self.refuses:
            self.refuses -= 1
            return web.Response(status=503)
        self.taken.append(await request.json())
        return web.Response()


@pytest.fixture
async def other() -> AsyncIterator[Other]:
    system = Other()
    yield system
    await system.close()
