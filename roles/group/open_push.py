"""Messages that another system sends to users and groups over the open API (contract.md section 8)."""

import asyncio
import binascii

import structlog

from fsharechat.errors import StoreError
from fsharechat.login_numbers import normal_number
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.rpc import Call
from fsharechat.store import admin, bots
from fsharechat.store.store import Store
from roles.group.admin import OfficeRequest, Operations
from roles.group.clock import ServerClock
from roles.group.outbox import EventOutbox
from roles.group.own_messages import MayNotSpeak, local_id_of, send_private, store_for_group
from roles.group.standing import Standing

log = structlog.get_logger(__name__)

SENDER = "SystemNotification"
"""The uid of the user who sends these messages (as in the contract), and a login number that nobody can have."""


async def push(
    store: Store, clock: ServerClock, outbox: EventOutbox, call: Call, request: OfficeRequest
) -> list[dict[str, object]]:
    """Send a message to each of `mobiles`. Each has its own result.

    A message is recognised by `messageId` and its receiver, so one that was sent before is not stored again.
    """
    content = pb.MessageContent.FromString(binascii.a2b_base64(request["content"]))
    mobiles: list[str] = request["mobiles"]
    numbers = {mobile: number for mobile in mobiles if (number := normal_number(mobile))}
    uids = await store.read(admin.uids_of, sorted(set(numbers.values())))
    await store.write(admin.keep_system_user, SENDER, request["sender"], clock.now())
    sending: dict[str, asyncio.Future[int | None]] = {}
    for uid in uids.values():
        local_id = local_id_of(f"{request['messageId']}\0{uid}")
        sending[uid] = send_private(
            store, clock, outbox, SENDER, uid, content, local_id=local_id, retried=call.retried
        )
    ids = dict(zip(sending, await asyncio.gather(*sending.values()), strict=True))
    return [_outcome(mobile, numbers, uids, ids) for mobile in mobiles]


async def push_groups(
    store: Store,
    clock: ServerClock,
    outbox: EventOutbox,
    standing: Standing,
    call: Call,
    request: OfficeRequest,
) -> list[dict[str, object]]:
    """Send a message to each of `groups`. Each has its own result.

    The sender is the robot or bot `as`, who must be a member, or the system's own user. A message that was sent
    before is recognised as in `push`.
    """
    content = pb.MessageContent.FromString(binascii.a2b_base64(request["content"]))
    sender: str = request["as"] or SENDER
    member = sender != SENDER
    if member:
        allowed = await store.read(bots.is_program, sender)
    else:
        await store.write(admin.keep_system_user, SENDER, request["sender"], clock.now())
        allowed = True
    answer: list[dict[str, object]] = []
    for group in dict.fromkeys(request["groups"]):
        code, id = (403, 0)
        if allowed:
            local_id = local_id_of(f"{request['messageId']}\0{group}")
            code, id = await _to_group(
                store, clock, outbox, standing, sender, group, content, local_id, member
            )
        answer.append({"group": group, "code": code, "messageId": str(id) if code == 200 else ""})
    return answer


async def _to_group(
    store: Store,
    clock: ServerClock,
    outbox: EventOutbox,
    standing: Standing,
    sender: str,
    group: str,
    content: pb.MessageContent,
    local_id: int,
    member: bool,
) -> tuple[int, int]:
    """Send a message to a group. Return the code of the outcome, and the id of the message."""
    known = await standing.members.get(group)
    if known is None:
        return 404, 0
    id = clock.next_id()
    try:
        done = await store.write_group(
            group,
            [sender, *known.types],
            store_for_group,
            id,
            sender,
            group,
            content,
            clock.now(),
            local_id,
            member=member,
        )
    except MayNotSpeak:
        return 403, 0
    except StoreError as error:
        log.log(error.log_level, "message not stored", uid=sender, error=str(error))
        return 503, 0
    if done is None:
        return 404, 0
    message, stored = done
    outbox.announce([message], [stored])
    return 200, stored.id


def _outcome(
    mobile: str, numbers: dict[str, str], uids: dict[str, str], ids: dict[str, int | None]
) -> dict[str, object]:
    if mobile not in numbers:
        return {"mobile": mobile, "code": 400, "messageId": ""}
    uid = uids.get(numbers[mobile])
    if uid is None:
        return {"mobile": mobile, "code": 404, "messageId": ""}
    id = ids[uid]
    return {"mobile": mobile, "code": 503 if id is None else 200, "messageId": "" if id is None else str(id)}


OPERATIONS: Operations = {
    "push": push,
    "push_groups": push_groups,
}
