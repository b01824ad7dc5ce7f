"""The group role: the business logic of the server. Connectors and the api role call it."""

import asyncio
import secrets

import structlog

from fsharechat import backends
from fsharechat.codes import CodeError
from fsharechat.codes.delivery import Delivery
from fsharechat.errors import StartError, StoreError
from fsharechat.node import WAIT_SECONDS, Node
from fsharechat.registry import Lease
from fsharechat.rpc import Rpc
from fsharechat.status import StatusBook
from fsharechat.store import imports
from fsharechat.store import users as user_rows
from fsharechat.store.store import Store
from fsharechat.tasks import spawn
from roles.group import (
    abuse,
    admin,
    admin_accounts,
    admin_bots,
    admin_groups,
    admin_invitations,
    admin_keys,
    admin_personal,
    admin_robots,
    admin_server,
    admin_users,
    admin_words,
    connect,
    devices,
    edits,
    friends,
    group_roles,
    groups,
    login,
    media,
    media_events,
    messages,
    oidc,
    open_push,
    reactions,
    recall,
    reports,
    robot_streams,
    settings,
    turn,
    users,
)
from roles.group.business import Business
from roles.group.clock import ServerClock
from roles.group.handlers import Dispatcher, add_up
from roles.group.tokens import TokenSigner

log = structlog.get_logger(__name__)

_MODULES = (
    *(abuse, connect, devices, edits, friends, group_roles, groups, login, media, media_events, messages),
    *(oidc, reactions, recall, reports, robot_streams, settings, turn, users, admin_server),
)
_OFFICE = (
    *(abuse, admin_accounts, admin_bots, admin_groups, admin_invitations, admin_keys, admin_personal),
    *(admin_robots, admin_server, admin_users, admin_words, open_push),
)

HANDLERS = add_up(
    [*(module.HANDLERS for module in _MODULES), admin.handlers(module.OPERATIONS for module in _OFFICE)]
)
"""The handlers of all requests, and of all questions from other roles."""


class GroupRole:
    name = "group"

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self._node: Node | None = None
        self._lease: Lease | None = None
        self._business: Business | None = None
        self._codes: Delivery | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self, node: Node) -> None:
        self._node = node
        if problem := imports.unfinished(await node.store.read(imports.begun)):
            raise StartError(f"the store cannot be served from: {problem}")
        self._lease = await node.lease("group", node.rpc.address)
        clock = await ServerClock.begin(self._lease, node.store)
        key = await node.store.write(user_rows.fact, "token_key", secrets.token_bytes(32))
        try:
            self._codes = backends.make_codes(node.settings)
        except CodeError as error:
            raise StartError(str(error)) from error
        if node.settings.codes.super_code:
            log.warning("a super code is set: anybody who knows it can log in as any user")
        business = Business(
            node.settings,
            node.store,
            node.bus,
            clock,
            self._codes,
            TokenSigner(key),
            node.blobs,
            StatusBook(node.status),
        )
        self._business = business
        if node.make_media_server is not None:
            business.calls.media = node.make_media_server(business.calls)
        calls = Dispatcher(business.services, HANDLERS)
        await business.start(node.registry)
        await node.rpc.serve(calls.call)
        self._keeper = spawn(
            "group's calls", self._keep_serving(self._lease, node.store, node.rpc, clock, calls)
        )
        presence = business.whereabouts.table
        node.metrics.gauge("devices_known", "Devices that are online, anywhere.", lambda: len(presence))
        node.metrics.gauge(
            "calls", "Calls in groups that this process looks after.", lambda: business.calls.looked_after
        )
        sleepers = business.sleepers
        node.metrics.counter(
            "members_put_to_sleep",
            "Members of large groups who are given messages when they come back.",
            lambda: sleepers.slept,
        )
        node.metrics.counter(
            "users_woken", "Users who have come back to large groups.", lambda: sleepers.woken
        )
        removed = business.retention.removed
        node.metrics.counter(
            "removed_by_age",
            "Rows and files that were too old by the settings of [retention].",
            lambda: removed.total(),
        )
        hooks = business.webhooks
        if hooks.tellers:
            node.health.part("webhooks", hooks.look)
        node.metrics.counter(
            "webhook_events_told", "Events that webhooks have taken.", lambda: hooks.total("told")
        )
        node.metrics.counter(
            "webhook_failures", "Requests to webhooks that failed.", lambda: hooks.total("failed")
        )
        node.metrics.counter(
            "webhook_events_dropped",
            "Events that no webhook took within [webhooks] keep_seconds.",
            lambda: hooks.total("dropped"),
        )
        node.metrics.gauge(
            "webhook_oldest_seconds",
            "How long the oldest event waits for its webhook.",
            lambda: hooks.oldest_seconds,
        )
        before = business.before_send
        if before.on:
            node.health.part("before_send", before.look)
        node.metrics.counter(
            "before_send_asked", "Messages about which [before_send] was asked.", lambda: before.asked
        )
        node.metrics.counter(
            "before_send_refused", "Messages that [before_send] refused.", lambda: before.refused
        )
        node.metrics.counter(
            "before_send_changed", "Messages whose text [before_send] changed.", lambda: before.changed
        )
        node.metrics.counter(
            "before_send_unanswered",
            "Questions to which [before_send] gave no good answer.",
            lambda: before.unanswered,
        )
        codes = self._codes
        node.metrics.counter("codes", "Login codes by their outcome.", codes.outcomes, ("way", "outcome"))
        node.metrics.gauge("codes_sending", "Login codes that are being sent.", lambda: codes.sending)

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))
        if self._node:
            await self._node.rpc.unserve()
        if self._business is not None:
            await self._business.stop()
        if self._codes is not None:
            await self._codes.close()
        if self._lease:
            await self._lease.release()

    @staticmethod
    async def _keep_serving(
        lease: Lease, store: Store, rpc: Rpc, clock: ServerClock, calls: Dispatcher
    ) -> None:
        """Take calls only while the node id is held and the store can be used. Else others take them."""
        changed = asyncio.Event()
        lease.on_change(lambda _: changed.set())
        store.on_reach(changed.set)
        leaving: asyncio.Task[None] | None = None
        try:
            while True:
                able = lease.held and not store.away
                if able and not (leaving is None and clock.ids.node == lease.node):
                    try:
                        await clock.renew(lease, store)
                    except StoreError as error:
                        log.warning("waiting", section="store", reason=str(error))
                        await asyncio.sleep(WAIT_SECONDS)
                        continue
                    if leaving is not None:
                        leaving.cancel()  # calls under way are still answered
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
