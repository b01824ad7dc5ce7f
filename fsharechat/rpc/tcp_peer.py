"""A group process from the registry, and the connection to it, which is made again whenever it is lost."""

import asyncio
import random
import ssl
from collections.abc import Callable
from typing import Any

import structlog

from fsharechat.rpc.link import RpcLimits, fault
from fsharechat.rpc.tcp_client import ClientConnection, HandshakeError
from fsharechat.tasks import spawn

log = structlog.get_logger(__name__)


class Peer:
    """Keeps a connection to `address` (host:port) until it is closed or retired."""

    def __init__(
        self,
        address: str,
        connection: Callable[[], ClientConnection],
        limits: RpcLimits,
        context: ssl.SSLContext | None,
    ) -> None:
        """`connection` makes a connection that is not open yet. With `context` it uses TLS."""
        self.address = address
        self.connection: ClientConnection | None = None
        self._make = connection
        self._limits = limits
        self._context = context
        self._told = ""
        self._task = spawn(f"connection to {address}", self._keep_connected())

    def tick(self) -> None:
        if self.connection is not None:
            self.connection.tick()

    def retire(self) -> None:
        """Make no more calls to the process. The connection ends when those under way are done."""
        self._task.cancel()
        if self.connection is not None:
            self.connection.retire()

    def close(self) -> None:
        """End the connection, even with calls under way."""
        self._task.cancel()
        if self.connection is not None:
            self.connection.close()

    async def gone(self) -> None:
        """Return when the connection has ended, after `retire` or `close`."""
        await asyncio.wait([self._task])
        if self.connection is not None:
            await self.connection.gone.wait()

    async def _keep_connected(self) -> None:
        loop = asyncio.get_running_loop()
        delay = first = self._limits.reconnect_seconds
        while True:
            start = loop.time()
            try:
                connection = await self._connect()
            except (OSError, TimeoutError, HandshakeError, ValueError, OverflowError) as error:
                self._tell(error)
            else:
                self._told = ""
                self.connection = connection
                await connection.gone.wait()
                self.connection = None
                if loop.time() - start > self._limits.reconnect_max_seconds:
                    delay = first
            await asyncio.sleep(delay * random.uniform(0.5, 1))
            delay = min(delay * 2, self._limits.reconnect_max_seconds)

    async def _connect(self) -> ClientConnection:
        """Connect and shake hands.

        Raises OSError, TimeoutError, HandshakeError; ValueError and OverflowError if the address is not valid.
        """
        host, _, port = self.address.rpartition(":")
        connection = self._make()
        encryption: dict[str, Any] = {}
        if self._context is not None:
            encryption = {"ssl": self._context, "ssl_shutdown_timeout": self._limits.silent_seconds}
        try:
            async with asyncio.timeout(self._limits.silent_seconds):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, host.strip("[]"), int(port), **encryption
                )
                if not connection.connected:  # so uvloop may end a failed handshake
                    raise ConnectionResetError
                await connection.accepted
        except BaseException:
            connection.abandon()
            await connection.gone.wait()
            raise
        return connection

    def _tell(self, error: Exception) -> None:
        """Log why there is no connection, once for each reason in a row."""
        reason = fault(error) or f"no answer within {self._limits.silent_seconds:g} s"
        if self._context is not None and isinstance(error, ConnectionError) and not str(error):
            reason = "it hung up in the TLS handshake: does it speak TLS? ([rpc.tls])"
        if reason != self._told:
            self._told = reason
            log.warning("group process not reached", address=self.address, reason=reason)
