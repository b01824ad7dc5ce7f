"""SRA: a robot that is a client of its own streams its answer to a user (calls.md section 10)."""

from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.signals import Code, SubSignal
from fsharechat.rpc import Call
from fsharechat.store.users import Rights
from roles.group.handlers import Handlers
from roles.group.outbox import EventOutbox
from roles.group.standing import Standing, check_heard

MAX_STREAM_ID = 64
MAX_DELTA = 20_000
"""Characters of a piece."""


def _check_robot(user: Rights) -> None:
    check_heard(user)
    if not user.robot:
        raise Refusal(Code.NO_RIGHT)


async def stream(
    standing: Standing, outbox: EventOutbox, call: Call, request: pb.StreamAnswerRequest
) -> None:
    await standing.check_rights(call.uid, _check_robot)
    if not 0 < len(request.stream_id) <= MAX_STREAM_ID or len(request.delta) > MAX_DELTA:
        raise Refusal(Code.INVALID_PARAMETER)
    if call.uid in (await standing.rights_of(request.target_uid)).blacklist:
        raise Refusal(Code.BLACKLISTED)
    outbox.stream(request.target_uid, request.stream_id, request.delta, call.uid, done=bool(request.done))


HANDLERS = Handlers(
    requests={
        SubSignal.SRA: stream,
    },
)
