"""Rows of the original are taken over as docs/moving.md says: on made-up rows, from a script of H2."""

from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import orjson
import pytest

from fsharechat.clock import now_ms
from fsharechat.errors import StoreError
from fsharechat.moving.h2_script import H2Script
from fsharechat.moving.importer import Importer
from fsharechat.moving.report import ImportReport, ProgressTicker
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, FriendState, MemberType
from fsharechat.store import friends, groups, heads, inboxes, messages, sessions, users, words
from fsharechat.store.imports import ImportRefused, ImportRun
from fsharechat.store.messages import conversation_key
from fsharechat.store.sqlite import SqliteStore
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Query, Row, Unit
from tools.testing.original import Original, OriginalUser, content_of
from tools.testing.original_forms import H2Form


def test_what_an_import_reads_from_fits_into_the_store() -> None:
    long = ImportRun.of("/飞" * 200, 1_795_646_015_394, True)
    assert len(orjson.dumps(tuple(long))) <= 255
    assert long != ImportRun.of("/飞" * 201, 1_795_646_015_394, True)
    assert ImportRun.of("/x", 1).source == "/x"


class Imported:
    """A store, and what the import into it said."""

    def __init__(self, store: Store, report: str, problems: Sequence[str]) -> None:
        self.store, self.report, self.problems = store, report, problems

    async def rows(self, sql: str, *params: object) -> list[Row]:
        def unit(_: Dialect) -> Unit[list[Row]]:
            return (yield Query(sql, params)).rows

        return await self.store.read(unit)

    async def members(self, gid: str) -> dict[str, int]:
        found = await self.store.read(groups.members, gid)
        return found.types if found else {}

    async def texts(self, uid: str, after: int) -> list[str]:
        pulled = await self.store.read(inboxes.pull, uid, after)
        return [pb.Message.FromString(entry.body).content.searchable_content for entry in pulled.entries]


class Move:
    """Makes rows, and imports them."""

    def __init__(self, folder: Path, store: SqliteStore) -> None:
        self.form = H2Form()
        self.original = Original(self.form)
        self.path = folder / "original.sql"
        self.store = store

    async def done(self) -> Imported:
        self.form.write(self.path)
        told = StringIO()
        report = ImportReport(told)
        importer = Importer(H2Script(self.path), self.store, ProgressTicker(StringIO()), report)
        problems = await importer.run()
        report.totals(importer.totals)
        return Imported(self.store, told.getvalue(), problems)


@pytest.fixture
async def move(tmp_path: Path, sqlite_file: Callable[[str], Path]) -> Any:
    store = SqliteStore(sqlite_file("store.db"), 100)
    await store.open()
    yield Move(tmp_path, store)
    await store.close()


def pair(move: Move) -> tuple[OriginalUser, OriginalUser]:
    """Return two users, each with one device."""
    ann = move.original.user("13800000001", "安 Ann")
    ben = move.original.user("13800000002", "Ben")
    for person in (ann, ben):
        move.original.device(person, "phone")
    return ann, ben


async def test_users_log_in_by_the_number_that_they_had(move: Move) -> None:
    ann, _ = pair(move)
    cat = move.original.user("", "Cat", _mobile="", _name="cat", _email="Cat@Example.org")
    dan = move.original.user("13800000001", "Dan", _name="dan")
    odd = move.original.user("", "Odd", _name="odd", _mobile="")
    move.form.put("t_user_status", {"_uid": ann.uid, "_status": 2, "_dt": 1})
    done = await move.done()
    assert done.problems == []
    profile = (await done.store.read(users.profiles, [ann.uid]))[ann.uid]
    assert profile[1:3] == ("13800000001", "安 Ann")
    assert profile[-1] == move.original.now
    numbers: dict[str, str] = dict(await done.rows("SELECT uid, number FROM users"))
    assert numbers[ann.uid] == "13800000001"
    assert numbers[cat.uid] == "cat@example.org"
    assert numbers[dan.uid] == dan.uid
    assert numbers[odd.uid] == odd.uid
    assert f"{dan.uid}: 13800000001" in done.report
    assert f"{odd.uid} (odd)" in done.report
    assert await done.rows("SELECT uid FROM users WHERE status = 2") == [(ann.uid,)]
    assert [row[0] for row in await done.store.read(users.search, "nn", True, 0)] == []  # blocked
    assert [row[0] for row in await done.store.read(users.search, "be", True, 0)] != []


