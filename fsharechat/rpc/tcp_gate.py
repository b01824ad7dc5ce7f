"""The port of a group process for calls over TLS. If a caller is refused, both sides learn why."""

import asyncio
import socket
import ssl
from collections.abc import Callable

import structlog

from fsharechat.rpc import codec
from fsharechat.rpc.link import RpcLimits, fault
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
    """Listens, and gives connections to `connection` after their TLS handshake.

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
        task.add_done_callback(self._handshakes.discard)

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
        except BaseException:
            connected.close()
            raise
        else:
            if not reason:
                return
        connected.close()
        if reason:
            log.warning("rpc connection closed", peer=peer, reason=reason)

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
