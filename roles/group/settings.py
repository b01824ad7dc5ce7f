"""The settings that a user's devices share: UG and UP (contract.md sections 7 and 8)."""

from fsharechat.errors import Refusal
from fsharechat.protocol import messages_pb2 as pb
from fsharechat.protocol.bodies import long_payload
from fsharechat.protocol.signals import Code, SubSignal
from fsharechat.rpc import Call
from fsharechat.store import user_settings
from fsharechat.store.store import Store
from fsharechat.store.unit import Dialect, Unit
from roles.group.clock import ServerClock
from roles.group.handlers import Handlers
from roles.group.outbox import EventOutbox

MAX_KEY = 255
MAX_VALUE_BYTES = 4096
MAX_SETTINGS = 10_000
"""The most settings of one user."""


async def pull(store: Store, call: Call, request: pb.Version) -> pb.GetUserSettingResult:
    found = await store.read_for(call.uid, user_settings.changed, call.uid, request.version)
    return pb.GetUserSettingResult(entry=[pb.UserSettingEntry(**setting._asdict()) for setting in found])


async def put(
    store: Store, clock: ServerClock, outbox: EventOutbox, call: Call, request: pb.ModifyUserSettingReq
) -> bytes:
    scope, key, value = request.scope, request.key, request.value
    # Scopes from 1000 on belong to applications.
    if scope < 0 or len(key) > MAX_KEY or len(value.encode()) > MAX_VALUE_BYTES:
        raise Refusal(Code.INVALID_PARAMETER)
    if key.endswith(" "):  # MySQL takes "a " for "a"
        raise Refusal(Code.INVALID_PARAMETER)
    version = long_payload(await store.write(_put, call.uid, scope, key, value, clock.now()))
    outbox.notify(SubSignal.UN, version, call.uid, except_client=call.client_id)
    return version


def _put(dialect: Dialect, uid: str, scope: int, key: str, value: str, now: int) -> Unit[int]:
    if not (yield from user_settings.has_room(dialect, uid, scope, key, MAX_SETTINGS)):
        raise Refusal(Code.INVALID_PARAMETER)
    return (yield from user_settings.put(dialect, uid, scope, key, value, now))


HANDLERS = Handlers(
    requests={
        SubSignal.UG: pull,
        SubSignal.UP: put,
    },
)
