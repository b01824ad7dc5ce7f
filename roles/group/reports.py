"""Who has fetched and read what: MDR, MRR and MRP (protocol.md sections 7 and 8)."""

from collections.abc import Sequence

from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ConversationType, ReportType, SubSignal
from fsharechat.rpc import Call
from fsharechat.store import reports
from fsharechat.store.reports import NewReport
from roles.group.conversations import members_with, not_in
from roles.group.handlers import handles
from roles.group.service import Group
from roles.group.standing import rights_of

OFF_MS = 2000
"""A date that is further off the server's clock is by a wrong one, or of a report that waited (section 8)."""


@handles(SubSignal.MDR, pb.DeliveryReport)
async def delivered(group: Group, call: Call, request: pb.DeliveryReport) -> None:
    date = _date(group, request.date)
    uids = await _other(group, call.uid, request.target)
    report = NewReport(ReportType.DELIVERED, ConversationType.PRIVATE, 0, call.uid, call.uid, date, uids)
    await group.reports.add(report)


@handles(SubSignal.MRR, pb.ReadReport)
async def read(group: Group, call: Call, request: pb.ReadReport) -> None:
    date = _date(group, request.date)
    if request.type == ConversationType.PRIVATE:
        target, uids = call.uid, await _other(group, call.uid, request.target)
    elif request.type == ConversationType.GROUP:
        target, uids = request.target, await _members(group, call.uid, request.target, request.tos)
    else:
        raise not_in(request.type)
    report = NewReport(ReportType.READ, request.type, request.line, target, call.uid, date, uids)
    async with group.turns.turn(call.uid):
        await group.reports.add(report)


def _date(group: Group, date: int) -> int:
    """Return the date (ms) that a report counts with: now, unless its own is near that."""
    now = group.now()
    return date if abs(date - now) <= OFF_MS else now


async def _other(group: Group, uid: str, target: str) -> Sequence[str]:
    """Return whom a report of a private conversation is for.

    It is nobody where it is with oneself, or with one who is blacklisted: reports tell when somebody is online.
    """
    await rights_of(group, target)
    return () if target == uid or target in (await rights_of(group, uid)).blacklist else (target,)


async def _members(group: Group, uid: str, group_id: str, tos: Sequence[str]) -> Sequence[str]:
    """Return those of `tos` who are members of a group beside the user, or all of them when it is empty.

    Whom the user has blacklisted is not among them.
    """
    found = await members_with(group, group_id, uid)
    wanted = dict.fromkeys(tos) if tos else found.types
    untold = (await rights_of(group, uid)).blacklist | {uid}
    return [member for member in wanted if member in found.types and member not in untold]


@handles(SubSignal.MRP, pb.PullMessageReportRequest)
async def pull(group: Group, call: Call, request: pb.PullMessageReportRequest) -> pb.PullMessageReportResult:
    """Answer what follows `id` - 1."""
    try:
        kind = ReportType(request.type)
    except ValueError:
        raise Refusal(Code.INVALID_PARAMETER) from None
    found = await group.store.read_for(call.uid, reports.pull, call.uid, kind, max(request.id - 1, 0))
    return pb.PullMessageReportResult(
        report=[
            pb.MessageReport(report_type=kind, uid=reporter, date=date, target=target)
            for reporter, date, target in found.reports
        ],
        current=found.current,
        head=found.head,
    )
