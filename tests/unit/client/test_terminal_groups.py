"""Groups in the terminal client: commands, notices as sentences, mentions."""

from typing import Any

import orjson
import pytest

from fsharechat.client import Client, Options
from fsharechat.protocol.signals import Code, SubSignal
from tests.unit.client.chat_kit import GROUP, STRANGER, FakeChatServer, FakeScreen, in_group, incoming
from tests.unit.client.fake_peer import CREDENTIALS, FRIEND, ME, FakePeer


@pytest.fixture
async def hikers(screen: FakeScreen, server: FakeChatServer) -> FakeScreen:
    """A screen on which the group of the user, Bob and a stranger is open."""
    server.befriend(FRIEND)
    server.group(GROUP, "Hikers", ME, FRIEND, STRANGER)
    await screen.chat.start()
    await screen.receive(in_group(incoming("hi")))
    assert screen.chat.prompt() == "Hikers>"
    return screen


def notice(kind: int, operator: str = FRIEND, message_id: int = 12, **data: Any) -> Any:
    told = {"g": GROUP, "o": operator, **data}
    return in_group(incoming("", operator, message_id, type=kind, data=orjson.dumps(told)))


async def test_a_group_is_made_of_friends_and_opened(
    screen: FakeScreen, server: FakeChatServer, peer: FakePeer
) -> None:
    server.befriend(FRIEND)
    await screen.chat.start()
    assert await screen.enter('/group new "Big Hikers" Bob') == ["-- talking to Big Hikers --"]
    request = peer.asked(SubSignal.GC)[0].group
    assert [member.member_id for member in request.members] == [FRIEND]
    assert screen.chat.prompt() == "Big Hikers>"
    shown = await screen.enter("hello all")
    assert shown[0].endswith("you: hello all")
    sent = peer.asked(SubSignal.MS)[0].conversation
    assert (sent.type, sent.target) == (1, request.group_info.target_id)
    assert screen.chat.known_groups == [request.group_info.target_id]


async def test_members_are_listed_added_and_removed(
    hikers: FakeScreen, server: FakeChatServer, peer: FakePeer
) -> None:
    assert await hikers.enter("/group members") == [
        "13800000003",
        "Bob (13800000002)",
        "Me (13800000001) (you), owner",
    ]
    await hikers.enter("/group kick 13800000003")
    assert list(peer.asked(SubSignal.GKM)[0].removed_member) == [STRANGER]
    await hikers.enter("/group add Bob")
    assert [member.member_id for member in peer.asked(SubSignal.GAM)[0].added_member] == [FRIEND]


async def test_a_group_is_renamed_left_and_ended(
    hikers: FakeScreen, server: FakeChatServer, peer: FakePeer
) -> None:
    server.groups[GROUP].name = "Walkers"
    await hikers.enter("/group rename Walkers")
    assert (peer.asked(SubSignal.GMI)[0].type, peer.asked(SubSignal.GMI)[0].value) == (0, "Walkers")
    assert hikers.chat.prompt() == "Walkers>"
    assert await hikers.enter("/group dismiss") == [
        "! This ends Walkers for all its members; /group dismiss yes does it."
    ]
    assert await hikers.enter("/group dismiss yes") == ["Walkers is no more."]
    assert hikers.chat.prompt() == ">"
    assert hikers.chat.known_groups == []
    assert len(peer.asked(SubSignal.GD)) == 1


async def test_leaving(hikers: FakeScreen, peer: FakePeer) -> None:
    assert await hikers.enter("/group quit") == ["You left Hikers."]
    assert peer.asked(SubSignal.GQ)[0].group_id == GROUP
    assert (await hikers.enter("/groups"))[0].startswith("No groups yet")


async def test_info(hikers: FakeScreen) -> None:
    assert await hikers.enter("/group info") == [
        "Hikers: 3 members, owned by you.",
        "Members invite and rename, the owner does the rest.",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/group", "Say what"),
        ("/group nonsense", "Say what"),
        ("/group new", "Say how it is called"),
        ("/group new Name Eve", "None of your friends is called Eve"),
        ("/group add", "Say whom"),
        ("/group kick Eve", "Nobody here is called Eve"),
        ("/group rename", "Say how"),
    ],
)
async def test_what_cannot_be_done_is_said(hikers: FakeScreen, line: str, words: str) -> None:
    (shown,) = await hikers.enter(line)
    assert shown.startswith("! ")
    assert words in shown


async def test_commands_for_the_open_group_need_one(screen: FakeScreen) -> None:
    assert (await screen.enter("/group members"))[0].startswith("! No group is open")


