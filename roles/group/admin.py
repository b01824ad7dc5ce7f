"""How operations of the back office find their functions: announced by name, asked over one method.

The api role has checked the key and the shape of what is asked (roles/api/shapes.py).
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson

from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Method, Reply
from roles.group.handlers import handles_raw

if TYPE_CHECKING:
    from roles.group.service import Group

Request = dict[str, Any]
Operation = Callable[["Group", Call, Request], Awaitable[object]]

OPERATIONS: dict[str, Operation] = {}


OFFICE = "back office"
"""Whose the searches of the back office are; no uid has a space."""


class Denied(Exception):
    """An operation cannot be done: an HTTP status, and a text for the administrator."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def operation(name: str) -> Callable[[Operation], Operation]:
    """Make a function an operation. It returns what is the `result` of the answer, or raises Denied."""

    def decorate(function: Operation) -> Operation:
        OPERATIONS[name] = function
        return function

    return decorate


@handles_raw(Method.ADMIN)
async def administer(group: "Group", call: Call) -> Reply:
    request: Request = orjson.loads(call.body)
    function = OPERATIONS.get(request["op"])
    if function is None:
        return Reply(Code.NOT_IMPLEMENTED)
    try:
        return _answer(200, "success", await function(group, call, request))
    except Denied as denied:
        return _answer(denied.status, str(denied), None)


def _answer(status: int, message: str, result: object) -> Reply:
    return Reply(Code.SUCCESS, orjson.dumps({"code": status, "message": message, "result": result}))
