"""UG and UP: what a user sets for all devices (contract.md sections 7 and 8)."""

import struct

import pytest

from fsharechat.bus import Notify
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal
from roles.group import settings
from tests.unit.group.group_kit import Office

UG, UP, UN = SubSignal.UG, SubSignal.UP, SubSignal.UN


def change(scope: int, key: str, value: str) -> pb.ModifyUserSettingReq:
    return pb.ModifyUserSettingReq(scope=scope, key=key, value=value)


async def put(office: Office, uid: str, scope: int, key: str, value: str) -> int:
    """Set something; return the version."""
    version: int = struct.unpack(">q", await office.payload(uid, UP, change(scope, key, value)))[0]
    return version


async def pull(office: Office, uid: str, version: int = 0) -> list[tuple[int, str, str, int]]:
    payload = await office.payload(uid, UG, pb.Version(version=version))
    found = pb.GetUserSettingResult.FromString(payload).entry
    return [(entry.scope, entry.key, entry.value, entry.update_dt) for entry in found]


@pytest.fixture
async def ann(office: Office) -> str:
    uid = await office.user()
    office.online(uid)
    return uid


async def test_who_has_set_nothing_gets_nothing(office: Office, ann: str) -> None:
    assert await office.payload(ann, UG, pb.Version(version=0)) == b""


async def test_what_is_set_is_answered_with_its_version(office: Office, ann: str) -> None:
    first = await put(office, ann, 1, "0-bob-0", "1")
    second = await put(office, ann, 2, "", "1")
    assert (first, second) == (office.now, office.now + 1)
    assert await pull(office, ann) == [(1, "0-bob-0", "1", first), (2, "", "1", second)]
    assert await pull(office, ann, first) == [(2, "", "1", second)]
    assert await pull(office, ann, second) == []


async def test_off_is_a_setting_and_stays(office: Office, ann: str) -> None:
    await put(office, ann, 3, "1-group-0", "1")
    version = await put(office, ann, 3, "1-group-0", "0")
    assert await pull(office, ann) == [(3, "1-group-0", "0", version)]


async def test_the_same_value_again_is_a_change(office: Office, ann: str) -> None:
    first = await put(office, ann, 6, "group", "1")
    assert await put(office, ann, 6, "group", "1") > first


async def test_the_users_other_devices_are_told_the_version(office: Office, ann: str) -> None:
    version = await put(office, ann, 1, "0-bob-0", "1")
    assert office.events == [Notify(UN, struct.pack(">q", version), ann, "phone")]


async def test_settings_are_those_of_the_caller(office: Office, ann: str) -> None:
    await put(office, ann, 1, "0-bob-0", "1")
    assert await pull(office, await office.user()) == []


async def test_a_retried_change_is_made(office: Office, ann: str) -> None:
    request = change(1, "0-bob-0", "1")
    for retried in (False, True):
        reply = await office.ask(ann, UP, request, retried=retried)
        assert reply.code == Code.SUCCESS
    assert [entry[:3] for entry in await pull(office, ann)] == [(1, "0-bob-0", "1")]


@pytest.mark.parametrize(
    ("scope", "key", "value"),
    [
        (0, "", ""),
        (255, "k" * 255, "v" * 4096),
        (99, "群" * 255, "群" * 1365),
        (1000, "an application's own", "1"),
        ((1 << 31) - 1, "", ""),
    ],
)
async def test_any_scope_and_key_within_bounds_is_kept(
    office: Office, ann: str, scope: int, key: str, value: str
) -> None:
    version = await put(office, ann, scope, key, value)
    assert await pull(office, ann) == [(scope, key, value, version)]


@pytest.mark.parametrize(
    ("scope", "key", "value"),
    [
        (-1, "", ""),
        (1, "k" * 256, ""),
        (1, "k ", ""),
        (1, "", "v" * 4097),
        (1, "", "群" * 1366),
    ],
)
async def test_what_is_out_of_bounds_is_refused(
    office: Office, ann: str, scope: int, key: str, value: str
) -> None:
    assert await office.code(ann, UP, change(scope, key, value)) == Code.INVALID_PARAMETER
    assert office.events == []
    assert await pull(office, ann) == []


async def test_a_user_has_a_bounded_number_of_settings(
    office: Office, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MAX_SETTINGS", 2)
    for key in ("a", "b"):
        await put(office, ann, 1, key, "1")
    office.events.clear()
    assert await office.code(ann, UP, change(1, "c", "1")) == Code.INVALID_PARAMETER
    assert office.events == []
    await put(office, ann, 1, "b", "0")
    assert [entry[1:3] for entry in await pull(office, ann)] == [("a", "1"), ("b", "0")]
