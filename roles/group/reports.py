"""Delivery and read reports: MDR, MRR and MRP (contract.md sections 7 and 8)."""

from collections.abc import Sequence

from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, ConversationType, ReportType, SubSignal
from fsharechat.protocol.sizes import READER, fitting, sent_size
from fsharechat.rpc import Call
from fsharechat.store import group_reads, groups, reports
from fsharechat.store.group_reads import GroupRead
from fsharechat.store.reports import NewReport
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.clock import ServerClock
from roles.group.handlers import Handlers
from roles.group.report_book import ReadInGroup, ReportBook
from roles.group.standing import Standing, not_in
from roles.group.turns import Turns

OFF_MS = 2000
"""A date further off the server's clock comes from a wrong clock, or from a report that waited (section 8)."""


async def delivered(
    clock: ServerClock, standing: Standing, book: ReportBook, call: Call, request: pb.DeliveryReport
) -> None:
    date = _date(clock, request.date)
    uids = await _other(standing, call.uid, request.target)
    if uids:
        report = NewReport(ReportType.DELIVERED, ConversationType.PRIVATE, 0, call.uid, call.uid, date, uids)
        await book.add(report)


async def read(
    clock: ServerClock, standing: Standing, book: ReportBook, turns: Turns, call: Call, request: pb.ReadReport
) -> None:
    date = _date(clock, request.date)
    report: NewReport | ReadInGroup
    if request.type == ConversationType.PRIVATE:
        uids = await _other(standing, call.uid, request.target)
        report = NewReport(
            ReportType.READ, ConversationType.PRIVATE, request.line, call.uid, call.uid, date, uids
        )
    elif request.type == ConversationType.GROUP:
        report = await _in_group(standing, call.uid, request, date)
    else:
        raise not_in(request.type)
    if isinstance(report, ReadInGroup) or report.uids:
        async with turns.turn(call.uid):
            await book.add(report)


async def _other(standing: Standing, uid: str, target: str) -> Sequence[str]:
    """Return the receiver of a report in a private conversation.

    There is none if the other side is the user or is blacklisted: a report shows that its sender is online.
    """
    await standing.rights_of(target)
    return () if target == uid or target in (await standing.rights_of(uid)).blacklist else (target,)


async def _in_group(
    standing: Standing, uid: str, request: pb.ReadReport, date: int
) -> NewReport | ReadInGroup:
    """Return a report for the members in `tos`, or for all members if `tos` is empty or names them all.

    Users whom the reporter has blacklisted are not told.
    """
    found = await standing.members_with(request.target, uid)
    silent = (await standing.rights_of(uid)).blacklist
    tos = [member for member in dict.fromkeys(request.tos) if member in found.types and member != uid]
    if request.tos and len(tos) < len(found.types) - 1:
        uids = [member for member in tos if member not in silent]
        return NewReport(
            ReportType.READ, ConversationType.GROUP, request.line, request.target, uid, date, uids
        )
    read = GroupRead(request.target, request.line, uid, date, found.version)
    return ReadInGroup(read, found.types, silent)


def _date(clock: ServerClock, date: int) -> int:
    """Return the date of a report, ms: its own date if it is near now, else now."""
    now = clock.now()
    return date if abs(date - now) <= OFF_MS else now


async def pull(store: Store, call: Call, request: pb.PullMessageReportRequest) -> pb.PullMessageReportResult:
    """Answer with the reports after `id` - 1."""
    try:
        kind = ReportType(request.type)
    except ValueError:
        raise Refusal(Code.INVALID_PARAMETER) from None
    found = await store.read_for(call.uid, reports.pull, call.uid, kind, max(request.id - 1, 0))
    return pb.PullMessageReportResult(
        report=[
            pb.MessageReport(report_type=kind, uid=reporter, date=date, target=target)
            for reporter, date, target in found.reports
        ],
        current=found.current,
        head=found.head,
    )


async def readers(
    store: Store, standing: Standing, call: Call, request: pb.GroupReadersRequest
) -> pb.GroupReadersResult:
    await standing.members_with(request.group_id, call.uid)
    found = await store.read_for(call.uid, _readers, call.uid, request.group_id, request.line)
    made = (pb.GroupReader(uid=uid, date=date) for uid, date in sorted(found.items()))
    return pb.GroupReadersResult(reader=fitting((one, READER + sent_size(one.uid)) for one in made))


def _readers(dialect: Dialect, uid: str, group_id: str, line: int) -> Unit[dict[str, int]]:
    joined = yield from groups.joined(dialect, [group_id], uid)
    if group_id not in joined:
        return {}
    return (yield from group_reads.readers(dialect, uid, group_id, line, joined[group_id]))


HANDLERS = Handlers(
    requests={
        SubSignal.MDR: delivered,
        SubSignal.MRR: read,
        SubSignal.GRL: readers,
        SubSignal.MRP: pull,
    },
)
