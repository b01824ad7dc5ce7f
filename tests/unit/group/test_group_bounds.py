"""What one request may cost: lists, texts and answers have an end (code 251 or 2, or a shorter answer)."""

from typing import Any

import pytest

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import MAX_ITEMS
from fsharechat.protocol.signals import Code, GroupInfoType, SubSignal
from fsharechat.store.unit import Dialect, Unit
from roles.group import recall
from tests.unit.group.group_kit import Office, text
from tests.unit.group.groups_kit import add, create, dismiss, infos, kick, leave, modify, new_group, said, say


@pytest.mark.parametrize("field", ["to", "mentioned_target"])
async def test_a_message_names_at_most_max_items_users(office: Office, field: str) -> None:
    ann, ben = await office.users(2)
    for count, code in ((MAX_ITEMS, Code.SUCCESS), (MAX_ITEMS + 1, Code.INVALID_DATA)):
        message = text(ben)
        names = message.to if field == "to" else message.content.mentioned_target
        names.extend([""] * count)
        assert (await office.ask(ann, SubSignal.MS, message)).code == code


async def test_whom_a_message_mentions_is_utf8(office: Office) -> None:
    """Some clients refuse the whole answer to a pull over one text that is not."""
    ann, ben = await office.users(2)
    message = text(ben)
    message.content.mentioned_target.append("abc")
    body = message.SerializeToString().replace(b"abc", b"a\xffc")
    assert await office.code(ann, SubSignal.MS, body) == Code.INVALID_DATA


async def test_the_answer_to_gpgi_is_bounded(office: Office) -> None:
    (ann,) = await office.users(1)
    request = new_group(name="large")
    request.group.group_info.extra = "飞" * 16_000
    small = await create(office, ann)
    large = [(await office.payload(ann, SubSignal.GC, request)).decode() for _ in range(50)]
    found = [info.target_id for info in await infos(office, ann, small, "none", *large, small)]
    assert found == [small, *large[: len(found) - 1]]
    assert 20 <= len(found) <= (1 << 20) // 48_000 + 1


@pytest.fixture
def units(office: Office, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The units of work that the store is asked for from now on, by name."""
    seen: list[str] = []
    for way in ("read", "read_for", "search_for", "write", "write_heads"):
        original = getattr(office.node.store, way)

        def spy(*args: Any, original: Any = original, **kwargs: Any) -> Any:
            seen.append(next(arg.__name__ for arg in args if callable(arg)))
            return original(*args, **kwargs)

        monkeypatch.setattr(office.node.store, way, spy)
    return seen


async def test_strangers_have_no_member_locked_and_none_read(office: Office, units: list[str]) -> None:
    """Who only knows the id of a group of thousands can make the server look at two rows, and not at thousands."""
    ann, ben, stranger = await office.users(3)
    group = await create(office, ann, ben)
    await said(office, ann, group)
    await said(office, stranger, await create(office, stranger))  # whose own rights are cached by now
    units.clear()
    assert await modify(office, stranger, group, GroupInfoType.NAME, "mine") == Code.NOT_IN_GROUP
    assert await add(office, stranger, group, stranger) == Code.NOT_IN_GROUP
    assert await leave(office, stranger, group) == Code.NOT_IN_GROUP
    assert await kick(office, stranger, group, ben) == Code.NO_RIGHT
    assert await dismiss(office, stranger, group) == Code.NO_RIGHT
    assert (await say(office, stranger, group)).code == Code.NOT_IN_GROUP
    history = pb.LoadRemoteMessages(
        conversation=pb.Conversation(type=1, target=group, line=0), before_uid=0, count=9
    )
    assert await office.code(stranger, SubSignal.LRM, history) == Code.NOT_IN_GROUP
    report = pb.ReadReport(type=1, target=group, date=1)
    assert await office.code(stranger, SubSignal.MRR, report) == Code.NOT_IN_GROUP
    assert units == ["seat"] * 8
    await said(office, ben, group)  # the members are cached as they were
    assert units[8:] == ["rights"]


async def test_a_notice_is_no_place_for_a_picture(office: Office) -> None:
    (ann,) = await office.users(1)
    group = await create(office, ann)
    for size, code in ((60 << 10, Code.SUCCESS), (64 << 10, Code.INVALID_PARAMETER)):
        notice = pb.MessageContent(type=90, data=bytes(size), persist_flag=1)
        request = pb.ModifyGroupInfoRequest(group_id=group, type=0, value="x", notify_content=notice)
        assert await office.code(ann, SubSignal.GMI, request) == code


async def test_nobody_is_looked_for_where_more_are_named_than_a_group_may_have(
    office: Office, units: list[str]
) -> None:
    (ann,) = await office.users(1)
    group = await create(office, ann)
    names = [str(n) for n in range(5001)]
    assert await add(office, ann, group, *names[:5000]) == Code.SUCCESS
    units.clear()
    assert await add(office, ann, group, *names) == Code.INVALID_PARAMETER
    assert await office.code(ann, SubSignal.GC, new_group(*names)) == Code.INVALID_PARAMETER
    assert units == []


async def test_ids_of_messages_that_were_guessed_cost_a_row(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, stranger, *others = await office.users(50)
    group = await create(office, ann, *others)
    id = int.from_bytes((await say(office, ann, group)).payload[:8])
    rows: list[int] = []

    def counting(dialect: Dialect, *args: Any) -> Unit[Any]:
        unit = whole(dialect, *args)
        try:
            query = next(unit)
            while True:
                result = yield query
                rows.append(len(result.rows))
                query = unit.send(result)
        except StopIteration as stop:
            return stop.value

    whole = recall._recall
    monkeypatch.setattr(recall, "_recall", counting)
    assert await office.code(stranger, SubSignal.MR, pb.INT64Buf(id=id)) == Code.NOT_EXIST
    assert sum(rows) == 1
    assert await office.code(others[0], SubSignal.MR, pb.INT64Buf(id=id)) == Code.NO_RIGHT
    assert sum(rows) == 3
    assert await office.code(ann, SubSignal.MR, pb.INT64Buf(id=id)) == Code.SUCCESS
    assert sum(rows) >= 50
