"""What the terminal client does with commands, messages and events."""

from typing import Any

import pytest

from fsharechat.client import ConnectionLost, FriendRequestsChanged, FriendsChanged
from fsharechat.client.chat import Quit, plain
from fsharechat.client.errors import RequestError
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ContentType, FriendState, SubSignal
from tests.unit.client.chat_kit import NOW, STRANGER, FakeChatServer, FakeScreen, incoming
from tests.unit.client.fake_peer import FRIEND, ME, FakePeer


async def test_the_greeting_names_the_user_and_what_to_do_first(screen: FakeScreen) -> None:
    await screen.chat.start()
    assert screen.shown == [
        "You are Me (13800000001). /help lists the commands.",
        "You have no friends here yet: /add NUMBER asks somebody.",
    ]


async def test_open_requests_are_told_at_the_start(screen: FakeScreen, server: FakeChatServer) -> None:
    server.request(STRANGER, "it is me", 5)
    await screen.chat.start()
    assert screen.shown[1] == "13800000003 wants to be your friend: it is me  (/accept or /reject)"


async def test_a_text_needs_an_open_conversation(screen: FakeScreen) -> None:
    assert (await screen.enter("hello"))[0].startswith("! You are talking to nobody")


async def test_a_text_goes_to_the_open_conversation(
    screen: FakeScreen, server: FakeChatServer, peer: FakePeer
) -> None:
    server.befriend(FRIEND)
    await screen.chat.start()
    assert await screen.enter("/open bob") == ["-- talking to Bob --"]
    assert screen.chat.prompt() == "Bob>"
    shown = await screen.enter("hello there")
    assert shown[0].endswith("you: hello there")
    sent = peer.asked(SubSignal.MS)[0]
    assert (sent.conversation.target, sent.content.searchable_content) == (FRIEND, "hello there")


async def test_a_text_that_is_not_sent_is_told_with_the_reason(
    screen: FakeScreen, server: FakeChatServer
) -> None:
    server.befriend(FRIEND)
    server.refusals[SubSignal.MS] = Code.BLACKLISTED
    await screen.enter("/open Bob")
    assert await screen.enter("hello") == [
        "! Not sent: 'hello': The server says no: blacklisted by the other side."
    ]


async def test_the_first_message_opens_its_conversation(screen: FakeScreen) -> None:
    shown = await screen.receive(incoming("hi"))
    assert shown[0] == "-- talking to Bob --"
    assert shown[1].endswith("Bob: hi")
    assert screen.chat.prompt() == "Bob>"


async def test_messages_of_other_conversations_are_shown_and_counted(
    screen: FakeScreen, server: FakeChatServer
) -> None:
    server.befriend(STRANGER)
    await screen.chat.start()
    await screen.receive(incoming("hi"))
    for text in ("one", "two"):
        shown = await screen.receive(incoming(text, STRANGER))
        assert shown[0].startswith("[13800000003] ")
    assert screen.chat.prompt() == "(13800000003 2) Bob>"
    assert (await screen.enter("/friends")) == ["13800000003, 2 unread"]
    await screen.enter("/open 13800000003")
    assert screen.chat.prompt() == "13800000003>"


async def test_what_a_first_login_finds_in_the_inbox_is_counted_and_not_shown(
    screen: FakeScreen,
) -> None:
    old = incoming("from long ago")
    old.server_timestamp = 1_500_000_000_000
    assert await screen.receive(old) == []
    assert screen.chat.prompt() == "(Bob 1) >"


async def test_others_cannot_steer_the_terminal(screen: FakeScreen) -> None:
    shown = await screen.receive(incoming("\x1b[2Jgone\x07"))
    assert shown[1].endswith("Bob: \N{REPLACEMENT CHARACTER}[2Jgone\N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize(
    ("content", "end"),
    [
        ({"type": ContentType.TIP, "content": "a tip"}, "-- a tip --"),
        ({"type": ContentType.RECALLED, "content": FRIEND}, "Bob: (recalled)"),
        ({"type": ContentType.IMAGE}, "Bob: [image]"),
        ({"type": 999}, "Bob: [message of type 999]"),
    ],
)
async def test_other_kinds_of_messages(screen: FakeScreen, content: dict[str, Any], end: str) -> None:
    assert (await screen.receive(incoming("", **content)))[1].endswith(end)