async def test_a_right_that_is_missing_is_told_in_plain_words(
    hikers: FakeScreen, server: FakeChatServer
) -> None:
    server.refusals[SubSignal.GKM] = Code.NO_RIGHT
    assert await hikers.enter("/group kick Bob") == ["! You may not do that; the owner of the group may."]


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (notice(104, ms=[FRIEND, ME], n="Hikers"), "Bob created the group Hikers with you"),
        (notice(105, ms=[STRANGER]), "Bob added 13800000003"),
        (notice(105, ms=[FRIEND]), "Bob joined"),
        (notice(106, ms=[STRANGER, "x", "y"]), "Bob removed 13800000003, x and y"),
        (notice(107), "Bob left the group"),
        (notice(108), "Bob ended the group"),
        (notice(110, n="New\x1bName"), "Bob renamed the group to New\N{REPLACEMENT CHARACTER}Name"),
        (notice(112, n="url"), "Bob changed the group's picture"),
        (notice(105, ME, ms=[f"u{n}" for n in range(20)]), "you added u0, u1, u2, u3, u4 and 15 others"),
    ],
)
async def test_notices_are_sentences(hikers: FakeScreen, message: Any, sentence: str) -> None:
    assert (await hikers.receive(message))[0].endswith(f" -- {sentence} --")


async def test_a_renamed_group_has_its_new_name(hikers: FakeScreen, server: FakeChatServer) -> None:
    server.groups[GROUP].name = "Walkers"
    await hikers.receive(notice(110, n="Walkers"))
    assert hikers.chat.prompt() == "Walkers>"


@pytest.mark.parametrize("message", [notice(108), notice(106, ms=[ME]), notice(107, ME)])
async def test_a_group_that_the_user_is_no_longer_in_is_closed(hikers: FakeScreen, message: Any) -> None:
    await hikers.receive(message)
    assert hikers.chat.prompt() == ">"
    assert hikers.chat.known_groups == []


async def test_groups_are_known_from_an_earlier_run_and_opened_by_name(
    peer: FakePeer, server: FakeChatServer
) -> None:
    server.group(GROUP, "Hikers", FRIEND, ME)
    server.history = [in_group(incoming("from before"))]
    options = Options.fast()
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options, on_message=lambda m: None) as client:
        screen = FakeScreen(client, groups=(GROUP,))
        await screen.chat.start()
        assert await screen.enter("/groups") == ["Hikers"]
        shown = await screen.enter("/open hik")
        assert shown[0] == "-- talking to Hikers --"
        assert shown[1].endswith("Bob: from before")


async def test_a_name_of_a_friend_and_of_a_group(hikers: FakeScreen, server: FakeChatServer) -> None:
    server.groups[GROUP].name = "Bob"
    await hikers.enter("/groups")
    assert (await hikers.enter("/open Bob"))[0].startswith("! Which one: Bob (13800000002), or the group Bob")
    server.groups[GROUP].name = "Bobsleigh"
    await hikers.enter("/groups")
    assert (await hikers.enter("/open Bob"))[0] == "-- talking to Bob --"
    assert (await hikers.enter("/open Bobs"))[0] == "-- talking to Bobsleigh --"


async def test_mentions_are_sent(hikers: FakeScreen, peer: FakePeer) -> None:
    await hikers.enter("@Bob and @13800000003 look, not @Bobby")
    await hikers.enter("@all look")
    await hikers.enter("a@b.c")
    some, everybody, nobody = (message.content for message in peer.asked(SubSignal.MS))
    assert (some.mentioned_type, list(some.mentioned_target)) == (1, [FRIEND, STRANGER])
    assert (everybody.mentioned_type, list(everybody.mentioned_target)) == (2, [])
    assert nobody.mentioned_type == 0


async def test_mentions_of_the_user_are_highlighted(hikers: FakeScreen) -> None:
    for number, (kind, targets) in enumerate([(1, [ME]), (2, []), (1, [FRIEND]), (0, [])]):
        message = in_group(incoming(f"text {number}", message_id=20 + number, mentioned_type=kind))
        message.content.mentioned_target.extend(targets)
        await hikers.receive(message)
    assert [line[-6:] for line in hikers.lines.strong] == ["text 0", "text 1"]


async def test_completion_proposes_commands_names_and_mentions(
    hikers: FakeScreen, server: FakeChatServer
) -> None:
    server.friends[0].alias = "Big Bob"
    await hikers.enter("/friends")
    await hikers.enter("/group members")
    assert await hikers.completed("/gr") == ["/groups ", "/group "]
    assert await hikers.completed("/group q") == ["/group quit "]
    assert await hikers.completed("/group add b") == ['/group add "Big Bob" ']
    assert await hikers.completed('/group kick "bi') == ['/group kick "Big Bob" ']
    assert await hikers.completed("/open H") == ["/open Hikers "]
    assert await hikers.completed("/mute o") == ["/mute off ", "/mute on "]
    assert await hikers.completed("hello @b") == ["hello @Big Bob "]
    assert await hikers.completed("hello b") == []
    assert await hikers.completed("/nonsense b") == []
