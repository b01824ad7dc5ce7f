"""Ends of a connection that do as the test says, right or wrong."""

import asyncio
import secrets
from typing import Self

from fsharechat.protocol.frames import Frame, FrameDecoder
from fsharechat.protocol.signals import Signal
from fsharechat.rpc import Call, codec
from fsharechat.rpc.codec import NEWEST
from tests.unit.rpc.rpc_cluster import SECRET
from tools.testing.server import BOUND
from tools.wire.port import StreamPort


class Raw:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._decoder = FrameDecoder(8 << 20)
        self._frames: list[Frame] = []

    @classmethod
    async def connect(cls, address: str) -> Self:
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def frame(self) -> Frame:
        """Return the next frame that arrives."""
        async with asyncio.timeout(BOUND):
            while not self._frames:
                data = await self.reader.read(65536)
                assert data, "the connection was closed"
                self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    async def answer_pings(self) -> None:
        """Answer pings, and nothing else, until the other side closes the connection."""
        while data := await self.reader.read(65536):
            for frame in self._decoder.feed(data):
                if frame.signal == Signal.PING:
                    self.writer.write(codec.encode_probe(codec.Probe.PONG))

    async def closed(self) -> bytes:
        """Return what else arrives before the other side closes the connection."""
        async with asyncio.timeout(BOUND):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""
            finally:
                self.close()

    def close(self) -> None:
        self.writer.transport.abort()


class RawCaller(Raw):
    async def challenge(self) -> codec.Challenge:
        frame = await self.frame()
        assert (frame.signal, frame.sub_signal) == (Signal.AUTH, codec.AuthStep.CHALLENGE)
        return codec.decode_challenge(frame.body)

    async def shake_hands(self, *, serving: bool = True, max_body: int = 8 << 20) -> None:
        """Do as a caller does, up to the notice that the other side serves, if it does."""
        nonce = secrets.token_bytes(codec.NONCE_SIZE)
        mac = codec.caller_mac(SECRET.encode(), (await self.challenge()).nonce, nonce)
        self.writer.write(codec.encode_proof(codec.Proof(nonce, mac, max_body), NEWEST))
        assert (await self.frame()).sub_signal == codec.AuthStep.ACCEPTED
        if serving:
            assert await self.notice() == codec.ServiceNotice.SERVING

    async def notice(self) -> int:
        """Return what the next frame, a notice, says."""
        frame = await self.frame()
        assert frame.signal == Signal.PUSH
        return frame.sub_signal

    def call(self, number: int, body: bytes = b"", milliseconds: int = 10_000) -> None:
        self.writer.write(codec.encode_call(number, Call(18, "ann", "phone", body), milliseconds))


class RawCallees:
    """A port whose connections the test answers."""

    def __init__(self) -> None:
        self._port = StreamPort(self._serve)
        self._arrived: asyncio.Queue[Raw] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        self.address = await self._port.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._port.close()

    async def next(self) -> Raw:
        """Return the next connection that is made."""
        return await asyncio.wait_for(self._arrived.get(), BOUND)

    async def shaken(self) -> Raw:
        """Return the next connection, after the handshake, and serving."""
        raw = await self.next()
        nonce = secrets.token_bytes(codec.NONCE_SIZE)
        raw.writer.write(codec.encode_challenge(codec.Challenge(NEWEST, nonce), NEWEST))
        proof = codec.decode_proof((await raw.frame()).body)
        mac = codec.callee_mac(SECRET.encode(), nonce, proof.nonce)
        raw.writer.write(codec.encode_accepted(codec.Accepted(mac, 8 << 20)))
        raw.writer.write(codec.encode_notice(codec.ServiceNotice.SERVING))
        return raw

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._arrived.put_nowait(Raw(reader, writer))
        await asyncio.Event().wait()  # the test reads and writes, until the port is closed
