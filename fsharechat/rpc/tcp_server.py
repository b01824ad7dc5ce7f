"""The answering end: the port of a group process, and the connections of its callers."""

import asyncio
import hmac
import secrets
import socket
import ssl
from collections.abc import Callable
from functools import partial

import structlog

from fsharechat.protocol.frames import Frame
from fsharechat.protocol.signals import Code, Signal
from fsharechat.rpc import Call, Reply, codec
from fsharechat.rpc.codec import SPOKEN, AuthStep, CodecError, Probe, ServiceNotice, Spoken, range_of
from fsharechat.rpc.link import RpcLimits, RpcLink, fault
from fsharechat.tasks import spawn

log = structlog.get_logger(__name__)

TLS_BEGINS = b"\x16\x03"
"""The head of a handshake record (RFC 8446 section 5.1)."""
MAX_HANDSHAKES = 256
"""How many connections may be in their TLS handshake. Others are closed."""
PATIENCE = 0.5
"""The share of `silent_seconds` after which a silent caller counts as one without TLS, and is told so. Else both
sides would wait for each other until they give up.
"""
PAUSE_SECONDS = 0.5
"""The pause after a connection could not be accepted, s, for example because of too many open files."""
_BACKLOG = 100


class RpcListener:
    """The port for calls over TLS: it gives connections to `connection` after their handshake, or says why not.

    The loop's own servers do not report why a handshake failed.
    """

    def __init__(
        self, context: ssl.SSLContext, connection: Callable[[], asyncio.Protocol], limits: RpcLimits
    ) -> None:
        self._context = context
        self._make = connection
        self._limits = limits
        self._listener: socket.socket | None = None
        self._handshakes: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    async def listen(self, host: str, port: int) -> int:
        """Listen on the first address of `host`. Return the port; 0 chooses one. Raises OSError."""
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        self._listener = socket.create_server((address[0], port), family=family, backlog=_BACKLOG)
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._accept)
        taken: int = self._listener.getsockname()[1]
        return taken

    async def close(self) -> None:
        """Close the port, and connections that are still in the handshake."""
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        tasks = list(self._handshakes)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            connected, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):  # it left meanwhile
            return
        except OSError as error:
            log.warning("an rpc connection could not be taken", reason=error.strerror or str(error))
            self._loop.remove_reader(self._listener)
            self._loop.call_later(PAUSE_SECONDS, self._accept_again)
            return
        if len(self._handshakes) >= MAX_HANDSHAKES:
            connected.close()
            return
        connected.setblocking(False)
        task = spawn("rpc port", self._shake_hands(connected))
        self._handshakes.add(task)
        task.add_done_callback(partial(self._shaken, connected))

    def _accept_again(self) -> None:
        if self._listener is not None:
            self._loop.add_reader(self._listener, self._accept)

    async def _shake_hands(self, connected: socket.socket) -> None:
        peer, reason = "?", ""
        try:
            peer = "{}:{}".format(*connected.getpeername()[:2])
            reason = await self._open(connected)
        except OSError as error:  # it left, perhaps because it only tested whether the port is open
            log.debug("an rpc connection ended at its handshake", peer=peer, reason=str(error))
        else:
            if not reason:
                return
        connected.close()
        if reason:
            log.warning("rpc connection closed", peer=peer, reason=reason)

    def _shaken(self, connected: socket.socket, task: asyncio.Task[None]) -> None:
        self._handshakes.discard(task)
        # A task that is cancelled before its first step does not run at all: it closes nothing itself.
        if task.cancelled() or task.exception() is not None:
            connected.close()

    async def _open(self, connected: socket.socket) -> str:
        """Open the connection. Return "", or why it is refused. Raises OSError if the caller left before."""
        seconds = self._limits.silent_seconds
        if not await self._begins_with_tls(connected, seconds * PATIENCE):
            connected.send(codec.encode_refused(codec.DisconnectReason.NEEDS_TLS))
            return "it does not begin with TLS, without which nobody may call ([rpc.tls])"
        try:
            await self._loop.connect_accepted_socket(
                self._make,
                connected,
                ssl=self._context,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
            )
        except ssl.SSLError as error:
            return fault(error)
        except OSError:  # the event loops do not send the alert that would say why
            return "it hung up in the TLS handshake: it may not trust our certificate ([rpc.tls])"
        return ""

    async def _begins_with_tls(self, connected: socket.socket, seconds: float) -> bool:
        """Return whether the first bytes are TLS, without taking them. Raises OSError if none will come."""
        readable: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(connected, _set, readable)
        try:
            async with asyncio.timeout(seconds):
                await readable
        except TimeoutError:
            return False
        finally:
            self._loop.remove_reader(connected)
        first = connected.recv(len(TLS_BEGINS), socket.MSG_PEEK)
        if not first:
            raise ConnectionResetError("it said nothing")
        return TLS_BEGINS.startswith(first)