async def test_sessions_keep_their_secrets_and_are_known_as_imported(move: Move) -> None:
    ann, ben = pair(move)
    move.form.put("t_user_session", {"_uid": ben.uid, "_cid": "old", "_secret": "short", "_dt": 1})
    done = await move.done()
    assert done.problems == []
    found = await done.store.read(sessions.find, ann.uid, "phone")
    assert found is not None
    assert found[0].secret == ann.devices["phone"].account.secret
    assert found[0].db_secret == ann.devices["phone"].db_secret
    assert found[0].imported
    assert await done.store.read(sessions.find, ben.uid, "old") is None
    assert f"{ben.uid} old" in done.report


async def test_friends_requests_settings_and_their_versions(move: Move) -> None:
    ann, ben = pair(move)
    move.original.befriend(ann, ben, "我是 Ann's")
    now = move.original.now
    cat = move.original.user("13800000003")
    for uid, other, state in ((ann.uid, cat.uid, 2), (cat.uid, ann.uid, 0), (cat.uid, ben.uid, 2)):
        row = {"_uid": uid, "_friend_uid": other, "_state": state, "_dt": now, "_alias": None}
        move.form.put("t_friend", row)
    setting = {"_uid": ann.uid, "_scope": 3, "_key": "0-0-x", "_value": "1", "_dt": now + 5}
    move.form.put("t_user_setting", setting)
    done = await move.done()
    assert done.problems == []
    assert (await done.store.read(friends.changed, ben.uid, 0))[0][:2] == (ann.uid, FriendState.FRIEND)
    (request,) = await done.store.read(friends.requests, ben.uid, 0)
    assert (request.from_uid, request.reason, request.status) == (ann.uid, "我是 Ann's", 1)
    assert request.to_read
    found = (await done.store.read(heads.own, [ann.uid]))[ann.uid]
    assert (found.requests, found.settings) == (request.update_dt, now + 5)
    assert found.friends == now
    assert (await done.store.read(friends.tie, ann.uid, cat.uid)).beneath == FriendState.FRIEND
    assert (await done.store.read(friends.tie, cat.uid, ben.uid)).beneath == FriendState.DELETED


async def test_words_are_folded_and_those_that_are_none_are_named(move: Move) -> None:
    for word in ("ＢＡＤ", "bad", "坏话", " ", "x" * 65):
        move.form.put("t_sensitiveword", {"_word": word})
    done = await move.done()
    assert done.problems == []
    assert (await done.store.read(words.all_words))[1] == ["bad", "坏话"]
    assert "a sensitive word has not 1 to 64 characters (2)" in done.report


async def test_messages_say_the_same_in_the_same_order(move: Move) -> None:
    ann, ben = pair(move)
    said = ["plain", "it's", "你好 😀 \"q\" 'a' \\ back\nline", ""]
    ids = [move.original.text(ann, ben, text) for text in said]
    thumbnail = bytes(range(256)) * 40
    picture = move.original.content(
        ben, ann, type=3, data=thumbnail, searchable_content="[图片]", remote_media_url="https://m/1.png"
    )
    done = await move.done()
    assert done.problems == []
    key = conversation_key(0, 0, ann.uid, ben.uid)
    history = [pb.Message.FromString(body) for body in await done.store.read(messages.history, key, 0, 10)]
    assert [message.message_id for message in history] == [picture, *reversed(ids)]
    assert [message.content.searchable_content for message in history] == ["[图片]", *reversed(said)]
    assert history[0].content.data == thumbnail
    assert history[0].content.remote_media_url == "https://m/1.png"
    assert history[0].conversation.target == ann.uid
    assert history[0].from_user == ben.uid
    assert history[0].server_timestamp == move.original.now
    assert history[0].IsInitialized()


