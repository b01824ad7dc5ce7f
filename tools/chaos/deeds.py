"""Changes of groups, friends and settings while faults happen: acknowledged changes must hold afterwards."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable

from tools.conformance.checks import Refused
from tools.wire.bodies import GROUP

from .raw import Book, RawDevice

PAUSE = 0.5
BETWEEN = 1.0
NAME, GROUP_RENAMED = 0, 110
THERE, GONE = frozenset((11, 16)), frozenset((9, 253))
"""Codes for something that exists already, and for something that no longer exists."""
AGAIN = frozenset((4, 249, 250))
"""Codes of failures that may succeed next time. Over WebSocket there is no code, so everything is tried again."""
OWN_SCOPE = 1000
"""The first scope that belongs to applications."""


class Deeds:
    """The repeated actions of two users, and what must hold afterwards.

    Their devices `one` and `other` are on TCP, where refusals have codes. `web` is another device of the first user.
    """

    def __init__(self, book: Book, one: RawDevice, other: RawDevice, web: RawDevice) -> None:
        self._book = book
        self._one, self._other, self._web = one, other, web
        self._group = f"{book.run}-{one.session.client_id}"
        self.done = 0
        self._names: dict[str, bool] = {}
        """The names that the group was given, and whether one try was enough."""
        self._name = ""
        self._members: set[str] = set()
        self._friends = False
        self._alias = ""
        self._setting = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Go on until `stop`. Then every begun change is acknowledged."""
        one, other = self._one, self._other
        name = f"{self._book.run} 0"
        await self._do(lambda: one.create_group([other.uid], name=name, group_id=self._group), THERE)
        self._members, self._name = {one.uid, other.uid}, name
        number = 0
        while not stop.is_set():
            number += 1
            for deed in (self._rename, self._befriend, self._change_members, self._set):
                await deed(number)
                await asyncio.sleep(random.uniform(0, BETWEEN))

    async def _rename(self, number: int) -> None:
        name = f"{self._book.run} {number}"
        by = self._by(number)
        tries = await self._do(lambda: by.modify_group(self._group, NAME, name), frozenset())
        self._name, self._names[name] = name, tries == 1

    async def _change_members(self, number: int) -> None:
        uid = self._other.uid
        if uid in self._members:
            await self._do(lambda: self._one.kick(self._group, uid), GONE)
            self._members.discard(uid)
        else:
            await self._do(lambda: self._one.add_members(self._group, uid), THERE)
            self._members.add(uid)

    async def _befriend(self, number: int) -> None:
        one, other = self._one, self._other
        if self._friends:
            await self._do(lambda: one.delete_friend(other.uid), GONE)
            self._friends, self._alias = False, ""
        else:
            await self._do(lambda: one.add_friend(other.uid), THERE)
            await self._do(lambda: other.handle_friend(one.uid), GONE)
            alias = f"friend {number}"
            await self._do(lambda: one.set_alias(other.uid, alias), frozenset())
            self._friends, self._alias = True, alias

    async def _set(self, number: int) -> None:
        value = str(number)
        by = self._by(number)
        await self._do(lambda: by.set(OWN_SCOPE, self._group, value), frozenset())
        self._setting = value

    def _by(self, number: int) -> RawDevice:
        """Return the transport for changes that may be done twice."""
        return self._one if number % 2 else self._web

    async def _do(self, attempt: Callable[[], Awaitable[object]], done: frozenset[int]) -> int:
        """Try until it is acknowledged. Return the number of tries.

        `done`: codes that say that it was carried out, if an earlier try had no answer.
        """
        unknown = False
        for tries in range(1, 1 << 30):
            try:
                await attempt()
            except Refused as refusal:
                if unknown and refusal.code in done:
                    break
                if refusal.code not in AGAIN and refusal.code is not None:
                    self._book.wrong.append(f"{refusal}, by {self._one.session.client_id}, try {tries}")
                    break
                unknown = True
            except OSError:  # no answer, or no connection
                unknown = True
            else:
                break
            await asyncio.sleep(random.uniform(PAUSE / 2, PAUSE))
        self.done += 1
        return tries

    async def judge(self) -> list[str]:
        """Return the facts that do not hold, according to the server now."""
        one, other = self._one, self._other
        wrong = []

        def expect(found: object, wanted: object, what: str) -> None:
            if found != wanted:
                wrong.append(f"{what} of {one.session.client_id}: {found!r}, not {wanted!r}")

        expect([group["name"] for group in await one.groups(self._group)], [self._name], "the group's name")
        expect({m["memberId"] for m in await one.members(self._group)}, self._members, "the group's members")
        for device, peer in ((one, other), (other, one)):
            ties = [tie for tie in await device.friends() if tie["friendUid"] == peer.uid]
            friends = any(tie["state"] == 0 for tie in ties)
            expect(friends, self._friends, f"the friendship as {device.session.client_id} sees it")
            if device is one and self._friends:
                expect([tie["alias"] for tie in ties], [self._alias], "the alias")
        settings = [entry["value"] for entry in await one.settings() if entry["key"] == self._group]
        expect(settings, [self._setting] if self._setting else [], "the setting")
        notices = Counter(await self._renamings())
        for name, first in self._names.items():
            if notices[name] < 1 or (first and notices[name] > 1):
                wrong.append(f"{notices[name]} notices of the name {name!r} of {one.session.client_id}")
        return wrong

    async def _renamings(self) -> list[str]:
        found = await self._one.whole_history(GROUP, self._group)
        return [
            json.loads(message["content"]["binaryContent"])["n"]
            for message in found
            if message["content"]["type"] == GROUP_RENAMED
        ]
