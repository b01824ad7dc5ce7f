"""What comes on a connection is read in the next turn of the loop, in parts, and before the end of the connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from fsharechat.settings import load
from roles.connector.connection import PART_BYTES, ConnectionServices, DeviceConnection
from roles.connector.session import Session
from roles.connector.tables import SessionTable


class HeldSession:
    """Stands for a session that rests when it is told to, and goes on when the test says so."""

    heard_at = 0.0

    def __init__(self, connection: DeviceConnection) -> None:
        self._connection = connection

    def rest(self) -> None:
        self._connection.pause()


class Wire:
    """Stands for a transport, and notes whether it is read."""

    def __init__(self) -> None:
        self.reads = True
        self.aborted = False

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def abort(self) -> None:
        self.aborted = True


class Reader(DeviceConnection):
    """Notes what it reads, and its end."""

    def __init__(self, services: ConnectionServices) -> None:
        super().__init__(services)
        self.wire = Wire()
        self._transport = cast(asyncio.Transport, self.wire)
        self._session = cast(Session, HeldSession(self))
        self.seen: list[bytes] = []

    def _read(self, data: bytes) -> None:
        if data == b"a bug":
            raise RuntimeError("a bug")
        self.seen.append(data)

    def _lost(self) -> None:
        self.seen.append(b"the end")


@pytest.fixture
async def reader() -> Reader:
    settings = load(None, {}, {}).connector
    return Reader(ConnectionServices(settings, asyncio.get_running_loop().time, cast(SessionTable, None)))


async def _turn() -> None:
    await asyncio.sleep(0)


async def test_a_commit_that_has_ended_goes_before_what_came_meanwhile(reader: Reader) -> None:
    asyncio.get_running_loop().call_soon(reader.seen.append, b"a commit has ended")
    reader.data_received(b"some")
    reader.data_received(b"thing")
    await _turn()
    assert reader.seen == [b"a commit has ended", b"something"]


async def test_much_is_read_in_parts_and_the_socket_waits(reader: Reader) -> None:
    sent = bytes(range(256)) * (5 * PART_BYTES // 512)
    for start in range(0, len(sent), PART_BYTES):
        if reader.wire.reads:  # as a transport does that is paused
            reader.data_received(sent[start : start + PART_BYTES])
            taken = start + PART_BYTES
    assert (reader.seen, reader.wire.reads, taken) == ([], False, 2 * PART_BYTES)
    await _turn()
    assert reader.seen == []
    while b"".join(reader.seen) != sent[:taken]:
        before = len(reader.seen)
        reader.resume()
        assert len(reader.seen) == before + 1
        assert len(reader.seen[-1]) == PART_BYTES
    assert reader.wire.reads


async def test_what_came_before_the_end_is_read(reader: Reader) -> None:
    reader.data_received(b"the last words")
    reader.connection_lost(None)
    assert reader.seen == [b"the last words", b"the end"]
    await _turn()
    assert len(reader.seen) == 2


async def test_a_bug_ends_the_connection_that_has_it(reader: Reader, loop_errors: list[str]) -> None:
    reader.data_received(b"a bug")
    await _turn()
    assert reader.wire.aborted
    assert loop_errors == ["a bug"]


@pytest.fixture
async def loop_errors() -> AsyncIterator[list[str]]:
    """Return what the loop was told of exceptions that nobody caught."""
    errors: list[str] = []
    loop = asyncio.get_running_loop()
    handler: Callable[..., object] | None = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: errors.append(str(context["exception"])))
    yield errors
    loop.set_exception_handler(handler)