def _set(readable: asyncio.Future[None]) -> None:
    if not readable.done():
        readable.set_result(None)


Answer = Callable[[Call, float], "asyncio.Future[Reply]"]
"""Carries out a call within so many seconds. It does not raise."""

MAX_STRANGERS = 256
"""How many connections may be without a proof. Others are closed."""

_CALL = int(Signal.PUBLISH)


class ServerConnection(RpcLink):
    """The answering end of a connection. Replies go out in the order in which they are ready."""

    def __init__(self, server: "RpcServer") -> None:
        super().__init__(server.limits)
        self.trusted = False
        """Whether the handshake is over."""
        self.may_call = False
        """Whether calls may come: the caller was told so, and has not been told otherwise since."""
        self._server = server
        self._codec = server.spoken[max(server.spoken)]
        self._nonce = secrets.token_bytes(codec.NONCE_SIZE)
        self._secret = server.secret  # bound to the certificate that this connection showed
        self._under_way = 0
        self._reading = True
        self._peer_max_body = 0

    def notify(self, notice: ServiceNotice) -> None:
        """Tell the caller whether this process serves."""
        self.may_call = self.may_call or notice is ServiceNotice.SERVING
        self.send(codec.encode_notice(notice))

    def tick(self) -> None:
        super().tick()
        limit = self.limits.idle_ticks if self.trusted else self.limits.silent_ticks
        # While this side does not read (see _read_on), the caller is not silent, unless it does not read itself.
        if self.silence > limit and (self._reading or self.paused):
            what = "silent" if self.trusted else "no handshake"
            self.drop(f"{what} for {limit * self.limits.tick_seconds:g} s")

    # RpcLink

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._server.admit(self):
            oldest, newest = range_of(self._server.spoken)
            self.send(codec.encode_challenge(codec.Challenge(oldest, self._nonce), newest))

    def data_received(self, data: bytes) -> None:
        self._server.check_clock()
        if not self.trusted and data.startswith(TLS_BEGINS):
            # Without a reset: the bytes that it got from us tell it that we speak no TLS.
            self.finish("it speaks TLS, and we have no certificate ([rpc.tls])")
        super().data_received(data)

    def on_frame(self, frame: Frame) -> None:
        if frame.signal == _CALL and self.trusted:
            call, milliseconds = self._codec.decode_call(frame.body)
            self._under_way += 1
            future = self._server.answer(call, milliseconds / 1000)
            if future.done():
                self._reply(frame.message_id, call.method, future)
            else:
                future.add_done_callback(partial(self._reply, frame.message_id, call.method))
            if self._under_way > self.limits.under_way_peer:
                self._read_on()
        elif frame.signal == Signal.AUTH and frame.sub_signal == AuthStep.PROOF and not self.trusted:
            self._shake_hands(frame)
        elif frame.signal == Signal.PING and frame.sub_signal == Probe.PING and self.trusted:
            self.send(codec.encode_probe(Probe.PONG))
        elif frame.signal == Signal.PUSH and frame.sub_signal == ServiceNotice.DRAIN_HEARD and self.trusted:
            if not self._server.serving:  # else it was told since that it may call
                self.may_call = False
                self._server.look_at_drain()
        else:
            raise CodecError(f"an unexpected frame: signal {frame.signal}, {frame.sub_signal}")

    def lost(self, reason: str) -> None:
        if self.reason:
            log.warning("rpc connection closed", peer=self.peer, reason=reason)
        self._server.removed(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._read_on()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read_on()

    def _flush(self) -> None:
        super()._flush()
        if not self.ended and self.transport.get_write_buffer_size() > self.limits.reply_buffer:
            self.drop("it does not read its replies")

    def _shake_hands(self, frame: Frame) -> None:
        proof = codec.decode_proof(frame.body)
        # A caller that names no version speaks the one version from before there was a choice.
        version = frame.message_id or min(self._server.spoken)
        if version not in self._server.spoken:
            raise CodecError(f"a proof in version {version} of the rpc, which it was not offered")
        self._codec = self._server.spoken[version]
        if not hmac.compare_digest(proof.mac, codec.caller_mac(self._secret, self._nonce, proof.nonce)):
            self.send(codec.encode_refused(codec.DisconnectReason.WRONG_SECRET))
            self.finish("its cluster secret differs from ours ([node] cluster_secret)")
            return
        self._peer_max_body = proof.max_body
        self.trusted = True
        self.opened()
        mac = codec.callee_mac(self._secret, self._nonce, proof.nonce)
        self.send(codec.encode_accepted(codec.Accepted(mac, self.limits.max_body)))
        if self._server.serving:
            self.notify(ServiceNotice.SERVING)

    def _reply(self, number: int, method: int, future: "asyncio.Future[Reply]") -> None:
        self._under_way -= 1
        if not self._reading:
            self._read_on()
        if self.ended:
            return
        if future.cancelled():
            reply = Reply(Code.TIMEOUT)  # a task whose deadline came before its first step
        elif (error := future.exception()) is not None:
            log.error("a call failed", exc_info=error)
            reply = Reply(Code.SERVER_ERROR)
        else:
            reply = future.result()
        if len(reply.payload) >= self._peer_max_body:
            log.error("reply too large", peer=self.peer, bytes=len(reply.payload), limit=self._peer_max_body)
            reply = Reply(Code.SERVER_ERROR)
        self.send(self._codec.encode_reply(number, method, reply))

    def _read_on(self) -> None:
        """Read while there is room for calls, and for their replies."""
        room = not self.paused and self._under_way <= self.limits.under_way_peer
        if room is self._reading or self.ended:
            return
        self._reading = room
        self.silence = 0
        if room:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()


class RpcServer:
    """Listens for callers. `answer` carries out their calls."""

    def __init__(
        self,
        secret: bytes,
        answer: Answer,
        limits: RpcLimits,
        context: ssl.SSLContext | None = None,
        spoken: Spoken = SPOKEN,
    ) -> None:
        """With `context` it takes only TLS connections, and `secret` is bound to its certificate."""
        self.secret = secret
        self.spoken = spoken
        self.limits = limits
        self.answer = answer
        self.serving = False
        """Whether callers may call."""
        self._connections: set[ServerConnection] = set()
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.get_running_loop()
        self._gate = RpcListener(context, self._connection, limits) if context is not None else None
        self._ticked = self._loop.time()
        self._drained = asyncio.Event()
        self._gone = asyncio.Event()

    async def listen(self, host: str, port: int) -> int:
        """Listen. Return the port; 0 chooses one. Raises OSError."""
        if self._gate is not None:
            return await self._gate.listen(host, port)
        self._listener = await self._loop.create_server(self._connection, host, port)
        taken: int = self._listener.sockets[0].getsockname()[1]
        return taken

    def _connection(self) -> ServerConnection:
        return ServerConnection(self)

    @property
    def connections(self) -> int:
        """Return how many connections there are."""
        return len(self._connections)

    def serve(self) -> None:
        """Tell all callers that they may call."""
        self.serving = True
        for connection in self._trusted():
            connection.notify(ServiceNotice.SERVING)

    async def drain(self) -> None:
        """Tell all callers that they may not call. Return when each has heard it and sends no more."""
        self.serving = False
        self._drained.clear()
        for connection in self._trusted():
            connection.notify(ServiceNotice.DRAINING)
        self.look_at_drain()
        try:
            async with asyncio.timeout(self.limits.silent_seconds):
                await self._drained.wait()
        except TimeoutError:
            for connection in self._trusted():
                if connection.may_call:
                    connection.drop("it did not hear that this process drains")

    async def close(self) -> None:
        """Close the port. Close every connection when its written bytes are read, within a bound."""
        if self._listener is not None:
            self._listener.close()
        if self._gate is not None:
            await self._gate.close()
        for connection in list(self._connections):
            connection.finish()
        self._gone.clear()
        if self._connections:
            try:
                async with asyncio.timeout(self.limits.silent_seconds):
                    await self._gone.wait()
            except TimeoutError:
                for connection in list(self._connections):
                    connection.transport.abort()
                await self._gone.wait()

    def tick(self) -> None:
        self.check_clock()
        self._ticked = self._loop.time()
        for connection in list(self._connections):
            connection.tick()

    def check_clock(self) -> None:
        """Cut all connections if this process stood still for so long that callers gave it up.

        Meanwhile the calls that wait in the sockets have been made to another process.
        """
        stopped = self._loop.time() - self._ticked
        if stopped > self.limits.silent_seconds:
            self._ticked = self._loop.time()
            if self._connections:
                log.warning("this process stood still; its callers come back", seconds=round(stopped, 1))
            for connection in list(self._connections):
                connection.drop("this process stood still")

    # Reports of connections

    def admit(self, connection: ServerConnection) -> bool:
        """Return whether there is room for a new connection. If not, it is closed."""
        self._connections.add(connection)
        if sum(not other.trusted for other in self._connections) > MAX_STRANGERS:
            connection.drop("too many connections without a handshake")
        return not connection.ended

    def removed(self, connection: ServerConnection) -> None:
        self._connections.discard(connection)
        self.look_at_drain()
        if not self._connections:
            self._gone.set()

    def look_at_drain(self) -> None:
        """Let `drain` go on if no more calls can come."""
        if not any(connection.may_call for connection in self._trusted()):
            self._drained.set()

    def _trusted(self) -> list[ServerConnection]:
        return [connection for connection in self._connections if connection.trusted]
