"""The group role: the business of the server, asked by connectors and the api."""

import secrets

import structlog

from fsharechat.codes.log import LogCodes
from fsharechat.errors import StoreError
from fsharechat.node import Node, StartError
from fsharechat.protocol.ids import IdGenerator
from fsharechat.registry import Lease, LeaseTaken
from fsharechat.store import users as user_rows
from roles.group import friends, login, messages, users  # noqa: F401 - they announce their handlers
from roles.group.service import Group
from roles.group.tokens import TokenSigner

log = structlog.get_logger(__name__)


class GroupRole:
    name = "group"

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self._node: Node | None = None
        self._lease: Lease | None = None

    async def start(self, node: Node) -> None:
        self._node = node
        try:
            self._lease = await node.registry.lease("group", node.settings.node.id, node.rpc.address)
            key = await node.store.write(user_rows.fact, "token_key", secrets.token_bytes(32))
        except LeaseTaken as error:
            raise StartError(f"[node] id: {error}") from error
        except StoreError as error:
            raise StartError(f"[store] {error}") from error
        if node.settings.codes.super_code:
            log.warning("a super code is set: who knows it can log in as anybody")
        group = Group(
            node.settings,
            node.store,
            node.bus,
            IdGenerator.for_group(self._lease.node),
            LogCodes(),
            TokenSigner(key),
        )
        await group.start()
        await node.rpc.serve(group.call)
        stats = node.store.stats
        node.metrics.counter("store_batches", "Transactions of the store's writer.", lambda: stats.batches)
        node.metrics.counter("store_messages", "Messages given to the store.", lambda: stats.messages)
        node.metrics.counter("store_failed", "Messages that the store could not keep.", lambda: stats.failed)

    async def stop(self) -> None:
        if self._node:
            await self._node.rpc.unserve()
        if self._lease:
            await self._lease.release()
