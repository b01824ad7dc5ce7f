"""Reads the inbox of a user with a new device, the way devices read it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from fsharechat.client import Client, Credentials, Options, Position
from fsharechat.client.connection import Connection
from fsharechat.protocol import messages_pb2 as pb
from tools.testing.server import Where


class InboxReader(Client):
    """A new device of a user, which reads the inbox behind a seq of 1 or more."""

    def __init__(self, credentials: Credentials, after: int, addresses: Where, options: Options) -> None:
        self.entries: list[pb.Message] = []
        self.head = 0
        self.came = asyncio.Event()
        """Whether all entries from before its connection have come."""
        super().__init__(
            credentials,
            **addresses,
            position=Position(after, 0),
            on_message=self.entries.append,
            on_position=self._moved,
            options=options,
        )

    def _serve(self, connection: Connection, ack: pb.ConnectAckPayload) -> list[Coroutine[Any, Any, None]]:
        self.head = ack.msg_head
        self._moved(self.position)
        return super()._serve(connection, ack)

    def _moved(self, position: Position) -> None:
        if position.seq >= self.head:
            self.came.set()


async def read_inbox(
    credentials: Credentials, after: int, addresses: Where, options: Options, patience: float
) -> tuple[list[pb.Message], int]:
    """Return the entries behind a seq of 1 or more, and the last seq there is. Raises TimeoutError."""
    async with InboxReader(credentials, after, addresses, options) as reader, asyncio.timeout(patience):
        await reader.came.wait()
        # A new device gets the newest entries of one answer, even those that it claims to have.
        return reader.entries[max(0, len(reader.entries) - (reader.head - after)) :], reader.head
