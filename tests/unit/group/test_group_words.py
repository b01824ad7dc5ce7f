"""Sensitive words: what is refused with 242, and that changes reach every process."""

import asyncio
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable

import orjson
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from fsharechat import folding
from fsharechat.bus.memory import MemoryBus
from fsharechat.errors import StoreError
from fsharechat.folding import SLICE, fold, slices
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import (
    Code,
    ContentType,
    ConversationType,
    InfoType,
    MemberType,
    RequestStatus,
    SubSignal,
)
from fsharechat.rpc import Method, Reply
from fsharechat.store import copies, words
from roles.group import copies as copies_module
from roles.group.words import MAX_LOOKED_AT, WORDS_KEY, WordFilter
from tests.unit.group.group_kit import Office, text
from tests.unit.group.groups_kit import create, info, members, modify
from tools.testing.server import until

MS = SubSignal.MS


async def tell(office: Office, op: str, **request: object) -> dict[str, object]:
    reply = await office.ask("", Method.ADMIN, orjson.dumps({"op": op, **request}))
    assert reply.code == Code.SUCCESS
    answer: dict[str, object] = orjson.loads(reply.payload)
    return answer


async def teach(office: Office, *new: str) -> None:
    """Add words, and wait until the group role knows them."""
    with capture_logs() as logs:
        assert (await tell(office, "words.add", words=new))["code"] == 200
        await until(lambda: any(line["event"] == "sensitive words read" for line in logs), "words not read")


async def refused(office: Office, sender: str, message: pb.Message) -> bool:
    code = (await office.ask(sender, MS, message)).code
    assert code in (Code.SUCCESS, Code.SENSITIVE_WORD)
    return code == Code.SENSITIVE_WORD


@pytest.mark.parametrize(
    ("said", "hit"),
    [
        ("buy GOLD now", True),
        ("gold", True),
        ("ｇｏｌｄ", True),
        ("marigolds", True),
        ("go ld", False),
        ("", False),
        ("今天賭博吧", True),
        ("赌博", False),
        ("ﬁve", True),
        ("straße", True),
        ("STRASSE", True),
    ],
)
async def test_a_word_is_found_whatever_its_case_and_width(office: Office, said: str, hit: bool) -> None:
    ann, bob = await office.user(), await office.user()
    await teach(office, "Gold", "賭博", "five", "Straße")
    assert await refused(office, ann, text(bob, said)) is hit
    assert [message.from_user for message in (await office.inbox(bob)).message] == ([] if hit else [ann])


@pytest.mark.parametrize(
    ("kind", "field", "hit"),
    [
        (ContentType.TEXT, "searchable_content", True),
        (ContentType.TEXT, "push_content", True),
        (ContentType.TEXT, "content", True),
        (ContentType.TIP, "content", True),
        (ContentType.FILE, "searchable_content", True),
        (ContentType.FILE, "content", False),
        (ContentType.TYPING, "searchable_content", True),
        (ContentType.CALL_START, "content", False),
        (ContentType.IMAGE, "remote_media_url", False),
    ],
)
async def test_words_are_looked_for_in_what_people_read(
    office: Office, kind: ContentType, field: str, hit: bool
) -> None:
    ann, bob = await office.user(), await office.user()
    await teach(office, "gold")
    message = text(bob, "", content_type=kind)
    setattr(message.content, field, "some gold")
    assert await refused(office, ann, message) is hit


async def test_a_stranger_to_a_group_is_told_that_and_not_of_words(office: Office) -> None:
    ann = await office.user()
    await teach(office, "gold")
    reply = await office.ask(ann, MS, text("a group", "gold", kind=ConversationType.GROUP))
    assert reply.code == Code.NOT_IN_GROUP


