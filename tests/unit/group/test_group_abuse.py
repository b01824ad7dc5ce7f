"""RPA, and the reports that administrators see; GRL (contract.md section 8)."""

from typing import Any

from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal
from roles.group.abuse import MAX_OPEN
from tests.unit.group.group_kit import Office, text
from tests.unit.group.groups_kit import add, create, kick
from tests.unit.group.test_group_admin import tell
from tests.unit.group.test_group_edits import send


async def report(office: Office, by: str, reason: str = "spam", **what: Any) -> int:
    return await office.code(by, SubSignal.RPA, pb.ReportAbuseRequest(reason=reason, **what))


async def listed(office: Office, after: str = "", limit: int = 200, **how: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await tell(office, "reports.list", after=after, limit=limit, **how))["result"]
    return found


async def test_a_reported_message_is_kept_as_it_was(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    id = await send(office, ann, text(bob, "buy this"))
    assert await report(office, bob, id=id) == Code.SUCCESS
    await office.payload(ann, SubSignal.MR, pb.INT64Buf(id=id))
    (found,) = (await listed(office))["reports"]
    assert (found["reporter"], found["uid"], found["messageId"]) == (bob, ann, str(id))
    assert (found["type"], found["text"], found["reason"]) == (1, "buy this", "spam")
    assert (await tell(office, "reports.close", report=found["id"]))["code"] == 200
    assert (await listed(office))["reports"] == []
    for unknown in (found["id"], "x", "", "9" * 30):
        assert (await tell(office, "reports.close", report=unknown))["code"] == 404


async def test_reports_have_pages_and_a_bound(office: Office) -> None:
    ann, bob = await office.user(), await office.user()
    for number in range(MAX_OPEN):
        assert await report(office, bob, f"reason {number}", uid=ann) == Code.SUCCESS
    assert await report(office, bob, "one more", uid=ann) == Code.TOO_OFTEN
    assert await report(office, bob, "reason 0", uid=ann) == Code.SUCCESS  # as before
    first = await listed(office, limit=60)
    rest = await listed(office, first["next"])
    reasons = [one["reason"] for one in (*first["reports"], *rest["reports"])]
    assert reasons == [f"reason {number}" for number in range(MAX_OPEN)]
    assert rest["next"] == ""
    newest = await listed(office, limit=60, order="desc")
    older = await listed(office, newest["next"], order="desc")
    assert [one["reason"] for one in (*newest["reports"], *older["reports"])] == reasons[::-1]


async def test_reports_are_found_by_whom_they_are_about_and_by_who_made_them(office: Office) -> None:
    ann, bob, eve = [await office.user() for _ in range(3)]
    for by, about in ((ann, bob), (bob, eve), (eve, ann)):
        assert await report(office, by, f"{by} {about}", uid=about) == Code.SUCCESS
    for uid in (ann, bob, eve):
        found = (await listed(office, user=uid))["reports"]
        assert len(found) == 2
        assert all(uid in (one["reporter"], one["uid"]) for one in found)


async def test_who_may_report_what(office: Office) -> None:
    ann, bob, eve = await office.user(), await office.user(), await office.user()
    id = await send(office, ann, text(bob))
    assert await report(office, eve, id=id) == Code.NOT_EXIST
    assert await report(office, bob, uid="nobody") == Code.NOT_EXIST
    assert await report(office, ann, id=id) == Code.INVALID_PARAMETER
    assert await report(office, bob, " ", uid=ann) == Code.INVALID_PARAMETER
    assert await report(office, bob, "x" * 1001, uid=ann) == Code.INVALID_PARAMETER
    assert (await listed(office))["reports"] == []


async def read(office: Office, uid: str, group: str, date: int, *tos: str) -> None:
    request = pb.ReadReport(type=1, line=0, target=group, date=date, tos=tos)
    assert await office.code(uid, SubSignal.MRR, request) == Code.SUCCESS


async def readers(office: Office, uid: str, group: str) -> dict[str, int]:
    request = pb.GroupReadersRequest(group_id=group)
    found = pb.GroupReadersResult.FromString(await office.payload(uid, SubSignal.GRL, request))
    return {one.uid: one.date for one in found.reader}


async def test_who_has_read_is_told_to_those_who_were_told(office: Office) -> None:
    ann, bob, cid, dan, eve = [await office.user() for _ in range(5)]
    group = await create(office, ann, bob, cid, dan)
    first = office.now
    await read(office, bob, group, first)
    office.now += 1000
    await read(office, bob, group, office.now, ann)
    await read(office, cid, group, office.now, ann, bob)
    assert await readers(office, ann, group) == {bob: first + 1000, cid: first + 1000}
    assert await readers(office, bob, group) == {cid: first + 1000}
    assert await readers(office, dan, group) == {bob: first}
    await office.blacklist(bob, dan)
    assert await readers(office, dan, group) == {}
    office.now += 1000
    await add(office, ann, group, eve)
    assert await readers(office, eve, group) == {}  # who came later
    await kick(office, ann, group, dan)
    assert await office.code(dan, SubSignal.GRL, pb.GroupReadersRequest(group_id=group)) == 9
