"""Members of large groups who have no device are put to sleep, and woken when they come."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from fsharechat.bus import Deliver
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal
from fsharechat.rpc import Method
from fsharechat.rpc.payloads import Welcome
from fsharechat.store import fence, group_log, recalls
from fsharechat.store.heads import Heads
from fsharechat.store.unit import Dialect, Query, Unit
from roles.group import sleepers as sleepers_module
from roles.group.business import Business
from roles.group.standing import Standing
from tests.unit.group.group_kit import NODE, Office, text, words
from tests.unit.group.groups_kit import create, dismiss, kick, said
from tests.unit.group.test_group_connect import connect, log_in
from tools.testing.server import until

MEMBERS = 300


class SleepyCrowd:
    """A group of MEMBERS, of whom the first few have a device."""

    def __init__(self, office: Office, business: Business, uids: list[str], id: str) -> None:
        self.office = office
        self.business = business
        self.owner, self.other, *self.away = uids
        self.id = id

    async def say(self, words: str, **details: Any) -> None:
        await said(self.office, self.owner, self.id, words, **details)

    async def until_asleep(self) -> None:
        """Wait until nobody is awake but those who have a device."""
        await until(lambda: self.business.sleepers.slept >= len(self.away), "they stay awake")

    async def asleep(self) -> set[str]:
        rows = await self.office.node.store.read(_asleep, self.id)
        return set(rows)


def _asleep(_: Dialect, id: str) -> Unit[list[str]]:
    rows = (yield Query("SELECT uid FROM group_members WHERE group_id = ? AND given >= 0", (id,))).rows
    return [uid for (uid,) in rows]


@pytest.fixture
def business(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Business]:
    """Return what gives the group role's business, which is made with the office."""
    made: list[Business] = []
    init = Business.__init__

    def note(self: Business, *args: Any) -> None:
        made.append(self)
        init(self, *args)

    monkeypatch.setattr(Business, "__init__", note)
    monkeypatch.setattr(sleepers_module, "LOOK_SECONDS", 0.0)
    return lambda: made[-1]


@pytest.fixture
async def crowd(business: Callable[[], Business], office: Office) -> SleepyCrowd:
    uids = await office.users(MEMBERS)
    office.online(*uids[:2])
    return SleepyCrowd(office, business(), uids, await create(office, uids[0], *uids[1:]))


async def test_who_has_no_device_is_put_to_sleep_by_a_message(crowd: SleepyCrowd) -> None:
    await crowd.say("one")
    await crowd.until_asleep()
    assert await crowd.asleep() == set(crowd.away)
    crowd.office.events.clear()
    await crowd.say("two")
    (event,) = [event for event in crowd.office.events if isinstance(event, Deliver)]
    assert sorted(event.entries) == sorted([(crowd.owner, 3), (crowd.other, 3)])
    assert words(await crowd.office.inbox(crowd.other)) == ["", "one", "two"]
    assert words(await crowd.office.inbox(crowd.away[0])) == ["", "one"]
    assert await crowd.office.node.store.read(fence.lowest) == fence.LEVEL


async def test_who_looks_at_the_head_of_one_who_is_asleep_wakes_them(crowd: SleepyCrowd) -> None:
    await crowd.say("one")
    await crowd.until_asleep()
    for n in range(5):
        await crowd.say(f"message {n}")
    sleeper = crowd.away[7]
    reply = await crowd.office.ask("", Method.HEADS, orjson.dumps([sleeper, crowd.other]))
    assert {uid: Heads(*numbers).seq for uid, numbers in orjson.loads(reply.payload).items()} == {
        sleeper: 7,
        crowd.other: 7,
    }
    assert words(await crowd.office.inbox(sleeper)) == ["", "one", *[f"message {n}" for n in range(5)]]
    assert await crowd.asleep() == set(crowd.away) - {sleeper}
    assert crowd.business.sleepers.woken == 1


async def test_who_connects_is_told_of_all_that_was_sent(
    business: Callable[[], Business], office: Office
) -> None:
    device = await log_in(office)
    uids = [*await office.users(MEMBERS), device.uid]
    office.online(uids[0])
    crowd = SleepyCrowd(office, business(), uids, await create(office, uids[0], *uids[1:]))
    await crowd.say("one")
    await until(lambda: crowd.business.sleepers.slept == MEMBERS, "they stay awake")
    for n in range(4):
        await crowd.say(f"message {n}")
    welcome = Welcome.decode((await connect(office, device)).payload)
    assert welcome.heads.seq == 6
    assert device.uid not in await crowd.asleep()


