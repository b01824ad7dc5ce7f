"""Files, receipts, recalls, settings and typing in the terminal client."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fsharechat.client import (
    CallSignal,
    Client,
    MessageEdited,
    MessageRecalled,
    MessagesDelivered,
    MessagesRead,
    Options,
    SettingsChanged,
    Transparent,
    call_signal,
    group,
    private,
)
from fsharechat.client.chat.lines import file_name
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ContentType, SubSignal
from tests.unit.client.chat_kit import NOW, STRANGER, FakeChatServer, FakeScreen, in_group, incoming
from tests.unit.client.fake_media import MediaStore
from tests.unit.client.fake_peer import CREDENTIALS, FRIEND, ME, FakePeer
from tools.testing.server import BOUND

SENT_AT = 1_700_000_000_000


@pytest.fixture
async def bob(screen: FakeScreen, server: FakeChatServer) -> FakeScreen:
    """A screen on which the conversation with Bob is open."""
    server.befriend(FRIEND)
    await screen.chat.start()
    await screen.enter("/open Bob")
    return screen


@pytest.fixture
async def media(peer: FakePeer, server: FakeChatServer) -> AsyncIterator[MediaStore]:
    async with MediaStore() as store:
        peer.rule = lambda sub, body: store.rule(sub, body) or server.rule(sub, body)
        yield store


async def test_a_file_is_sent_and_saved(
    bob: FakeScreen, peer: FakePeer, media: MediaStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my notes.txt"
    path.write_text("remember")
    monkeypatch.chdir(tmp_path)
    (shown,) = await bob.enter(f"/send-file {path}")
    assert shown.endswith("you: [file 1: my notes.txt, 8 bytes]")
    content = peer.asked(SubSignal.MS)[0].content
    assert (content.type, content.searchable_content) == (ContentType.FILE, "my notes.txt")
    assert bob.chat.prompt() == "Bob>"
    assert await bob.enter("/save 1") == ["-- saved my notes (2).txt, 8 bytes --"]
    assert await bob.enter("/save 1 other") == ["-- saved other, 8 bytes --"]
    assert (tmp_path / "my notes (2).txt").read_text() == (tmp_path / "other").read_text() == "remember"


async def test_a_picture_is_sent_with_a_small_one(
    bob: FakeScreen, peer: FakePeer, media: MediaStore, tmp_path: Path
) -> None:
    data = BytesIO()
    Image.new("RGB", (400, 400)).save(data, "PNG")
    (tmp_path / "a.png").write_bytes(data.getvalue())
    (shown,) = await bob.enter(f'/send-image "{tmp_path}/a.png"')
    assert shown.endswith("you: [image 1]")
    assert peer.asked(SubSignal.MS)[0].content.data
    (tmp_path / "b.png").write_text("no picture")
    assert (await bob.enter(f"/send-image {tmp_path}/b.png"))[0].startswith(
        "! b.png cannot be read as a picture"
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/send-file", "Say which"),
        ("/send-file /no/such", "There is no file /no/such"),
        ("/save", "Say which"),
        ("/save x", "Say which"),
        ("/save 9", "No file or picture 9 was shown"),
        ("/recall", "You have sent nothing here"),
        ("/recall x", "Say which"),
        ("/mute maybe", "Say /mute"),
    ],
)
async def test_what_cannot_be_done_is_said(bob: FakeScreen, line: str, words: str) -> None:
    (shown,) = await bob.enter(line)
    assert shown.startswith("! ")
    assert words in shown


async def test_a_file_that_cannot_be_sent_or_saved_is_told(
    bob: FakeScreen, server: FakeChatServer, media: MediaStore, tmp_path: Path
) -> None:
    await bob.receive(
        incoming("gone.txt", type=ContentType.FILE, remote_media_url=f"{media.url}/gone", content="5")
    )
    assert bob.shown[-1].endswith("Bob: [file 1: gone.txt, 5 bytes]")
    (shown,) = await bob.enter(f"/save 1 {tmp_path}")
    assert shown == f"! Not saved: {tmp_path}/gone.txt: The media store answers with 404."
    (tmp_path / "a").write_text("a")
    server.refusals[SubSignal.MS] = Code.MUTED
    assert (await bob.enter(f"/send-file {tmp_path}/a"))[0] == "! Not sent: a: The server says no: muted."


@pytest.mark.parametrize(
    ("kind", "told", "address", "name"),
    [
        (ContentType.FILE, "../../.bashrc", "http://h/k", "bashrc"),
        (ContentType.FILE, "a\x1bb.txt", "http://h/k", "a_b.txt"),
        (ContentType.FILE, "...", "http://h/k", "file"),
        (ContentType.IMAGE, "[图片]", "http://h/b/1-u-ff-相片.jpg", "1-u-ff-相片.jpg"),
        (ContentType.VOICE, "", "http://h/", "h"),
    ],
)
def test_names_to_save_under(kind: int, told: str, address: str, name: str) -> None:
    assert file_name(incoming(told or " ", type=kind, remote_media_url=address)) == name


async def test_paths_are_completed(bob: FakeScreen, tmp_path: Path) -> None:
    (tmp_path / "one file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / ".hidden").write_text("")
    assert await bob.completed(f"/send-file {tmp_path}/o") == [
        f"/send-file {tmp_path}/one file",
        f"/send-file {tmp_path}/other/",
    ]
    assert await bob.completed("/send-file /no/such/") == []


async def test_marks_show_what_was_delivered_and_read(bob: FakeScreen) -> None:
    await bob.enter("hello")
    line = bob.shown[-1]
    await bob.chat.on_event(MessagesDelivered(FRIEND, SENT_AT))
    assert bob.shown[-1] == f"{line} ✓"
    await bob.chat.on_event(MessagesRead(FRIEND, private(FRIEND), SENT_AT - 1))
    assert bob.shown[-1] == f"{line} ✓"
    await bob.chat.on_event(MessagesRead(FRIEND, private(FRIEND), SENT_AT))
    assert bob.shown[-1] == f"{line} ✓✓"


async def test_in_a_group_the_mark_counts_the_readers(screen: FakeScreen, server: FakeChatServer) -> None:
    server.group("g", "Hikers", ME, FRIEND, STRANGER)
    await screen.chat.start()
    await screen.enter("/group new Hikers")
    await screen.enter("hello")
    line, opened = screen.shown[-1], group(screen.chat.known_groups[0])
    await screen.chat.on_event(MessagesRead(FRIEND, opened, SENT_AT))
    await screen.chat.on_event(MessagesRead(STRANGER, opened, SENT_AT + 5))
    await screen.chat.on_event(MessagesRead(ME, opened, SENT_AT + 5))
    assert screen.shown[-1] == f"{line} ✓✓2"


async def test_tips_and_notices_have_no_marks(bob: FakeScreen, server: FakeChatServer) -> None:
    server.history = [incoming("", ME, 1, type=ContentType.TIP, content="a tip")]
    await bob.enter("/history")
    await bob.chat.on_event(MessagesRead(FRIEND, private(FRIEND), NOW + 1))
    assert bob.shown[-1].endswith("-- a tip --")


async def test_history_has_marks(bob: FakeScreen, server: FakeChatServer) -> None:
    await bob.chat.on_event(MessagesRead(FRIEND, private(FRIEND), NOW + 1))
    server.history = [incoming("newer", ME, 2), incoming("older", ME, 1), incoming("Bob's", FRIEND, 0)]
    shown = await bob.enter("/history")
    assert [line.endswith("✓✓") for line in shown] == [False, True, False]


async def test_without_a_terminal_the_latest_line_is_shown_again(
    peer: FakePeer, server: FakeChatServer
) -> None:
    server.befriend(FRIEND)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=Options.fast(), on_message=lambda m: None) as client:
        screen = FakeScreen(client, rewrites=False)
        await screen.enter("/open Bob")
        await screen.enter("one")
        await screen.enter("two")
        before = len(screen.shown)
        await screen.chat.on_event(MessagesRead(FRIEND, private(FRIEND), SENT_AT))
        (line,) = screen.shown[before:]
        assert line.endswith("you: two ✓✓")
        await screen.chat.on_event(MessageRecalled(1001, ME))
        assert screen.shown[-1].endswith("you: (recalled)")


async def test_what_is_shown_is_reported_as_read(bob: FakeScreen, peer: FakePeer) -> None:
    await bob.receive(incoming("one", message_id=1))
    await bob.receive(incoming("elsewhere", STRANGER, 2))
    await bob.receive(incoming("from another device", ME, 3))
    await peer.until(lambda: len(peer.asked(SubSignal.MRR)) == 1)
    await bob.receive(incoming("two", message_id=4))
    await peer.until(lambda: len(peer.asked(SubSignal.MRR)) == 2)
    assert [(body.target, body.date) for body in peer.asked(SubSignal.MRR)] == [
        (FRIEND, NOW + 1),
        (FRIEND, NOW + 4),
    ]


async def test_a_message_is_taken_back(bob: FakeScreen, server: FakeChatServer, peer: FakePeer) -> None:
    await bob.enter("oops")
    server.history = [
        incoming("not mine", message_id=1002),
        incoming("oops", ME, 1000),
        incoming("gone before", ME, 999, type=ContentType.RECALLED, content=ME),
        incoming("earlier", ME, 998),
    ]
    assert await bob.enter("/recall") == []
    assert bob.shown[-1].endswith("you: (recalled)")
    await bob.enter("/recall 2")
    assert [body.id for body in peer.asked(SubSignal.MR)] == [1000, 998]
    assert (await bob.enter("/recall 3"))[0] == "! You have sent only 2 of the last messages here."


async def test_a_message_that_others_take_back_is_replaced(bob: FakeScreen) -> None:
    await bob.receive(incoming("secret", message_id=5))
    await bob.chat.on_event(MessageRecalled(5, FRIEND))
    assert bob.shown[-1].endswith("Bob: (recalled)")
    await bob.receive(incoming("insult", message_id=6))
    await bob.chat.on_event(MessageRecalled(6, STRANGER))
    assert bob.shown[-1].endswith("Bob: (recalled by 13800000003)")
    assert not any("secret" in line or "insult" in line for line in bob.shown)
    await bob.chat.on_event(MessageRecalled(7, FRIEND))
    assert bob.shown[-1] == "-- Bob recalled a message --"


async def test_what_is_muted_is_counted_and_not_shown(
    bob: FakeScreen, server: FakeChatServer, peer: FakePeer
) -> None:
    server.befriend(STRANGER)
    await bob.chat.on_event(SettingsChanged(1))
    assert await bob.enter("/mute") == ["Bob is muted: new messages are counted, not shown."]
    put = peer.asked(SubSignal.UP)[0]
    assert (put.scope, put.key, put.value) == (1, f"0-0-{FRIEND}", "1")
    await bob.enter("/open 13800000003")
    assert await bob.receive(incoming("psst")) == []
    assert bob.chat.prompt() == "13800000003>"
    assert await bob.enter("/friends") == ["13800000003", "Bob (13800000002), 1 unread, muted"]
    await bob.enter("/open Bob")
    assert await bob.enter("/mute off") == ["Bob is not muted."]


async def test_what_is_on_top_comes_first(bob: FakeScreen, server: FakeChatServer) -> None:
    server.befriend(STRANGER)
    assert await bob.enter("/top on") == ["Bob is on top of the lists."]
    assert await bob.enter("/friends") == ["Bob (13800000002), on top", "13800000003"]


async def test_settings_of_another_device_are_taken(
    bob: FakeScreen, server: FakeChatServer, peer: FakePeer
) -> None:
    server.settings = [pb.UserSettingEntry(scope=3, key=f"0-0-{FRIEND}", value="1", update_dt=9)]
    await bob.chat.on_event(SettingsChanged(9))
    assert await bob.enter("/friends") == ["Bob (13800000002), on top"]
    server.settings = [pb.UserSettingEntry(scope=3, key=f"0-0-{FRIEND}", value="0", update_dt=10)]
    await bob.chat.on_event(SettingsChanged(10))
    assert await bob.enter("/friends") == ["Bob (13800000002)"]
    assert peer.asked(SubSignal.UG)[-1].version == 9


async def test_a_server_without_settings_is_no_obstacle(screen: FakeScreen, server: FakeChatServer) -> None:
    server.refusals[SubSignal.UG] = Code.NOT_IMPLEMENTED
    await screen.chat.start()
    assert "! Your groups and settings are not known: This server cannot do that." in screen.shown


def sign(kind: int) -> Transparent:
    return Transparent(incoming("", type=kind))


def heard(kind: int) -> CallSignal:
    signal = call_signal(incoming("", type=kind), ME)
    assert signal is not None
    return signal


async def test_typing_shows_until_the_message_comes(bob: FakeScreen) -> None:
    await bob.chat.on_event(sign(ContentType.TYPING))
    assert bob.chat.prompt() == "(Bob is typing) Bob>"
    await bob.receive(incoming("here it is"))
    assert bob.chat.prompt() == "Bob>"


async def test_ones_own_typing_is_told_now_and_then(bob: FakeScreen, peer: FakePeer) -> None:
    for line in ("", "/op", "h", "he", "hel"):
        bob.chat.typing(line)
    await bob.chat.finish()
    assert [message.content.type for message in peer.asked(SubSignal.MS)] == [ContentType.TYPING]


async def test_a_fault_in_the_background_is_not_swallowed(
    bob: FakeScreen, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(bob.client, "send", broken)
    with pytest.raises(ZeroDivisionError):
        await bob.enter("hello")
    with pytest.raises(ZeroDivisionError):
        await bob.chat.on_line("/who")


async def test_calls_are_told(bob: FakeScreen) -> None:
    await bob.receive(incoming("", type=ContentType.CALL_START))
    assert bob.shown[-1].endswith("Bob: [call; take it on another device, or /decline it]")
    await bob.chat.on_event(heard(ContentType.CALL_BYE))
    assert bob.shown[-1] == "-- Bob ended the call --"
    own = incoming("", type=ContentType.CALL_ANSWER)
    own.from_user, own.conversation.target = ME, own.from_user
    signal = call_signal(own, ME)
    assert signal is not None
    await bob.chat.on_event(signal)
    assert bob.shown[-1] == "-- you took the call on another device --"


async def test_a_call_is_declined_by_its_id(bob: FakeScreen, peer: FakePeer, server: FakeChatServer) -> None:
    start = incoming("", type=ContentType.CALL_START)
    start.content.content = "ann123"
    await bob.receive(start)
    server.history = [start]
    await bob.enter("/decline")
    sent = peer.asked(SubSignal.MS)[-1]
    assert (sent.content.type, sent.content.content) == (ContentType.CALL_BYE, "ann123")


async def test_a_transfer_shows_in_the_prompt(
    peer: FakePeer, server: FakeChatServer, media: MediaStore, tmp_path: Path
) -> None:
    server.befriend(FRIEND)
    (tmp_path / "big").write_bytes(bytes(40_000_000))
    media.stall = True
    options = replace(Options.fast(), media_timeout=10.0)
    async with Client(CREDENTIALS, tcp=peer.tcp, options=options, on_message=lambda m: None) as client:
        screen = FakeScreen(client)
        await screen.enter("/open Bob")
        seen: list[Any] = []
        screen.lines.refresh = lambda: seen.append(screen.chat.prompt())  # type: ignore[method-assign]
        await screen.chat.on_line(f"/send-file {tmp_path}/big")
        async with asyncio.timeout(BOUND):
            while not any("big" in prompt and "%" in prompt for prompt in seen):
                await asyncio.sleep(0.01)
        media.stall = False
        media.go_on.set()
        await screen.chat.finish()
    assert screen.shown[-1].endswith("[file 1: big, 40.0 MB]")


async def test_an_edited_text_is_shown_anew(bob: FakeScreen, peer: FakePeer, server: FakeChatServer) -> None:
    await bob.receive(incoming("wrnog", FRIEND, 1))
    edited = incoming("wrong", FRIEND, 1)
    edited.edited_dt = NOW + 1
    peer.rule = lambda sub, body: (
        (0, pb.PullMessageResult(message=[edited], current=0, head=0))
        if sub is SubSignal.MGI
        else server.rule(sub, body)
    )
    await bob.chat.on_event(MessageEdited(1, FRIEND))
    assert bob.shown[-1].endswith("Bob: wrong (edited)")
    assert [list(body.id) for body in peer.asked(SubSignal.MGI)] == [[1]]
    await bob.chat.on_event(MessageEdited(99, FRIEND))  # it is not shown
    assert len(peer.asked(SubSignal.MGI)) == 1


async def test_the_last_own_text_is_edited(bob: FakeScreen, peer: FakePeer, server: FakeChatServer) -> None:
    server.history = [incoming("Bob's", FRIEND, 3), incoming("mine", ME, 2), incoming("older", ME, 1)]
    edited = incoming("better", ME, 2)
    edited.edited_dt = NOW
    answers = {SubSignal.ME: None, SubSignal.MGI: pb.PullMessageResult(message=[edited], current=0, head=0)}
    peer.rule = lambda sub, body: (0, answers[sub]) if sub in answers else server.rule(sub, body)
    shown = await bob.enter("/edit better")
    assert shown[-1].endswith("you: better (edited)")
    (asked,) = peer.asked(SubSignal.ME)
    assert (asked.id, asked.content.searchable_content) == (2, "better")
    assert (await bob.enter("/edit"))[0].startswith("! Say how")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (1, "made a manager of Bob"),
        (2, "handed the group over to Bob"),
        (3, "silenced Bob"),
        (0, "made a normal member of Bob"),
        (4, "changed Bob"),
    ],
)
async def test_a_new_place_in_a_group_is_told(bob: FakeScreen, kind: int, words: str) -> None:
    data = f'{{"g": "g1", "o": "{ME}", "ms": ["{FRIEND}"], "t": {kind}}}'.encode()
    tip = incoming("", ME, 5, type=ContentType.TIP, content="中文", data=data)
    shown = await bob.receive(in_group(tip))
    assert words in shown[-1]
