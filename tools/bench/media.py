"""What it costs to forward media: one participant sends, many receive."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson

from tools.services.places import ROOT
from tools.testing.media_peer import PAYLOADS, MediaPeer

from .link import BenchError

ROOM = "room"
VIDEO_BYTES = 1100
AUDIO_BYTES = 80
VIDEO_EACH_SECOND = 170
"""With VIDEO_BYTES that is 1.5 Mbit/s."""
AUDIO_EACH_SECOND = 50
RECEIVERS = (20, 100, 200)
_TURN_SECONDS = 0.01
_PACE = 0.95
_SETTLE_SECONDS = 1.0


class MediaResult(NamedTuple):
    receivers: int
    join_ms: float
    """CPU time of the server for each receiver's connection, DTLS and all."""
    packets: float
    """Packets that were forwarded, a second."""
    mbps: float
    arrived: float
    """The part of what was to arrive."""
    cpu: float
    """Of one core."""
    us: float
    """CPU time of the server for each packet that it forwarded."""
    rss: int

    @property
    def pace(self) -> float:
        """Return the part of what was to be sent that the generator has sent."""
        return self.packets / (self.receivers * (VIDEO_EACH_SECOND + AUDIO_EACH_SECOND))


class _Forwarding(NamedTuple):
    """A source and its receivers, all of them connected."""

    ask: Any
    """Asks the media server."""
    source: MediaPeer
    sinks: Sequence[MediaPeer]
    join_seconds: float
    """CPU time of the server for all receivers' connections."""


@asynccontextmanager
async def _forwarding(receivers: int) -> AsyncIterator[_Forwarding]:
    """Have one source send to so many receivers."""
    async with _server(receivers + 1) as ask:
        source = MediaPeer(sends=True)
        sinks = [MediaPeer(sends=False) for _ in range(receivers)]
        try:
            await ask("join", ROOM, "source")
            source.accept(await ask("publish", ROOM, "source", source.offer()))
            await source.connected()
            before = await ask("state")
            for number, sink in enumerate(sinks):
                sink.only_counting = True
                await ask("join", ROOM, f"sink {number}")
                sink.accept(await ask("receive", ROOM, f"sink {number}", "source", sink.offer()))
                await sink.connected()
            joined = await ask("state")
            sending = asyncio.create_task(_send(source))
            await asyncio.sleep(_SETTLE_SECONDS)
            yield _Forwarding(ask, source, sinks, joined["cpu"] - before["cpu"])
            sending.cancel()
            await asyncio.wait((sending,))
        finally:
            for peer in (source, *sinks):
                peer.close()


async def run_media(receivers: int, seconds: float) -> MediaResult:
    """Measure one source and so many receivers. Raises BenchError."""
    print(f"one source, {receivers} receivers ...", flush=True)
    async with _forwarding(receivers) as it:
        counted, begin, began = await it.ask("state"), time.perf_counter(), _received(it.sinks)
        await asyncio.sleep(seconds)
        done, took, ended = await it.ask("state"), time.perf_counter() - begin, _received(it.sinks)
    forwarded = done["forwarded"] - counted["forwarded"]
    if not forwarded:
        raise BenchError("nothing was forwarded")
    return MediaResult(
        receivers,
        it.join_seconds / receivers * 1000,
        forwarded / took,
        (done["sent_bytes"] - counted["sent_bytes"]) * 8 / took / 1e6,
        (ended - began) / forwarded,
        (done["cpu"] - counted["cpu"]) / took,
        (done["cpu"] - counted["cpu"]) / forwarded * 1e6,
        done["rss"],
    )


@asynccontextmanager
async def media_beside(receivers: int) -> AsyncIterator[None]:
    """Forward to so many receivers in other processes, and print what was forwarded. Raises BenchError."""
    async with _running("tools.bench.media", receivers) as (stdin, stdout):
        if not await stdout.readline():
            raise BenchError("the media could not be forwarded")
        yield
        stdin.close()
        print(f"meanwhile {(await stdout.readline()).decode().strip()}", flush=True)


@asynccontextmanager
async def _running(
    module: str, count: int
) -> AsyncIterator[tuple[asyncio.StreamWriter, asyncio.StreamReader]]:
    """Run a module with one argument, and return its input and output. It ends when its input does."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module, str(count)),
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdin=pipe,
        stdout=pipe,
        limit=1 << 20,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    try:
        yield stdin, stdout
    finally:
        stdin.close()
        await process.wait()


async def _forward_until_told(receivers: int) -> None:
    """Say when it begins, end with standard input, and say what was forwarded."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with _forwarding(receivers) as it:
        counted, begin = await it.ask("state"), time.perf_counter()
        print("it begins", flush=True)
        await reader.read()
        done, took = await it.ask("state"), time.perf_counter() - begin
    forwarded = (done["forwarded"] - counted["forwarded"]) / took
    print(f"{forwarded:.0f} packets a second were forwarded, to {receivers} receivers", flush=True)


def media_table(results: Sequence[MediaResult]) -> str:
    lines = ["receivers  packets/s  Mbit/s  arrived  cpu  us/packet  join ms  RSS MB"]
    for one in results:
        lines.append(
            f"{one.receivers:>9} {one.packets:>10.0f} {one.mbps:>7.0f} {one.arrived:>7.1%} {one.cpu:>4.0%}"
            f" {one.us:>10.1f} {one.join_ms:>8.1f} {one.rss / 1e6:>7.0f}"
        )
    if slow := [str(one.receivers) for one in results if one.pace < _PACE]:
        lines.append(
            f"The machine could not keep the pace with {', '.join(slow)} receivers: not all is sent yet."
        )
    return "\n".join(lines)


async def _send(source: MediaPeer) -> None:
    """Send at a fixed pace, a few packets each turn."""
    begin = time.perf_counter()
    sent = {"video": 0, "audio": 0}
    bodies = {"video": bytes(VIDEO_BYTES), "audio": bytes(AUDIO_BYTES)}
    paces = {"video": VIDEO_EACH_SECOND, "audio": AUDIO_EACH_SECOND}
    while True:
        passed = time.perf_counter() - begin
        for kind, pace in paces.items():
            while sent[kind] < passed * pace:
                source.send(kind, bodies[kind])
                sent[kind] += 1
        await asyncio.sleep(_TURN_SECONDS)


def _received(sinks: Sequence[MediaPeer]) -> int:
    return sum(sink.received[payload] for sink in sinks for payload in PAYLOADS.values())


@asynccontextmanager
async def _server(room_limit: int) -> AsyncIterator[Any]:
    """Run a media server, and return what asks it."""
    async with _running("tools.bench.media_process", room_limit) as (stdin, stdout):

        async def ask(*call: object) -> Any:
            stdin.write(orjson.dumps(call) + b"\n")
            line = await stdout.readline()
            if not line:
                raise BenchError("the media server has ended")
            return orjson.loads(line)

        yield ask


if __name__ == "__main__":
    asyncio.run(_forward_until_told(int(sys.argv[1])))
