"""A port that several processes listen on. The main process reserves it, and does not listen itself."""

import asyncio
import errno
import socket
import sys
from typing import Any

from fsharechat.errors import StartError, listen_problem

PATIENCE_SECONDS = 3.0
"""The workers of a main process that was killed end a moment after it. So a start waits so long for the port, s."""
_PAUSE_SECONDS = 0.05


class SharedPort:
    """Keeps a port for the workers, at all addresses of a name, from its reservation to `close`."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self.number = 0
        self.name: tuple[Any, ...] = ()
        """The socket name of the first address."""

    async def reserve(self, key: str, host: str, port: int) -> None:
        """Reserve the port; 0 takes a free one. Raises StartError, which names the `key` of [connector]."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            for family, _, _, _, address in dict.fromkeys(found):
                wanted = (address[0], self.number or port, *address[2:])
                if wanted[1]:
                    await _wait_free(family, wanted)
                self._bind(family, wanted)
        except OSError as error:
            self.close()
            raise StartError(f"[connector] {key} = {port}: {listen_problem(host, port, error)}") from error

    def close(self) -> None:
        while self._sockets:
            self._sockets.pop().close()

    def _bind(self, family: int, address: tuple[Any, ...]) -> None:
        bound = _socket(family)
        self._sockets.append(bound)
        if sys.platform != "win32":  # where there are no workers ([node] workers)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, True)
        bound.bind(address)
        if not self.name:
            self.name = bound.getsockname()
            self.number = self.name[1]


async def _wait_free(family: int, address: tuple[Any, ...]) -> None:
    """Raise OSError if another program listens there: with a shared port it would get a part of the clients."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    while True:
        try:
            with _socket(family) as alone:
                alone.bind(address)
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE or loop.time() > deadline:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, True)
    return made
