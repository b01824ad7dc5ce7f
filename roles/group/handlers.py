"""How a call reaches its handler: each method has one function."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from google.protobuf.message import DecodeError, Message

from fsharechat.errors import CommitInDoubt, Refusal, StoreError
from fsharechat.protocol.bodies import check_whole
from fsharechat.protocol.ids import LeaseError
from fsharechat.protocol.signals import REQUESTS, Code, SubSignal
from fsharechat.rpc import Call, Reply
from roles.group.service import Group

log = structlog.get_logger(__name__)

Answer = Message | bytes | None
Business = Callable[[Group, Call, Any], Awaitable[Answer]]
"""Carries out a request. Its body is the message that the table of requests names.

It returns the payload of the answer (contract.md section 7), or raises Refusal with a code.
"""

Handler = Callable[[Group, Call], Awaitable[Reply]]
"""Carries out a method. The method itself reads its body and writes its reply."""

Direct = Callable[[Group, Call], "asyncio.Future[Reply]"]
"""The handler of a method on the hot path: it is called without a task of its own.

It must not raise, and the future that it returns must not fail.
"""


@dataclass(frozen=True)
class Handlers:
    """The handlers of methods. Each module of the role has such a table, and the role adds them up."""

    requests: Mapping[SubSignal, Business] = field(default_factory=dict)
    raw: Mapping[int, Handler] = field(default_factory=dict)
    direct: Mapping[int, Direct] = field(default_factory=dict)


def add_up(tables: Iterable[Handlers]) -> Handlers:
    """Return all tables as one. Its requests are in `raw` too. Raises ValueError if a method has two handlers."""
    requests: dict[SubSignal, Business] = {}
    raw: dict[int, Handler] = {}
    direct: dict[int, Direct] = {}
    for table in tables:
        methods = [*table.requests, *table.raw, *table.direct]
        for method in methods:
            if methods.count(method) > 1 or method in raw or method in direct:
                raise ValueError(f"{method!r} has two handlers")
        requests.update(table.requests)
        raw.update((sub_signal, _parsing(sub_signal, do)) for sub_signal, do in table.requests.items())
        raw.update(table.raw)
        direct.update(table.direct)
    return Handlers(requests, raw, direct)


def _parsing(sub_signal: SubSignal, business: Business) -> Handler:
    kind = REQUESTS[sub_signal].request.kind

    async def handle(group: Group, call: Call) -> Reply:
        parsed = kind.FromString(call.body)
        check_whole(parsed)
        answer = await business(group, call, parsed)
        if isinstance(answer, Message):
            return Reply(Code.SUCCESS, answer.SerializeToString())
        return Reply(Code.SUCCESS, answer or b"")

    return handle


def code_of(error: StoreError) -> Code:
    """Return the code for a failure of the store. TIMEOUT means that the request may have been carried out."""
    return Code.TIMEOUT if isinstance(error, CommitInDoubt) else Code.SERVER_ERROR


async def carry_out(handler: Handler, group: Group, call: Call) -> Reply:
    """Run a handler. A failure becomes a code (contract.md section 5)."""
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


class Dispatcher:
    """Hands calls to their handlers."""

    def __init__(self, group: Group, handlers: Handlers) -> None:
        self._group = group
        self._handlers = handlers

    def call(self, call: Call) -> asyncio.Future[Reply]:
        """Answer a call (see Rpc.serve)."""
        group = self._group
        # Messages that this process itself writes come after those sent before.
        group.ids.observe(call.message_id)
        direct = self._handlers.direct.get(call.method)
        if direct is not None:
            return direct(group, call)
        handler = self._handlers.raw.get(call.method)
        if handler is None:
            future: asyncio.Future[Reply] = group.loop.create_future()
            future.set_result(Reply(Code.NOT_IMPLEMENTED))
            return future
        return group.loop.create_task(carry_out(handler, group, call))
