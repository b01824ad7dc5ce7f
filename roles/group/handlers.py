"""How a call reaches its handler: each method has one function."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TypeVar, get_type_hints

import structlog
from google.protobuf.message import DecodeError, Message

from fsharechat.errors import CommitInDoubt, Refusal, StoreError
from fsharechat.protocol.bodies import check_whole
from fsharechat.protocol.ids import LeaseError
from fsharechat.protocol.signals import REQUESTS, Code, SubSignal
from fsharechat.rpc import Call, Reply
from fsharechat.tracing import TRACING, trace_of
from roles.group.clock import ServerClock

log = structlog.get_logger(__name__)

Answer = Message | bytes | None
RequestHandler = Callable[..., Awaitable[Answer]]
"""Carries out a request. It takes services, the call, and the message that the table of requests names.

It returns the payload of the answer (contract.md section 7), or raises Refusal with a code.
"""

CallHandler = Callable[..., Awaitable[Reply]]
"""Carries out a method: it reads the body and writes the reply itself. It takes services and the call."""

Direct = Callable[[Call], "asyncio.Future[Reply]"]
"""The handler of a method on the hot path: it is called without a task of its own.

It must not raise, and the future that it returns must not fail.
"""

S = TypeVar("S")
R = TypeVar("R")


class HandlerServices:
    """The services that handlers may ask for. A handler names what it needs by type, before the call."""

    def __init__(self, *services: object) -> None:
        self._services = (*services, self)

    def of(self, kind: type[S]) -> S:
        """Return the service of a type. Raises TypeError if there is none."""
        for service in self._services:
            if isinstance(service, kind):
                return service
        raise TypeError(f"no service is a {kind.__name__}")

    def bind(self, function: Callable[..., R]) -> Callable[..., R]:
        """Return a function, or a class, with its services filled in. Raises TypeError if one is missing."""
        return partial(function, *(self.of(kind) for kind in _needed(function)))


@cache
def _needed(function: Callable[..., object]) -> tuple[type, ...]:
    """Return the types of the services that a function, or a class, takes before the call.

    Annotations are slow to read. Tests start thousands of roles in one process.
    """
    hints = get_type_hints(vars(function)["__init__"] if isinstance(function, type) else function)
    needed = itertools.takewhile(lambda item: item[0] != "return" and item[1] is not Call, hints.items())
    return tuple(kind for _, kind in needed)


@dataclass(frozen=True)
class Handlers:
    """The handlers of methods. Each module of the role has such a table, and the role adds them up.

    `direct` are functions that take services and return the handler.
    """

    requests: Mapping[SubSignal, RequestHandler] = field(default_factory=dict)
    raw: Mapping[int, CallHandler] = field(default_factory=dict)
    direct: Mapping[int, Callable[..., Direct]] = field(default_factory=dict)


def add_up(tables: Iterable[Handlers]) -> Handlers:
    """Return all tables as one. Raises ValueError if a method has two handlers."""
    requests: dict[SubSignal, RequestHandler] = {}
    raw: dict[int, CallHandler] = {}
    direct: dict[int, Callable[..., Direct]] = {}
    known: set[int] = set()
    for table in tables:
        for method in (*table.requests, *table.raw, *table.direct):
            if method in known:
                raise ValueError(f"{method!r} has two handlers")
            known.add(method)
        requests.update(table.requests)
        raw.update(table.raw)
        direct.update(table.direct)
    return Handlers(requests, raw, direct)


def _parsing(sub_signal: SubSignal, handler: RequestHandler) -> CallHandler:
    kind = REQUESTS[sub_signal].request.kind

    async def handle(call: Call) -> Reply:
        parsed = kind.FromString(call.body)
        check_whole(parsed)
        answer = await handler(call, parsed)
        if isinstance(answer, Message):
            return Reply(Code.SUCCESS, answer.SerializeToString())
        return Reply(Code.SUCCESS, answer or b"")

    return handle


def code_of(error: StoreError) -> Code:
    """Return the code for a failure of the store. TIMEOUT means that the request may have been carried out."""
    return Code.TIMEOUT if isinstance(error, CommitInDoubt) else Code.SERVER_ERROR


async def carry_out(handler: CallHandler, call: Call) -> Reply:
    """Run a handler. A failure becomes a code (contract.md section 5)."""
    try:
        return await handler(call)
    except Refusal as refusal:
        return Reply(refusal.code)
    except DecodeError:
        return Reply(Code.INVALID_DATA)
    except StoreError as error:
        log.log(
            error.log_level,
            "store failed a request",
            method=call.method,
            uid=call.uid,
            trace=trace_of(call),
            error=str(error),
        )
        return Reply(code_of(error))
    except LeaseError as error:
        log.error("no message id", trace=trace_of(call), error=str(error))
        return Reply(Code.SERVER_ERROR)
    except asyncio.CancelledError:
        return Reply(Code.TIMEOUT)  # the caller's deadline
    except Exception:
        log.exception("request failed", method=call.method, uid=call.uid, trace=trace_of(call))
        return Reply(Code.SERVER_ERROR)


class Dispatcher:
    """Hands calls to their handlers."""

    def __init__(self, services: HandlerServices, handlers: Handlers) -> None:
        """Give each handler its services. Raises TypeError if one is missing."""
        self._clock = services.of(ServerClock)
        self._direct = {method: services.bind(make)() for method, make in handlers.direct.items()}
        self._handlers = {method: services.bind(handler) for method, handler in handlers.raw.items()}
        for sub_signal, handler in handlers.requests.items():
            self._handlers[sub_signal] = _parsing(sub_signal, services.bind(handler))
        self._loop = asyncio.get_running_loop()

    def call(self, call: Call) -> asyncio.Future[Reply]:
        """Answer a call (see Rpc.serve)."""
        # Messages that this process itself writes come after those sent before.
        self._clock.ids.observe(call.message_id)
        if TRACING.on:
            log.debug(
                "call taken", trace=trace_of(call), method=call.method, uid=call.uid, retried=call.retried
            )
        direct = self._direct.get(call.method)
        if direct is not None:
            return direct(call)
        handler = self._handlers.get(call.method)
        if handler is None:
            future: asyncio.Future[Reply] = self._loop.create_future()
            future.set_result(Reply(Code.NOT_IMPLEMENTED))
            return future
        return self._loop.create_task(carry_out(handler, call))