async def test_add_asks_the_one_who_has_the_number(screen: FakeScreen, peer: FakePeer) -> None:
    await screen.chat.start()
    assert (await screen.enter("/add 13800000002 it is me"))[0].startswith("Asked Bob (13800000002)")
    asked = peer.asked(SubSignal.FAR)[0]
    assert (asked.target_uid, asked.reason) == (FRIEND, "it is me")
    await screen.enter("/add 13800000003")
    assert peer.asked(SubSignal.FAR)[1].reason == "Hello, I am Me."


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/add", "Say whom"),
        ("/add 13899999999", "Nobody found"),
        ("/add Twin", "Which one: Twin (13800000008), Twin (13800000009)?"),
        ("/add Me", "Nobody found"),
        ("/accept", "no open friend request"),
        ("/open", "Say whom"),
        ("/open Eve", "None of your friends is called Eve"),
        ("/history", "talking to nobody"),
        ("/history ten", "Say how many"),
        ("/name", "Say which"),
        ("/alias Bob", "quotes"),
        ('/alias "Bob', "closing quotation mark is missing"),
        ("/alias Eve Evil", "None of your friends"),
        ("/nonsense", "There is no /nonsense"),
    ],
)
async def test_what_cannot_be_done_is_said(
    screen: FakeScreen, server: FakeChatServer, line: str, words: str
) -> None:
    for uid, mobile in (("t1", "13800000008"), ("t2", "13800000009")):
        server.users[uid] = pb.User(uid=uid, name=uid, display_name="Twin", mobile=mobile)
    shown = await screen.enter(line)
    assert len(shown) == 1
    assert shown[0].startswith("! ")
    assert words in shown[0]


async def test_asking_a_friend_again_is_pointless(screen: FakeScreen, server: FakeChatServer) -> None:
    server.befriend(FRIEND)
    await screen.chat.start()
    assert (await screen.enter("/add 13800000002"))[0].startswith("! Bob is your friend already")


async def test_asking_twice_is_told_in_plain_words(screen: FakeScreen, server: FakeChatServer) -> None:
    server.refusals[SubSignal.FAR] = Code.ALREADY_REQUESTED
    assert await screen.enter("/add 13800000002") == ["! You have asked already; wait for the answer."]


async def test_accept_takes_the_newest_request_or_the_named_one(
    screen: FakeScreen, server: FakeChatServer, peer: FakePeer
) -> None:
    server.request(FRIEND, "older", 5)
    server.request(STRANGER, "newer", 6)
    await screen.enter("/accept")
    await screen.enter("/accept Bob")
    await screen.enter("/reject 13800000002")
    handled = [(body.target_uid, body.status) for body in peer.asked(SubSignal.FHR)]
    assert handled == [(STRANGER, 1), (FRIEND, 1), (FRIEND, 2)]


async def test_requests_are_listed_and_marked_as_read(
    screen: FakeScreen, server: FakeChatServer, peer: FakePeer
) -> None:
    server.request(FRIEND, "please", NOW)
    server.requests.append(
        pb.FriendRequest(from_uid=ME, to_uid=STRANGER, reason="hi", status=2, update_dt=NOW + 1)
    )
    shown = await screen.enter("/requests")
    assert shown[0].endswith("from Bob (13800000002): please (open)")
    assert shown[1].endswith("to 13800000003: hi (rejected)")
    assert peer.asked(SubSignal.FRUS)[0].version == NOW + 1


async def test_a_new_friend_is_told_once_and_opened(screen: FakeScreen, server: FakeChatServer) -> None:
    await screen.chat.start()
    screen.shown.clear()
    server.befriend(FRIEND)
    await screen.chat.on_event(FriendsChanged(1))
    await screen.chat.on_event(FriendsChanged(2))
    assert screen.shown == [
        "Bob (13800000002) is now your friend: /open Bob",
        "-- talking to Bob --",
    ]


async def test_a_new_friend_has_a_number_that_a_stranger_did_not_show(
    screen: FakeScreen, server: FakeChatServer
) -> None:
    server.users[FRIEND].mobile = ""
    server.request(FRIEND, "It is me", 5)
    await screen.chat.start()
    server.users[FRIEND].mobile = "13800000002"
    server.befriend(FRIEND)
    await screen.chat.on_event(FriendsChanged(1))
    assert "Bob (13800000002) is now your friend: /open Bob" in screen.shown


