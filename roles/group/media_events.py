"""What media processes tell of the calls that they carry (fsharechat/medialink)."""

from fsharechat.medialink import wire
from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Method, Reply
from roles.group.handlers import Handlers
from roles.group.service import Group


async def told(group: Group, call: Call) -> Reply:
    wire.tell(group.calls, call.body)
    return Reply(Code.SUCCESS)


HANDLERS = Handlers(raw={Method.MEDIA_EVENT: told})