async def test_a_recalled_message_has_no_text_any_more(move: Move) -> None:
    ann, ben = pair(move)
    id = move.original.text(ann, ben, "secret")
    move.original.recall(id, ann)
    done = await move.done()
    assert done.problems == []
    body = await done.store.read(messages.body, id)
    assert body is not None
    content = pb.Message.FromString(body).content
    assert (content.type, content.content, content.data) == (ContentType.RECALLED, ann.uid, str(id).encode())
    assert b"secret" not in body


@pytest.mark.parametrize("rows", [1, 100], ids=["in two pages", "in one page"])
@pytest.mark.parametrize("recall_last", [True, False])
async def test_a_recall_that_is_a_second_row_is_what_counts(
    move: Move, monkeypatch: pytest.MonkeyPatch, rows: int, recall_last: bool
) -> None:
    monkeypatch.setattr("fsharechat.moving.h2_script.PAGE_ROWS", rows)
    ann, ben = pair(move)
    id = move.original.text(ann, ben, "secret")
    recalled = {"type": 80, "content": ben.uid, "data": str(id).encode()}
    first, second = {"type": 1, "searchable_content": "secret"}, recalled
    if not recall_last:
        first, second = second, first  # it was written into the table of another month
    move.form.change("t_messages", {"_mid": id}, {"_data": content_of(first)})
    row = {"_mid": id, "_from": ann.uid, "_type": 0, "_target": ben.uid, "_line": 0, "_dt": None}
    move.form.put("t_messages", {**row, "_data": content_of(second)})
    done = await move.done()
    assert done.problems == []
    assert "messages: 2 read, 1 taken, 1 left out" in done.report
    body = await done.store.read(messages.body, id)
    assert body is not None
    assert b"secret" not in body
    assert pb.Message.FromString(body).content.content == ben.uid


async def test_heads_and_seqs_stay_what_devices_know(move: Move) -> None:
    ann, ben = pair(move)
    move.original.text(ann, ben, "one")
    move.original.signal(ben, ann)
    move.original.text(ann, ben, "two")
    move.original.hole(ben, 50)
    move.original.text(ann, ben, "three")
    move.original.signal(ann, ben)
    done = await move.done()
    assert done.problems == []
    found = await done.store.read(heads.own, [ann.uid, ben.uid])
    assert (found[ann.uid].seq, found[ben.uid].seq) == (ann.head, ben.head)
    assert "inbox entries: 10 read, 6 taken, 4 left out" in done.report
    first = min(ben.inbox)
    assert await done.texts(ben.uid, first) == ["two", "three"]
    assert await done.texts(ben.uid, first - 1) == ["one", "two", "three"]
    assert await done.texts(ben.uid, ben.head) == []
    # What comes next has the next number.
    cat = move.original.user("13800000009")
    body = pb.Message(from_user=cat.uid)
    body.content.type = 1
    stored = await done.store.write(
        messages.append,
        [messages.NewMessage(1 << 62, cat.uid, 1, "x", body.SerializePartialToString(), [ben.uid])],
    )
    assert [entry.seq for entry in stored[0].entries if entry.uid == ben.uid] == [ben.head + 1]


