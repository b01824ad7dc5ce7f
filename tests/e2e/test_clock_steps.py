"""A server whose clock steps: nothing stops, and what people said stays in order (protocol.md section 6)."""

import time
from pathlib import Path

import pytest

from fsharechat.client import SentMessage
from tests.devices import Device, log_in, text_of
from tests.server import Server, until
from tests.services import Services

pytestmark = pytest.mark.slow

NUMBERS = ("13800000001", "13800000002")
HOUR = 3600
NEAR_MS = 1_800_000
"""Half of what the clock steps by: a time is by one clock or by the other, however busy the machine is."""


class SteppedServer(Server):
    """A server whose clock is the machine's and so many seconds more."""

    def __init__(self, data: Path, library: str) -> None:
        self._clock = data.with_name("clock")
        self.step(0)
        super().__init__(
            data,
            environment={
                "LD_PRELOAD": library,
                "FAKETIME_TIMESTAMP_FILE": str(self._clock),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            },
        )

    def step(self, seconds: int) -> None:
        """Set the clock; the server reads it so at once."""
        self.set(f"{seconds:+d}")
        self.off_ms = seconds * 1000

    def set(self, text: str) -> None:
        fresh = self._clock.with_suffix(".new")
        fresh.write_text(f"{text}\n")
        fresh.replace(self._clock)

    def is_its_time(self, ms: int) -> bool:
        return abs(ms - self.off_ms - time.time_ns() // 1_000_000) < NEAR_MS


@pytest.fixture
async def server(tmp_path: Path, services: Services) -> SteppedServer:
    return SteppedServer(tmp_path / "data", services("faketime").variables("faketime")["FAKETIME_LIBRARY"])


async def test_whatever_the_clock_does_messages_go_and_stay_in_order(server: SteppedServer) -> None:
    said: list[str] = []
    sent: list[SentMessage] = []

    async def talk(people: tuple[Device, Device], what: str) -> None:
        for one, other in (people, people[::-1]):
            said.append(f"{what} {len(said)}")
            sent.append(await one.send(other.user_id, said[-1]))
            assert server.is_its_time(sent[-1].timestamp)

    async with server:
        logins = [await log_in(server.at, number, f"phone {number}") for number in NUMBERS]
        ann, ben = people = Device(logins[0], server.at, "tcp"), Device(logins[1], server.at, "ws")
        async with ann, ben:
            await talk(people, "by the right clock")
            for seconds in (-HOUR, HOUR, 0):
                server.step(seconds)
                await talk(people, f"stepped to {seconds}")
            assert '"the clock went back' in server.errors
            server.step(-HOUR)
            await server.stop()
            await server.start()
            await talk(people, "started an hour behind")
            server.step(0)
            await server.stop()
            await server.start()
            await talk(people, "started by the right clock")
            await until(
                lambda: ben.texts_of(ann.user_id) == said[::2], lambda: f"ben has {len(ben.received)}"
            )
            await until(
                lambda: ann.texts_of(ben.user_id) == said[1::2], lambda: f"ann has {len(ann.received)}"
            )
            ids = [message.message_id for message in sent]
            assert ids == sorted(set(ids))
            read = await ann.history(ben.user_id, count=100)
            assert [text_of(message) for message in reversed(read)] == said


async def test_a_clock_in_2010_is_named_at_the_start(server: SteppedServer) -> None:
    server.set("@2010-01-01 00:00:00")
    with pytest.raises(AssertionError, match=r"the clock of this machine says 20(10|09)-"):
        await server.start()