async def test_a_new_request_is_told_once(screen: FakeScreen, server: FakeChatServer) -> None:
    await screen.chat.start()
    screen.shown.clear()
    server.request(FRIEND, "please", 5)
    await screen.chat.on_event(FriendRequestsChanged(5))
    await screen.chat.on_event(FriendRequestsChanged(5))
    assert screen.shown == ["Bob (13800000002) wants to be your friend: please  (/accept or /reject)"]


async def test_a_lost_connection_is_told(screen: FakeScreen) -> None:
    await screen.chat.on_event(ConnectionLost("gone"))
    assert screen.shown == ["-- connection lost (gone), trying again --"]
    assert not screen.chat.prompt().startswith("(offline)")
    await screen.client.close()
    assert screen.chat.prompt().startswith("(offline)")


async def test_history_shows_the_oldest_first(screen: FakeScreen, server: FakeChatServer) -> None:
    server.befriend(FRIEND)
    server.history = [incoming("newest"), incoming("middle"), incoming("oldest")]
    await screen.enter("/open Bob")
    shown = await screen.enter("/history 2")
    assert [line.rpartition(": ")[2] for line in shown] == ["middle", "newest"]


async def test_an_alias_comes_before_the_display_name(
    screen: FakeScreen, server: FakeChatServer, peer: FakePeer
) -> None:
    server.befriend(FRIEND)
    await screen.chat.start()
    server.friends[0].alias = "Big Bob"
    assert await screen.enter('/alias Bob "Big Bob"') == ["Bob is now Big Bob."]
    asked = peer.asked(SubSignal.FALS)[0]
    assert (asked.target_uid, asked.reason) == (FRIEND, "Big Bob")


async def test_a_friendship_ends(screen: FakeScreen, server: FakeChatServer, peer: FakePeer) -> None:
    server.befriend(FRIEND)
    await screen.chat.start()
    server.friends.clear()
    assert await screen.enter("/unfriend Bob") == ["Bob (13800000002) is not your friend any more."]
    assert [request.target_uid for request in peer.asked(SubSignal.FDL)] == [FRIEND]
    assert "None of your friends" in (await screen.enter("/unfriend Bob"))[0]


async def test_somebody_is_blocked_and_let_in_again(
    screen: FakeScreen, server: FakeChatServer, peer: FakePeer
) -> None:
    server.befriend(FRIEND, alias="Bobby")
    await screen.chat.start()
    server.friends[0].state = FriendState.BLACKLISTED
    assert await screen.enter("/block Bobby") == [
        "Bobby (13800000002) cannot reach you any more; /unblock undoes this."
    ]
    assert await screen.enter("/unblock") == [
        "! Say whom: /unblock NAME. You have blocked Bobby (13800000002)."
    ]
    assert await screen.chat.complete("/unblock ") == [("Bobby ", 0)]
    server.friends[0].state = FriendState.FRIEND
    assert await screen.enter("/unblock Bobby") == ["Bobby (13800000002) may write to you again."]
    assert [(r.target_uid, r.status) for r in peer.asked(SubSignal.BLU)] == [(FRIEND, 1), (FRIEND, 0)]
    await screen.chat.on_event(FriendsChanged(1))
    assert screen.shown[-1] == "Bobby (13800000002) may write to you again.", "a friend as before"
    assert "Say whom" in (await screen.enter("/block"))[0]


async def test_the_display_name_changes(screen: FakeScreen, server: FakeChatServer, peer: FakePeer) -> None:
    await screen.chat.start()
    server.users[ME].display_name = "New Me"
    assert await screen.enter("/name New Me") == ["You are now called New Me."]
    entry = peer.asked(SubSignal.MMI)[0].entry[0]
    assert (entry.type, entry.value) == (0, "New Me")


async def test_who_and_help_and_quit(screen: FakeScreen) -> None:
    assert "Connected to a-server." in await screen.enter("/who")
    assert any(line.startswith("/alias NAME ALIAS ") for line in await screen.enter("/help"))
    with pytest.raises(Quit):
        await screen.enter("/quit")


def test_a_refusal_without_a_code_is_plain_too() -> None:
    assert plain(RequestError(SubSignal.FAR, None)) == (
        "The server says no; over WebSocket it does not say why."
    )
