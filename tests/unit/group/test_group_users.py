"""US, UPUI and MMI (contract.md section 7)."""

from itertools import count

import pytest
from google.protobuf.descriptor import FieldDescriptor

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, InfoType, SubSignal, UserResultCode
from tests.unit.group.group_kit import Office

PROFILE_FIELDS = [field.name for field in pb.User.DESCRIPTOR.fields]


async def search(office: Office, keyword: str, fuzzy: int = 0, page: int = 0) -> list[pb.User]:
    body = pb.SearchUserRequest(keyword=keyword, fuzzy=fuzzy, page=page)
    return list(pb.SearchUserResult.FromString(await office.payload("", SubSignal.US, body)).entry)


async def pull(office: Office, *uids: str, known: int = 0) -> list[tuple[str, int]]:
    body = pb.PullUserRequest(request=[pb.UserRequest(uid=uid, update_dt=known) for uid in uids])
    payload = await office.payload("", SubSignal.UPUI, body)
    return [(one.user.uid, one.code) for one in pb.PullUserResult.FromString(payload).result]


async def profile(office: Office, uid: str) -> pb.User:
    body = pb.PullUserRequest(request=[pb.UserRequest(uid=uid)])
    return pb.PullUserResult.FromString(await office.payload(uid, SubSignal.UPUI, body)).result[0].user


async def modify(office: Office, uid: str, *entries: tuple[int, str]) -> int:
    body = pb.ModifyMyInfoRequest(entry=[pb.InfoEntry(type=type, value=value) for type, value in entries])
    return await office.code(uid, SubSignal.MMI, body)


async def test_an_exact_search_finds_the_whole_name_alone(office: Office) -> None:
    ann = await office.user("Ann Li")
    await office.user("Ann Lim")
    assert [user.uid for user in await search(office, "Ann Li")] == [ann]
    assert [user.uid for user in await search(office, " Ann Li ")] == [ann]
    assert await search(office, "Ann") == []


async def test_a_fuzzy_search_finds_parts_and_signs_of_patterns_as_they_are(office: Office) -> None:
    percent, plain = await office.user("100% Ann"), await office.user("1000 Ann")
    assert {user.uid for user in await search(office, "Ann", fuzzy=1)} == {percent, plain}
    assert [user.uid for user in await search(office, "0% ", fuzzy=1)] == [percent]
    assert await search(office, "1_0", fuzzy=1) == []


@pytest.mark.parametrize("fuzzy", [0, 1])
async def test_a_keyword_longer_than_any_name_finds_nobody(office: Office, fuzzy: int) -> None:
    assert await search(office, "x" * 100_000, fuzzy) == []


async def test_a_found_user_has_every_field(office: Office) -> None:
    await office.user("Ann")
    (user,) = await search(office, "Ann")
    assert [name for name in PROFILE_FIELDS if not user.HasField(name)] == []


async def test_a_search_pages(office: Office) -> None:
    everybody = {await office.user("Ann") for _ in range(23)}
    pages = [await search(office, "Ann", page=page) for page in range(3)]
    assert [len(page) for page in pages] == [20, 3, 0]
    assert {user.uid for page in pages for user in page} == everybody
    assert await search(office, "Ann", page=-1) == pages[0]
    assert await search(office, "Ann", page=(1 << 31) - 1) == []


@pytest.mark.parametrize("keyword", ["", "  "])
async def test_a_search_for_nothing_finds_nobody(office: Office, keyword: str) -> None:
    await office.user("Ann")
    assert await search(office, keyword, fuzzy=1) == []


async def test_upui_says_of_each_whether_it_is_found_and_newer_than_known(office: Office) -> None:
    ann = await office.user("Ann")  # version 2
    assert await pull(office, ann, "nobody", ann) == [
        (ann, UserResultCode.OK),
        ("nobody", UserResultCode.NOT_FOUND),
        (ann, UserResultCode.OK),
    ]
    assert await pull(office, ann, known=1) == [(ann, UserResultCode.OK)]
    assert await pull(office, ann, known=2) == [(ann, UserResultCode.NOT_MODIFIED)]
    assert await pull(office) == []


