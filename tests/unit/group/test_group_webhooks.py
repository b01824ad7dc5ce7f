"""Webhooks tell a real receiver what has happened: signed, in order, again after failures, and not for ever."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.ids import IdGenerator
from fsharechat.protocol.signals import Code, ContentType, GroupInfoType, MemberType, SubSignal
from fsharechat.settings_hooks import WebhookSettings, WebhooksSettings
from fsharechat.store import sessions, users
from fsharechat.store import webhooks as rows
from fsharechat.store.address_limits import AddressLimit
from fsharechat.store.sessions import CodeRules, Guess, LoginSession
from roles.group import GroupRole, webhooks
from roles.group.clock import ServerClock
from roles.group.processes import GroupProcesses
from tests.unit.group import groups_kit
from tests.unit.group.group_kit import HookSections, Office, text
from tools.testing.hook_receiver import SECRET, Answer, Event, HookReceiver, hang, taken
from tools.testing.server import until

ALL = tuple(WebhookSettings.model_fields["events"].annotation.__args__[0].__args__)  # type: ignore[union-attr]


@pytest.fixture(autouse=True)
def in_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pauses those of a test."""
    monkeypatch.setattr(webhooks, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(webhooks, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(webhooks, "MAX_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(webhooks, "SWEEP_SECONDS", 0.01)


@pytest.fixture
async def receiver() -> AsyncIterator[HookReceiver]:
    async with HookReceiver() as receiver:
        yield receiver


def hook(receiver: HookReceiver, **more: object) -> WebhookSettings:
    return WebhookSettings.model_validate(
        {"name": "one", "url": receiver.url, "secret": SECRET, "events": ALL, **more}
    )


@pytest.fixture
async def hooks(receiver: HookReceiver) -> HookSections:
    return HookSections(WebhooksSettings(hooks=(hook(receiver),), seconds=5, per_second=10_000))


async def send(office: Office, sender: str, target: str, said: str) -> None:
    reply = await office.ask(sender, SubSignal.MS, text(target, said))
    assert reply.code == Code.SUCCESS


async def left(office: Office, name: str = "one") -> int:
    return len(await office.node.store.read(rows.untold, name, 0, 1000))


async def until_all_told(office: Office) -> None:
    async with asyncio.timeout(30):
        while await left(office):
            await asyncio.sleep(0.01)


async def new_user(office: Office, number: str) -> str:
    uid, _, created = await office.node.store.write(users.get_or_create, number, office.now)
    assert created
    return uid


async def test_a_message_and_its_users_are_told(office: Office, receiver: HookReceiver) -> None:
    anna, ben = await new_user(office, "13800000001"), await new_user(office, "13800000002")
    await send(office, anna, ben, "hello 飞享")
    await until(lambda: receiver.texts() == ["hello 飞享"])
    (event,) = [one for one in receiver.events if one["type"] == "message.stored"]
    data = event["data"]
    assert event["version"] == 1
    assert event["id"] == f"msg_{data['messageId']}"
    assert event["timestamp"] == "2023-11-14T22:13:20.000Z"
    assert data["conversation"] == {"type": "private", "target": ben, "line": 0}
    assert (data["from"], data["to"], data["contentType"]) == (anna, [], 1)
    assert data["sentAt"] == office.now
    await until(lambda: len(receiver.events) == 3)
    registered = [one["data"] for one in receiver.events if one["type"] == "user.registered"]
    assert sorted(one["uid"] for one in registered) == sorted([anna, ben])
    assert sorted(one["name"] for one in registered) == ["13800000001", "13800000002"]
    assert not any(one["robot"] for one in registered)
    await until_all_told(office)


async def test_the_first_login_is_told_once(office: Office, receiver: HookReceiver) -> None:
    guess = Guess("13800000001", b"", True, "phone")
    limit = AddressLimit(1000, 1000)
    rules = CodeRules(1000, 1000, 10, 3, limit, limit, limit)
    for client in ("phone", "pad"):
        fresh = LoginSession("s" * 16, "d", office.now)
        await office.node.store.write(
            sessions.log_in, guess._replace(client_id=client), fresh, office.now, rules
        )
    await until_all_told(office)
    assert [one["type"] for one in receiver.events] == ["user.registered", "user.first_login"]


async def test_changes_of_a_group_are_told_in_order_with_its_messages(
    office: Office, receiver: HookReceiver
) -> None:
    anna, ben, carl, dora = await office.users(4)
    group = await groups_kit.create(office, anna, ben, name="first")
    await groups_kit.say(office, ben, group, "hi")
    assert await groups_kit.add(office, anna, group, carl, dora) == Code.SUCCESS
    assert await groups_kit.modify(office, anna, group, GroupInfoType.NAME, "second") == Code.SUCCESS
    request = pb.SetMemberTypeRequest(group_id=group, type=MemberType.SILENCED, member_id=[carl])
    assert await office.code(anna, SubSignal.GSM, request) == Code.SUCCESS
    assert await groups_kit.kick(office, anna, group, carl) == Code.SUCCESS
    assert await groups_kit.leave(office, dora, group) == Code.SUCCESS
    transfer = pb.TransferGroupRequest(group_id=group, new_owner=ben)
    assert await office.code(anna, SubSignal.GTG, transfer) == Code.SUCCESS
    assert await groups_kit.dismiss(office, ben, group) == Code.SUCCESS
    await until_all_told(office)
    assert {one["data"]["group"] for one in receiver.events if one["type"] != "message.stored"} == {group}
    told = [
        (one["type"], {key: value for key, value in one["data"].items() if key != "group"})
        for one in receiver.events
        if one["type"] != "message.stored"
    ]
    assert told == [
        ("group.created", {"operator": anna, "name": "first", "type": 0, "members": [anna, ben]}),
        ("group.members_joined", {"operator": anna, "members": [carl, dora]}),
        ("group.changed", {"operator": anna, "name": "second"}),
        (
            "group.roles_changed",
            {"operator": anna, "members": [carl], "role": "silenced", "until": 0, "owner": anna},
        ),
        ("group.members_left", {"operator": anna, "members": [carl], "owner": anna}),
        ("group.members_left", {"operator": dora, "members": [dora], "owner": anna}),
        (
            "group.roles_changed",
            {"operator": anna, "members": [ben], "role": "owner", "until": 0, "owner": ben},
        ),
        ("group.dismissed", {"operator": ben}),
    ]
    said = [one["data"].get("contentType") for one in receiver.events]
    assert said[:5] == [None, ContentType.GROUP_CREATED, ContentType.TEXT, None, ContentType.MEMBERS_ADDED]


async def test_a_message_to_some_members_names_them(office: Office, receiver: HookReceiver) -> None:
    anna, ben, carl = await office.users(3)
    group = await groups_kit.create(office, anna, ben, carl)
    await groups_kit.say(office, anna, group, "psst", to=[carl])
    await until_all_told(office)
    data = receiver.events[-1]["data"]
    assert (data["conversation"]["target"], data["to"]) == (group, [carl])


def refused_to(uid: str) -> Answer:
    """Return what fails for messages to a user, and takes all others."""

    async def answer(event: Event) -> web.StreamResponse:
        return web.Response(status=500 if event["data"]["conversation"]["target"] == uid else 200)

    return answer


async def test_what_fails_is_told_again_and_holds_up_its_conversation_alone(
    office: Office, receiver: HookReceiver
) -> None:
    anna, ben, carl = await office.users(3)
    receiver.answer = refused_to(ben)
    for number in range(5):
        await send(office, anna, ben, f"ben {number}")
        await send(office, anna, carl, f"carl {number}")
    await until(lambda: receiver.texts() == [f"carl {number}" for number in range(5)])
    await until(lambda: len(receiver.asked) > 8)
    assert {one["data"]["content"]["searchableContent"] for one in receiver.asked} == {
        "ben 0",
        *receiver.texts(),
    }
    receiver.answer = taken
    await until_all_told(office)
    assert receiver.texts()[5:] == [f"ben {number}" for number in range(5)]
    assert len(set(receiver.ids())) == 10


async def test_a_lane_that_is_full_goes_on_from_the_store_in_order(
    office: Office, receiver: HookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "MAX_LANE", 3)
    monkeypatch.setattr(webhooks, "PAGE", 2)
    monkeypatch.setattr(webhooks, "OVERLAP", 4)
    anna, ben, carl = await office.users(3)
    receiver.answer = refused_to(ben)
    for number in range(20):
        await asyncio.gather(
            send(office, anna, ben, f"ben {number}"), send(office, carl, anna, f"carl {number}")
        )
    await until(lambda: len(receiver.events) == 20)
    receiver.answer = taken
    await until_all_told(office)
    assert receiver.texts() == [f"{one} {number}" for one in ("carl", "ben") for number in range(20)]


async def test_only_what_the_hook_names_is_told(
    office: Office, role: GroupRole, receiver: HookReceiver
) -> None:
    anna, ben, carl = await office.users(3)
    group = await groups_kit.create(office, anna, ben)
    assert role._business is not None
    (teller,) = role._business.webhooks.tellers
    await until_all_told(office)
    for more, expected in (
        ({"conversations": "group"}, ["in the group"]),
        ({"conversations": "private"}, ["to ben", "to carl"]),
        ({"users": (carl,)}, ["to carl"]),
        ({"groups": (group,)}, ["in the group"]),
        ({"groups": (group,), "conversations": "private"}, []),
        ({"groups": (group,), "users": (carl,)}, ["in the group", "to carl"]),
    ):
        receiver.events.clear()
        teller.hook = hook(receiver, **more)
        await send(office, anna, ben, "to ben")
        await send(office, anna, carl, "to carl")
        assert (await groups_kit.say(office, ben, group, "in the group")).code == Code.SUCCESS
        await until_all_told(office)
        assert sorted(receiver.texts()) == sorted(expected)
    receiver.events.clear()
    teller.hook = hook(receiver, content=False)
    await send(office, anna, ben, "secret")
    await until_all_told(office)
    assert "secret" not in str(receiver.events)
    assert receiver.events[0]["data"]["contentType"] == ContentType.TEXT


async def test_a_hook_that_is_down_is_tried_with_one_event_and_then_told_everything(
    office: Office, role: GroupRole, receiver: HookReceiver
) -> None:
    users_ = await office.users(13)
    assert role._business is not None
    hooks = role._business.webhooks
    await receiver.close()
    for uid in users_[1:]:
        await send(office, users_[0], uid, "hello")
    await until(lambda: hooks.tellers[0]._down)
    assert "one fails: " in (await hooks.look()).reason
    assert (await hooks.look()).serves
    assert hooks.oldest_seconds >= 0
    await receiver.open()
    await until_all_told(office)
    assert len(receiver.ids()) == len(set(receiver.ids())) == 12
    assert (await hooks.look()).reason == ""
    assert hooks.total("failed") > 0
    assert hooks.total("told") == 12


async def test_what_is_too_old_is_dropped_and_counted(
    office: Office, role: GroupRole, receiver: HookReceiver
) -> None:
    anna, ben = await office.users(2)
    assert role._business is not None
    hooks = role._business.webhooks

    async def refuse(_: Event) -> web.StreamResponse:
        return web.Response(status=503)

    receiver.answer = refuse
    await send(office, anna, ben, "old")
    await until(lambda: receiver.asked)
    office.now += 86_400_001
    await until_all_told(office)
    await until(lambda: hooks.total("dropped") == 1)
    receiver.answer = taken
    await send(office, anna, ben, "new")
    await until(lambda: receiver.texts() == ["new"])


async def test_an_answer_of_any_size_or_kind_counts_by_its_status(
    office: Office, receiver: HookReceiver
) -> None:
    anna, ben = await office.users(2)

    async def answer(event: Event) -> web.StreamResponse:
        if len(receiver.asked) == 1:
            return web.Response(status=302, headers={"Location": receiver.url})
        return web.Response(body=bytes(10_000_000))

    receiver.answer = answer
    await send(office, anna, ben, "hello")
    await until_all_told(office)
    assert len(receiver.asked) == 2
    assert len(receiver.events) == 1


async def test_another_process_goes_on_where_one_has_ended(
    office: Office, role: GroupRole, receiver: HookReceiver
) -> None:
    """A hook that hangs is given up at a stop, and told again by the next process."""
    anna, ben = await office.users(2)
    assert role._business is not None
    (teller,) = role._business.webhooks.tellers
    receiver.answer = hang
    await send(office, anna, ben, "hello")
    await until(lambda: receiver.under_way)
    teller._processes.on_change({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10} - {teller._clock.ids.node})
    await until(lambda: not teller._workers)
    receiver.answer = taken
    await send(office, anna, ben, "again")
    teller._processes.on_change({teller._clock.ids.node})
    await until_all_told(office)
    assert receiver.texts() == ["hello", "again"]


async def test_rows_of_hooks_that_are_gone_are_removed_when_they_are_old(
    office: Office, role: GroupRole, receiver: HookReceiver
) -> None:
    anna, ben = await office.users(2)
    office.node.store.dialect.hears = {rows.MESSAGE_STORED: ["gone", "one"]}
    await send(office, anna, ben, "hello")
    await until_all_told(office)
    assert role._business is not None
    await role._business.webhooks._forget()
    assert await left(office, "gone") == 1
    office.now += 86_400_001
    await role._business.webhooks._forget()
    assert await left(office, "gone") == 0


async def test_a_batch_costs_one_row_for_each_hook(office: Office) -> None:
    anna, *others = await office.users(30)
    for uid in others:
        await send(office, anna, uid, "so that all are known")
    store = office.node.store
    store.dialect.hears = {rows.MESSAGE_STORED: ["other"]}
    before = store.stats.batches
    await asyncio.gather(*(send(office, anna, uid, "hello") for uid in others))
    untold = await store.read(rows.untold, "other", 0, 1000)
    assert sum(len(row.messages) for row in untold) == 29
    assert len(untold) <= store.stats.batches - before < 29


class OtherClock(ServerClock):
    """The clock of another process of the same cluster."""

    def __init__(self, node: int) -> None:
        super().__init__(IdGenerator.for_group(node))


async def test_of_three_processes_one_tells_and_another_follows(
    office: Office, role: GroupRole, receiver: HookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "HAND_OVER_SECONDS", 0.05)
    assert role._business is not None
    await role._business.webhooks.stop()
    settings = WebhooksSettings(hooks=(hook(receiver),), seconds=5, per_second=10_000)
    tellers = [
        webhooks.HookTeller(settings.hooks[0], settings, office.node.store, clock, GroupProcesses(clock.ids))
        for clock in map(OtherClock, range(3))
    ]
    alive = {0, 1, 2}
    for teller in tellers:
        teller._processes.on_change(alive)
        teller.start()
    anna, *others = await office.users(11)
    for uid in others:
        await send(office, anna, uid, "hello")
    await until_all_told(office)
    (owner,) = [node for node in alive if tellers[node].told]
    assert tellers[owner].told == len(receiver.ids()) == len(set(receiver.ids())) == 10
    await tellers[owner].stop()
    for teller in tellers:
        teller._processes.on_change(alive - {owner})
    for uid in others:
        await send(office, anna, uid, "hello again")
    await until_all_told(office)
    assert len(receiver.ids()) == len(set(receiver.ids())) == 20
    assert sorted(teller.told for teller in tellers) == [0, 10, 10]
    for node in alive - {owner}:
        await tellers[node].stop()
