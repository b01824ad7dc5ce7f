"""Groups and settings are asked for as the contract says (contract.md sections 7 and 8)."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fsharechat.client import (
    Client,
    GroupExists,
    GroupNotice,
    NoRight,
    NotExist,
    Options,
    RequestError,
    conversation_key,
    group,
    group_notice,
    private,
)
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import ContentType, GroupType, MemberType, SubSignal
from tests.unit.client.fake_peer import CREDENTIALS, FRIEND, ME, Answer, FakePeer, stored

FAST = Options.fast()
GROUP = "g1"


async def test_a_group_is_made_under_an_id_that_both_transports_know(peer: FakePeer, transport: str) -> None:
    peer.rule = lambda sub, body: (
        (0, body.group.group_info.target_id.encode()) if sub is SubSignal.GC else None
    )
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        made = await client.groups.create("Hikers", [FRIEND, "c"], type=GroupType.RESTRICTED, extra="x")
        other = await client.groups.create("Hikers")
    request = peer.asked(SubSignal.GC)[0].group
    assert request.group_info.target_id == made != other
    assert (request.group_info.name, request.group_info.type, request.group_info.extra) == ("Hikers", 2, "x")
    assert [(member.member_id, member.type) for member in request.members] == [(FRIEND, 0), ("c", 0)]


async def test_a_server_that_chooses_another_id_is_believed(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: (0, b"chosen-there") if sub is SubSignal.GC else None
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        assert await client.groups.create("Hikers", group_id="chosen-here") == "chosen-there"


async def test_a_group_that_exists(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: (11, None)
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        with pytest.raises(GroupExists):
            await client.groups.create("Hikers", group_id=GROUP)


async def test_infos_and_members(peer: FakePeer, transport: str) -> None:
    info = pb.GroupInfo(
        target_id=GROUP, name="n", portrait="p", owner=ME, type=1, member_count=2, extra="x", update_dt=9
    )
    member = pb.GroupMember(member_id=FRIEND, alias="Bo", type=1, update_dt=9)

    def rule(sub: SubSignal, body: Any) -> Answer | None:
        if sub is SubSignal.GPGI:
            known = [info] if body.request[0].uid == GROUP else []
            return 0, pb.PullGroupInfoResult(info=known)
        return 0, pb.PullGroupMemberResult(member=[member])

    peer.rule = rule
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        assert await client.groups.info(GROUP) == info
        assert await client.groups.members(GROUP, since=7) == [member]
        assert await client.groups.infos(["other"]) == []
        with pytest.raises(NotExist):
            await client.groups.info("other")
    assert (peer.asked(SubSignal.GPGM)[0].target, peer.asked(SubSignal.GPGM)[0].head) == (GROUP, 7)


Change = Callable[[Client], Awaitable[None]]
CHANGES: list[tuple[SubSignal, Change, dict[str, Any]]] = [
    (SubSignal.GAM, lambda c: c.groups.add(GROUP, ["a", "b"]), {"group_id": GROUP}),
    (SubSignal.GKM, lambda c: c.groups.kick(GROUP, ["a"]), {"group_id": GROUP, "removed_member": ["a"]}),
    (SubSignal.GQ, lambda c: c.groups.quit(GROUP), {"group_id": GROUP}),
    (SubSignal.GD, lambda c: c.groups.dismiss(GROUP), {"group_id": GROUP}),
    (SubSignal.GMI, lambda c: c.groups.rename(GROUP, "new"), {"group_id": GROUP, "type": 0, "value": "new"}),
    (SubSignal.GMI, lambda c: c.groups.set_portrait(GROUP, "u"), {"type": 1, "value": "u"}),
    (SubSignal.GMI, lambda c: c.groups.set_extra(GROUP, "e"), {"type": 2, "value": "e"}),
    (SubSignal.GMA, lambda c: c.groups.set_alias(GROUP, "me"), {"group_id": GROUP, "alias": "me"}),
    (SubSignal.GTG, lambda c: c.groups.transfer(GROUP, "b"), {"group_id": GROUP, "new_owner": "b"}),
    (
        SubSignal.GSM,
        lambda c: c.groups.set_type(GROUP, ["b"], MemberType.SILENCED, until=9),
        {"group_id": GROUP, "type": 3, "member_id": ["b"], "until": 9},
    ),
]


@pytest.mark.parametrize(("sub", "change", "fields"), CHANGES)
async def test_changes(
    peer: FakePeer, transport: str, sub: SubSignal, change: Change, fields: dict[str, Any]
) -> None:
    peer.rule = lambda asked, body: (0, None) if asked is sub else None
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        await change(client)
        (request,) = peer.asked(sub)
        for name, value in fields.items():
            assert getattr(request, name) == value
        if sub is SubSignal.GAM:
            assert [member.member_id for member in request.added_member] == ["a", "b"]
        peer.rule = lambda asked, body: (248, None) if asked is sub else None
        with pytest.raises(NoRight if transport == "tcp" else RequestError):
            await change(client)


async def test_a_notice_of_ones_own_exists_over_tcp_only(peer: FakePeer) -> None:
    peer.rule = lambda sub, body: (0, None) if sub is SubSignal.GQ else None
    notice = pb.MessageContent(type=90, content="bye")
    async with Client(CREDENTIALS, tcp=peer.tcp) as client:
        await client.groups.quit(GROUP, notice=notice)
        assert peer.asked(SubSignal.GQ)[0].notify_content == notice
    async with Client(CREDENTIALS, ws=peer.ws) as client:
        with pytest.raises(ValueError, match="over WebSocket"):
            await client.groups.quit(GROUP, notice=notice)


def notice(kind: int, data: bytes) -> pb.Message:
    message = stored(7)
    message.conversation.CopyFrom(group(GROUP))
    message.content.CopyFrom(pb.MessageContent(type=kind, data=data))
    return message


def test_notices_are_read() -> None:
    added = notice(105, b'{"g":"g1","o":"a","ms":["b","c"]}')
    assert group_notice(added) == GroupNotice(ContentType.MEMBERS_ADDED, GROUP, "a", "", ("b", "c"))
    renamed = notice(110, '{"g":"g1","o":"a","n":"新"}'.encode())
    assert group_notice(renamed) == GroupNotice(ContentType.GROUP_RENAMED, GROUP, "a", "新", ())
    silenced = notice(90, b'{"g":"g1","o":"a","ms":["b"],"t":3,"u":9}')
    told = GroupNotice(ContentType.TIP, GROUP, "a", "", ("b",), MemberType.SILENCED, 9)
    assert group_notice(silenced) == told


@pytest.mark.parametrize("data", [b"", b"{}", b'{"t":77}'])
def test_other_tips_are_no_notices(data: bytes) -> None:
    assert group_notice(notice(90, data)) is None


async def test_all_pages_of_ones_groups(peer: FakePeer, transport: str) -> None:
    pages = {
        "": pb.MyGroupsResult(version=7, next="g2", group=[_mine("g1"), _mine("g2")]),
        "g2": pb.MyGroupsResult(version=8, next="", group=[_mine("g3")]),
    }
    peer.rule = lambda sub, body: (0, pages[body.after]) if sub is SubSignal.GML else None
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        found = await client.groups.mine(5)
    assert [one.group_info.target_id for one in found.groups] == ["g1", "g2", "g3"]
    assert found.version == 7
    assert [body.version for body in peer.asked(SubSignal.GML)] == [5, 5]


def _mine(id: str) -> pb.MyGroup:
    return pb.MyGroup(group_info=pb.GroupInfo(target_id=id, name="n", type=0), type=0, alias="")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"ms": 3}', b"\xff"])
def test_a_notice_that_cannot_be_read_is_none(data: bytes) -> None:
    assert group_notice(notice(105, data)) is None


def test_other_messages_are_no_notices() -> None:
    assert group_notice(stored(1)) is None


async def test_settings_are_put_and_pulled(peer: FakePeer, transport: str) -> None:
    entry = pb.UserSettingEntry(scope=1, key="0-0-a", value="0", update_dt=9)

    def rule(sub: SubSignal, body: Any) -> Answer | None:
        return (
            (0, (12).to_bytes(8, "big"))
            if sub is SubSignal.UP
            else (0, pb.GetUserSettingResult(entry=[entry]))
        )

    peer.rule = rule
    async with Client(CREDENTIALS, **peer.address(transport)) as client:
        assert await client.settings.set_muted(private("a", line=2), True) == 12
        await client.settings.set_on_top(group(GROUP), False)
        await client.settings.set_saved(GROUP, True)
        assert await client.settings.pull(5) == [entry]
    put = [(body.scope, body.key, body.value) for body in peer.asked(SubSignal.UP)]
    assert put == [(1, "0-2-a", "1"), (3, "1-0-g1", "0"), (6, GROUP, "1")]
    assert peer.asked(SubSignal.UG)[0].version == 5
    assert conversation_key(group(GROUP)) == "1-0-g1"
