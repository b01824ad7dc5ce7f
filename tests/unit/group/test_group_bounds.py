"""What one request may cost: lists, texts and answers have an end (code 251 or 2, or a shorter answer)."""

import pytest
from group_kit import Office, text
from groups_kit import create, infos, new_group

from fsharechat.protocol.bodies import MAX_ITEMS
from fsharechat.protocol.signals import Code, SubSignal


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
    assert 40 <= len(found) <= (2 << 20) // 48_000 + 1
