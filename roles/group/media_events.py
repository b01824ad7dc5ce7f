"""What media processes tell of the calls that they carry (fsharechat/medialink)."""

from fsharechat.medialink import wire
from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Method, Reply
from roles.group.calls import GroupCalls
from roles.group.handlers import Handlers


async def told(calls: GroupCalls, call: Call) -> Reply:
    wire.tell(calls, call.body)
    return Reply(Code.SUCCESS)


HANDLERS = Handlers(raw={Method.MEDIA_EVENT: told})
