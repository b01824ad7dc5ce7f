"""Operations of the back office on the server itself: its processes, and its settings in force."""

from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Method, Reply
from fsharechat.settings import Settings, in_force
from fsharechat.status import StatusBook
from roles.group.admin import OfficeRequest, Operations
from roles.group.handlers import Handlers


async def note_status(book: StatusBook, call: Call) -> Reply:
    book.note(call.body)
    return Reply(Code.SUCCESS)


async def list_processes(book: StatusBook, _: Call, __: OfficeRequest) -> object:
    """Return this process and those that have told this one of themselves."""
    return await book.views()


async def list_settings(settings: Settings, _: Call, request: OfficeRequest) -> object:
    """Return the settings of this process, without secrets."""
    wanted: str = request["search"].lower()
    found = [one for one in in_force(settings) if wanted in one.key]
    begin = int(request.get("after") or 0)
    end = begin + request.get("limit", len(found))
    return {
        "settings": [
            {"key": one.key, "value": one.value, "isDefault": one.is_default} for one in found[begin:end]
        ],
        "next": str(end) if end < len(found) else "",
    }


OPERATIONS: Operations = {
    "processes.list": list_processes,
    "settings.list": list_settings,
}
HANDLERS = Handlers(raw={Method.STATUS: note_status})
