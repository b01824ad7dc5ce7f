"""A port for clients. Each connection is counted when it is accepted; then TLS and its protocol begin."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from fsharechat.tasks import spawn
from roles.connector.admission import Visit
from roles.connector.slow import END_SECONDS

log = structlog.get_logger(__name__)

BACKLOG = 1024
ACCEPTS_A_TURN = 16
"""How many connections are accepted in one turn of the loop. In a rush, begun handshakes are finished first."""

RETRY_SECONDS = 1.0
"""How long to wait, s, after the operating system had no resources for a connection."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


Admit = Callable[[socket.socket, tuple[Any, ...]], Visit | None]
"""Counts a new connection from a peer (host, port and more). Returns None if there are too many."""


class Acceptor:
    """Accepts connections. asyncio's own servers report a connection only after its TLS handshake.

    `protocol` makes the protocol that serves a connection. That protocol calls `Visit.ended` when the connection is
    lost.
    """

    def __init__(
        self,
        admit: Admit,
        protocol: Callable[[Visit], asyncio.Protocol],
        context: ssl.SSLContext | None,
        handshake_seconds: float,
        shared: bool = False,
    ) -> None:
        """Without a `context` there is no TLS. With one, a handshake may take `handshake_seconds`.

        `shared`: other processes may listen on the port too. The kernel gives each connection to one of them.
        """
        self._shared = shared
        self._admit = admit
        self._protocol = protocol
        self._tls: dict[str, Any] = {}
        if context is not None:
            self._tls = {
                "ssl": context,
                "ssl_handshake_timeout": handshake_seconds,
                "ssl_shutdown_timeout": END_SECONDS,
            }
        self._listening: list[socket.socket] = []
        self._retries: set[asyncio.TimerHandle] = set()
        self._beginning: set[asyncio.Task[None]] = set()

    async def listen(self, name: str, port: int) -> tuple[Any, ...]:
        """Listen at all addresses of a name, and return the socket name of the first one. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                listening = socket.create_server(
                    address,
                    family=socket.AddressFamily(family),
                    backlog=BACKLOG,
                    reuse_port=self._shared,
                )
                listening.setblocking(False)
                self._listening.append(listening)
        except OSError:
            self.stop_listening()
            raise
        for listening in self._listening:
            loop.add_reader(listening, self._accept, listening)
        first: tuple[Any, ...] = self._listening[0].getsockname()
        return first

    def stop_listening(self) -> None:
        """Take no more connections. Existing ones stay."""
        loop = asyncio.get_running_loop()
        for retry in self._retries:
            retry.cancel()
        for listening in self._listening:
            loop.remove_reader(listening)
            listening.close()
        self._listening.clear()

    async def close(self) -> None:
        """Take no more connections, and end those that have no protocol yet."""
        self.stop_listening()
        for task in self._beginning:
            task.cancel()
        await asyncio.gather(*self._beginning, return_exceptions=True)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                connected, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                log.error("connections not accepted", reason=error.strerror)
                self._wait(listening)
                return
            connected.setblocking(False)
            # asyncio does this only if the socket names its protocol, and an accepted socket does not.
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            visit = self._admit(connected, peer)
            if visit is None:
                connected.close()
            else:
                task = spawn("a connection's begin", self._begin(connected, visit))
                self._beginning.add(task)
                task.add_done_callback(partial(self._begun, connected, visit))

    def _wait(self, listening: socket.socket) -> None:
        """Accept again in a while. Until then the readable socket must not wake the loop."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)

        def again() -> None:
            self._retries.discard(retry)
            loop.add_reader(listening, self._accept, listening)

        retry = loop.call_later(RETRY_SECONDS, again)
        self._retries.add(retry)

    def _begun(self, connected: socket.socket, visit: Visit, task: asyncio.Task[None]) -> None:
        self._beginning.discard(task)
        # A task that is cancelled before its first step does not run at all: it ends nothing itself.
        if task.cancelled():
            visit.ended()
            connected.close()

    async def _begin(self, connected: socket.socket, visit: Visit) -> None:
        begun = False
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self._protocol(visit), connected, **self._tls
            )
            begun = True
        except ssl.SSLError as error:
            reason = (error.reason or "no handshake").replace("_", " ").lower()
            log.info("connection closed", reason=f"TLS: {reason}", peer=visit.peer, uid=None)
        except OSError:
            pass  # the client has gone, or was too slow: no fault of ours
        finally:
            if not begun:
                visit.ended()