async def test_other_requests_whose_texts_become_messages_are_refused_too(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    await teach(office, "gold")
    greeting = pb.AddFriendRequest(target_uid=bob, reason="I sell Gold")
    assert await office.code(ann, SubSignal.FAR, greeting) == Code.SENSITIVE_WORD
    group = pb.CreateGroupRequest(group=pb.Group(group_info=pb.GroupInfo(name="Chess", type=0)))
    group.notify_content.CopyFrom(text(bob, "gold").content)
    assert await office.code(ann, SubSignal.GC, group) == Code.SENSITIVE_WORD
    group.ClearField("notify_content")
    assert (await office.ask(ann, SubSignal.GC, group)).code == Code.SUCCESS


SOLD = "Ann's ＧＯＬＤ"


@pytest.mark.parametrize(
    ("kind", "hit"),
    [
        (InfoType.DISPLAY_NAME, True),
        (InfoType.PORTRAIT, False),
        (InfoType.MOBILE, True),
        (InfoType.EMAIL, True),
        (InfoType.ADDRESS, True),
        (InfoType.COMPANY, True),
        (InfoType.SOCIAL, True),
        (InfoType.EXTRA, True),
    ],
)
async def test_words_are_looked_for_in_profiles(office: Office, kind: InfoType, hit: bool) -> None:
    ann = await office.user("Ann")
    await teach(office, "gold")
    harmless = pb.InfoEntry(type=InfoType.DISPLAY_NAME, value="Anna")
    request = pb.ModifyMyInfoRequest(entry=[harmless, pb.InfoEntry(type=kind, value=SOLD)])
    assert await office.code(ann, SubSignal.MMI, request) == (Code.SENSITIVE_WORD if hit else Code.SUCCESS)
    wanted = pb.PullUserRequest(request=[pb.UserRequest(uid=ann)])
    found = pb.PullUserResult.FromString(await office.payload(ann, SubSignal.UPUI, wanted))
    assert found.result[0].user.display_name == ("Ann" if hit else "Anna")


@pytest.mark.parametrize(
    ("details", "alias", "hit"),
    [
        ({"name": SOLD}, "", True),
        ({"extra": SOLD}, "", True),
        ({"portrait": SOLD}, "", False),
        ({}, SOLD, True),
        ({}, "Bob", False),
    ],
    ids=["name", "extra", "portrait", "alias", "none"],
)
async def test_words_are_looked_for_in_new_groups(
    office: Office, details: dict[str, str], alias: str, hit: bool
) -> None:
    ann, bob = await office.user(), await office.user()
    await teach(office, "gold")
    info = pb.GroupInfo(**{"name": "Chess", "type": 0, "portrait": "http://own", **details})  # type: ignore[arg-type]
    member = pb.GroupMember(member_id=bob, alias=alias, type=0)
    request = pb.CreateGroupRequest(group=pb.Group(group_info=info, members=[member]))
    assert (await office.ask(ann, SubSignal.GC, request)).code == (
        Code.SENSITIVE_WORD if hit else Code.SUCCESS
    )
    assert len((await office.inbox(bob)).message) == (0 if hit else 1)


async def test_words_are_looked_for_in_changes_of_groups(office: Office) -> None:
    ann, bob, eve = [await office.user() for _ in range(3)]
    id = await create(office, ann, name="Chess")
    await teach(office, "gold")
    for kind, code in ((0, Code.SENSITIVE_WORD), (1, Code.SUCCESS), (2, Code.SENSITIVE_WORD)):
        assert await modify(office, ann, id, kind, SOLD) == code
    member = pb.GroupMember(member_id=bob, alias=SOLD, type=0)
    request = pb.AddGroupMemberRequest(group_id=id, added_member=[member])
    assert await office.code(ann, SubSignal.GAM, request) == Code.SENSITIVE_WORD
    assert await members(office, ann, id) == {ann: MemberType.OWNER}
    group = await info(office, ann, id)
    assert (group.name, group.portrait, group.extra) == ("Chess", SOLD, "")
    assert await modify(office, eve, id, 0, SOLD) == Code.NOT_IN_GROUP  # who may not change it is told that


async def test_what_nobody_else_sees_may_say_anything(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    request = pb.AddFriendRequest(target_uid=bob, reason="hello")
    assert await office.code(ann, SubSignal.FAR, request) == Code.SUCCESS
    accept = pb.HandleFriendRequest(target_uid=ann, status=RequestStatus.ACCEPTED)
    assert await office.code(bob, SubSignal.FHR, accept) == Code.SUCCESS
    await teach(office, "gold")
    alias = pb.AddFriendRequest(target_uid=bob, reason=SOLD)
    assert await office.code(ann, SubSignal.FALS, alias) == Code.SUCCESS


async def test_words_that_are_removed_may_be_said_again(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    await teach(office, "gold", "silver")
    assert (await tell(office, "words.remove", words=["GOLD", "lead"]))["result"] == {"removed": 1}
    async with asyncio.timeout(30):
        while await refused(office, ann, text(bob, "gold")):
            await asyncio.sleep(0.005)
    assert await refused(office, ann, text(bob, "silver"))
    await tell(office, "words.remove", words=["silver"])
    async with asyncio.timeout(30):
        while await refused(office, ann, text(bob, "silver")):
            await asyncio.sleep(0.005)


async def test_words_are_listed_as_they_are_kept(office: Office) -> None:
    assert (await tell(office, "words.add", words=[" GOLD ", "gold", "Ｓilver", "铅"]))["result"] == {
        "added": 3
    }
    first = await tell(office, "words.list", after="", limit=2)
    assert first["result"] == {"words": ["gold", "silver"], "total": 3, "next": "silver"}
    rest = await tell(office, "words.list", after="silver", limit=2)
    assert rest["result"] == {"words": ["铅"], "total": 3, "next": ""}


@pytest.mark.parametrize("word", ["", "  ", "x" * 65])
async def test_what_is_no_word_is_refused_with_its_place(office: Office, word: str) -> None:
    answer = await tell(office, "words.add", words=["gold", word])
    assert (answer["code"], str(answer["message"]).partition(":")[0]) == (400, "words.1")
    assert (await tell(office, "words.list", after="", limit=1))["result"] == {
        "words": [],
        "total": 0,
        "next": "",
    }


async def test_there_is_a_bound(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "MAX_WORDS", 1)
    assert (await tell(office, "words.add", words=["gold", "silver"]))["code"] == 409


class Deaf(MemoryBus):
    """A bus that loses what is told of changes."""

    def invalidate(self, keys: Iterable[str]) -> None:
        pass


async def test_another_process_hears_of_a_change(office: Office) -> None:
    other = WordFilter(office.node.store, office.node.bus)
    await other.start()
    content = pb.MessageContent(type=1, searchable_content="gold")
    assert not other.refuses(content)
    await tell(office, "words.add", words=["gold"])
    await until(lambda: other.refuses(content), "the other process knows no word")
    other.stop()


async def test_a_process_that_starts_knows_the_words_from_the_start(office: Office) -> None:
    await tell(office, "words.add", words=["gold"])
    other = WordFilter(office.node.store, office.node.bus)
    await other.start()
    assert other.refuses(pb.MessageContent(type=1, searchable_content="gold"))
    other.stop()


async def test_lost_news_of_a_change_are_made_up_for(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies_module, "LOOK_SECONDS", 0.01)
    other = WordFilter(office.node.store, Deaf())
    await other.start()
    await office.node.store.write(words.add, ["gold"], b"1")
    content = pb.MessageContent(type=1, searchable_content="gold")
    await until(lambda: other.refuses(content), "the change was not noticed")
    other.stop()


async def test_words_are_not_read_again_where_the_version_is_the_same(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await teach(office, "gold")
    store, asked = office.node.store, Counter[object]()
    read = store.read

    def counted(unit: object, *args: object) -> object:
        asked[unit] += 1
        return read(unit, *args)  # type: ignore[arg-type]

    def have_looked(times: int) -> Callable[[], bool]:
        return lambda: asked[copies.version] == times

    monkeypatch.setattr(store, "read", counted)
    for looks in (1, 2):  # the second begins when the first is done
        office.node.bus.invalidate([WORDS_KEY])
        await until(have_looked(looks), "nobody looked")
    assert asked[words.all_words] == 0


async def test_a_store_that_is_away_keeps_the_words_as_they_are(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(copies_module, "RETRY_SECONDS", 0.01)
    other = WordFilter(office.node.store, MemoryBus())
    await office.node.store.write(words.add, ["gold"], b"1")
    await other.start()

    async def fail(*_: object) -> None:
        raise StoreError("away")

    with capture_logs() as logs:
        with monkeypatch.context() as away:
            away.setattr(office.node.store, "read", fail)
            await until(lambda: len(logs) >= 2, "no word of it in the log")
            assert other.refuses(pb.MessageContent(type=1, searchable_content="gold"))
        await office.node.store.write(words.add, ["silver"], b"2")
        silver = pb.MessageContent(type=1, searchable_content="silver")
        await until(lambda: other.refuses(silver), "the store is not asked again")
    assert {line["event"] for line in logs} == {"not read again", "sensitive words read"}
    other.stop()


def ask_soon(office: Office, uid: str, method: int, body: Message) -> asyncio.Task[Reply]:
    return asyncio.get_running_loop().create_task(office.ask(uid, method, body))


def marks(count: int) -> str:
    """Return marks that Unicode wants in another order than they are in."""
    return "\u0301\u0323" * (count // 2)


def test_marks_in_a_row_count_as_far_as_people_write_them() -> None:
    assert fold("a" + marks(400_000) + "B") == fold("a" + marks(30) + "B")


def test_all_marks_are_known() -> None:
    known = {
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.combining(unicodedata.normalize("NFKD", chr(code))[0])
    }
    assert set(folding._MARK.pattern[1:-1]) == known


PIECES = st.sampled_from(
    [
        "a",
        "飞",
        "\u0301",
        "\u0323",
        "\u0344",
        "\u0f73",
        "ﾊ",
        "ﾞ",
        "\u1100",
        "\u1161",
        "\u11a8",
        "가",
        "ﷺ",
        "\u09c7",
        "\u09be",
    ]
)
"""What composes with what is before it or does not, and what is many characters when it is decomposed."""


@given(
    st.lists(st.one_of(PIECES, st.characters(exclude_categories=["Cs"])), max_size=60).map("".join),
    st.integers(1, 9),
)
def test_the_slices_of_a_text_are_folded_as_the_text_is(text: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "SLICE", size)
        parts = list(slices(text))
    assert "".join(map(fold, parts)) == fold(text)
    assert all(len(part) <= size + 40 for part in parts)


async def test_a_large_text_holds_nobody_else_up(office: Office) -> None:
    ann, bob, eve = await office.users(3)
    await teach(office, "gold")
    assert not await refused(office, eve, text(ann, "who is who is cached now"))
    assert not await refused(office, ann, text(bob, "and here too"))
    large = ask_soon(office, eve, MS, text(ann, ("a" + marks(30)) * 10_000))
    small = ask_soon(office, ann, MS, text(bob, "hello"))
    done, _ = await asyncio.wait((large, small), return_when=asyncio.FIRST_COMPLETED)
    assert done == {small}
    assert (await large).code == (await small).code == Code.SUCCESS


async def test_all_large_texts_of_a_user_hold_another_one_up_like_one(office: Office) -> None:
    await teach(office, "gold")
    filter = WordFilter(office.node.store, office.node.bus)
    await filter.start()
    loop = asyncio.get_running_loop()
    flood = [loop.create_task(filter.forbids("eve", ["ﷺ" * 4000])) for _ in range(10)]
    await asyncio.sleep(0)
    assert not await filter.forbids("ann", ["飞" * 4000])
    assert sum(task.done() for task in flood) <= 2
    assert not any(await asyncio.gather(*flood))
    filter.stop()


async def test_messages_behind_a_large_text_keep_their_order(office: Office) -> None:
    ann, bob = await office.users(2)
    await teach(office, "gold")
    said = ["one", "飞" * 15_000, "two", "large " * 1000, "three"]
    replies = await asyncio.gather(*(ask_soon(office, ann, MS, text(bob, one)) for one in said))
    assert {reply.code for reply in replies} == {Code.SUCCESS}
    assert [message.content.searchable_content for message in (await office.inbox(bob)).message] == said


@pytest.mark.parametrize(
    ("before", "hit"),
    [(0, True), (SLICE - 2, True), (SLICE, True), (MAX_LOOKED_AT - 4, True), (MAX_LOOKED_AT - 3, False)],
)
@pytest.mark.parametrize("filler", ["x", "飞"])
async def test_words_are_looked_for_to_a_bound(office: Office, before: int, hit: bool, filler: str) -> None:
    ann, bob = await office.users(2)
    await teach(office, "gold")
    said = filler * before + "Gold" + filler * 5000
    assert await refused(office, ann, text(bob, said)) is hit


async def test_who_may_not_send_a_large_text_is_told_that_and_not_of_words(office: Office) -> None:
    ann = await office.user()
    await teach(office, "gold")
    reply = await office.ask(ann, MS, text("a group", "gold" * 10_000, kind=ConversationType.GROUP))
    assert reply.code == Code.NOT_IN_GROUP


async def test_a_word_is_no_book(office: Office) -> None:
    answer = await tell(office, "words.add", words=["a" + marks(400_000)])
    assert answer["code"] == 400
