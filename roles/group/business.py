"""The business logic of the server: who may do what, what is stored, who is told. Its services are made here."""

import asyncio

from fsharechat.blobs import Blobs
from fsharechat.bus import Bus
from fsharechat.codes.delivery import Delivery
from fsharechat.registry import Registry
from fsharechat.settings import Settings
from fsharechat.status import StatusBook
from fsharechat.store.store import Store
from roles.group.before_send import BeforeSend
from roles.group.calls import GroupCalls
from roles.group.clock import ServerClock
from roles.group.expulsion import Expulsion
from roles.group.group_changes import GroupChanges
from roles.group.handlers import HandlerServices
from roles.group.media import UploadSizes
from roles.group.outbox import EventOutbox
from roles.group.portraits import Portraits
from roles.group.presence import Whereabouts
from roles.group.processes import GroupProcesses
from roles.group.report_book import ReportBook
from roles.group.retention import Retention
from roles.group.robot_list import RobotList
from roles.group.robots import Robots
from roles.group.sleepers import Sleepers
from roles.group.standing import Standing
from roles.group.tokens import TokenSigner
from roles.group.turns import Turns
from roles.group.webhooks import Webhooks
from roles.group.words import WordFilter


class Business:
    """Makes, starts and stops the services. Their only state is caches; group processes share the store.

    `services` are those that handlers may ask for.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        bus: Bus,
        clock: ServerClock,
        codes: Delivery,
        tokens: TokenSigner,
        blobs: Blobs,
        statuses: StatusBook,
    ) -> None:
        self._standing = Standing(store, bus)
        self.whereabouts = Whereabouts(bus)
        presence = self.whereabouts.table
        outbox = EventOutbox(bus, presence)
        self._book = ReportBook(store, outbox)
        self._words = WordFilter(store, bus)
        expulsion = Expulsion(store, bus, presence)
        self.sleepers = Sleepers(store, outbox, self.whereabouts.complete, self._standing.group_changed)
        self.whereabouts.listeners = (expulsion.on_presence, self.sleepers.on_presence)
        self._processes = GroupProcesses(clock.ids)
        self.calls = GroupCalls(store, bus, clock, outbox, self.whereabouts, self._processes)
        self._robot_list = RobotList(settings.robots.agents, store, bus, clock)
        self._robots = Robots(
            settings.robots, self._robot_list, store, clock, outbox, self._standing, self._processes
        )
        self._portraits = Portraits(store, blobs, self._standing.group_changed, clock.now)
        time = asyncio.get_running_loop().time
        self._upload_sizes = UploadSizes(store, blobs, settings.blobs.url_seconds, clock.now, time)
        self.webhooks = Webhooks(settings, store, clock, self._processes)
        self.before_send = BeforeSend(settings, store, clock, outbox)
        self.retention = Retention(settings.retention, store, blobs, clock.now)
        turns = Turns()
        changes = GroupChanges(
            store,
            clock,
            self._standing,
            self._words,
            outbox,
            self._portraits,
            tokens,
            turns,
            settings.limits.group_members,
        )
        self.services = HandlerServices(
            settings,
            store,
            clock,
            codes,
            tokens,
            blobs,
            self._standing,
            presence,
            outbox,
            self._book,
            self._words,
            expulsion,
            self.sleepers,
            self._upload_sizes,
            turns,
            changes,
            self.calls,
            self._robots,
            self._robot_list,
            self.before_send,
            statuses,
        )

    async def start(self, registry: Registry) -> None:
        """Listen to other processes. Returns when all earlier news that matters is heard, or the bus is away."""
        await registry.watch("group", self._processes.on_change)
        self.webhooks.start()
        await self.whereabouts.start(registry)
        await self._standing.start()
        await self._words.start()
        self._upload_sizes.start()
        await self.calls.start()
        await self._robot_list.start()
        self._robots.start()
        self.retention.start()

    async def stop(self) -> None:
        self._words.stop()
        self.retention.stop()
        self._upload_sizes.stop()
        self._book.stop()
        self.sleepers.stop()
        self._standing.stop()
        self.whereabouts.stop()
        await self._portraits.stop()
        await self.calls.stop()
        self._robot_list.stop()
        await self._robots.stop()
        await self.webhooks.stop()
        await self.before_send.close()
