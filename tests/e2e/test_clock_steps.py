"""A server whose clock steps: nothing stops, and what people said stays in order (contract.md section 6)."""

from pathlib import Path

import pytest

from fsharechat.client import SentMessage
from tests.e2e.in_cluster import connector
from tools.testing.cluster import MakeCluster, new_numbers
from tools.testing.devices import Handset, log_in, text_of
from tools.testing.server import Server, until
from tools.testing.services import Services
from tools.testing.stepped_clock import SteppedClock

pytestmark = pytest.mark.slow

NUMBERS = ("13800000001", "13800000002")
HOUR = 3600
ROUNDS = 5


@pytest.fixture
async def clock(tmp_path: Path, services: Services) -> SteppedClock:
    return SteppedClock.of(services, tmp_path / "clock")


@pytest.fixture
async def server(tmp_path: Path, clock: SteppedClock) -> Server:
    return Server(tmp_path / "data", environment=clock.environment)


async def test_whatever_the_clock_does_messages_go_and_stay_in_order(
    server: Server, clock: SteppedClock
) -> None:
    said: list[str] = []
    sent: list[SentMessage] = []

    async def talk(people: tuple[Handset, Handset], what: str) -> None:
        for one, other in (people, people[::-1]):
            said.append(f"{what} {len(said)}")
            sent.append(await one.send(other.user_id, said[-1]))
            assert clock.reads(sent[-1].timestamp)

    async with server:
        logins = [await log_in(server.at, number, f"phone {number}") for number in NUMBERS]
        ann, ben = people = (
            Handset(logins[0], server.at, "tcp"),
            Handset(logins[1], server.at, "ws"),
        )
        async with ann, ben:
            await talk(people, "by the right clock")
            for seconds in (-HOUR, HOUR, 0):
                clock.step(seconds)
                await talk(people, f"stepped to {seconds}")
            assert '"the clock went back' in server.errors
            clock.step(-HOUR)
            await server.stop()
            await server.start()
            await talk(people, "started an hour behind")
            clock.step(0)
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


async def has(device: Handset, text: str) -> None:
    """Wait until a text has come to a device."""
    await until(lambda: text in map(text_of, device.received), f"{text!r} does not come")


@pytest.mark.parametrize("behind", [0.3, HOUR])
async def test_an_answer_through_a_connector_that_is_behind_stands_behind_its_question(
    cluster: MakeCluster, clock: SteppedClock, tmp_path: Path, behind: float
) -> None:
    it = cluster(2, 2)
    late = connector(it, tmp_path / "late", environment=clock.environment)
    async with late:
        clock.step(-behind)
        numbers = new_numbers(2)
        logins = [await log_in(it.at(0), number, f"phone {number}") for number in numbers]
        ann, ben = Handset(logins[0], it.at(0), "tcp"), Handset(logins[1], late.at, "ws")
        said: list[str] = []
        async with ann, ben:
            for round in range(ROUNDS):
                for one, other in ((ann, ben), (ben, ann)):
                    said.append(f"{round}: from {one.user_id}")
                    await one.send(other.user_id, said[-1])
                    await has(other, said[-1])
            read = await ann.history(ben.user_id, count=100)
            assert [text_of(message) for message in reversed(read)] == said


async def test_a_clock_in_2010_is_named_at_the_start(server: Server, clock: SteppedClock) -> None:
    clock.set("@2010-01-01 00:00:00")
    with pytest.raises(AssertionError, match=r"the clock of this machine says 20(10|09)-"):
        await server.start()
