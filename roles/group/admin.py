"""The operations of the back office: one method carries them all, and each is found by its name.

The api role has checked the key, and the shape of the request (roles/api/shapes.py).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import orjson

from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Method, Reply
from roles.group.handlers import Handlers, HandlerServices

OfficeRequest = dict[str, Any]
Operation = Callable[..., Awaitable[object]]
"""Takes services, the call, and what is asked. It returns the `result` of the answer, or raises Denied."""

Operations = Mapping[str, Operation]
"""Operations by name."""


OFFICE = "back office"
"""The user under whom searches of the back office run. A real uid has no space."""


class Denied(Exception):
    """An operation cannot be done. It has an HTTP status, and a text for the administrator."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def handlers(tables: Iterable[Operations]) -> Handlers:
    """Return the handlers for the operations of all tables."""
    operations = {name: function for table in tables for name, function in table.items()}

    async def administer(services: HandlerServices, call: Call) -> Reply:
        request: OfficeRequest = orjson.loads(call.body)
        function = operations.get(request["op"])
        if function is None:
            return Reply(Code.NOT_IMPLEMENTED)
        try:
            return _answer(200, "success", await services.bind(function)(call, request))
        except Denied as denied:
            return _answer(denied.status, str(denied), None)

    return Handlers(raw={Method.ADMIN: administer})


def _answer(status: int, message: str, result: object) -> Reply:
    return Reply(Code.SUCCESS, orjson.dumps({"code": status, "message": message, "result": result}))