async def test_upui_is_bounded(office: Office) -> None:
    body = pb.PullUserRequest(request=[pb.UserRequest(uid=str(n)) for n in range(2001)])
    assert await office.code("", SubSignal.UPUI, body) == Code.INVALID_PARAMETER
    del body.request[0]
    payload = await office.payload("", SubSignal.UPUI, body)
    assert len(pb.PullUserResult.FromString(payload).result) == 2000


async def test_the_answer_to_upui_is_bounded(office: Office) -> None:
    """A user with a long profile, asked for again and again, is no way to make an answer of a hundred megabytes."""
    ann, bob = await office.user("Ann"), await office.user("Bob")
    assert await modify(office, ann, (InfoType.EXTRA, "飞" * 16000)) == Code.SUCCESS
    found = await pull(office, bob, "nobody", *[ann] * 1000, bob)
    assert found[:3] == [
        (bob, UserResultCode.OK),
        ("nobody", UserResultCode.NOT_FOUND),
        (ann, UserResultCode.OK),
    ]
    assert 20 <= len(found) <= (1 << 20) // 48_000 + 2


async def test_the_text_fields_of_nobody_are_there_and_empty(office: Office) -> None:
    user = await profile(office, "nobody")
    texts = [f.name for f in pb.User.DESCRIPTOR.fields if f.type == FieldDescriptor.TYPE_STRING]
    assert [name for name in texts if not user.HasField(name)] == []


@pytest.mark.parametrize("info", [info for info in InfoType if info is not InfoType.GENDER])
async def test_mmi_changes_one_field_and_the_version(office: Office, info: InfoType) -> None:
    ann, bob = await office.user("Ann"), await office.user("Bob")
    before, other = await profile(office, ann), await profile(office, bob)
    assert await modify(office, ann, (info, "新 value")) == Code.SUCCESS
    after = await profile(office, ann)
    changed = {f for f in PROFILE_FIELDS if getattr(before, f) != getattr(after, f)}
    assert changed == {info.name.lower(), "update_dt"}
    assert (getattr(after, info.name.lower()), after.update_dt) == ("新 value", office.now)
    assert await profile(office, bob) == other


async def test_mmi_changes_several_fields_and_the_last_of_one_counts(office: Office) -> None:
    ann = await office.user("Ann")
    assert (
        await modify(office, ann, (InfoType.GENDER, "2"), (InfoType.ADDRESS, "a"), (InfoType.ADDRESS, ""))
        == Code.SUCCESS
    )
    user = await profile(office, ann)
    assert (user.gender, user.address, user.display_name) == (2, "", "Ann")


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [(9, "x")],
        [(-1, "x")],
        [(InfoType.GENDER, "male")],
        [(InfoType.GENDER, "")],
        [(InfoType.GENDER, "-1")],
        [(InfoType.GENDER, "2147483648")],
        [(InfoType.DISPLAY_NAME, "x" * 65)],
        [(InfoType.EXTRA, "x" * 16001)],
        [(InfoType.ADDRESS, "here"), (9, "x")],
    ],
    ids=map(str, count()),
)
async def test_mmi_changes_nothing_when_a_part_is_wrong(
    office: Office, entries: list[tuple[int, str]]
) -> None:
    ann = await office.user("Ann")
    before = await profile(office, ann)
    assert await modify(office, ann, *entries) == Code.INVALID_PARAMETER
    assert await profile(office, ann) == before


@pytest.mark.parametrize(
    ("info", "size"), [(InfoType.DISPLAY_NAME, 64), (InfoType.PORTRAIT, 2048), (InfoType.EXTRA, 16000)]
)
async def test_mmi_takes_values_up_to_their_bounds(office: Office, info: InfoType, size: int) -> None:
    assert await modify(office, await office.user("Ann"), (info, "🚀" * size)) == Code.SUCCESS
