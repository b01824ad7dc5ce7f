"""Reports of abuse: RPA, and what the back office does with them (contract.md section 8)."""

from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal
from fsharechat.rpc import Call
from fsharechat.store import abuse
from fsharechat.store.abuse import AbuseReport
from fsharechat.store.store import Store
from roles.group.admin import OFFICE, Denied, OfficeRequest, Operations, page
from roles.group.clock import ServerClock
from roles.group.edits import visible
from roles.group.handlers import Handlers
from roles.group.standing import Standing, check_not_blocked

MAX_REASON = 1000
MAX_OPEN = 100
"""The most characters of a reason, and the most open reports of a user."""


async def report(
    store: Store, clock: ServerClock, standing: Standing, call: Call, request: pb.ReportAbuseRequest
) -> None:
    reason = request.reason.strip()
    if not 0 < len(reason) <= MAX_REASON or bool(request.uid) == bool(request.id):
        raise Refusal(Code.INVALID_PARAMETER)
    await standing.check_rights(call.uid, check_not_blocked)
    uid, body = request.uid, b""
    if request.id:
        message = (await store.read_for(call.uid, visible, [request.id], call.uid)).get(request.id)
        if message is None:
            raise Refusal(Code.NOT_EXIST)
        uid, body = message.from_user, message.SerializeToString()
    else:
        await standing.rights_of(uid)
    if uid == call.uid:
        raise Refusal(Code.INVALID_PARAMETER)
    made = AbuseReport(clock.next_id(), call.uid, uid, request.id, reason, body, clock.now())
    if not await store.write(abuse.keep, made, MAX_OPEN):
        raise Refusal(Code.TOO_OFTEN)


def _shown(one: AbuseReport) -> dict[str, object]:
    message = pb.Message.FromString(one.body) if one.body else None
    return {
        "id": str(one.id),
        "reporter": one.reporter,
        "uid": one.uid,
        "messageId": str(one.message_id) if one.message_id else "",
        "type": message.content.type if message else 0,
        "text": message.content.searchable_content if message else "",
        "reason": one.reason,
        "createdAt": one.created_ms,
    }


async def list_reports(store: Store, _: Call, request: OfficeRequest) -> object:
    limit: int = request["limit"]
    after, newest_first = int(request["after"] or 0), request.get("order") == "desc"
    found = await store.search_for(
        OFFICE, abuse.page, after, limit + 1, request.get("user", ""), newest_first
    )
    return page("reports", found, limit, _shown, lambda one: str(one.id))


async def close(store: Store, call: Call, request: OfficeRequest) -> object:
    id: str = request["report"]
    known = id.isascii() and id.isdigit() and len(id) < 19 and await store.write(abuse.close, int(id))
    if not known and not call.retried:
        raise Denied(404, "there is no such report")
    return {"id": id}


HANDLERS = Handlers(
    requests={
        SubSignal.RPA: report,
    },
)
OPERATIONS: Operations = {
    "reports.list": list_reports,
    "reports.close": close,
}
