"""Messages that another system sends to users over the open API (contract.md section 8)."""

import asyncio
import binascii
from hashlib import blake2b

import structlog

from fsharechat.login_numbers import normal_number
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.rpc import Call
from fsharechat.store import admin
from fsharechat.store.store import Store
from roles.group.admin import OfficeRequest, Operations
from roles.group.clock import ServerClock
from roles.group.outbox import EventOutbox
from roles.group.own_messages import send_private

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
        local_id = _local_id(request["messageId"], uid)
        sending[uid] = send_private(
            store, clock, outbox, SENDER, uid, content, local_id=local_id, retried=call.retried
        )
    ids = dict(zip(sending, await asyncio.gather(*sending.values()), strict=True))
    return [_outcome(mobile, numbers, uids, ids) for mobile in mobiles]


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


def _local_id(message_id: str, uid: str) -> int:
    """Return the local id of the message to `uid`: 63 bits, never 0."""
    digest = blake2b(f"{message_id}\0{uid}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1 or 1


OPERATIONS: Operations = {
    "push": push,
}