async def test_who_connects_in_the_moment_of_being_put_to_sleep_is_woken_and_told(crowd: SleepyCrowd) -> None:
    await crowd.say("one")
    await crowd.until_asleep()
    await crowd.say("two")
    crowd.office.events.clear()
    late = crowd.away[3]
    crowd.office.online(late)
    await until(lambda: bool(crowd.office.events), "nobody is told")
    (event,) = crowd.office.events
    assert isinstance(event, Deliver)
    assert event.entries == [(late, 3)]
    assert pb.Message.FromString(event.body).content.searchable_content == "two"
    assert late not in await crowd.asleep()


async def test_nobody_sleeps_while_a_connector_has_not_been_heard(crowd: SleepyCrowd) -> None:
    await crowd.office.node.registry.lease("connector", NODE + 1, "a connector")
    await crowd.say("one")
    await crowd.say("two")
    assert crowd.business.sleepers.slept == 0
    assert words(await crowd.office.inbox(crowd.away[0])) == ["", "one", "two"]


async def test_a_small_group_has_no_log(business: Callable[[], Business], office: Office) -> None:
    uids = await office.users(group_log.LARGE)
    office.online(uids[0])
    crowd = SleepyCrowd(office, business(), uids, await create(office, uids[0], *uids[1:]))
    await crowd.say("one")
    await crowd.say("two")
    assert await crowd.asleep() == set()
    assert words(await office.inbox(uids[-1])) == ["", "one", "two"]


async def test_a_message_to_some_and_one_that_is_not_stored_reach_them_as_ever(crowd: SleepyCrowd) -> None:
    await crowd.say("one")
    await crowd.until_asleep()
    await crowd.say("between")
    sleeper = crowd.away[0]
    await crowd.say("to you", to=[sleeper, crowd.other])
    assert words(await crowd.office.inbox(sleeper)) == ["", "one", "between", "to you"]
    assert sleeper in await crowd.asleep()
    crowd.office.events.clear()
    await crowd.say("typing", flag=4)
    (push,) = crowd.office.events
    assert push.uids == [crowd.other]  # type: ignore[union-attr]


async def test_who_was_kicked_and_all_who_were_in_a_dismissed_group_get_what_came_before(
    crowd: SleepyCrowd,
) -> None:
    await crowd.say("one")
    await crowd.until_asleep()
    await crowd.say("two")
    kicked, stays = crowd.away[:2]
    assert await kick(crowd.office, crowd.owner, crowd.id, kicked) == Code.SUCCESS
    await crowd.say("three")
    assert await dismiss(crowd.office, crowd.owner, crowd.id) == Code.SUCCESS
    await crowd.office.ask("", Method.HEADS, orjson.dumps([kicked, stays]))
    for uid, wanted in ((kicked, ["one", "two", 106]), (stays, ["one", "two", 106, "three", 108])):
        found = await crowd.office.inbox(uid, 1)
        kinds = [message.content.type for message in found.message]
        assert [word or kind for word, kind in zip(words(found), kinds, strict=True)] == wanted
    assert await crowd.asleep() == set()


async def test_a_recall_tells_those_who_have_the_message_and_changes_it_for_the_others(
    crowd: SleepyCrowd,
) -> None:
    await crowd.say("one")
    await crowd.until_asleep()
    reply = await crowd.office.ask(crowd.owner, SubSignal.MS, text(crowd.id, "a secret", kind=1, flag=3))
    message_id = int.from_bytes(reply.payload[:8])
    assert await crowd.office.code(crowd.owner, SubSignal.MR, pb.INT64Buf(id=message_id)) == Code.SUCCESS
    sleeper = crowd.away[0]
    await crowd.office.ask("", Method.HEADS, orjson.dumps([sleeper]))
    for uid, told in ((sleeper, 0), (crowd.other, 1), (crowd.owner, 1)):
        assert len(await crowd.office.node.store.read(recalls.missed, uid, 0)) == told
        last = (await crowd.office.inbox(uid)).message[-1]
        assert (last.message_id, last.content.type) == (message_id, 80)


async def test_a_message_to_a_few_who_are_awake_waits_behind_no_crowd(crowd: SleepyCrowd) -> None:
    members = crowd.business.services.of(Standing).members
    await crowd.say("one")
    await crowd.until_asleep()
    await crowd.say("two")
    known = await members.get(crowd.id)
    assert known is not None
    assert known.logged
    assert crowd.business.sleepers.expected(crowd.id, known) == 2
