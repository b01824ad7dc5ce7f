"""A port for clients: each connection is counted when it is accepted, and then gets its TLS and its protocol."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any

import structlog

from fsharechat.tasks import spawn
from roles.connector.admission import Visit
from roles.connector.slow import END_SECONDS

log = structlog.get_logger(__name__)

BACKLOG = 1024
ACCEPTS_A_TURN = 16
"""Connections accepted before others have their turn: in a rush, handshakes that have begun are done first."""

RETRY_SECONDS = 1.0
"""After the operating system had nothing left for a connection."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


Admit = Callable[[socket.socket, tuple[Any, ...]], Visit | None]
"""Counts a new connection from a peer: host, port and more. None where it is one too many."""


class Acceptor:
    """Accepts connections. asyncio's own servers tell of one only when its TLS handshake is over.

    `protocol` makes what serves a connection: it calls `Visit.ended` when that is lost.
    """

    def __init__(
        self,
        admit: Admit,
        protocol: Callable[[Visit], asyncio.Protocol],
        context: ssl.SSLContext | None,
        handshake_seconds: float,
    ) -> None:
        """Without a `context` there is no TLS; with it a handshake has `handshake_seconds`."""
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
        """Listen at all addresses of a name, and return the first one's socket name. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                listening = socket.create_server(
                    address, family=socket.AddressFamily(family), backlog=BACKLOG
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
        """Take no more connections; those there are stay."""
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
            # asyncio does this only where the socket names its protocol, and an accepted one names none.
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            visit = self._admit(connected, peer)
            if visit is None:
                connected.close()
            else:
                task = spawn("a connection's begin", self._begin(connected, visit))
                self._beginning.add(task)
                task.add_done_callback(self._beginning.discard)

    def _wait(self, listening: socket.socket) -> None:
        """Accept again in a while: the socket stays readable, and would wake the loop for nothing."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listening)

        def again() -> None:
            self._retries.discard(retry)
            loop.add_reader(listening, self._accept, listening)

        retry = loop.call_later(RETRY_SECONDS, again)
        self._retries.add(retry)

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
            pass  # gone meanwhile, or not done within the time, which is no fault
        finally:
            if not begun:
                visit.ended()
