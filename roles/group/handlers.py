"""How requests find their handlers: one function a method, announced by a decorator."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import structlog
from google.protobuf.message import DecodeError, Message

from fsharechat.errors import CommitInDoubt, Refusal, StoreError
from fsharechat.protocol.bodies import check_whole
from fsharechat.protocol.ids import LeaseError
from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Reply

if TYPE_CHECKING:
    from roles.group.service import Group

log = structlog.get_logger(__name__)

M = TypeVar("M", bound=Message)
Answer = Message | bytes | None
Direct = Callable[["Group", Call], "asyncio.Future[Reply]"]
Handler = Callable[["Group", Call], Awaitable[Reply]]

HANDLERS: dict[int, Handler] = {}
DIRECT: dict[int, Direct] = {}


def handles(
    method: int, request: type[M]
) -> Callable[
    [Callable[["Group", Call, M], Awaitable[Answer]]], Callable[["Group", Call, M], Awaitable[Answer]]
]:
    """Make a function the handler of a sub-signal whose body is a `request`.

    It returns the payload of the answer (contract.md section 7), or raises Refusal with a code.
    """

    def decorate(
        function: Callable[["Group", Call, M], Awaitable[Answer]],
    ) -> Callable[["Group", Call, M], Awaitable[Answer]]:
        async def handle(group: "Group", call: Call) -> Reply:
            parsed = request.FromString(call.body)
            check_whole(parsed)
            answer = await function(group, call, parsed)
            if isinstance(answer, Message):
                return Reply(Code.SUCCESS, answer.SerializeToString())
            return Reply(Code.SUCCESS, answer or b"")

        HANDLERS[method] = handle
        return function

    return decorate


def handles_raw(method: int) -> Callable[[Handler], Handler]:
    """Make a function the handler of a method whose body and reply are its own business."""

    def decorate(function: Handler) -> Handler:
        HANDLERS[method] = function
        return function

    return decorate


def handles_direct(method: int) -> Callable[[Direct], Direct]:
    """Make a function the handler of a method on the hot path: it is called without a task of its own.

    It must not raise, and the future that it returns must not fail.
    """

    def decorate(function: Direct) -> Direct:
        DIRECT[method] = function
        return function

    return decorate


def code_of(error: StoreError) -> Code:
    """Return what a request gets that the store has failed: TIMEOUT says that it may have been carried out."""
    return Code.TIMEOUT if isinstance(error, CommitInDoubt) else Code.SERVER_ERROR


async def carry_out(handler: Handler, group: "Group", call: Call) -> Reply:
    """Run a handler; what fails becomes a code (contract.md section 5)."""
    try:
        return await handler(group, call)
    except Refusal as refusal:
        return Reply(refusal.code)
    except DecodeError:
        return Reply(Code.INVALID_DATA)
    except StoreError as error:
        log.log(error.log_level, "store failed a request", method=call.method, uid=call.uid, error=str(error))
        return Reply(code_of(error))
    except LeaseError as error:
        log.error("no message id", error=str(error))
        return Reply(Code.SERVER_ERROR)
    except asyncio.CancelledError:
        return Reply(Code.TIMEOUT)  # the caller's deadline
    except Exception:
        log.exception("request failed", method=call.method, uid=call.uid)
        return Reply(Code.SERVER_ERROR)