@pytest.mark.parametrize("rows", [1, 100], ids=["in pages of one", "in one page"])
async def test_a_message_is_its_senders_only_devices_own(
    move: Move, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr("fsharechat.moving.h2_script.PAGE_ROWS", rows)
    ann, ben = pair(move)
    move.original.device(ben, "web")
    move.original.befriend(ann, ben, "hello, it is me")
    mine = move.original.text(ann, ben, "mine")
    theirs = move.original.text(ben, ann, "from one of two devices")
    recalled = move.original.text(ann, ben, "no")
    move.original.recall(recalled, ben)
    done = await move.done()
    clients: dict[int, str | None] = dict(await done.rows("SELECT id, client FROM messages"))
    assert clients.pop(mine) == "phone"
    assert clients.pop(theirs) is None
    assert clients.pop(recalled) is None  # ann's device may not know
    assert set(clients.values()) == {None}  # the greeting, which the server sent for ann, and two tips
    assert len(clients) == 3


async def test_who_has_quit_is_out_and_who_came_back_is_in(move: Move) -> None:
    owner, quits = pair(move)
    others = [move.original.user(f"1390000000{number}") for number in range(3)]
    back, kicked, stays = others
    gid = move.original.group(owner, [quits, *others])
    move.original.quit(quits, gid)
    move.original.quit(back, gid)
    move.original.add(owner, gid, [back])
    move.original.kick(owner, gid, kicked)
    done = await move.done()
    assert done.problems == []
    assert await done.members(gid) == {
        owner.uid: MemberType.OWNER,
        back.uid: MemberType.NORMAL,
        stays.uid: MemberType.NORMAL,
    }
    info = (await done.store.read(groups.infos, [gid]))[gid]
    assert info.member_count == 3
    assert "may have left" not in done.report
    assert await done.rows("SELECT * FROM import_notes") == []


async def test_what_cannot_be_decided_is_told(move: Move) -> None:
    owner, ben = pair(move)
    gid = move.original.group(owner, [ben])
    move.form.change("t_group", {"_gid": gid}, {"_member_count": 1})
    move.form.put("t_group_member", {"_gid": "nowhere", "_mid": ben.uid, "_type": 0, "_dt": 1})
    done = await move.done()
    assert "a group has more members than the original counted" in done.report
    assert f"{gid}: 2, not 1" in done.report
    assert f"{ben.uid} in nowhere" in done.report
    assert await done.members(gid) == {owner.uid: MemberType.OWNER, ben.uid: MemberType.NORMAL}


async def test_an_owner_who_quit_leaves_the_group_to_the_eldest(move: Move) -> None:
    owner, ben = pair(move)
    gid = move.original.group(owner, [ben], kind=1)
    move.original.quit(owner, gid)
    done = await move.done()
    assert await done.members(gid) == {ben.uid: MemberType.OWNER}
    assert (await done.store.read(groups.infos, [gid]))[gid].owner == ben.uid
    assert f"{gid}: {owner.uid}, {ben.uid}" in done.report


async def test_nobody_can_take_the_id_of_a_group_that_is_gone(move: Move) -> None:
    owner, ben = pair(move)
    gid = move.original.group(owner, [ben])
    move.original.group_text(ben, gid, "before")
    move.original.dismiss(owner, gid)
    done = await move.done()
    assert done.problems == []
    assert await done.members(gid) == {}
    assert await done.store.read(groups.infos, [gid]) == {}
    info = groups.Info(gid, "mine now", "", ben.uid, 0, "", 0, False, 1, 1)
    assert not await done.store.write(groups.create, info)


async def test_two_messages_with_one_id_are_both_kept(move: Move) -> None:
    ann, ben = pair(move)
    first = move.original.text(ann, ben, "first")
    cat, dan = move.original.user("13800000008"), move.original.user("13800000009")
    second = move.original.text(cat, dan, "second")
    for table in ("t_messages", "t_user_messages"):
        move.form.change(table, {"_mid": second}, {"_mid": first})
    done = await move.done()
    assert done.problems == []
    assert "two messages had one id" in done.report
    assert await done.texts(ben.uid, ben.head - 1) == ["first"]
    assert await done.texts(dan.uid, dan.head - 1) == ["second"]
    key = conversation_key(0, 0, dan.uid, cat.uid)
    (body,) = await done.store.read(messages.history, key, 0, 5)
    assert pb.Message.FromString(body).message_id > first


async def test_the_second_of_two_entries_with_one_seq_comes_at_the_end(move: Move) -> None:
    ann, ben = pair(move)
    move.original.text(ann, ben, "first")
    seq = ben.head
    second = move.original.text(ann, ben, "second")
    move.original.text(ann, ben, "third")
    move.form.change("t_user_messages", {"_mid": second, "_uid": ben.uid}, {"_seq": seq})
    done = await move.done()
    assert done.problems == []
    assert await done.texts(ben.uid, seq - 1) == ["first", "third", "second"]
    assert "two entries of an inbox had one seq" in done.report


async def test_what_cannot_be_read_costs_itself_alone(move: Move) -> None:
    ann, ben = pair(move)
    broken = move.original.text(ann, ben, "broken")
    chat_room = move.original.text(ann, ben, "room")
    move.original.text(ann, ben, "fine")
    move.form.change("t_messages", {"_mid": broken}, {"_data": b"\x12\x05ab"})
    move.form.change("t_messages", {"_mid": chat_room}, {"_type": 2})
    done = await move.done()
    assert done.problems == []
    assert await done.texts(ben.uid, min(ben.inbox) - 1) == ["fine"]
    assert str(broken) in done.report
    assert "a message of a chat room or a channel is not taken (1)" in done.report


async def test_an_import_that_was_cut_off_goes_on_where_it_was(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsharechat.moving.h2_script.PAGE_ROWS", 7)
    ann, ben = pair(move)
    gid = move.original.group(ann, [ben])
    for number in range(40):
        move.original.text(ann, ben, f"text {number}")
    move.original.quit(ben, gid)
    move.form.write(move.path)
    writes = 0
    write = move.store.write

    async def fails_at(at: int) -> None:
        nonlocal writes
        writes = 0

        async def counted(*args: Any) -> Any:
            nonlocal writes
            writes += 1
            if writes == at:
                raise StoreError("cut off")
            return await write(*args)

        with monkeypatch.context() as patch:
            patch.setattr(move.store, "write", counted)
            await Importer(
                H2Script(move.path), move.store, ProgressTicker(StringIO()), ImportReport(StringIO())
            ).run()

    cut = 0
    for at in (2, 5, 9, 12, 15, 16):
        with pytest.raises(StoreError, match="cut off"):
            await fails_at(at)
        cut += 1
    done = await move.done()
    assert cut == 6
    assert done.problems == []
    assert "messages: 42 read, 42 taken, 0 left out" in done.report
    assert await done.texts(ben.uid, min(ben.inbox)) == [f"text {number}" for number in range(40)] + [""]
    assert await done.members(gid) == {ann.uid: MemberType.OWNER}


async def test_a_store_with_users_or_of_another_import_is_refused(move: Move, tmp_path: Path) -> None:
    await move.store.write(users.insert, "someone", "13800000001", "x", 1)
    with pytest.raises(ImportRefused, match="has users already"):
        await move.done()


async def test_a_script_that_has_changed_is_another_source(
    move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its positions would be wrong."""
    pair(move)

    async def check(_: Importer) -> list[str]:
        return ["something is wrong"]

    with monkeypatch.context() as patch:
        patch.setattr(Importer, "_check", check)
        assert (await move.done()).problems == ["something is wrong"]
    move.original.user("13800000007")
    with pytest.raises(ImportRefused, match="has begun in the store"):
        await move.done()


async def test_messages_of_the_future_are_told_of(move: Move) -> None:
    ann, ben = pair(move)
    move.original.now = now_ms() + 3_600_000
    move.original.text(ann, ben, "too early")
    assert "of the future" in (await move.done()).report


async def test_an_import_is_not_repeated(move: Move) -> None:
    await move.done()
    with pytest.raises(ImportRefused, match="is complete"):
        await move.done()
