"""The group role: the business of the server, asked by connectors and the api."""

import asyncio
import secrets

import structlog

from fsharechat import backends
from fsharechat.codes import CodeError
from fsharechat.codes.delivery import Delivery
from fsharechat.errors import StartError, StoreError
from fsharechat.node import WAIT_SECONDS, Node
from fsharechat.protocol.ids import IdGenerator
from fsharechat.registry import Lease, LeaseTaken
from fsharechat.rpc import Rpc
from fsharechat.store import imports
from fsharechat.store import messages as message_rows
from fsharechat.store import users as user_rows
from fsharechat.store.store import Store
from fsharechat.tasks import spawn
from roles.group import (
    admin,
    admin_groups,
    admin_keys,
    admin_users,
    admin_words,
    connect,
    friends,
    groups,
    login,
    media,
    messages,
    open_push,
    recall,
    reports,
    settings,
    users,
)
from roles.group.handlers import Dispatcher, add_up
from roles.group.service import Group
from roles.group.tokens import TokenSigner

log = structlog.get_logger(__name__)

_MODULES = (connect, friends, groups, login, media, messages, recall, reports, settings, users)
_OFFICE = (admin_groups, admin_keys, admin_users, admin_words, open_push)

HANDLERS = add_up(
    [*(module.HANDLERS for module in _MODULES), admin.handlers(module.OPERATIONS for module in _OFFICE)]
)
"""What carries out each request, and each question of another role."""


class GroupRole:
    name = "group"

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self._node: Node | None = None
        self._lease: Lease | None = None
        self._group: Group | None = None
        self._codes: Delivery | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, node: Node) -> None:
        self._node = node
        if problem := imports.unfinished(await node.store.read(imports.begun)):
            raise StartError(f"the store cannot be served from: {problem}")
        try:
            lease = await node.registry.lease("group", node.settings.node.id, node.rpc.address)
            self._lease = lease
            ids = await _ids(lease, node.store)
            key = await node.store.write(user_rows.fact, "token_key", secrets.token_bytes(32))
            self._codes = backends.make_codes(node.settings)
        except LeaseTaken as error:
            raise StartError(f"[node] id: {error}") from error
        except CodeError as error:
            raise StartError(str(error)) from error
        if node.settings.codes.super_code:
            log.warning("a super code is set: who knows it can log in as anybody")
        node.health.part("group's node id", lease.look)
        group = Group(
            node.settings,
            node.store,
            node.bus,
            ids,
            self._codes,
            TokenSigner(key),
            node.blobs,
        )
        self._group = group
        calls = Dispatcher(group, HANDLERS)
        await group.start(node.registry)
        await node.rpc.serve(calls.call)
        self._keeper = spawn("group's calls", self._keep_serving(lease, node.store, node.rpc, group, calls))
        stats = node.store.stats
        node.metrics.gauge("devices_known", "Devices that are online, anywhere.", lambda: len(group.presence))
        sleepers = group.sleepers
        node.metrics.counter(
            "members_put_to_sleep",
            "Members of large groups who are given messages when they come back.",
            lambda: sleepers.slept,
        )
        node.metrics.counter(
            "users_woken", "Users who have come back to large groups.", lambda: sleepers.woken
        )
        node.metrics.counter("store_batches", "Transactions of the store's writer.", lambda: stats.batches)
        node.metrics.counter("store_messages", "Messages given to the store.", lambda: stats.messages)
        node.metrics.counter("store_failed", "Messages that the store could not keep.", lambda: stats.failed)

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))
        if self._node:
            await self._node.rpc.unserve()
        if self._group is not None:
            self._group.stop()
            await self._group.portraits.stop()
        if self._codes is not None:
            await self._codes.close()
        if self._lease:
            await self._lease.release()

    @staticmethod
    async def _keep_serving(lease: Lease, store: Store, rpc: Rpc, group: Group, calls: Dispatcher) -> None:
        """Take calls only while the node id is held and the store can be used: else the other group processes do."""
        changed = asyncio.Event()
        lease.on_change(lambda _: changed.set())
        store.on_reach(changed.set)
        leaving: asyncio.Task[None] | None = None
        try:
            while True:
                able = lease.held and not store.away
                if able and not (leaving is None and group.ids.node == lease.node):
                    try:
                        group.ids = await _ids(lease, store, group.ids.newest)
                    except StoreError as error:
                        log.warning("waiting", section="store", reason=str(error))
                        await asyncio.sleep(WAIT_SECONDS)
                        continue
                    if leaving is not None:
                        leaving.cancel()  # calls that it still waits for are answered all the same
                        await asyncio.wait({leaving})
                        leaving = None
                        await rpc.serve(calls.call)
                        log.info("calls are taken again", node=lease.node)
                elif not able and leaving is None:
                    if lease.held:
                        log.warning("the store cannot be used: no calls until it can", reason=store.away)
                    else:
                        log.error("the node id is lost: no calls until there is one again", node=lease.node)
                    leaving = spawn("leave of the callers", rpc.unserve())
                else:
                    await changed.wait()
                    changed.clear()
        finally:
            if leaving is not None:
                leaving.cancel()
                await asyncio.wait({leaving})


async def _ids(lease: Lease, store: Store, after: int = 0) -> IdGenerator:
    """Return what makes ids of the node id that is leased now, for as long as it is. Raises StoreError.

    They are above `after` and all that is stored, whoever had the node id before.
    """
    node = lease.node
    newest = max(after, await store.read(message_rows.newest))
    return IdGenerator.for_group(node, after=newest, held=lambda: lease.holds(node))
